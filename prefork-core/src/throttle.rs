//! When to spawn again after children died early.
//!
//! A program that cannot run must not become a fork bomb; one that was killed must be back at once. So the first few
//! children that die early after they have served are replaced without delay, as somebody may kill them. A death before a
//! child has served, or one too many, costs a few milliseconds, every further one doubles the delay up to a cap, and the
//! first child that does its job lifts it. Two rules keep this fair:
//!
//! - Children of one wave count once. When 150 children are killed together, that is one event and
//!   not 150 doublings, so only the death of a child that was spawned after the last one that counted
//!   counts again.
//! - Only children spawned since the trouble began can prove that it is over. Older ones that still
//!   work say nothing about what a new one will do.

use std::time::Duration;

use crate::{Allowance, Config, Time, backoff::Backoff};

/// The early deaths of children that had served which delay nothing: 12 at once, and one in 10 s.
const TOLERATED: Allowance = Allowance::new(12, Duration::from_secs(10));

/// The delay between spawns, with the memory of when it last grew.
#[derive(Clone, Debug)]
pub(crate) struct Throttle {
    backoff: Backoff,
    tolerated: Allowance,
    trouble: Option<Trouble>,
}

/// Early deaths, as long as no child has come up since.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    began: Time,
    /// When the last one was that counted.
    counted: Time,
}

/// Whether a child that has died early had served before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lived {
    BeforeServing,
    Serving,
}

/// What follows from an early death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Toll {
    /// Whether it is not one with another one.
    pub(crate) counts: bool,
    /// By how much it delays the next spawn, if it does.
    pub(crate) delay: Option<Duration>,
}

impl Throttle {
    pub(crate) const fn new(config: &Config) -> Self {
        Self {
            backoff: Backoff::new(config.throttle_first, config.throttle_cap),
            tolerated: TOLERATED,
            trouble: None,
        }
    }

    /// Counts the early death of a child.
    pub(crate) fn died_early(&mut self, now: Time, spawned: Time, lived: Lived) -> Toll {
        let trouble = self.trouble.get_or_insert(Trouble { began: now, counted: spawned });
        let counts = spawned >= trouble.counted;
        if counts {
            trouble.counted = now;
        }
        let is_tolerated = match lived {
            Lived::Serving => !self.is_active() && self.tolerated.take(now),
            Lived::BeforeServing => false,
        };
        let delays = !is_tolerated && (counts || !self.is_active());
        Toll { counts, delay: delays.then(|| self.backoff.fail(now)) }
    }

    /// Notes a spawn: while the throttle lasts, the next one waits again.
    pub(crate) fn spawned(&mut self, now: Time) {
        self.backoff.attempt(now);
    }

    /// Returns whether a child spawned at `spawned` could prove that the trouble is over.
    pub(crate) fn is_evidence(&self, spawned: Time) -> bool {
        self.trouble.is_some_and(|trouble| spawned >= trouble.began)
    }

    /// Ends the trouble; returns whether spawns were delayed.
    pub(crate) fn lift(&mut self) -> bool {
        self.trouble = None;
        self.backoff.succeed() > 0
    }

    /// Whether children have died early, and none has come up since.
    pub(crate) const fn is_troubled(&self) -> bool {
        self.trouble.is_some()
    }

    /// Whether spawns are delayed.
    pub(crate) const fn is_active(&self) -> bool {
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

    const TOLERATED: Toll = Toll { counts: true, delay: None };
    const SAME: Toll = Toll { counts: false, delay: None };

    const fn delayed(ms: u64) -> Toll {
        Toll { counts: true, delay: Some(Duration::from_millis(ms)) }
    }

    #[test]
    fn one_wave_of_deaths_counts_once() {
        let mut throttle = throttle();
        let lived = Lived::BeforeServing;
        assert_eq!(throttle.died_early(at(5), at(0), lived), delayed(10));
        for _ in 0..150 {
            assert_eq!(throttle.died_early(at(5), at(0), lived), SAME);
        }
        assert_eq!(throttle.died_early(at(20), at(15), lived), delayed(20));
    }

    #[test]
    fn of_a_wave_of_children_that_served_a_few_are_replaced_at_once() {
        let mut throttle = throttle();
        let mut die = || throttle.died_early(at(5), at(0), Lived::Serving);
        assert_eq!(die(), TOLERATED);
        for number in 1..12 {
            assert_eq!(die(), SAME, "{number}");
        }
        assert_eq!(die(), Toll { counts: false, ..delayed(10) });
        assert_eq!(die(), SAME);
    }

    #[test]
    fn a_loop_is_proven_by_what_comes_too_fast() {
        let mut throttle = throttle();
        let mut die = |ms| throttle.died_early(at(ms), at(ms), Lived::Serving);
        for number in 0..12 {
            assert_eq!(die(number), TOLERATED, "{number}");
        }
        assert_eq!([die(12), die(13)], [delayed(10), delayed(20)]);
        // Until one has come up, it does not matter how long the delays have been.
        assert_eq!(die(10_000), delayed(40));
        assert!(throttle.lift());
        assert_eq!(throttle.died_early(at(10_001), at(10_001), Lived::Serving), TOLERATED);
    }

    #[test]
    fn one_that_never_served_is_not_tolerated() {
        assert_eq!(throttle().died_early(at(5), at(4), Lived::BeforeServing), delayed(10));
    }

    #[test]
    fn only_children_of_after_the_trouble_are_evidence() {
        for lived in [Lived::BeforeServing, Lived::Serving] {
            let mut throttle = throttle();
            assert!(!throttle.is_evidence(at(0)), "nothing to prove while all is well");
            throttle.died_early(at(5), at(4), lived);
            assert!(!throttle.is_evidence(at(4)));
            assert!(throttle.is_evidence(at(15)));
            assert_eq!(throttle.lift(), lived == Lived::BeforeServing);
            assert!(!throttle.is_troubled() && !throttle.is_active());
        }
    }
}
