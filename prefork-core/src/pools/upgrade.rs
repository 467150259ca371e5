//! Becoming a new program with all pools; or the same program once more, which reads the settings again.
//!
//! The arbiter goes first, as its probe alone sees the arguments of all pools and binds what is new among their addresses:
//! what is wrong with any of them is found before anything has changed. A reload ends with that: `reload.rs` says what becomes
//! of the pools then. After an upgrade, once it runs the new program, it asks the parents
//! of the pools that are awake to become that too, one after the other, so that the machine never has two programs of all
//! pools at once. Each of them tries the program itself before. One that refuses it goes on with what it
//! runs, and the others are asked all the same: what is good for them is no worse for that, and the next upgrade asks it again.

use std::{collections::VecDeque, time::Duration};

use super::{
    ChangeState, Phase, PoolId, Pools, PoolsAction, PoolsChange, PoolsNotice,
    stage::{Pool, Stage},
};
use crate::{ChangeNotice, Progress, Refusal, Reread, Time};

/// How long after it was found busy a program file is tried again, and for how long that goes on.
const BUSY_PAUSE: Duration = Duration::from_millis(500);
const BUSY_PATIENCE: Duration = Duration::from_secs(60);

/// Changes of the whole that were asked for, and have not begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// A reload.
    pub reload: bool,
    /// An upgrade.
    pub upgrade: bool,
}

impl Wishes {
    /// Returns them with one more.
    const fn with(self, change: PoolsChange) -> Self {
        match change {
            PoolsChange::Reload => Self { reload: true, ..self },
            PoolsChange::Upgrade => Self { upgrade: true, ..self },
        }
    }

    /// Takes the one that comes first, as a program that was just installed reads the settings too.
    const fn take(&mut self) -> Option<PoolsChange> {
        if std::mem::replace(&mut self.upgrade, false) {
            Some(PoolsChange::Upgrade)
        } else if std::mem::replace(&mut self.reload, false) {
            Some(PoolsChange::Reload)
        } else {
            None
        }
    }

    /// Whether there is any.
    const fn is_any(self) -> bool {
        self.reload || self.upgrade
    }
}

/// How far an upgrade has come, or a reload up to where pools are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Upgrade {
    No,
    /// The first of these begins as soon as the daemon serves.
    Wanted(Wishes),
    /// The program file was being written when it was last tried.
    Busy {
        change: PoolsChange,
        since: Time,
        retry: Time,
        again: Wishes,
    },
    /// A probe is at work.
    Probing {
        change: PoolsChange,
        since: Time,
        again: Wishes,
        /// Since when the file was found busy, if the probe is not the first.
        busy_since: Option<Time>,
    },
    /// The process is to become the new program, once everything else is done.
    Due {
        change: PoolsChange,
        again: Wishes,
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
    pub(super) again: Wishes,
}

impl OfPools {
    pub(super) const fn new(left: VecDeque<PoolId>, again: Wishes) -> Self {
        Self { left, asked: None, upgraded: 0, refused: 0, again }
    }
}

impl Upgrade {
    /// What comes next, if anything was asked for.
    pub(super) const fn next(again: Wishes) -> Self {
        if again.is_any() { Self::Wanted(again) } else { Self::No }
    }
}

impl Pools {
    /// Takes in that somebody wants a change of the whole.
    pub(super) fn want(&mut self, change: PoolsChange) {
        match &mut self.upgrade {
            Upgrade::No => self.upgrade = Upgrade::Wanted(Wishes::default().with(change)),
            // The file may be another one by now.
            Upgrade::Busy { change: busy, again, .. } if *busy == change => {
                self.upgrade = Upgrade::Wanted(again.with(change));
            }
            Upgrade::Wanted(again)
            | Upgrade::Busy { again, .. }
            | Upgrade::Probing { again, .. }
            | Upgrade::Due { again, .. }
            | Upgrade::OfPools(OfPools { again, .. }) => *again = again.with(change),
        }
    }

    /// Returns the changes that were asked for and have not begun.
    #[must_use]
    pub const fn wishes(&self) -> Wishes {
        match &self.upgrade {
            Upgrade::No => Wishes { reload: false, upgrade: false },
            Upgrade::Wanted(again)
            | Upgrade::Busy { again, .. }
            | Upgrade::Probing { again, .. }
            | Upgrade::Due { again, .. }
            | Upgrade::OfPools(OfPools { again, .. }) => *again,
        }
    }

    /// Returns the change that is being tried, or about to be made.
    #[must_use]
    pub const fn change(&self) -> Option<PoolsChange> {
        match &self.upgrade {
            Upgrade::No | Upgrade::Wanted(_) | Upgrade::OfPools(_) => None,
            Upgrade::Busy { change, .. }
            | Upgrade::Probing { change, .. }
            | Upgrade::Due { change, .. } => Some(*change),
        }
    }

