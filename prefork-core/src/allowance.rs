//! How often something may happen: a bucket that refills.

use std::time::Duration;

use crate::Time;

/// So many times at once, and one more after each pause.
///
/// Pure: the time is handed in. A parent uses one for each child, and one for all of them, so that a child that
/// does nothing but wake it costs no more than that.
///
/// # Examples
///
/// ```
/// use prefork_core::{Allowance, Time};
/// use std::time::Duration;
///
/// let mut allowance = Allowance::new(2, Duration::from_millis(10));
/// let taken: Vec<_> = (0..3).map(|_| allowance.take(Time::ZERO)).collect();
/// assert_eq!(taken, [true, true, false]);
/// assert_eq!(allowance.due(Time::ZERO), Some(Time::after_origin(Duration::from_millis(10))));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    most: u32,
    pause: Duration,
    left: u32,
    /// Since when `left` has not been refilled.
    since: Time,
}

impl Allowance {
    /// Makes a full one: `most` times at once, then once in a `pause`, which must not be zero.
    #[must_use]
    pub const fn new(most: u32, pause: Duration) -> Self {
        Self { most, pause, left: most, since: Time::ZERO }
    }

    /// Takes one, if one is left; returns whether that was so.
    pub fn take(&mut self, now: Time) -> bool {
        self.refill(now);
        let is_left = self.left > 0;
        if is_left {
            self.left -= 1;
        }
        is_left
    }

    /// When the next one can be taken; `None` for now.
    #[must_use]
    pub fn due(&self, now: Time) -> Option<Time> {
        let mut later = *self;
        later.refill(now);
        (later.left == 0).then(|| later.since + later.pause)
    }

    fn refill(&mut self, now: Time) {
        let more = now.since(self.since).as_nanos() / self.pause.as_nanos().max(1);
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let left = self.left.saturating_add(more);
        if left >= self.most {
            (self.left, self.since) = (self.most, now);
        } else {
            (self.left, self.since) = (left, self.since + self.pause * more);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Time {
        Time::after_origin(Duration::from_millis(ms))
    }

    proptest! {
        /// In any stretch of time no more is taken than is allowed at once, and one in each pause.
        #[test]
        fn no_more_is_taken_than_is_allowed(
            most in 1_u32..20, pause in 1_u64..50, steps in prop::collection::vec(0_u64..20, 1..300),
        ) {
            let mut allowance = Allowance::new(most, Duration::from_millis(pause));
            let (mut now, mut taken) = (0, Vec::new());
            for step in steps {
                now += step;
                let due = allowance.due(at(now));
                let took = allowance.take(at(now));
                prop_assert_eq!(took, due.is_none());
                prop_assert!(due.is_none_or(|due| due > at(now) && due <= at(now + pause)));
                if took {
                    taken.push(now);
                }
            }
            for (index, from) in taken.iter().enumerate() {
                for (count, to) in taken[index..].iter().enumerate() {
                    prop_assert!(count as u64 <= u64::from(most) + (to - from) / pause);
                }
            }
        }
    }

    #[test]
    fn one_that_rests_is_full_again_and_no_fuller() {
        let mut allowance = Allowance::new(3, Duration::from_millis(10));
        let take_all =
            |allowance: &mut Allowance, now| (0..9).filter(|_| allowance.take(now)).count();
        assert_eq!(take_all(&mut allowance, at(0)), 3);
        assert_eq!(take_all(&mut allowance, at(25)), 2);
        assert_eq!(take_all(&mut allowance, at(29)), 0);
        assert_eq!(take_all(&mut allowance, at(30)), 1);
        assert_eq!(take_all(&mut allowance, at(1_000_000)), 3);
    }
}
