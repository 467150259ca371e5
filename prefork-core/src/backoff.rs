//! A delay that doubles with every failure.

use std::time::Duration;

use crate::Time;

/// The least delay that follows a failure: without any, failing would take all the time there is.
const LEAST: Duration = Duration::from_millis(1);

/// Spaces attempts: no delay until the first failure, then `first`, doubling up to `cap`.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    cap: Duration,
    failures: u32,
    delay: Duration,
    not_before: Time,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, failures: 0, delay: Duration::ZERO, not_before: Time::ZERO }
    }

    /// Counts a failure and returns the delay that follows it.
    pub(crate) fn fail(&mut self, now: Time) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let first = self.first.max(LEAST);
        self.delay = self.delay.saturating_mul(2).max(first).min(self.cap.max(first));
        self.not_before = now + self.delay;
        self.delay
    }

    /// Notes an attempt: while failures last, the next one waits for the same delay again.
    pub(crate) fn attempt(&mut self, now: Time) {
        self.not_before = now + self.delay;
    }

    /// Allows the next attempt at once, as something has changed.
    pub(crate) fn hasten(&mut self, now: Time) {
        self.not_before = self.not_before.min(now);
    }

    /// Forgets the failures and returns how many there were.
    pub(crate) fn succeed(&mut self) -> u32 {
        self.delay = Duration::ZERO;
        std::mem::take(&mut self.failures)
    }

    /// Returns the time before which no attempt may be made, if failures last.
    pub(crate) fn not_before(&self) -> Option<Time> {
        (self.failures > 0).then_some(self.not_before)
    }

    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn doubles_up_to_the_cap_and_heals() {
        let mut backoff = Backoff::new(10 * MS, 50 * MS);
        assert_eq!(backoff.not_before(), None);
        let delays: Vec<_> = (0..5).map(|_| backoff.fail(Time::ZERO)).collect();
        assert_eq!(delays, [10 * MS, 20 * MS, 40 * MS, 50 * MS, 50 * MS]);
        assert_eq!(backoff.not_before(), Some(Time::ZERO + 50 * MS));
        assert_eq!(backoff.succeed(), 5);
        assert_eq!(backoff.not_before(), None);
        assert_eq!(backoff.fail(Time::ZERO), 10 * MS);
    }

    #[test]
    fn odd_limits_neither_panic_nor_spin() {
        let mut backoff = Backoff::new(10 * MS, MS);
        assert_eq!([(); 2].map(|()| backoff.fail(Time::ZERO)), [10 * MS, 10 * MS]);
        let mut backoff = Backoff::new(Duration::ZERO, Duration::ZERO);
        assert_eq!([(); 2].map(|()| backoff.fail(Time::ZERO)), [MS, MS]);
    }
}
