//! A slot in memory that parent and child share in a way of their own.
//!
//! A board in a file has to live with whatever becomes of the file. Where parent and child share memory
//! anyway, a slot can be there: nobody else can reach it, cut it short or write to it. The parent can
//! then publish what it has read, and believes, on a board in a file: see
//! [`OwnedBoard::publish`](crate::OwnedBoard::publish).

use crate::clock::{Monotonic, wall_now};
use crate::format::{WORDS, record, word};
use crate::holder::shown_generation;
use crate::protocol::{SEQUENCE, Shadow, Wholeness, judge};
use crate::record::{Record, Times};
use crate::slot::Slot;
use crate::state::State;
use std::sync::atomic::{AtomicU64, Ordering};

/// The memory of one slot, which a parent and one of its children share.
///
/// How they come to share it is theirs to arrange: by `mmap(2)` before a fork, or of a file in memory
/// that only they have. It begins as zeros, which is an empty slot. One process writes at a time: the
/// parent calls [`assign`](Self::assign) before the fork and [`clear`](Self::clear) once the child was
/// reaped, and the child reports between the two. Reading is always possible, and bounded, whatever is
/// in the memory.
///
/// # Examples
///
/// ```
/// use prefork_scoreboard::SlotMemory;
/// use std::sync::atomic::AtomicU64;
///
/// // In earnest, memory that is shared with a process forked later.
/// static WORDS: [AtomicU64; SlotMemory::WORDS] = [const { AtomicU64::new(0) }; SlotMemory::WORDS];
///
/// let memory = SlotMemory::new(&WORDS);
/// memory.assign(1);
/// // In the child:
/// let mut slot = memory.enter(0);
/// slot.busy("GET /");
/// // In the parent:
/// assert_eq!(memory.record(0).label(), "GET /");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct SlotMemory {
    words: &'static [AtomicU64; WORDS],
}

impl SlotMemory {
    /// How many words a slot takes.
    pub const WORDS: usize = WORDS;

    /// Takes the memory of a slot.
    #[must_use]
    pub const fn new(words: &'static [AtomicU64; WORDS]) -> Self {
        Self { words }
    }

    /// Gives the slot to a child about to be forked: state `S`, this generation, started now, pid not
    /// known yet. A generation beyond 4294967295 counts as that.
    ///
    /// It works whatever was there before, a half-written record included.
    pub fn assign(self, generation: u64) {
        self.rewrite(|shadow| begin(shadow, generation));
    }

    /// Empties the slot after its child has been reaped.
    pub fn clear(self) {
        self.rewrite(|_| {});
    }

    /// Takes the slot over in the child that it was assigned to, and writes the child's pid; `slot` is the
    /// number by which the child is to know it.
    #[must_use]
    pub fn enter(self, slot: usize) -> Slot {
        let copy = self.copy();
        let shadow = match judge(&copy) {
            Wholeness::Whole => Shadow::adopt(copy),
            Wholeness::HalfWritten | Wholeness::Damaged => Shadow::following(copy[SEQUENCE]),
        };
        Slot::in_memory(self.words, shadow, slot)
    }

    /// Reads the slot, to which the record then gives the number `slot`.
    ///
    /// A record that is being written is looked at a few times, then reported as stalled.
    #[must_use]
    pub fn record(self, slot: usize) -> Record {
        /// A writer needs a few nanoseconds, unless it was put to sleep or killed.
        const LOOKS: usize = 4;
        let mut copy = self.copy();
        for _ in 1..LOOKS {
            match judge(&copy) {
                Wholeness::Whole => break,
                Wholeness::HalfWritten | Wholeness::Damaged => copy = self.copy(),
            }
        }
        Record::decode(slot, &copy, Times::ThisBoot)
    }

    /// Returns a number that is another after each report, so that a reader can pass over what it has
    /// read already.
    #[must_use]
    pub fn version(self) -> u64 {
        // Relaxed: only compared with what it was before.
        self.words[SEQUENCE].load(Ordering::Relaxed)
    }

    fn rewrite(self, fill: impl FnOnce(&mut Shadow)) {
        let mut shadow = Shadow::following(self.version());
        fill(&mut shadow);
        shadow.publish(self.words);
    }

    /// Copies the words in any order, which the checksum makes good.
    fn copy(self) -> [u64; WORDS] {
        self.words.each_ref().map(|word| u64::from_le(word.load(Ordering::Relaxed)))
    }
}

