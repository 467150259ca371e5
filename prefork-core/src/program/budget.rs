//! How much time may be spent on looking.

use std::time::Duration;

use crate::Time;

/// What may be spent, and what was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// So much of each second, in ns.
    per_second: u64,
    /// When all that was spent is earned again.
    earned: Time,
}

/// For how long what is not spent is saved up.
const SAVED: Duration = Duration::from_secs(10);
/// However much a look costs, the next one is not later than that.
pub(super) const LATEST: Duration = Duration::from_secs(10);

impl Budget {
    pub(super) const fn new(now: Time, per_second: Duration) -> Self {
        let nanos = per_second.as_nanos();
        let per_second = if nanos > 1_000_000_000 {
            1_000_000_000
        } else if nanos < 1000 {
            1000
        } else {
            #[expect(clippy::cast_possible_truncation, reason = "it was compared")]
            {
                nanos as u64
            }
        };
        Self { per_second, earned: now }
    }

    /// Notes what a look has cost.
    pub(super) fn spend(&mut self, now: Time, cost: Duration) {
        let seconds = cost.as_nanos().saturating_mul(1_000_000_000) / u128::from(self.per_second);
        let takes = Duration::from_nanos(u64::try_from(seconds).unwrap_or(u64::MAX));
        self.earned = self.earned.max(now) + takes;
    }

    /// Returns when the next look may be, if it is wanted `then`.
    pub(super) fn earliest(&self, now: Time, then: Time) -> Time {
        let debt = self.earned.since(now + SAVED);
        then.max(now + debt.min(LATEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_up_may_be_spent_at_once_and_no_more() {
        let now = Time::ZERO;
        let mut budget = Budget::new(now, Duration::from_micros(50));
        // 500 us are saved up.
        for _ in 0..5 {
            assert_eq!(budget.earliest(now, now), now);
            budget.spend(now, Duration::from_micros(100));
        }
        assert_eq!(budget.earliest(now, now), now);
        budget.spend(now, Duration::from_micros(50));
        assert_eq!(budget.earliest(now, now), now + Duration::from_secs(1));
        budget.spend(now, Duration::from_secs(1));
        assert_eq!(budget.earliest(now, now), now + LATEST);
        // What is wanted later is not made sooner.
        let later = now + LATEST * 2;
        assert_eq!(budget.earliest(now, later), later);
    }

    #[test]
    fn a_long_rest_saves_no_more_than_ten_seconds() {
        let mut budget = Budget::new(Time::ZERO, Duration::from_micros(50));
        let now = Time::ZERO + Duration::from_secs(3600);
        budget.spend(now, Duration::from_micros(550));
        assert_eq!(budget.earliest(now, now), now + Duration::from_secs(1));
    }

    #[test]
    fn no_budget_is_a_small_one() {
        let mut budget = Budget::new(Time::ZERO, Duration::ZERO);
        budget.spend(Time::ZERO, Duration::MAX);
        assert_eq!(budget.earliest(Time::ZERO, Time::ZERO), Time::ZERO + LATEST);
    }
}
