//! What a simulation has found.

use std::{collections::VecDeque, fmt, time::Duration};

use crate::Time;

/// A child that is spawned within this time after another one was retired is regretted.
const REGRET: Duration = Duration::from_secs(10);

/// What has become of the traffic, and what the pool had to do for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// How long the requests have waited for a child.
    pub waits: Waits,
    /// How many requests were answered.
    pub served: usize,
    /// How many of them before their client had given up; all, where clients have all the time.
    pub in_time: usize,
    /// How many requests were refused, as their client had waited too long.
    pub refused: usize,
    /// How many requests nobody was there for any more when a child took them.
    pub abandoned: usize,
    /// How many requests were not answered by the end: their child was killed, or hung, or none took them.
    pub lost: usize,
    /// How many children were forked, those of the start included.
    pub forks: u32,
    /// How many of them were forked within 10 s after another one was retired, which could have stayed. Fewest are not
    /// best: a pool that never shrinks has none. To be read beside [`spare`](Self::spare).
    pub regrets: u32,
    /// The most children that there were at a time.
    pub largest: u32,
    /// How many children there were at the end.
    pub at_end: u32,
    /// How long children were there without work, beyond what those of the start alone are. All children together.
    pub spare: Duration,
    /// How often the parent was awake: looks, and whatever made it look.
    pub wakeups: u64,
    /// What the pool was like from time to time, if that was [asked for](super::World::sample_every).
    pub samples: Vec<PoolSample>,
}

/// What a pool was like at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolSample {
    /// How long after the start that was.
    pub at: Duration,
    /// How many children there were.
    pub children: u32,
    /// How many of them had something in hand.
    pub at_work: u32,
    /// How many requests waited for one.
    pub waiting: u32,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} served, {} of them in time, {} refused, {} abandoned, {} lost; waits: {:.3} s at most, {:.3} s for one in a hundred, {:.1} s in all; {} forks, {} \
             regretted, at most {} children, {:.0} child-seconds spare; {} wake-ups",
            self.served,
            self.in_time,
            self.refused,
            self.abandoned,
            self.lost,
            self.waits.longest().as_secs_f64(),
            self.waits.quantile(0.99).as_secs_f64(),
            self.waits.total().as_secs_f64(),
            self.forks,
            self.regrets,
            self.largest,
            self.spare.as_secs_f64(),
            self.wakeups,
        )
    }
}

/// How long requests have waited for a child, from the time when they arrived until one took them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// The shortest first, once the simulation is over.
    sorted: Vec<Duration>,
}

impl Waits {
    /// Returns the time that all requests together have waited.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.sorted.iter().sum()
    }

    /// Returns the longest time that a request has waited; zero if there was none.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.sorted.last().copied().unwrap_or_default()
    }

    /// Returns the time that the given part of all requests has not waited longer than: 0.5 for the median, 0.99 for
    /// what one in a hundred exceeds. What is not within 0 to 1 is taken as the nearer one.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "requests that fit into memory")]
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to len")]
        let rank = (part.clamp(0.0, 1.0) * self.sorted.len() as f64).ceil() as usize;
        self.sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, wait: Duration) {
        self.sorted.push(wait);
    }

    pub(super) fn sort(&mut self) {
        self.sorted.sort_unstable();
    }
}

/// The retirements that may still be regretted.
#[derive(Debug, Default)]
pub(super) struct Retirements(VecDeque<Time>);

impl Retirements {
    pub(super) fn note(&mut self, now: Time) {
        self.0.push_back(now);
    }

    /// Returns whether a fork makes up for a retirement. Each is made up for once.
    pub(super) fn regret(&mut self, now: Time) -> bool {
        while self.0.front().is_some_and(|at| now.since(*at) >= REGRET) {
            self.0.pop_front();
        }
        self.0.pop_front().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_waits() {
        let ms = Duration::from_millis;
        let waits = Waits { sorted: (1..=100).map(ms).collect() };
        let found = [0.0, 0.5, 0.99, 1.0, 7.0].map(|part| waits.quantile(part));
        assert_eq!(found, [ms(1), ms(50), ms(99), ms(100), ms(100)]);
        assert_eq!(Waits::default().quantile(0.5), Duration::ZERO);
    }

    #[test]
    fn each_retirement_is_regretted_once_and_not_for_long() {
        let at = |s| Time::after_origin(Duration::from_secs(s));
        let mut retirements = Retirements::default();
        retirements.note(at(0));
        retirements.note(at(5));
        assert_eq!(
            [at(10), at(11), at(15)].map(|now| retirements.regret(now)),
            [true, false, false]
        );
    }
}
