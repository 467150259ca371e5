//! How other servers decide, for comparison.

use std::time::Duration;

use super::Model;
use crate::{Load, Scaling, Time};

/// Apache's prefork, as its documentation describes it: once a second it counts the idle children. With too few it
/// starts 1, and while that lasts 2, 4 and so on up to 32; with too many it ends one.
#[derive(Clone, Debug)]
pub struct Apache {
    /// `StartServers`.
    start: u32,
    /// `MaxRequestWorkers`.
    max: u32,
    /// `MinSpareServers`. Default 1, as that of [`ScalingPolicy`](crate::ScalingPolicy), to be comparable; its own is 5.
    pub min_spare: u32,
    /// `MaxSpareServers`. Default 10.
    pub max_spare: u32,
    rate: u32,
}

impl Apache {
    /// The most children that it starts in one second.
    const FASTEST: u32 = 32;

    /// Makes a model that starts with so many children, and never has more than `max`.
    #[must_use]
    pub const fn new(start: u32, max: u32) -> Self {
        Self { start, max, min_spare: 1, max_spare: 10, rate: 1 }
    }
}

impl Model for Apache {
    fn start(&self) -> u32 {
        self.start
    }

    fn period(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn decide(&mut self, Load { tally, .. }: Load, _: Time) -> Scaling {
        let idle = tally.idle + tally.starting;
        if idle > self.max_spare {
            self.rate = 1;
            return Scaling::Retire(1);
        }
        if idle >= self.min_spare {
            self.rate = 1;
            return Scaling::Hold;
        }
        let rate = self.rate;
        self.rate = (rate * 2).min(Self::FASTEST);
        Scaling::Spawn(rate.min(self.max.saturating_sub(tally.alive())))
    }
}

/// uWSGI's `cheaper` subsystem with its default algorithm `spare`: once a second it looks for a worker that is not busy.
/// Where there was none for more than `overload` looks it starts `step`; where more than one is free it ends one every
/// `overload` looks.
#[derive(Clone, Debug)]
pub struct Cheaper {
    /// `cheaper`, and `cheaper-initial`.
    min: u32,
    /// `workers`.
    max: u32,
    /// `cheaper-step`: how many are started at once. Default 1.
    pub step: u32,
    /// `cheaper-overload`: how many looks to wait. Default 3.
    pub overload: u32,
    overloaded: u32,
    idle: u32,
}

impl Cheaper {
    /// Makes a model that has at least `min` workers, and never more than `max`.
    #[must_use]
    pub const fn new(min: u32, max: u32) -> Self {
        Self { min, max, step: 1, overload: 3, overloaded: 0, idle: 0 }
    }
}

impl Model for Cheaper {
    fn start(&self) -> u32 {
        self.min
    }

    fn period(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn decide(&mut self, Load { tally, .. }: Load, _: Time) -> Scaling {
        let free = tally.idle + tally.starting;
        if free == 0 {
            self.overloaded += 1;
            self.idle = 0;
        } else {
            self.overloaded = self.overloaded.saturating_sub(1);
        }
        if self.overloaded > self.overload {
            self.overloaded = 0;
            return Scaling::Spawn(self.step.min(self.max.saturating_sub(tally.alive())));
        }
        if self.overloaded > 0 || free == 1 {
            return Scaling::Hold;
        }
        self.idle += 1;
        if tally.staying() > self.min && self.idle.is_multiple_of(self.overload.max(1)) {
            return Scaling::Retire(1);
        }
        Scaling::Hold
    }
}
