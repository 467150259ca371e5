//! One slot as a reader sees it.

use crate::clock::Monotonic;
use crate::format::{CLIENT_SIZE, LABEL_SIZE, MAX_CONCURRENCY, WORDS, record, word};
use crate::holder::Holder;
use crate::process::plausible_pid;
use crate::protocol::{Shadow, Wholeness, judge};
use crate::state::{Stall, State, Status};
use crate::text::Text;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How far in the future a moment may lie before it is not believed.
const TOLERANCE: Duration = Duration::from_secs(1);

/// What a slot said at one moment, checked.
///
/// Everything in it was written by another process, which may be confused or hostile. It is good
/// for looking at and for counting. It is not good for sending signals to, nor as an index of
/// anything.
///
/// Of a stalled slot whose record is half-written or damaged nothing but the slot's number is
/// reported: all other fields are as in an empty slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    slot: usize,
    status: Status,
    pid: Option<u32>,
    generation: u32,
    queued: Option<Duration>,
    requests: u64,
    started: Option<Monotonic>,
    started_wall: Option<SystemTime>,
    request_started: Option<Monotonic>,
    updated: Option<Monotonic>,
    process_start: u64,
    logs: u32,
    is_leaving: bool,
    failed_rollout: u32,
    in_hand: u32,
    concurrency: u32,
    refused_settings: u32,
    read: Monotonic,
    label: Text<LABEL_SIZE>,
    client: Text<CLIENT_SIZE>,
}

/// Whether the moments in a board are of the clock that runs now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    ThisBoot,
    OtherBoot,
}

impl Record {
    pub(crate) fn decode(slot: usize, copy: &[u64; WORDS], times: Times) -> Self {
        let read = Monotonic::now();
        let status = status(copy);
        let mut found = Self::blank(slot, status, read);
        match status {
            Status::Empty | Status::Stalled(Stall::HalfWritten | Stall::Damaged) => return found,
            Status::Live(_) | Status::Stalled(Stall::UnknownState(_)) => {}
        }
        let field = |offset| copy[word(offset)];
        let moment = |offset| match times {
            Times::ThisBoot => believable(field(offset), read),
            Times::OtherBoot => None,
        };
        found.pid = plausible_pid(field(record::PID) & u64::from(u32::MAX));
        let [generation, queued] = halves(field(record::GENERATION));
        found.generation = generation;
        found.queued = queued.checked_sub(1).map(|ms| Duration::from_millis(u64::from(ms)));
        found.requests = field(record::REQUESTS);
        found.started = moment(record::STARTED_MONOTONIC);
        found.started_wall = wall(field(record::STARTED_WALL));
        found.request_started = moment(record::REQUEST_STARTED);
        found.updated = moment(record::UPDATED);
        found.process_start = field(record::PROCESS_START);
        found.logs = upper_half(copy, record::LOGS);
        found.is_leaving = state_byte(copy, record::LEAVING) == 1;
        let [failed_rollout, hands] = halves(field(record::FAILED_ROLLOUT));
        let [in_hand, concurrency] = [hands & 0xffff, (hands >> 16) + 1];
        found.failed_rollout = failed_rollout;
        (found.in_hand, found.concurrency) = (in_hand.min(concurrency), concurrency);
        found.refused_settings = upper_half(copy, record::REFUSED_SETTINGS);
        found.label = text(copy, record::LABEL, state_byte(copy, record::LABEL_LENGTH));
        found.client = text(copy, record::CLIENT, state_byte(copy, record::CLIENT_LENGTH));
        found
    }

    fn blank(slot: usize, status: Status, read: Monotonic) -> Self {
        Self {
            slot,
            status,
            pid: None,
            generation: 0,
            queued: None,
            requests: 0,
            started: None,
            started_wall: None,
            request_started: None,
            updated: None,
            process_start: 0,
            logs: 0,
            is_leaving: false,
            failed_rollout: 0,
            in_hand: 0,
            concurrency: 1,
            refused_settings: 0,
            read,
            label: Text::EMPTY,
            client: Text::EMPTY,
        }
    }

