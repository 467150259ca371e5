//! What parent and child report to each other: a page of shared memory for each slot.
//!
//! The first words of a page are the child's record, as on a scoreboard. Then come, each in a cache line of
//! its own, the words that the child writes and those that the parent writes. A child could write to either:
//! what it does to its own page is no harm to anybody else, as the parent draws no more from it than what a
//! child may report anyway.

mod connections;
mod in_hand;
mod logs;
mod queue;

pub(crate) use connections::Words;
pub(crate) use logs::WhichLog;

use std::{
    io,
    os::fd::OwnedFd,
    sync::atomic::{AtomicU64, Ordering, fence},
    time::Duration,
};

use prefork_core::{Generation, Pressure, SlotId, Time};
use prefork_scoreboard::{Record, Slot, SlotMemory};
use rustix::fs::{FallocateFlags, Mode, SealFlags, fallocate, fchmod, fcntl_add_seals, ftruncate};

use super::{Report, Reports};
use crate::{
    sys::memory_file,
    sys::pages::{self, Page, WORDS},
    sys::refused::Refusable,
};

/// Written by the child: how far it has come, a bit for each [`Report`].
const REPORTS: usize = 64;
/// Written by the child: until when it wants time for the request in hand, in nanoseconds of
/// `CLOCK_MONOTONIC`; 0 if it has not asked.
const EXTENDED: usize = 65;
/// Written by the child: the last round in which it has woken the parent for a change of its record.
const RUNG: usize = 66;
/// Written by the child: how many connections it has accepted.
const ACCEPTED: usize = 71;
/// Written by the parent: whether the child is asked to leave.
const ASKED: usize = 72;
/// Written by the parent: whether connections that wait are to be taken before leaving.
const DRAINING: usize = 73;
/// Written by the parent: the number of the round in which it wants to be woken by a change of the record;
/// 0 for not at all.
const ARMED: usize = 74;
/// Written by the parent: 0 if it does not want to know which connection the child has in hand, else within what time it
/// is to notice that the client has gone, in milliseconds.
const WATCHED: usize = 76;
/// Written by the parent: 1 while the pool has more to do than it can.
const PRESSED: usize = 78;

const _: () = assert!(SlotMemory::WORDS <= REPORTS && in_hand::LIMIT < connections::WORDS.start);
const _: () = assert!(connections::WORDS.end <= queue::WORDS.start && queue::WORDS.end <= WORDS);

/// The parent's side: all pages.
#[derive(Debug)]
pub(crate) struct Pages {
    pages: pages::Pages,
    memory: OwnedFd,
    /// The last round in which changes were to be known, and whether it lasts.
    round: u64,
    is_armed: bool,
    /// Within what time it is to be noticed that clients have gone, in milliseconds; 0 if they are not watched.
    watched: u64,
    /// How long a request may take, in nanoseconds; 0 for as long as it likes.
    limit: u64,
    pressure: Pressure,
}

