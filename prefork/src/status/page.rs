//! The page of figures that the parent writes and the status process reads.

use std::{
    io,
    os::fd::OwnedFd,
    sync::atomic::{AtomicU64, Ordering, fence},
    thread,
    time::Duration,
};

use prefork_core::{Stage, Time};

use crate::{
    status::counters::{Counter, Counters},
    status::failure::{self, Failure},
    sys::SharedFigures,
};

/// The first word is the version: odd while the parent is at it. Then come the counters, then these.
const VERSION: usize = 0;
const FIRST_COUNTER: usize = 1;
const FIRST_OTHER: usize = FIRST_COUNTER + Counter::ALL.len();
const STARTED: usize = FIRST_OTHER;
const STARTED_UNIX: usize = FIRST_OTHER + 1;
const PREFORK: usize = FIRST_OTHER + 2;
const MAX_CHILDREN: usize = FIRST_OTHER + 3;
const GENERATION: usize = FIRST_OTHER + 4;
const ALIVE: usize = FIRST_OTHER + 5;
const AT_MAXIMUM: usize = FIRST_OTHER + 6;
const AT_MAXIMUM_SINCE: usize = FIRST_OTHER + 7;
const JOBS_WAITING: usize = FIRST_OTHER + 8;
const STAGE: usize = FIRST_OTHER + 9;
const LAST_FAILURE: usize = FIRST_OTHER + 10;
const WORDS: usize = LAST_FAILURE + failure::WORDS;

/// What stands for a number of jobs that is not known: no number is as large.
const UNKNOWN: u64 = u64::MAX;

/// How often, and how long apart, the status process looks again while the parent is at it. The parent is quick, but
/// may have been stopped: then its figures are as good as they get.
const LOOKS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(1);

/// The parent's side.
#[derive(Debug)]
pub(super) struct Page {
    figures: SharedFigures,
    memory: OwnedFd,
    version: u64,
}

/// A change of the figures, of which readers see nothing until it is over: when this is dropped.
struct Change<'a>(&'a mut Page);

impl Change<'_> {
    fn write(&self, values: impl Iterator<Item = u64>) {
        for (word, value) in self.0.words()[FIRST_COUNTER..].iter().zip(values) {
            word.store(value, Ordering::Relaxed);
        }
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.version += 1;
        // After everything; pairs with the acquire of the reader.
        self.0.words()[VERSION].store(self.0.version, Ordering::Release);
    }
}

/// The figures at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Figures {
    counts: [u64; Counter::ALL.len()],
    pub(super) started: Time,
    pub(super) started_unix: Duration,
    pub(super) prefork: u64,
    pub(super) max_children: u64,
    pub(super) generation: u64,
    pub(super) alive: u64,
    pub(super) at_maximum: Duration,
    pub(super) jobs_waiting: Option<u64>,
    pub(super) stage: Stage,
    pub(super) last_failure: Option<Failure>,
}

impl Page {
    pub(super) fn new() -> io::Result<Self> {
        let (figures, memory) = SharedFigures::new(WORDS)?;
        Ok(Self { figures, memory, version: 0 })
    }

    /// What the status process reads by.
    pub(super) const fn memory(&self) -> &OwnedFd {
        &self.memory
    }

    /// Makes readers wait until [`publish`](Self::publish): what is on the scoreboard and what is here
    /// does not fit together until then.
    pub(super) fn begin(&mut self) {
        if self.version.is_multiple_of(2) {
            self.version += 1;
            self.words()[VERSION].store(self.version, Ordering::Relaxed);
            // Odd before anything changes, here or on the board; pairs with the fence of the reader.
            fence(Ordering::SeqCst);
        }
    }

    /// Begins a change, if [`begin`](Self::begin) has not, and ends it with the guard.
    fn change(&mut self) -> Change<'_> {
        self.begin();
        Change(self)
    }

    /// Writes everything down.
    pub(super) fn publish(&mut self, counters: &Counters, alive: usize) {
        let counts = Counter::ALL.iter().map(|counter| counters.get(*counter));
        let others = [
            nanos(counters.started.since(Time::ZERO)),
            nanos(counters.started_unix),
            u64::from(counters.prefork),
            u64::from(counters.max_children),
            u64::from(counters.generation),
            alive as u64,
            nanos(counters.at_maximum),
            counters.at_maximum_since.map_or(0, |since| nanos(since.since(Time::ZERO))),
            counters.jobs_waiting.map_or(UNKNOWN, u64::from),
            number_of(counters.stage),
        ];
        let failure = Failure::words(counters.last_failure);
        self.change().write(counts.chain(others).chain(failure));
    }

    const fn words(&self) -> &'static [AtomicU64] {
        self.figures.get()
    }
}

/// The status process's side.
#[derive(Debug)]
pub(super) struct Reader(SharedFigures);

impl Reader {
    pub(super) fn new(memory: &OwnedFd) -> io::Result<Self> {
        let figures = SharedFigures::of_memory_file(memory)?;
        if figures.get().len() < WORDS {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self(figures))
    }

    /// Reads the figures, and with `other` what is to fit to them.
    pub(super) fn read<T>(
        &self,
        now: impl Fn() -> Time,
        mut other: impl FnMut() -> T,
    ) -> (Figures, T) {
        let words = self.0.get();
        let mut looks = 0;
        loop {
            let before = words[VERSION].load(Ordering::Acquire);
            let both = (figures(words, now()), other());
            // All that was read before this is; pairs with the fence of the parent.
            fence(Ordering::SeqCst);
            let after = words[VERSION].load(Ordering::Relaxed);
            looks += 1;
            if (before == after && before.is_multiple_of(2)) || looks == LOOKS {
                return both;
            }
            thread::sleep(PAUSE);
        }
    }
}