    /// Returns the number of the slot; the first is 0.
    #[must_use]
    pub const fn slot(&self) -> usize {
        self.slot
    }

    /// Returns what was found in the slot.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Returns the pid, unless it is not written yet or no kernel could have given it.
    ///
    /// It is what the slot's process claims. Never send a signal to it.
    #[must_use]
    pub const fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Returns the generation the slot was assigned to; 0 for a claimed slot.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation as u64
    }

    /// Returns whether the parent has asked the process to leave, which finishes what it has in hand.
    #[must_use]
    pub const fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// Returns the newest generation that was to replace the process and does not work; 0 if there is none.
    #[must_use]
    pub const fn failed_rollout(&self) -> u64 {
        self.failed_rollout as u64
    }

    /// Returns how many requests the process has in hand: 0 or 1, or up to [`concurrency`](Self::concurrency), of which
    /// 65,536 are read as one fewer.
    #[must_use]
    pub fn in_hand(&self) -> u32 {
        if self.concurrency > 1 {
            self.in_hand
        } else {
            u32::from(self.status.state().is_some_and(State::has_request))
        }
    }

    /// Returns how many requests the process can have in hand at once, 1 to 65,536; 1 if it has never said.
    #[must_use]
    pub const fn concurrency(&self) -> u32 {
        self.concurrency
    }

    /// Returns how many reloads the parent had refused for wrong settings when it did so the last time since the process
    /// was there; 0 if it has not.
    #[must_use]
    pub const fn refused_settings(&self) -> u32 {
        self.refused_settings
    }

    /// Returns how long the client had waited until the process has accepted its connection, of the one that it has
    /// accepted last; `None` if it has not said.
    #[must_use]
    pub const fn queued(&self) -> Option<Duration> {
        self.queued
    }

    /// Returns the number of requests served.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.requests
    }

    /// Returns when the slot was assigned or claimed.
    ///
    /// `None` if the moment is missing, in the future, or of another boot, here and in
    /// [`request_started`](Self::request_started) and [`updated`](Self::updated).
    #[must_use]
    pub const fn started(&self) -> Option<Monotonic> {
        self.started
    }

    /// Returns the wall time at which the slot was assigned or claimed.
    ///
    /// For people only: a wall clock that is set does not change it, so it may lie in the future.
    #[must_use]
    pub const fn started_wall(&self) -> Option<SystemTime> {
        self.started_wall
    }

    /// Returns when the latest request began, the one in hand or the last one finished.
    #[must_use]
    pub const fn request_started(&self) -> Option<Monotonic> {
        self.request_started
    }

    /// Returns when the process last changed its record.
    #[must_use]
    pub const fn updated(&self) -> Option<Monotonic> {
        self.updated
    }

    /// Returns how long before the reading the process last changed its record.
    #[must_use]
    pub fn since_update(&self) -> Option<Duration> {
        self.updated.map(|updated| self.read.since(updated))
    }

    /// Returns how long the request in hand had taken at the reading, if there was one.
    #[must_use]
    pub fn request_time(&self) -> Option<Duration> {
        let in_hand = self.status.state().is_some_and(State::has_request);
        self.request_started.filter(|_| in_hand).map(|started| self.read.since(started))
    }

    /// Returns the newest edition of the logs of which the parent knows that this process writes to none that is older;
    /// the first is 1, and 0 is none of which it is known.
    #[must_use]
    pub const fn logs(&self) -> u32 {
        self.logs
    }

    /// Returns the same record with another number of requests, such as the most that can be true.
    #[must_use]
    pub fn with_requests(self, requests: u64) -> Self {
        Self { requests, ..self }
    }

    /// Returns whose slot it is.
    #[must_use]
    pub const fn holder(&self) -> Holder {
        Holder {
            slot: self.slot,
            pid: self.pid,
            generation: self.generation,
            started: self.started,
            started_wall: self.started_wall,
            process_start: self.process_start,
            logs: self.logs,
        }
    }

    /// Makes it one of this process, which is there, and of which its parent says nothing else.
    pub(crate) fn of(self, holder: &Holder) -> Self {
        let &Holder { slot, pid, generation, started, started_wall, process_start, logs } = holder;
        let status = match self.status {
            Status::Empty => Status::Stalled(Stall::Damaged),
            Status::Live(_) | Status::Stalled(_) => self.status,
        };
        let (is_leaving, failed_rollout, refused_settings) = (false, 0, 0);
        Self {
            slot,
            status,
            pid,
            generation,
            started,
            started_wall,
            process_start,
            logs,
            is_leaving,
            failed_rollout,
            refused_settings,
            ..self
        }
    }

    /// Returns the same record as that of a process that was asked to leave.
    #[must_use]
    pub fn asked_to_leave(self) -> Self {
        Self { is_leaving: true, ..self }
    }

    /// Returns the same record as that of a process that this generation was to replace, which does not work.
    #[must_use]
    pub fn kept_instead_of(self, generation: u64) -> Self {
        Self { failed_rollout: u32::try_from(generation).unwrap_or(u32::MAX), ..self }
    }

    /// Returns the same record as that of a process that was there when so many reloads had been refused for wrong
    /// settings.
    #[must_use]
    pub fn kept_with_refused_settings(self, refused: u32) -> Self {
        Self { refused_settings: refused, ..self }
    }

    /// Writes all of it into an empty record to be published.
    pub(crate) fn fill(&self, shadow: &mut Shadow) {
        /// No state has this letter, so readers report the slot as stalled.
        const STALLED: u8 = b'?';
        let state = match self.status {
            Status::Empty => return,
            Status::Live(state) => state.byte(),
            Status::Stalled(Stall::UnknownState(byte)) => byte,
            Status::Stalled(Stall::HalfWritten | Stall::Damaged) => STALLED,
        };
        let moment = |moment: Option<Monotonic>| moment.map_or(0, Monotonic::as_nanos);
        let wall = self.started_wall.and_then(|wall| wall.duration_since(UNIX_EPOCH).ok());
        let wall = wall.and_then(|since| u64::try_from(since.as_nanos()).ok());
        let (label, client) = (self.label.as_str(), self.client.as_str());
        let length = |text: &str| u8::try_from(text.len()).unwrap_or(u8::MAX);
        let [a, b, c, d] = self.logs.to_le_bytes();
        let leaving = u8::from(self.is_leaving);
        let lengths = [state, length(label), length(client), leaving, a, b, c, d];
        let mut set = |offset, value| shadow.set(word(offset), value);
        set(record::STATE, u64::from_le_bytes(lengths));
        set(record::PID, self.pid.map_or(0, u64::from) | u64::from(self.refused_settings) << 32);
        set(record::GENERATION, u64::from(self.generation) | queued(self.queued));
        set(record::REQUESTS, self.requests);
        set(record::STARTED_MONOTONIC, moment(self.started));
        set(record::STARTED_WALL, wall.unwrap_or(0));
        set(record::PROCESS_START, self.process_start);
        set(record::REQUEST_STARTED, moment(self.request_started));
        set(record::UPDATED, moment(self.updated));
        let hands = hands(self.in_hand, self.concurrency);
        set(record::FAILED_ROLLOUT, u64::from(self.failed_rollout) | hands);
        for (offset, text) in [(record::LABEL, label), (record::CLIENT, client)] {
            for (index, chunk) in text.as_bytes().chunks(8).enumerate() {
                let mut bytes = [0; 8];
                bytes[..chunk.len()].copy_from_slice(chunk);
                set(offset + 8 * index, u64::from_le_bytes(bytes));
            }
        }
    }

    /// When the process started, in clock ticks since boot; zero if it has not said.
    pub(crate) const fn process_start(&self) -> u64 {
        self.process_start
    }

    #[cfg(test)]
    pub(crate) fn with_process_start(&self, process_start: u64) -> Self {
        Self { process_start, ..self.clone() }
    }

    /// Returns when the record was read.
    #[must_use]
    pub const fn read_at(&self) -> Monotonic {
        self.read
    }

    /// Returns the label: at most 96 bytes of text, safe for a terminal, not escaped for HTML.
    #[must_use]
    pub fn label(&self) -> &str {
        self.label.as_str()
    }

    /// Returns the client: at most 64 bytes of text, safe for a terminal, not escaped for HTML.
    #[must_use]
    pub fn client(&self) -> &str {
        self.client.as_str()
    }
}

