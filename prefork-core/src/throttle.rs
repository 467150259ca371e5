//! When to spawn again after children died early.
//!
//! A program that cannot run must not become a fork bomb; one that was killed once must be back at
//! once. So a first early death costs a few milliseconds, every further one doubles the delay up to
//! a cap, and the first child that does its job lifts it. Two rules keep this fair:
//!
//! - Children of one wave count once. When 150 children are killed together, that is one event and
//!   not 150 doublings, so only the death of a child that was spawned after the last doubling
//!   doubles the delay again.
//! - Only children spawned since the trouble began can prove that it is over. Older ones that still
//!   work say nothing about what a new one will do.

use std::time::Duration;

use crate::{Config, Time, backoff::Backoff};

/// The delay between spawns, with the memory of when it last grew.
#[derive(Clone, Debug)]
pub(crate) struct Throttle {
    backoff: Backoff,
    began: Time,
    grew: Time,
}

impl Throttle {
    pub(crate) const fn new(config: &Config) -> Self {
        Self {
            backoff: Backoff::new(config.throttle_first, config.throttle_cap),
            began: Time::ZERO,
            grew: Time::ZERO,
        }
    }

    /// Counts the early death of a child; returns the new delay if it has grown.
    pub(crate) fn died_early(&mut self, now: Time, spawned: Time) -> Option<Duration> {
        if !self.is_active() {
            self.began = now;
        } else if spawned < self.grew {
            return None;
        }
        self.grew = now;
        Some(self.backoff.fail(now))
    }

    /// Notes a spawn: while the throttle lasts, the next one waits again.
    pub(crate) fn spawned(&mut self, now: Time) {
        self.backoff.attempt(now);
    }

    /// Returns whether a child spawned at `spawned` could prove that the trouble is over.
    pub(crate) fn is_evidence(&self, spawned: Time) -> bool {
        self.is_active() && spawned >= self.began
    }

    /// Lifts the throttle.
    pub(crate) fn lift(&mut self) {
        self.backoff.succeed();
    }

    pub(crate) fn is_active(&self) -> bool {
        self.backoff.failures() > 0
    }

    pub(crate) fn not_before(&self) -> Option<Time> {
        self.backoff.not_before()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle() -> Throttle {
        Throttle::new(&Config::new(1, 1).expect("valid"))
    }

    fn at(ms: u64) -> Time {
        Time::after_origin(Duration::from_millis(ms))
    }

    #[test]
    fn one_wave_of_deaths_counts_once() {
        let mut throttle = throttle();
        assert_eq!(throttle.died_early(at(5), at(0)), Some(Duration::from_millis(10)));
        for _ in 0..150 {
            assert_eq!(throttle.died_early(at(5), at(0)), None);
        }
        assert_eq!(throttle.died_early(at(20), at(15)), Some(Duration::from_millis(20)));
    }

    #[test]
    fn only_children_of_after_the_trouble_are_evidence() {
        let mut throttle = throttle();
        assert!(!throttle.is_evidence(at(0)), "nothing to prove while all is well");
        throttle.died_early(at(5), at(4));
        assert!(!throttle.is_evidence(at(4)));
        assert!(throttle.is_evidence(at(15)));
        throttle.lift();
        assert!(!throttle.is_active());
    }
}
