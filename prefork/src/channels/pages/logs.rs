//! Which logs a child writes to, and how many lines it has lost.

use std::sync::atomic::Ordering;

use prefork_core::SlotId;

use super::{OwnPage, Pages};

/// Written by the child: to which edition of either log it is writing a line, 0 while it writes none.
const WRITING: [usize; 2] = [67, 68];
/// Written by the child: how many lines it could not write.
const LOST: usize = 69;
/// Written by the parent: the number of the newest edition of the logs.
pub(super) const NEWEST: usize = 75;

/// One of the two logs that a child writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhichLog {
    Error,
    Access,
}

impl Pages {
    /// Moves these children to this edition of the logs, each with its next line.
    pub(in crate::channels) fn renew_logs(
        &self,
        slots: impl Iterator<Item = SlotId>,
        edition: u64,
    ) {
        for word in slots.filter_map(|slot| self.word(slot, NEWEST)) {
            // Before the writers are looked at; pairs with the child's `write_to` and `newest_logs`.
            word.store(edition, Ordering::SeqCst);
        }
    }

    /// Returns whether a child may be writing a line to older logs than those of this edition.
    pub(crate) fn writes_to_older_logs(&self, slot: SlotId, edition: u64) -> bool {
        let mut words = WRITING.iter().filter_map(|word| self.word(slot, *word));
        words.any(|word| {
            let writing = word.load(Ordering::SeqCst);
            writing != 0 && writing < edition
        })
    }

    /// Reads how many lines a child says that it could not write.
    pub(crate) fn lost_lines(&self, slot: SlotId) -> u64 {
        self.word(slot, LOST).map_or(0, |word| word.load(Ordering::Relaxed))
    }
}

impl OwnPage {
    /// The number of the newest edition of the logs.
    pub(crate) fn newest_logs(self) -> u64 {
        // See `Pages::renew_logs`.
        self.page[NEWEST].load(Ordering::SeqCst)
    }

    /// Says that a line is about to be written to this edition of a log.
    pub(crate) fn write_to(self, log: WhichLog, edition: u64) {
        // Before it is looked whether there is a newer one: see `Pages::renew_logs`.
        self.page[WRITING[log as usize]].store(edition, Ordering::SeqCst);
    }

    /// Says that the line is written.
    pub(crate) fn wrote(self, log: WhichLog) {
        // After the write, which the kernel has done.
        self.page[WRITING[log as usize]].store(0, Ordering::Release);
    }

    pub(crate) fn count_lost_line(self) {
        self.page[LOST].fetch_add(1, Ordering::Relaxed);
    }
}