/// Writes the record of a child about to be forked.
pub(crate) fn begin(shadow: &mut Shadow, generation: u64) {
    let now = Monotonic::now().as_nanos();
    shadow.set(word(record::STATE), u64::from(State::Starting.byte()));
    shadow.set(word(record::GENERATION), u64::from(shown_generation(generation)));
    shadow.set(word(record::STARTED_MONOTONIC), now);
    shadow.set(word(record::STARTED_WALL), wall_now());
    shadow.set(word(record::UPDATED), now);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Stamp;
    use crate::state::Status;
    use std::time::Duration;

    fn memory() -> SlotMemory {
        SlotMemory::new(Box::leak(Box::new([const { AtomicU64::new(0) }; WORDS])))
    }

    #[test]
    fn a_slot_is_empty_assigned_entered_and_cleared() {
        let memory = memory();
        assert_eq!(memory.record(3).status(), Status::Empty);
        memory.assign(7);
        let assigned = memory.record(3);
        assert_eq!(assigned.status(), Status::Live(State::Starting));
        assert_eq!((assigned.slot(), assigned.generation(), assigned.pid()), (3, 7, None));
        let mut slot = memory.enter(3);
        assert_eq!(memory.record(3).pid(), Some(std::process::id()));
        slot.update(|report| {
            report.state(State::Reading).client("192.0.2.1:4711").count_requests(2);
        });
        let read = memory.record(3);
        assert_eq!((read.requests(), read.client(), read.generation()), (2, "192.0.2.1:4711", 7));
        drop(slot);
        assert_eq!(memory.record(3).status(), Status::Live(State::Reading), "the parent clears it");
        memory.clear();
        assert_eq!(memory.record(3).status(), Status::Empty);
    }

    #[test]
    fn a_board_shows_what_was_published_until_somebody_writes_over_it() {
        let memory = memory();
        let board = crate::OwnedBoard::anonymous(2).expect("memory");
        assert!(board.shows(0, Stamp::EMPTY).expect("read"));
        memory.assign(7);
        memory.enter(0).busy("GET /");
        let record = memory.record(0);
        let stamp = board.publish(0, &record).expect("written");
        assert!(board.shows(0, stamp).expect("read"));
        assert!(!board.shows(0, Stamp::EMPTY).expect("read"));
        board.enter(0).expect("mapped").busy("GET /forged");
        assert!(!board.shows(0, stamp).expect("read"));
        assert_eq!(board.publish(0, &record).expect("written"), stamp);
        assert!(board.shows(0, stamp).expect("read"));
        // Half-written records are shown as such.
        memory.words[0].fetch_or(1, Ordering::Relaxed);
        let stalled = memory.record(0);
        let stamp = board.publish(0, &stalled).expect("written");
        assert!(board.shows(0, stamp).expect("read"));
        assert!(matches!(board.status(0), Ok(Status::Stalled(_))));
    }

    #[test]
    fn a_process_shows_how_many_requests_it_has_in_hand() {
        let memory = memory();
        memory.assign(1);
        let mut slot = memory.enter(0);
        slot.busy("GET /");
        let record = memory.record(0);
        assert_eq!((record.in_hand(), record.concurrency()), (1, 1), "one at a time");
        for (reported, shown, state) in [
            ((3, 64), (3, 64), State::Writing),
            ((0, 64), (0, 64), State::Idle),
            ((65, 64), (64, 64), State::Writing),
            ((7, 1), (1, 1), State::Writing),
            ((7, 0), (1, 1), State::Writing),
            ((u32::MAX, u32::MAX), (65_535, 65_536), State::Writing),
        ] {
            slot.update(|report| {
                report.in_hand(reported.0, reported.1);
            });
            let record = memory.record(0);
            assert_eq!((record.in_hand(), record.concurrency()), shown, "{reported:?}");
            assert_eq!(record.status(), Status::Live(state), "{reported:?}");
        }
    }

    #[test]
    fn a_process_shows_how_long_its_client_has_waited() {
        let memory = memory();
        memory.assign(7);
        let mut slot = memory.enter(0);
        assert_eq!(memory.record(0).queued(), None);
        let ms = Duration::from_millis;
        for (reported, shown) in [
            (Some(ms(0)), Some(ms(0))),
            (Some(Duration::from_micros(40_900)), Some(ms(40))),
            (Some(Duration::MAX), Some(ms(u64::from(u32::MAX) - 1))),
            (None, None),
        ] {
            slot.update(|report| {
                report.queued(reported);
            });
            let record = memory.record(0);
            assert_eq!((record.queued(), record.generation()), (shown, 7), "{reported:?}");
            assert_eq!(slot.generation(), 7);
        }
        memory.assign(u64::MAX);
        assert_eq!(
            memory.record(0).generation(),
            u64::from(u32::MAX),
            "as much as there is room for"
        );
        assert_eq!(memory.record(0).queued(), None, "the next process has accepted nothing");
    }

    #[test]
    fn another_of_the_requests_in_hand_has_its_own_time() {
        let memory = memory();
        memory.assign(1);
        let mut slot = memory.enter(0);
        let begun = Monotonic::from_nanos(5);
        slot.update(|report| {
            report.in_hand(2, 8).request_began(begun);
        });
        slot.update(|report| {
            report.in_hand(1, 8);
        });
        assert_eq!(memory.record(0).request_started(), Some(begun), "it goes on");
    }

    #[test]
    fn each_report_has_another_version() {
        let memory = memory();
        memory.assign(1);
        let mut slot = memory.enter(0);
        let before = memory.version();
        slot.idle();
        assert_ne!(memory.version(), before);
    }

    #[test]
    fn whatever_was_there_a_slot_can_be_assigned() {
        let memory = memory();
        for garbage in [0, 1, u64::MAX, u64::MAX - 1] {
            memory.words.iter().for_each(|word| word.store(garbage, Ordering::Relaxed));
            let _ = memory.record(0);
            memory.assign(9);
            assert_eq!(memory.record(0).generation(), 9, "after {garbage:#x}");
        }
    }
}