    pub(super) fn probe_ready(&mut self) {
        let Upgrade::Probing { change, again, .. } = self.upgrade else { return };
        if change == PoolsChange::Upgrade {
            self.log(PoolsNotice::Change(ChangeNotice::Upgrading));
            self.show(Progress::Upgrading);
        }
        self.upgrade = Upgrade::Due { change, again, asked: false };
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
        if let Upgrade::Probing { change, again, .. } = self.upgrade {
            self.refuse(change, again, Refusal::Reported);
        }
    }

    pub(super) fn program_busy(&mut self, now: Time) {
        let Upgrade::Probing { change, again, busy_since, .. } = self.upgrade else { return };
        let since = busy_since.unwrap_or(now);
        let tried = now.since(since);
        self.upgrade = if again.is_any() {
            Upgrade::Wanted(again.with(change))
        } else if tried < BUSY_PATIENCE {
            Upgrade::Busy { change, since, retry: now + BUSY_PAUSE, again }
        } else {
            self.log(PoolsNotice::Change(ChangeNotice::ProgramBusy { tried }));
            return self.refuse(change, again, Refusal::Busy { tried });
        };
    }

    pub(super) fn upgrade_failed(&mut self) {
        if let Upgrade::Due { change, again, .. } = self.upgrade {
            self.refuse(change, again, Refusal::Reported);
        }
    }

    /// Gives a change up. Another one that was asked for meanwhile may find a better file.
    fn refuse(&mut self, change: PoolsChange, again: Wishes, by: Refusal) {
        self.show(match change {
            PoolsChange::Reload => Progress::SettingsRefused { by },
            PoolsChange::Upgrade => Progress::UpgradeRefused { by },
        });
        self.report(change, ChangeState::Refused(by));
        self.upgrade = Upgrade::next(again);
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
            self.with(id, Pool::note_renewed);
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
            Upgrade::Wanted(wishes) => self.begin(now, wishes),
            Upgrade::Busy { change, since, retry, again } if now >= retry => {
                self.probe(now, change, Some(since), again);
            }
            Upgrade::Probing { change, since, again, .. }
                if now.since(since) >= self.config.start_timeout =>
            {
                self.actions.push_back(PoolsAction::EndProbe);
                let limit = self.config.start_timeout;
                self.log(PoolsNotice::Change(match change {
                    PoolsChange::Reload => ChangeNotice::SettingsTimedOut { limit },
                    PoolsChange::Upgrade => ChangeNotice::ProbeTimedOut { limit },
                }));
                self.refuse(change, again, Refusal::TimedOut { limit });
                self.decide_upgrade(now);
            }
            Upgrade::OfPools(_) => self.decide_next_pool(now),
            Upgrade::No | Upgrade::Busy { .. } | Upgrade::Probing { .. } | Upgrade::Due { .. } => {}
        }
    }

    /// Begins with the first of what was asked for.
    fn begin(&mut self, now: Time, mut wishes: Wishes) {
        let Some(change) = wishes.take() else {
            self.upgrade = Upgrade::No;
            return;
        };
        self.report(change, ChangeState::Begun);
        match (change, self.config.reread) {
            (PoolsChange::Reload, Reread::Never) => {
                self.upgrade = Upgrade::next(wishes);
                self.reload_all(now);
                self.decide_upgrade(now);
            }
            (PoolsChange::Reload, Reread::AtReload) => {
                self.log(PoolsNotice::Change(ChangeNotice::ReadingSettings));
                self.show(Progress::ReadingSettings);
                self.probe(now, change, None, wishes);
            }
            (PoolsChange::Upgrade, _) => {
                self.log(PoolsNotice::Change(ChangeNotice::Probing));
                self.show(Progress::Probing);
                self.probe(now, change, None, wishes);
            }
        }
    }

    /// How long a pool may take until it has become the new program or has refused it.
    pub(super) fn patience_with_pool(&self) -> Duration {
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
            self.upgrade = Upgrade::next(again);
            self.log(PoolsNotice::Upgraded { upgraded, refused });
            self.report(PoolsChange::Upgrade, ChangeState::of(refused));
            self.await_rollouts(now);
            self.decide_reload(now);
            self.decide_upgrade(now);
        }
    }

    fn probe(&mut self, now: Time, change: PoolsChange, busy_since: Option<Time>, again: Wishes) {
        self.upgrade = Upgrade::Probing { change, since: now, again, busy_since };
        self.actions.push_back(PoolsAction::Probe);
    }

    pub(super) fn show(&mut self, progress: Progress) {
        self.actions.push_back(PoolsAction::Show(progress));
    }

    /// When an upgrade needs a decision, if nothing happens.
    pub(super) fn upgrade_due(&self) -> Option<Time> {
        if !matches!(self.phase, Phase::Serving) {
            return None;
        }
        match &self.upgrade {
            Upgrade::No | Upgrade::Wanted(_) | Upgrade::Due { .. } => None,
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
            Upgrade::No | Upgrade::Wanted(_) | Upgrade::Busy { .. } | Upgrade::OfPools(_) => {}
            Upgrade::Probing { .. } | Upgrade::Due { .. } => {
                self.actions.push_back(PoolsAction::EndProbe);
            }
        }
    }
}