impl Pages {
    pub(super) fn new(slots: u32) -> io::Result<Self> {
        let memory = memory_file::create("prefork-pages")?;
        // Others that may look into /proc/PID/fd of this process cannot open it again.
        fchmod(&memory, Mode::RUSR | Mode::WUSR).of_call("fchmod(2)")?;
        let pages = Self::reserve(&memory, slots)?;
        // Nobody can cut it, so that no access ends in SIGBUS. A later program may make it larger.
        fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::SEAL).of_call("fcntl(2)")?;
        Ok(Self::at(pages, memory))
    }

    /// Goes on with the pages that the old program in this process has left, and its children report in.
    pub(super) fn adopt(memory: OwnedFd, slots: u32) -> io::Result<Self> {
        let pages = Self::reserve(&memory, slots)?;
        // Rounds count from the clock's time, so that none comes twice: see `arm`.
        Ok(Self::at(pages, memory))
    }

    const fn at(pages: pages::Pages, memory: OwnedFd) -> Self {
        let (round, is_armed, watched, limit) = (0, false, 0, 0);
        Self { pages, memory, round, is_armed, watched, limit, pressure: Pressure::Normal }
    }

    /// Makes sure that there are pages for so many slots at the least.
    pub(super) fn grow(&mut self, slots: u32) -> io::Result<()> {
        let count = Self::fill(&self.memory, slots)?;
        self.pages.grow(&self.memory, count)
    }

    /// Makes sure that there is memory for so many slots at the least, and maps all that there are.
    fn reserve(memory: &OwnedFd, slots: u32) -> io::Result<pages::Pages> {
        pages::Pages::map(memory, Self::fill(memory, slots)?)
    }

    /// Makes sure that there is memory for so many slots at the least; returns for how many there is.
    fn fill(memory: &OwnedFd, slots: u32) -> io::Result<usize> {
        let stride = pages::Pages::stride() as u64;
        let (found, wanted) =
            (rustix::fs::fstat(memory)?.st_size.unsigned_abs(), u64::from(slots) * stride);
        if found < wanted {
            ftruncate(memory, wanted).of_call("ftruncate(2)")?;
        }
        // Now, so that a lack of memory is an error here and no SIGBUS later.
        fallocate(memory, FallocateFlags::empty(), 0, wanted).of_call("fallocate(2)")?;
        usize::try_from(found.max(wanted) / stride).map_err(io::Error::other)
    }

    /// What the next program in this process needs.
    pub(super) const fn memory(&self) -> &OwnedFd {
        &self.memory
    }

    /// Gives a page to a child about to be forked, which has this edition of the logs; returns its record, which is
    /// the parent's word as long as there is no child.
    pub(crate) fn assign(
        &self,
        slot: SlotId,
        generation: Generation,
        edition: u64,
    ) -> Option<Record> {
        let page = self.page(slot)?;
        page[SlotMemory::WORDS..].iter().for_each(|word| word.store(0, Ordering::Relaxed));
        record(page).assign(u64::from(generation.0));
        if self.is_armed {
            self.store(slot, ARMED, self.round);
        }
        self.store(slot, logs::NEWEST, edition);
        self.store(slot, WATCHED, self.watched);
        self.store(slot, in_hand::LIMIT, self.limit);
        self.store(slot, PRESSED, pressed(self.pressure));
        self.record(slot)
    }

    /// Empties the page of a child that was reaped.
    pub(crate) fn clear(&self, slot: SlotId) {
        if let Some(page) = self.page(slot) {
            record(page).clear();
        }
    }

    /// Reads how far a child says that it has come.
    pub(crate) fn reports(&self, slot: SlotId) -> Reports {
        // Acquire: pairs with the release of the child, though nothing is published with it today.
        Reports(self.word(slot, REPORTS).map_or(0, |word| word.load(Ordering::Acquire)))
    }

    /// Reads until when a child wants time for the request that it has in hand; to be read after its record.
    pub(crate) fn extended(&self, slot: SlotId) -> Option<Time> {
        let nanos = self.word(slot, EXTENDED)?.load(Ordering::Acquire);
        (nanos != 0).then(|| Time::after_origin(Duration::from_nanos(nanos)))
    }

    /// Reads how many connections a child says that it has accepted.
    pub(crate) fn accepted(&self, slot: SlotId) -> u64 {
        self.word(slot, ACCEPTED).map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Returns a number that is another after each change of a record.
    pub(crate) fn version(&self, slot: SlotId) -> u64 {
        self.page(slot).map_or(0, |page| record(page).version())
    }

    /// Reads the record of a child.
    pub(crate) fn record(&self, slot: SlotId) -> Option<Record> {
        let record = record(self.page(slot)?).record(slot.index());
        // What is read after this is of the same request or a later one: see `OwnPage::extend`.
        fence(Ordering::Acquire);
        Some(record)
    }

    pub(super) fn ask(&self, slot: SlotId) {
        // Seen by whom the call wakes, and otherwise soon.
        self.store(slot, ASKED, 1);
    }

    pub(crate) fn was_asked(&self, slot: SlotId) -> bool {
        self.word(slot, ASKED).is_some_and(|word| word.load(Ordering::Relaxed) != 0)
    }

    /// Asks these children to take the connections that wait, when they leave.
    pub(crate) fn drain(&self, slots: impl Iterator<Item = SlotId>) {
        slots.for_each(|slot| self.store(slot, DRAINING, 1));
    }

    /// Asks these children, and those that are assigned from now on, which connection they have in hand, as clients
    /// are looked at every `interval`; or not any more.
    pub(crate) fn watch_clients(
        &mut self,
        interval: Option<Duration>,
        slots: impl Iterator<Item = SlotId>,
    ) {
        self.watched = interval.map_or(0, |interval| millis(interval).max(1));
        slots.for_each(|slot| self.store(slot, WATCHED, self.watched));
    }

    /// Lets these children know, and those that are assigned from now on, whether the pool has more to do than it can.
    pub(crate) fn press(&mut self, pressure: Pressure, slots: impl Iterator<Item = SlotId>) {
        self.pressure = pressure;
        slots.for_each(|slot| self.store(slot, PRESSED, pressed(pressure)));
    }

    /// Makes the first change of each of these records, and of those that are assigned meanwhile, ring the
    /// child's bell, once.
    pub(crate) fn arm(&mut self, now: Time, slots: impl Iterator<Item = SlotId>) {
        // A child rings once a round, so a round must be another than those of an earlier program.
        let nanos = u64::try_from(now.since(Time::ZERO).as_nanos()).unwrap_or(u64::MAX);
        self.round = nanos.max(self.round + 1);
        self.is_armed = true;
        slots.for_each(|slot| self.store(slot, ARMED, self.round));
        // Arm first, look then. Pairs with the fence in `OwnPage::wants_bell`: either the look that follows
        // sees the change, or the child sees that it is to ring.
        fence(Ordering::SeqCst);
    }

    /// Returns whether a child has rung since its record has changed in this round.
    pub(crate) fn has_changed(&self, slot: SlotId) -> bool {
        let rung = self.word(slot, RUNG).map(|word| word.load(Ordering::Acquire));
        self.is_armed && rung == Some(self.round)
    }

    /// Takes back what [`arm`](Self::arm) has wanted.
    pub(crate) fn disarm(&mut self, slots: impl Iterator<Item = SlotId>) {
        self.is_armed = false;
        slots.for_each(|slot| self.store(slot, ARMED, 0));
    }

    fn store(&self, slot: SlotId, word: usize, value: u64) {
        if let Some(word) = self.word(slot, word) {
            word.store(value, Ordering::Relaxed);
        }
    }

    fn word(&self, slot: SlotId, word: usize) -> Option<&'static AtomicU64> {
        self.page(slot)?.get(word)
    }

    fn page(&self, slot: SlotId) -> Option<&'static Page> {
        self.pages.get(slot.index())
    }

    /// Turns the inherited copy into the side of the child in a slot, and closes the file.
    pub(super) fn into_own(self, slot: SlotId) -> io::Result<OwnPage> {
        let page = pages::Pages::map_own(&self.memory, slot.index())?;
        Ok(OwnPage { page, slot })
    }
}

