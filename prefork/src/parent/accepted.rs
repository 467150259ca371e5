//! How many connections children have accepted, where the pool follows how long clients wait.

use prefork_core::{RequestCount, SlotId, Time};

/// What was believed of each child, by its slot.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    counts: Vec<Option<RequestCount>>,
}

impl Accepted {
    /// Takes in what a child has counted; returns how many of that are new. What is not possible counts for nothing.
    pub(super) fn read(&mut self, now: Time, slot: SlotId, counted: u64) -> u64 {
        if self.counts.len() <= slot.index() {
            self.counts.resize(slot.index() + 1, None);
        }
        let count = self.counts[slot.index()].get_or_insert(RequestCount::new(now));
        let before = count.believed();
        // It is no reason to do anything about the child: what follows is but the size of its own pool.
        let _ = count.claim(now, counted);
        count.believed() - before
    }

    /// Takes in what a child had counted that has ended.
    pub(super) fn end(&mut self, now: Time, slot: SlotId, counted: u64) -> u64 {
        let new = self.read(now, slot, counted);
        self.counts[slot.index()] = None;
        new
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_new_is_counted_once_and_what_is_impossible_not_at_all() {
        let at = |seconds| Time::after_origin(Duration::from_secs(seconds));
        let (mut accepted, slot) = (Accepted::default(), SlotId(2));
        assert_eq!(accepted.read(at(1), slot, 5), 5);
        assert_eq!(accepted.read(at(2), slot, 7), 2);
        assert_eq!(accepted.read(at(3), slot, 6), 0, "fewer than before");
        assert_eq!(accepted.read(at(3), slot, u64::MAX), 0, "more than possible");
        assert_eq!(accepted.read(at(3), SlotId(0), 1), 1, "another child");
        assert_eq!(accepted.end(at(4), slot, 8), 1);
        assert_eq!(accepted.read(at(5), slot, 3), 3, "the next child in that slot");
    }
}
