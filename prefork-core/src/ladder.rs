//! How children are made to leave: ask, interrupt, kill, give up.

use std::time::Duration;

use crate::{Config, Rung, Time};

/// The place on the ladder and the time at which the next rung is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ladder {
    rung: Rung,
    since: Time,
    /// None where nobody is in a hurry.
    deadline: Option<Time>,
    /// Whether the kill was put off once.
    put_off: bool,
}

/// What follows when children are still alive at the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Climb(Rung),
    GiveUp,
}

impl Ladder {
    /// The ladder of all children of a daemon that stops.
    pub(crate) fn of_all(now: Time, rung: Rung, config: &Config) -> Self {
        match rung {
            Rung::Retire => Self::patient(now, Some(config.graceful_timeout)),
            Rung::Interrupt | Rung::Abort | Rung::Kill => Self::harder(now, rung, config),
        }
    }

    /// The ladder of one child, while the daemon serves on.
    pub(crate) fn of_one(now: Time, rung: Rung, config: &Config) -> Self {
        match rung {
            Rung::Retire => Self::patient(now, config.reload_timeout),
            Rung::Interrupt | Rung::Abort | Rung::Kill => Self::harder(now, rung, config),
        }
    }

    /// Stands at the first rung for so long, or for as long as it takes.
    pub(crate) fn patient(now: Time, patience: Option<Duration>) -> Self {
        let deadline = patience.map(|patience| now + patience);
        Self { rung: Rung::Retire, since: now, deadline, put_off: false }
    }

    fn harder(now: Time, rung: Rung, config: &Config) -> Self {
        let patience = match rung {
            Rung::Retire | Rung::Interrupt | Rung::Abort => config.interrupt_timeout,
            Rung::Kill => config.kill_timeout,
        };
        Self { rung, since: now, deadline: Some(now + patience), put_off: false }
    }

    /// Stands where another supervisor has stood.
    pub(crate) const fn resume(now: Time, rung: Rung, deadline: Option<Time>) -> Self {
        Self { rung, since: now, deadline, put_off: false }
    }

    /// Stays at a rung before the kill until `limit` after it was taken; `None` if it has done so already.
    pub(crate) fn put_off(self, limit: Duration) -> Option<Self> {
        let deadline = Some(self.since + limit);
        (!self.put_off).then_some(Self { deadline, put_off: true, ..self })
    }

    /// Whether it stays for longer than usual.
    pub(crate) const fn is_put_off(&self) -> bool {
        self.put_off
    }

    pub(crate) const fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// Returns whether the next rung is to be taken.
    pub(crate) fn is_due(&self, now: Time) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
    }

    pub(crate) const fn next(&self) -> Next {
        match self.rung {
            Rung::Retire => Next::Climb(Rung::Interrupt),
            Rung::Interrupt | Rung::Abort => Next::Climb(Rung::Kill),
            Rung::Kill => Next::GiveUp,
        }
    }

    pub(crate) const fn rung(&self) -> Rung {
        self.rung
    }

    /// Since when it stands at its rung.
    pub(crate) const fn since(&self) -> Time {
        self.since
    }
}
