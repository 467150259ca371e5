//! How children are made to leave: ask, interrupt, kill, give up.

use std::time::Duration;

use crate::{Config, Rung, Time};

/// The place on the ladder and the time at which the next rung is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ladder {
    rung: Rung,
    deadline: Time,
}

/// What follows when children are still alive at the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Climb(Rung),
    GiveUp,
}

impl Ladder {
    pub(crate) fn new(now: Time, rung: Rung, config: &Config) -> Self {
        Self { rung, deadline: now + patience(rung, config) }
    }

    /// Stands where another supervisor has stood.
    pub(crate) const fn resume(rung: Rung, deadline: Time) -> Self {
        Self { rung, deadline }
    }

    pub(crate) const fn deadline(&self) -> Time {
        self.deadline
    }

    pub(crate) const fn next(&self) -> Next {
        match self.rung {
            Rung::Ask => Next::Climb(Rung::Interrupt),
            Rung::Interrupt | Rung::Abort => Next::Climb(Rung::Kill),
            Rung::Kill => Next::GiveUp,
        }
    }

    pub(crate) const fn rung(&self) -> Rung {
        self.rung
    }
}

const fn patience(rung: Rung, config: &Config) -> Duration {
    match rung {
        Rung::Ask => config.graceful_timeout,
        Rung::Interrupt | Rung::Abort => config.interrupt_timeout,
        Rung::Kill => config.kill_timeout,
    }
}
