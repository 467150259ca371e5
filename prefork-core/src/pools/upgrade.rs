//! Becoming a new program with all pools.
//!
//! The arbiter goes first, as its probe alone sees the arguments of all pools and binds what is new among their addresses:
//! what is wrong with any of them is found before anything has changed. Once it runs the new program, it asks the parents
//! of the pools that are awake to become that too, one after the other, so that the machine never has two programs of all
//! pools at once. Each of them tries the program itself before. One that refuses it goes on with what it
//! runs, and the others are asked all the same: what is good for them is no worse for that, and the next upgrade asks it again.

use std::{collections::VecDeque, time::Duration};

use super::{Phase, PoolId, Pools, PoolsAction, PoolsNotice, Reload, stage::Stage};
use crate::{ChangeNotice, Progress, Refusal, Time};

/// How long after it was found busy a program file is tried again, and for how long that goes on.
const BUSY_PAUSE: Duration = Duration::from_millis(500);
const BUSY_PATIENCE: Duration = Duration::from_secs(60);

/// How far an upgrade has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Upgrade {
    No,
    /// It begins as soon as the daemon serves.
    Wanted,
    /// The program file was being written when it was last tried.
    Busy {
        since: Time,
        retry: Time,
    },
    /// A probe is at work.
    Probing {
        since: Time,
        again: bool,
        /// Since when the file was found busy, if the probe is not the first.
        busy_since: Option<Time>,
    },
    /// The process is to become the new program, once everything else is done.
    Due {
        again: bool,
        /// Whether it was asked for.
        asked: bool,
    },
    /// This is the new program, and the pools follow.
    OfPools(OfPools),
}

/// Which pools are still to become the new program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OfPools {
    pub(super) left: VecDeque<PoolId>,
    /// Which one was asked, and when.
    pub(super) asked: Option<(PoolId, Time)>,
    pub(super) upgraded: usize,
    /// How many go on with what they run.
    pub(super) refused: usize,
    pub(super) again: bool,
}

impl OfPools {
    pub(super) const fn new(left: VecDeque<PoolId>, again: bool) -> Self {
        Self { left, asked: None, upgraded: 0, refused: 0, again }
    }
}

impl Pools {
    pub(super) fn want_upgrade(&mut self) {
        match &mut self.upgrade {
            Upgrade::No | Upgrade::Wanted | Upgrade::Busy { .. } => self.upgrade = Upgrade::Wanted,
            Upgrade::Probing { again, .. }
            | Upgrade::Due { again, .. }
            | Upgrade::OfPools(OfPools { again, .. }) => *again = true,
        }
    }

    /// Whether another upgrade was asked for while one was at work.
    #[must_use]
    pub fn wants_another_upgrade(&self) -> bool {
        match self.upgrade {
            Upgrade::Wanted => true,
            Upgrade::Probing { again, .. } | Upgrade::Due { again, .. } => again,
            Upgrade::OfPools(OfPools { again, .. }) => again,
            Upgrade::No | Upgrade::Busy { .. } => false,
        }
    }

    pub(super) fn probe_ready(&mut self) {
        let Upgrade::Probing { again, .. } = self.upgrade else { return };
        self.log(PoolsNotice::Change(ChangeNotice::Upgrading));
        self.show(Progress::Upgrading);
        self.upgrade = Upgrade::Due { again, asked: false };
    }

    /// Returns what comes after all other actions: what is handed over is there, and all was carried out that was
    /// decided.
    pub(super) const fn last_action(&mut self) -> Option<PoolsAction> {
        match &mut self.upgrade {
            Upgrade::Due { asked, .. } if !*asked => {
                *asked = true;
                Some(PoolsAction::Upgrade)
            }
            _ => None,
        }
    }

    pub(super) fn probe_failed(&mut self) {
        if let Upgrade::Probing { again, .. } = self.upgrade {
            self.refuse_upgrade(again, Refusal::Reported);
        }
    }

    pub(super) fn program_busy(&mut self, now: Time) {
        let Upgrade::Probing { again, busy_since, .. } = self.upgrade else { return };
        let since = busy_since.unwrap_or(now);
        let tried = now.since(since);
        self.upgrade = if again {
            Upgrade::Wanted
        } else if tried < BUSY_PATIENCE {
            Upgrade::Busy { since, retry: now + BUSY_PAUSE }
        } else {
            self.log(PoolsNotice::Change(ChangeNotice::ProgramBusy { tried }));
            return self.refuse_upgrade(again, Refusal::Busy { tried });
        };
    }

    pub(super) fn upgrade_failed(&mut self) {
        if let Upgrade::Due { again, .. } = self.upgrade {
            self.refuse_upgrade(again, Refusal::Reported);
        }
    }

    /// Gives an upgrade up. Another one that was asked for meanwhile may find a better file.
    fn refuse_upgrade(&mut self, again: bool, by: Refusal) {
        self.show(Progress::UpgradeRefused { by });
        self.upgrade = if again { Upgrade::Wanted } else { Upgrade::No };
    }

