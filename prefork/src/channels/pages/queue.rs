//! How long the clients of a child have waited, as it counts that.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use prefork_core::{QueueTimes, SlotId};

use super::{OwnPage, Pages};

/// Written by the child: see `QueueTimes`. Of a moment when a client is counted, some may be there and others not yet.
pub(super) const WORDS: Range<usize> = FIRST..FIRST + QueueTimes::WORDS;
const FIRST: usize = 480;

impl Pages {
    /// Reads what a child has counted.
    pub(crate) fn queue_times(&self, slot: SlotId) -> Option<QueueTimes> {
        let words: &[AtomicU64; QueueTimes::WORDS] =
            self.page(slot)?.get(WORDS)?.try_into().ok()?;
        Some(QueueTimes::of_words(words.each_ref().map(|word| word.load(Ordering::Relaxed))))
    }
}

impl OwnPage {
    /// Counts what has become of a client.
    pub(crate) fn show_queue_times(self, times: &QueueTimes) {
        for (word, value) in self.page[WORDS].iter().zip(times.words()) {
            if word.load(Ordering::Relaxed) != value {
                word.store(value, Ordering::Relaxed);
            }
        }
    }
}
