//! How many children should wait for a client, where each serves one and ends.
//!
//! Problem: a client that finds no child waits as long as it takes to make one. Children that wait cost memory, and how many
//! it takes depends on how many clients come and on how long a child takes to start, which both change.
//!
//! Idea: Little's law, by counting. While one child starts, so many clients come; so many children must wait for each to find
//! one. How many clients have come within the time that a start takes is counted at each of them, and the highest count of
//! the last `calm` time is how many are to wait, and its square root besides, which is how much further chance would take it
//! in a longer time. Connections that wait to be accepted are clients that have come and
//! found nobody, so they are added. The pool follows a load up at once, and down after the calm time.
//!
//! Assumptions: each client that is taken is noted, and each child that has come up. How long a start takes is smoothed as
//! TCP smooths its round trips (RFC 6298), with twice the deviation on top, as half of all starts take longer than the mean.

use std::{collections::VecDeque, time::Duration};

use crate::{Config, Time, Tuning, highest::Highest};

/// The bounds of a pool of such children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// How many wait when nobody comes.
    least: u32,
    /// How many wait at the most.
    most: u32,
    /// How many start at a time at the most, but for the least.
    step: u32,
    calm: Duration,
    pace: Duration,
}

impl Bounds {
    pub(crate) fn new(config: &Config, tuning: Tuning) -> Self {
        let Tuning { min_spare, max_spare, step, calm, pace } = tuning;
        let max_children = config.max_children();
        let least = config.prefork().max(min_spare).min(max_children);
        let most = max_spare.unwrap_or(max_children).clamp(least, max_children);
        Self { least, most, step: step.max(1), calm, pace }
    }
}

/// What is known of clients and starts.
#[derive(Clone, Debug)]
pub(crate) struct Spares {
    bounds: Bounds,
    start: StartTime,
    /// When clients were taken, within the time of one start; no more than can matter.
    taken: VecDeque<Time>,
    counts: Highest,
    /// How many were retired last, while there have been too many ever since.
    shrink: u32,
    last_retirement: Option<Time>,
}

impl Spares {
    pub(crate) const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            start: StartTime::new(),
            taken: VecDeque::new(),
            counts: Highest::new(),
            shrink: 0,
            last_retirement: None,
        }
    }

    /// Goes on within other bounds.
    pub(crate) const fn change(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Notes that a child has come up, which took so long.
    pub(crate) fn came_up(&mut self, took: Duration) {
        self.start.note(took);
    }

    /// Notes that a child has taken its client.
    pub(crate) fn taken(&mut self, now: Time) {
        self.taken.push_back(now);
        self.count(now, 0);
    }

    /// Notes how many clients have found nobody so far.
    pub(crate) fn waiting(&mut self, now: Time, clients: u32) {
        if clients > 0 {
            self.count(now, clients);
        }
    }

    /// Notes that so many were to wait.
    pub(crate) fn resume(&mut self, now: Time, wanted: u32) {
        self.counts.note(now, wanted, self.bounds.calm);
    }

    fn count(&mut self, now: Time, more: u32) {
        let window = self.start.typical();
        let most = self.bounds.most as usize;
        while self.taken.len() > most
            || self.taken.front().is_some_and(|at| now.since(*at) >= window.max(SHORTEST))
        {
            self.taken.pop_front();
        }
        let taken = u32::try_from(self.taken.len()).unwrap_or(u32::MAX);
        let clients = taken.saturating_add(more);
        self.counts.note(now, clients.saturating_add(clients.isqrt()), self.bounds.calm);
    }

    /// Returns how many should wait for a client.
    pub(crate) fn wanted(&self, now: Time) -> u32 {
        let highest = self.counts.of(now, self.bounds.calm).map_or(0, |(_, count)| count);
        highest.clamp(self.bounds.least, self.bounds.most)
    }

    /// Returns how many should wait or start, of whom so many wait already: no more start at a time than may.
    pub(crate) fn target(&self, now: Time, waiting: usize) -> u32 {
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        let step = waiting.saturating_add(self.bounds.step).max(self.bounds.least);
        self.wanted(now).min(step)
    }

    /// Returns how many of those that wait should leave now: fewest first, then ever more.
    pub(crate) fn surplus(&mut self, now: Time, waiting: usize) -> u32 {
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        let surplus = waiting.saturating_sub(self.wanted(now));
        if surplus == 0 {
            self.shrink = 0;
            return 0;
        }
        if self.next_retirement().is_some_and(|next| now < next) {
            return 0;
        }
        self.shrink = self.shrink.saturating_mul(2).max(1).min(surplus);
        self.last_retirement = Some(now);
        self.shrink
    }

    fn next_retirement(&self) -> Option<Time> {
        self.last_retirement.map(|last| last + self.bounds.pace)
    }

    /// Returns when fewer should wait than so many, if nobody comes; `None` if these are no more than wait at rest.
    pub(crate) fn due(&self, now: Time, waiting: usize) -> Option<Time> {
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        if waiting <= self.bounds.least {
            return None;
        }
        if waiting > self.wanted(now) {
            return Some(self.next_retirement().map_or(now, |next| next.max(now)));
        }
        let (at, _) = self.counts.of(now, self.bounds.calm)?;
        Some(at + self.bounds.calm)
    }
}

/// Clients that come within so short a time have come at once.
const SHORTEST: Duration = Duration::from_millis(1);

/// How long a child takes from its fork until it waits for its client.
#[derive(Clone, Copy, Debug)]
struct StartTime {
    mean: Duration,
    /// None before the first one.
    deviation: Option<Duration>,
}

impl StartTime {
    const fn new() -> Self {
        Self { mean: Duration::ZERO, deviation: None }
    }

    fn note(&mut self, took: Duration) {
        let Some(deviation) = self.deviation else {
            (self.mean, self.deviation) = (took, Some(took / 2));
            return;
        };
        self.deviation = Some((deviation * 3 + took.abs_diff(self.mean)) / 4);
        self.mean = (self.mean * 7 + took) / 8;
    }

    /// The time within which nearly all come up.
    fn typical(&self) -> Duration {
        self.mean.saturating_add(self.deviation.unwrap_or_default().saturating_mul(2))
    }
}

#[cfg(test)]
mod tests;