    /// Notes what has become of the pool that was asked; what others report of themselves is their own affair.
    pub(super) fn pool_answered(&mut self, id: PoolId, is_upgraded: bool) {
        let Upgrade::OfPools(pools) = &mut self.upgrade else { return };
        if pools.asked.is_none_or(|(asked, _)| asked != id) {
            return;
        }
        pools.asked = None;
        if is_upgraded {
            pools.upgraded += 1;
        } else {
            pools.refused += 1;
            self.with(id, |pool| pool.has_refused = true);
            self.log(PoolsNotice::NotUpgraded(id));
        }
    }

    /// Notes that a pool has ended, and needs not be asked: when it is started again, that is the new program.
    pub(super) fn forget_upgrade_of(&mut self, id: PoolId) {
        let Upgrade::OfPools(pools) = &mut self.upgrade else { return };
        pools.left.retain(|left| *left != id);
        pools.asked = pools.asked.filter(|(asked, _)| *asked != id);
    }

    /// Starts a probe that is due, gives up one that takes too long, and asks the next pool.
    pub(super) fn decide_upgrade(&mut self, now: Time) {
        if !matches!(self.phase, Phase::Serving) {
            return;
        }
        match self.upgrade {
            Upgrade::Wanted => {
                self.log(PoolsNotice::Change(ChangeNotice::Probing));
                self.show(Progress::Probing);
                self.probe(now, None);
            }
            Upgrade::Busy { since, retry } if now >= retry => self.probe(now, Some(since)),
            Upgrade::Probing { since, again, .. }
                if now.since(since) >= self.config.start_timeout =>
            {
                self.actions.push_back(PoolsAction::EndProbe);
                let limit = self.config.start_timeout;
                self.log(PoolsNotice::Change(ChangeNotice::ProbeTimedOut { limit }));
                self.refuse_upgrade(again, Refusal::TimedOut { limit });
                self.decide_upgrade(now);
            }
            Upgrade::OfPools(_) => self.decide_next_pool(now),
            Upgrade::No | Upgrade::Busy { .. } | Upgrade::Probing { .. } | Upgrade::Due { .. } => {}
        }
    }

    /// How long a pool may take until it has become the new program or has refused it.
    fn patience_with_pool(&self) -> Duration {
        // It waits for its file as long, tries it, and becomes it.
        self.config.start_timeout.saturating_mul(2).saturating_add(BUSY_PATIENCE)
    }

    /// A pool is asked once it serves: before, it would not know what to do about the question.
    fn decide_next_pool(&mut self, now: Time) {
        let limit = self.patience_with_pool();
        let Upgrade::OfPools(of_pools) = &mut self.upgrade else { return };
        if let Some((id, since)) = of_pools.asked {
            if now.since(since) < limit {
                return;
            }
            of_pools.asked = None;
            of_pools.refused += 1;
            self.actions
                .push_back(PoolsAction::Log(PoolsNotice::UpgradeUnanswered { pool: id, limit }));
        }
        let serves = |id: &PoolId| {
            let pool = self.pools.get(id.0 as usize);
            pool.is_some_and(|pool| matches!(pool.stage, Stage::Serving { .. }))
        };
        if let Some(place) = of_pools.left.iter().position(serves)
            && let Some(id) = of_pools.left.remove(place)
        {
            of_pools.asked = Some((id, now));
            self.actions.push_back(PoolsAction::UpgradePool(id));
        } else if of_pools.left.is_empty() {
            let OfPools { upgraded, refused, again, .. } = *of_pools;
            self.upgrade = if again { Upgrade::Wanted } else { Upgrade::No };
            self.log(PoolsNotice::Upgraded { upgraded, refused });
            // It is over when the pools have replaced their children.
            if self.reload == Reload::No {
                self.reload = Reload::OfUpgrade;
            }
            self.decide_reload(now);
            self.decide_upgrade(now);
        }
    }

    fn probe(&mut self, now: Time, busy_since: Option<Time>) {
        self.upgrade = Upgrade::Probing { since: now, again: false, busy_since };
        self.actions.push_back(PoolsAction::Probe);
    }

    fn show(&mut self, progress: Progress) {
        self.actions.push_back(PoolsAction::Show(progress));
    }

    /// When an upgrade needs a decision, if nothing happens.
    pub(super) fn upgrade_due(&self) -> Option<Time> {
        if !matches!(self.phase, Phase::Serving) {
            return None;
        }
        match &self.upgrade {
            Upgrade::No | Upgrade::Wanted | Upgrade::Due { .. } => None,
            Upgrade::Busy { retry, .. } => Some(*retry),
            Upgrade::Probing { since, .. } => Some(*since + self.config.start_timeout),
            Upgrade::OfPools(pools) => {
                pools.asked.map(|(_, since)| since + self.patience_with_pool())
            }
        }
    }

    /// Gives an upgrade up, as the daemon stops.
    pub(super) fn forgo_upgrade(&mut self) {
        match std::mem::replace(&mut self.upgrade, Upgrade::No) {
            Upgrade::No | Upgrade::Wanted | Upgrade::Busy { .. } | Upgrade::OfPools(_) => {}
            Upgrade::Probing { .. } | Upgrade::Due { .. } => {
                self.actions.push_back(PoolsAction::EndProbe);
            }
        }
    }
}
