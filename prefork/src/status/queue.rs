//! How long the clients of all children have waited, those of children that have ended among them.

use std::{collections::BTreeMap, time::Duration};

use prefork_core::{Allowance, QueueClaim, QueueTimes, SlotId, Time};

/// What children have counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueueTotals {
    /// Of those that live and have counted anything.
    living: BTreeMap<SlotId, QueueClaim>,
    total: QueueTimes,
    /// How many were refused when that was last logged, and how often it is.
    logged: u64,
    lines: Allowance,
}

impl Default for QueueTotals {
    fn default() -> Self {
        let lines = Allowance::new(1, Duration::from_secs(60));
        Self { living: BTreeMap::new(), total: QueueTimes::default(), logged: 0, lines }
    }
}

impl QueueTotals {
    /// Takes in what a child says that it has counted. What is not possible changes nothing.
    pub(crate) fn read(&mut self, now: Time, slot: SlotId, read: &QueueTimes) {
        // Nothing is kept of children that count nothing: each fork copies what is known of all.
        if read.clients() == 0 {
            return;
        }
        let claim = self.living.entry(slot).or_insert_with(|| QueueClaim::new(now));
        if let Ok(grown) = claim.claim(now, read) {
            self.total.add(&grown);
        }
    }

    /// Takes in the last words of a child that has ended.
    pub(crate) fn end(&mut self, now: Time, slot: SlotId, read: &QueueTimes) {
        self.read(now, slot, read);
        self.living.remove(&slot);
    }

    /// Returns what is counted, if anything is.
    pub(crate) fn total(&self) -> Option<QueueTimes> {
        (self.total.clients() > 0).then_some(self.total)
    }

    /// Returns how many were refused since this was last the answer, if there is anything to log; once a minute.
    pub(crate) fn refused(&mut self, now: Time) -> Option<u64> {
        let more = self.total.refused.saturating_sub(self.logged);
        if more == 0 || !self.lines.take(now) {
            return None;
        }
        self.logged = self.total.refused;
        Some(more)
    }

    /// Returns what the next program needs to go on: what living children have counted, it reads again.
    pub(super) fn of_ended(&self) -> QueueTimes {
        let mut words = self.total.words();
        for claim in self.living.values() {
            for (word, of_living) in words.iter_mut().zip(claim.believed().words()) {
                *word = word.saturating_sub(of_living);
            }
        }
        QueueTimes::of_words(words)
    }

    /// Goes on with what the old program has counted.
    pub(super) fn adopt(&mut self, of_ended: QueueTimes) {
        self.total.add(&of_ended);
        self.logged = self.total.refused;
    }
}

#[cfg(test)]
mod tests {
    use prefork_core::Admission;

    use super::*;

    fn times(served: u64) -> QueueTimes {
        let mut times = QueueTimes::default();
        for _ in 0..served {
            times.count(Some(Duration::from_millis(7)), Admission::Serve);
        }
        times
    }

    fn at(seconds: u64) -> Time {
        Time::after_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn totals_outlive_children_and_programs() {
        let mut old = QueueTotals::default();
        old.read(at(1), SlotId(0), &times(3));
        old.read(at(1), SlotId(1), &times(0));
        old.read(at(2), SlotId(0), &times(5));
        old.end(at(3), SlotId(0), &times(6));
        // Another child is there now.
        old.read(at(4), SlotId(0), &times(2));
        assert_eq!(old.total(), Some(times(8)));
        let mut new = QueueTotals::default();
        new.adopt(old.of_ended());
        assert_eq!(new.total(), Some(times(6)));
        new.read(at(5), SlotId(0), &times(4));
        assert_eq!(new.total(), Some(times(10)));
    }

    #[test]
    fn refusals_are_logged_once_a_minute_and_none_twice() {
        let mut totals = QueueTotals::default();
        let mut refused = times(1);
        let mut refuse = |totals: &mut QueueTotals, second| {
            refused.count(None, Admission::Refuse);
            totals.read(at(second), SlotId(0), &refused);
            totals.refused(at(second))
        };
        assert_eq!(refuse(&mut totals, 1), Some(1));
        assert_eq!(refuse(&mut totals, 2), None);
        assert_eq!(refuse(&mut totals, 30), None);
        assert_eq!(refuse(&mut totals, 62), Some(3));
        assert_eq!(totals.refused(at(500)), None, "there is nothing new");
    }

    #[test]
    fn what_cannot_be_changes_nothing() {
        let mut totals = QueueTotals::default();
        totals.read(at(1), SlotId(0), &times(3));
        totals.read(at(2), SlotId(0), &times(2));
        totals.read(at(3), SlotId(0), &QueueTimes::of_words([u64::MAX; QueueTimes::WORDS]));
        assert_eq!(totals.total(), Some(times(3)));
        assert_eq!(QueueTotals::default().total(), None);
    }
}