/// Judges a copy and reads its state letter, which is all that counting needs.
pub(crate) fn status(copy: &[u64; WORDS]) -> Status {
    match judge(copy) {
        Wholeness::HalfWritten => Status::Stalled(Stall::HalfWritten),
        Wholeness::Damaged => Status::Stalled(Stall::Damaged),
        Wholeness::Whole => match state_byte(copy, record::STATE) {
            0 => Status::Empty,
            byte => State::from_byte(byte)
                .map_or(Status::Stalled(Stall::UnknownState(byte)), Status::Live),
        },
    }
}

/// One byte of the word that holds the state and the lengths.
fn state_byte(copy: &[u64; WORDS], offset: usize) -> u8 {
    copy[word(record::STATE)].to_le_bytes()[offset - record::STATE]
}

/// The fields in the halves of a word.
const fn halves(word: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

/// The field in the upper half of a word.
const fn upper_half(copy: &[u64; WORDS], offset: usize) -> u32 {
    halves(copy[word(offset)])[1]
}

/// How many requests are in hand of how many, in the word that they share with the failed rollout.
pub(crate) fn hands(in_hand: u32, concurrency: u32) -> u64 {
    let concurrency = concurrency.clamp(1, MAX_CONCURRENCY);
    let in_hand = in_hand.min(concurrency).min(0xffff);
    u64::from(in_hand) << 32 | u64::from(concurrency - 1) << 48
}

/// How long a client has waited, in the word that it shares with the generation.
pub(crate) fn queued(time: Option<Duration>) -> u64 {
    let plus_one = |time: Duration| {
        u32::try_from(time.as_millis()).map_or(u32::MAX, |ms| ms.saturating_add(1))
    };
    u64::from(time.map_or(0, plus_one)) << 32
}

fn text<const N: usize>(copy: &[u64; WORDS], offset: usize, len: u8) -> Text<N> {
    let mut bytes = [0; N];
    for (chunk, word) in bytes.as_chunks_mut().0.iter_mut().zip(&copy[word(offset)..]) {
        *chunk = word.to_le_bytes();
    }
    Text::printable(&bytes, usize::from(len))
}

pub(crate) fn believable(nanoseconds: u64, now: Monotonic) -> Option<Monotonic> {
    let moment = Monotonic::from_nanos(nanoseconds);
    (nanoseconds != 0 && moment.since(now) <= TOLERANCE).then_some(moment)
}

pub(crate) fn wall(nanoseconds: u64) -> Option<SystemTime> {
    let since = Duration::from_nanos(nanoseconds);
    UNIX_EPOCH.checked_add(since).filter(|_| nanoseconds != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn zero_is_empty() {
        let found = Record::decode(7, &[0; WORDS], Times::ThisBoot);
        assert_eq!((found.slot(), found.status(), found.pid()), (7, Status::Empty, None));
    }

    #[test]
    fn moments_of_another_boot_are_not_believed() {
        let mut shadow = Shadow::following(0);
        shadow.set(word(record::STATE), u64::from(b'_'));
        shadow.set(word(record::UPDATED), 1);
        let copy = shadow.next_words();
        assert!(Record::decode(0, &copy, Times::ThisBoot).since_update().is_some());
        assert_eq!(Record::decode(0, &copy, Times::OtherBoot).since_update(), None);
    }

    #[test]
    fn a_moment_in_the_future_is_not_believed() {
        let now = Monotonic::from_nanos(10_000_000_000);
        for (nanoseconds, believed) in
            [(0, false), (1, true), (10_500_000_000, true), (11_000_000_001, false)]
        {
            assert_eq!(believable(nanoseconds, now).is_some(), believed, "{nanoseconds} ns");
        }
        assert_eq!(believable(u64::MAX, now), None);
    }

    proptest! {
        /// Whatever the words say, each field is in bounds and nothing panics.
        #[test]
        fn any_words_become_a_bounded_record(
            words: [u64; WORDS], state in prop::option::of(prop::sample::select(&State::ALL[..])),
        ) {
            let mut words = words.map(|word| word & !1);
            if let Some(state) = state {
                words[word(record::STATE)] = words[word(record::STATE)] & !0xff
                    | u64::from(state.byte());
            }
            let copy = Shadow::adopt(words).next_words();
            let found = Record::decode(3, &copy, Times::ThisBoot);
            prop_assert_eq!(found.slot(), 3);
            prop_assert!(found.label().len() <= LABEL_SIZE && found.client().len() <= CLIENT_SIZE);
            prop_assert!(found.pid().is_none_or(|pid| (1..=1 << 22).contains(&pid)));
            if let Some(state) = state {
                prop_assert_eq!(found.status(), Status::Live(state));
            }
            prop_assert!((1..=MAX_CONCURRENCY).contains(&found.concurrency()));
            prop_assert!(found.in_hand() <= found.concurrency());
            let _ = (found.since_update(), found.request_time(), found.started_wall());
        }

        /// What is read of words is what is read of its publication, but for what a publication adds.
        #[test]
        fn a_record_that_is_published_is_read_again(
            words: [u64; WORDS], state in prop::option::of(prop::sample::select(&State::ALL[..])),
        ) {
            let mut words = words.map(|word| word & !1);
            if let Some(state) = state {
                words[word(record::STATE)] = words[word(record::STATE)] & !0xff
                    | u64::from(state.byte());
            }
            let found = Record::decode(3, &Shadow::adopt(words).next_words(), Times::ThisBoot);
            let mut published = Shadow::following(0);
            found.fill(&mut published);
            let again = Record::decode(3, &published.next_words(), Times::ThisBoot);
            let again = Record { read: found.read, ..again };
            if found.status != Status::Empty {
                prop_assert_eq!(again, found);
            }
        }

        /// Whatever a process reports, its slot is shown as that of this process.
        #[test]
        fn no_report_hides_its_process(words: [u64; WORDS], state: Option<u8>) {
            let mut words = words.map(|word| word & !1);
            if let Some(state) = state {
                words[word(record::STATE)] = words[word(record::STATE)] & !0xff | u64::from(state);
            }
            let copy = Shadow::adopt(words).next_words();
            let report = Record::decode(3, if state.is_some() { &copy } else { &words }, Times::ThisBoot);
            let known = Record::decode(3, &[0; WORDS], Times::ThisBoot).holder().of_process(77, 5);
            let mut published = Shadow::following(0);
            known.doing(&report).fill(&mut published);
            let shown = Record::decode(3, &published.next_words(), Times::ThisBoot);
            prop_assert_ne!(shown.status(), Status::Empty);
            prop_assert_eq!((shown.pid(), shown.generation()), (Some(77), 5));
            prop_assert_eq!((shown.is_leaving(), shown.failed_rollout()), (false, 0));
            prop_assert_eq!(shown.refused_settings(), 0);
            let mut published = Shadow::following(0);
            let shown = known.doing(&report).asked_to_leave().kept_instead_of(9);
            shown.kept_with_refused_settings(u32::MAX).fill(&mut published);
            let shown = Record::decode(3, &published.next_words(), Times::ThisBoot);
            prop_assert_eq!((shown.is_leaving(), shown.failed_rollout()), (true, 9));
            prop_assert_eq!((shown.refused_settings(), shown.pid()), (u32::MAX, Some(77)));
        }

        #[test]
        fn words_that_were_never_published_are_stalled(words: [u64; WORDS]) {
            prop_assert!(matches!(status(&words), Status::Stalled(_)));
        }
    }
}
