//! How many children there were, lately.

use std::collections::VecDeque;

/// More than any terminal is wide.
const LONGEST: usize = 1024;

/// One look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) pool: u64,
    pub(super) busy: u64,
}

/// The latest looks; `None` where there was no board.
#[derive(Debug, Default)]
pub(super) struct History {
    samples: VecDeque<Option<Sample>>,
}

impl History {
    pub(super) fn push(&mut self, sample: Option<Sample>) {
        self.samples.truncate(LONGEST - 1);
        self.samples.push_front(sample);
    }

    /// Returns the latest `width` looks, the newest first, and the largest pool among them.
    pub(super) fn latest(&self, width: usize) -> (Vec<Option<Sample>>, u64) {
        let latest: Vec<_> = self.samples.iter().take(width).copied().collect();
        let largest = latest.iter().flatten().map(|sample| sample.pool).max().unwrap_or(0);
        (latest, largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_come_first_and_the_oldest_are_forgotten() {
        let mut history = History::default();
        assert_eq!(history.latest(10), (vec![], 0));
        for pool in 0..2000 {
            history.push(Some(Sample { pool, busy: 0 }));
        }
        let (latest, largest) = history.latest(2);
        let pools: Vec<_> = latest.iter().flatten().map(|sample| sample.pool).collect();
        assert_eq!((pools, largest), (vec![1999, 1998], 1999));
        assert_eq!(history.latest(usize::MAX).0.len(), LONGEST);
        history.push(None);
        assert_eq!(history.latest(1), (vec![None], 0));
    }
}
