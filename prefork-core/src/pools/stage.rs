//! One pool, as seen from above.

use std::time::Duration;

use super::{MadeOf, PoolId, PoolReloads, PoolsConfig, Presence};
use crate::{Time, backoff::Backoff};

#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub(super) presence: Presence,
    pub(super) stage: Stage,
    /// What it is to be made of.
    pub(super) made_of: MadeOf,
    /// What its process is made of, if that is known for certain.
    pub(super) runs: Option<u64>,
    /// Whether a client waits for it.
    pub(super) is_wanted: bool,
    /// Whether it was ever ready.
    pub(super) was_ready: bool,
    /// The pools that hand work to it.
    pub(super) comes_from: Vec<PoolId>,
    /// Whether it was asked to end, by the measure of this moment.
    pub(super) is_asked: bool,
    pub(super) reloads: PoolReloads,
    /// Whether it has refused the program that the others have become.
    pub(super) has_refused: bool,
    /// Whether its process has ended without being asked, and none has been ready since.
    pub(super) is_lost: bool,
    pub(super) backoff: Backoff,
    /// Until when it is not started, however much it is wanted.
    pub(super) pause: Option<Time>,
}

/// How far its process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// There is none.
    Down,
    /// It is about to be started.
    Asked,
    Starting {
        since: Time,
    },
    Serving {
        since: Time,
    },
    /// It has taken too long to be ready or to leave, and was killed.
    Stuck,
    /// It was asked to end, as the daemon goes on without it.
    Leaving {
        since: Time,
    },
}

impl Pool {
    pub(super) fn new(presence: Presence, config: &PoolsConfig) -> Self {
        Self {
            presence,
            stage: Stage::Down,
            made_of: MadeOf::Unsaid,
            runs: None,
            is_wanted: false,
            was_ready: false,
            comes_from: Vec::new(),
            is_asked: false,
            reloads: PoolReloads::default(),
            has_refused: false,
            is_lost: false,
            backoff: Backoff::new(config.throttle_first, config.throttle_cap),
            pause: None,
        }
    }

    pub(super) fn is_asleep(&self) -> bool {
        self.stage == Stage::Down && self.presence == Presence::OnDemand && !self.is_wanted
    }

    /// Notes that its process has begun with what it is to be made of, or has gone over to that.
    pub(super) const fn note_renewed(&mut self) {
        self.runs = match self.made_of {
            MadeOf::Settings(settings) => Some(settings),
            MadeOf::Unsaid | MadeOf::Unreadable => None,
        };
    }

    /// Whether it is to be made of something else than its process is, as far as that is known.
    pub(super) fn is_to_reload(&self) -> bool {
        match self.made_of {
            MadeOf::Unsaid => true,
            MadeOf::Settings(settings) => self.runs != Some(settings),
            MadeOf::Unreadable => false,
        }
    }

    /// Whether it is on its way out for good.
    pub(super) const fn is_gone(&self) -> bool {
        matches!(self.presence, Presence::Gone)
    }

    /// Whether it has a process that is to know how many children it may have. One that leaves has them to the end.
    pub(super) const fn goes_by_ceiling(&self) -> bool {
        self.has_process() && !matches!(self.stage, Stage::Leaving { .. })
    }

    /// Whether it is to have a process, and has none.
    pub(super) fn is_missing(&self) -> bool {
        self.stage == Stage::Down && !self.is_asleep() && !self.is_gone()
    }

    /// Whether the daemon is not ready without it, and it is not.
    pub(super) fn is_missed(&self) -> bool {
        self.presence == Presence::Always && !self.was_ready
    }

    pub(super) fn may_start(&self, now: Time) -> bool {
        self.pause.is_none_or(|due| now >= due)
    }

    /// Forgets what was true of a process that has ended.
    pub(super) fn forget_process(&mut self) {
        (self.runs, self.reloads) = (None, PoolReloads::default());
        self.has_refused = false;
    }

    /// Notes that it has failed; returns for how long it is not started.
    pub(super) fn fail(&mut self, now: Time) -> Duration {
        let pause = self.backoff.fail(now);
        self.pause = Some(now + pause);
        pause
    }

    pub(super) const fn has_process(&self) -> bool {
        match self.stage {
            Stage::Down | Stage::Asked => false,
            Stage::Starting { .. }
            | Stage::Serving { .. }
            | Stage::Stuck
            | Stage::Leaving { .. } => true,
        }
    }

    /// Whether it has a process that is to stay.
    pub(super) const fn is_up(&self) -> bool {
        match self.stage {
            Stage::Starting { .. } | Stage::Serving { .. } => true,
            Stage::Down | Stage::Asked | Stage::Stuck | Stage::Leaving { .. } => false,
        }
    }

    /// How long its process has been there.
    pub(super) fn lived(&self, now: Time) -> Duration {
        match self.stage {
            Stage::Starting { since } | Stage::Serving { since } => now.since(since),
            Stage::Down | Stage::Asked | Stage::Stuck | Stage::Leaving { .. } => Duration::ZERO,
        }
    }
}