const fn pressed(pressure: Pressure) -> u64 {
    match pressure {
        Pressure::Normal => 0,
        Pressure::Overloaded => 1,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn record(page: &'static Page) -> SlotMemory {
    let words = page.first_chunk().expect("a page is longer than a record");
    SlotMemory::new(words)
}

/// A child's side: its own page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnPage {
    page: &'static Page,
    slot: SlotId,
}

impl OwnPage {
    /// Takes the record over.
    pub(crate) fn enter(self) -> Slot {
        record(self.page).enter(self.slot.index())
    }

    /// Reports something; returns whether that is new.
    pub(crate) fn report(self, report: Report) -> bool {
        let before = self.page[REPORTS].fetch_or(report.bit(), Ordering::Release);
        before & report.bit() == 0
    }

    /// Asks for time until then; [`Time::ZERO`] takes that back, before the record says that another request
    /// has begun.
    pub(crate) fn extend(self, until: Time) {
        let nanos = u64::try_from(until.since(Time::ZERO).as_nanos()).unwrap_or(u64::MAX);
        self.page[EXTENDED].store(nanos, Ordering::Release);
    }

    /// Counts a connection that was accepted.
    pub(crate) fn count_accepted(self) {
        // A child accepts in one thread, and nobody else writes there.
        let word = &self.page[ACCEPTED];
        word.store(word.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    pub(crate) fn is_asked(self) -> bool {
        self.page[ASKED].load(Ordering::Relaxed) != 0
    }

    pub(crate) fn is_draining(self) -> bool {
        self.page[DRAINING].load(Ordering::Relaxed) != 0
    }

    pub(crate) fn is_watched(self) -> bool {
        self.page[WATCHED].load(Ordering::Relaxed) != 0
    }

    /// Whether the pool has more to do than it can.
    pub(crate) fn is_pressed(self) -> bool {
        self.page[PRESSED].load(Ordering::Relaxed) != 0
    }

    /// Returns whether the parent is to be woken, after the record has changed: once in each round.
    pub(crate) fn wants_bell(self) -> bool {
        // Report first, ask then: see `Pages::arm`.
        fence(Ordering::SeqCst);
        let round = self.page[ARMED].load(Ordering::Relaxed);
        // Release: pairs with the acquire of `Pages::has_changed`.
        round != 0 && self.page[RUNG].swap(round, Ordering::Release) != round
    }
}

#[cfg(test)]
pub(super) mod tests;