impl Figures {
    pub(super) const fn get(&self, counter: Counter) -> u64 {
        self.counts[counter as usize]
    }
}

fn figures(words: &[AtomicU64], now: Time) -> Figures {
    let load = |index: usize| words[index].load(Ordering::Relaxed);
    let duration = |index| Duration::from_nanos(load(index));
    let since = load(AT_MAXIMUM_SINCE);
    let running = if since == 0 { Duration::ZERO } else { now.since(time(since)) };
    Figures {
        counts: std::array::from_fn(|index| load(FIRST_COUNTER + index)),
        started: time(load(STARTED)),
        started_unix: duration(STARTED_UNIX),
        prefork: load(PREFORK),
        max_children: load(MAX_CHILDREN),
        generation: load(GENERATION),
        alive: load(ALIVE),
        at_maximum: duration(AT_MAXIMUM) + running,
        jobs_waiting: Some(load(JOBS_WAITING)).filter(|jobs| *jobs != UNKNOWN),
        stage: stage(load(STAGE)),
        last_failure: Failure::of_words(std::array::from_fn(|index| load(LAST_FAILURE + index))),
    }
}

/// What stands in the page for a stage. Before anything is written it is zero: then the daemon starts.
const fn number_of(stage: Stage) -> u64 {
    match stage {
        Stage::Starting => 0,
        Stage::Serving => 1,
        Stage::Stopping => 2,
    }
}

const fn stage(number: u64) -> Stage {
    match number {
        0 => Stage::Starting,
        1 => Stage::Serving,
        _ => Stage::Stopping,
    }
}

const fn time(nanos: u64) -> Time {
    Time::after_origin(Duration::from_nanos(nanos))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use prefork_core::{ChildId, Exit, SlotId};

    use super::*;

    const fn at(seconds: u64) -> Time {
        Time::after_origin(Duration::from_secs(seconds))
    }

    /// Figures of a daemon that has seen something of the world.
    pub(in crate::status) fn some_figures() -> Figures {
        let mut counters = Counters::new(at(100), 3, 10);
        counters.started_unix = Duration::from_secs(1_700_000_000);
        counters.add(Counter::RequestsOfEnded, 1000);
        counters.add(Counter::Spawns, 12);
        counters.add(Counter::Replaced, 6);
        counters.add(Counter::ReplacedOldGeneration, 3);
        counters.add(Counter::ReplacedOldAge, 1);
        counters.add(Counter::Killed, 1);
        let (slot, pid) = (SlotId(1), 4007);
        let exit = Exit::Signal { number: 9, core_dumped: false };
        counters.died(ChildId { slot, pid }, exit, None);
        counters.at_maximum_since = Some(at(140));
        counters.jobs_waiting = Some(12);
        counters.stage = Stage::Serving;
        let mut page = Page::new().expect("made");
        page.publish(&counters, 6);
        let reader = Reader::new(page.memory()).expect("mapped");
        reader.read(|| at(150), || ()).0
    }

    /// Figures of a daemon to which nothing has happened.
    pub(in crate::status) fn no_trouble() -> Figures {
        let mut page = Page::new().expect("made");
        page.publish(&Counters::new(at(100), 3, 10), 3);
        Reader::new(page.memory()).expect("mapped").read(|| at(150), || ()).0
    }

    #[test]
    fn what_is_published_is_read() {
        let figures = some_figures();
        assert_eq!((figures.get(Counter::Spawns), figures.get(Counter::Killed)), (12, 2));
        assert_eq!((figures.prefork, figures.max_children, figures.alive), (3, 10, 6));
        assert_eq!((figures.started, figures.generation), (at(100), 1));
        assert_eq!(figures.at_maximum, Duration::from_secs(10));
        assert_eq!((figures.jobs_waiting, no_trouble().jobs_waiting), (Some(12), None));
        assert_eq!(figures.last_failure.map(|failure| failure.pid), Some(4007));
    }

    #[test]
    fn every_stage_is_read_back() {
        let mut page = Page::new().expect("made");
        let reader = Reader::new(page.memory()).expect("mapped");
        let mut counters = Counters::new(at(1), 3, 5);
        for wanted in [Stage::Starting, Stage::Serving, Stage::Stopping] {
            counters.stage = wanted;
            page.publish(&counters, 0);
            assert_eq!(reader.read(|| at(1), || ()).0.stage, wanted);
        }
    }

    #[test]
    fn a_reader_waits_for_what_fits_together() {
        let mut page = Page::new().expect("made");
        let reader = Reader::new(page.memory()).expect("mapped");
        let mut counters = Counters::new(at(1), 3, 5);
        page.publish(&counters, 0);
        page.begin();
        let mut looks = 0;
        let (figures, looked) = reader.read(
            || at(1),
            || {
                looks += 1;
                if looks == 3 {
                    counters.count(Counter::Spawns);
                    page.publish(&counters, 1);
                }
                looks
            },
        );
        assert_eq!((figures.get(Counter::Spawns), figures.alive, looked), (1, 1, 4));
    }

    #[test]
    fn a_change_is_over_with_its_guard() {
        let mut page = Page::new().expect("made");
        let reader = Reader::new(page.memory()).expect("mapped");
        page.begin();
        for _ in 0..2 {
            drop(page.change());
            let mut looks = 0;
            reader.read(|| at(1), || looks += 1);
            assert_eq!(looks, 1, "nobody waits for what is over");
        }
    }

    #[test]
    fn a_parent_that_was_stopped_is_not_waited_for_without_end() {
        let mut page = Page::new().expect("made");
        let reader = Reader::new(page.memory()).expect("mapped");
        page.begin();
        let mut looks = 0;
        reader.read(|| at(1), || looks += 1);
        assert_eq!(looks, LOOKS);
    }
}
