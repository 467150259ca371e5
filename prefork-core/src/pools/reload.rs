//! Reloading all pools, and when that is over.
//!
//! All pools that have a process are asked at once: each reads its settings again and replaces its children by itself, as many
//! at a time as its own limits say. Seen from above the reload goes on until each of them has taken the request in and has no
//! reload under way any more, or has ended: one that is started again has what is newest. The end of an upgrade is such a
//! reload too, as pools replace their children after it.

use super::{Phase, PoolId, Pools, PoolsAction, PoolsNotice, stage::Stage, upgrade::Upgrade};
use crate::{Progress, ReloadEnd, Reloads, Time};

/// How far a reload of all pools has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reload {
    No,
    /// It begins as soon as the daemon serves.
    Wanted,
    /// Pools have been asked.
    Begun {
        since: Time,
        pools: usize,
    },
    /// Pools replace their children after an upgrade.
    OfUpgrade,
}

/// The reloads of one pool, as its parent reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolReloads {
    /// How many requests to reload its process has taken in since it was started.
    pub taken: u64,
    /// What has become of them.
    pub state: Reloads,
}

impl Pools {
    pub(super) fn want_reload(&mut self) {
        if !self.is_stopping() {
            self.reload = Reload::Wanted;
        }
    }

    /// Takes in how far the reloads of a pool have come.
    pub(super) fn note_reloads(&mut self, id: PoolId, reloads: PoolReloads) {
        self.with(id, |pool| {
            pool.asked_at = pool.asked_at.filter(|taken| *taken == reloads.taken);
            pool.reloads = reloads;
        });
    }

    /// Asks all pools that are there, and notes when they are done.
    pub(super) fn decide_reload(&mut self, now: Time) {
        if !matches!(self.phase, Phase::Serving) {
            return;
        }
        if self.reload == Reload::Wanted {
            self.begin_reload(now);
        }
        // In the middle of an upgrade some pools are still to be asked for that.
        if self.reload == Reload::No || matches!(self.upgrade, Upgrade::OfPools(_)) {
            return;
        }
        let is_at_it = |id: PoolId| {
            let pool = self.pools.get(id.0 as usize);
            pool.is_some_and(|pool| pool.asked_at.is_some() || pool.reloads.state.goes_on)
        };
        if self.reloadable().any(is_at_it) {
            return;
        }
        if let Reload::Begun { since, pools } = std::mem::replace(&mut self.reload, Reload::No) {
            let is_refused = |pool: &super::Pool| pool.reloads.state.last != ReloadEnd::Done;
            let refused = self.pools.iter().filter(|pool| is_refused(pool)).count();
            self.log(PoolsNotice::Reloaded { pools, refused, took: now.since(since) });
        }
        // What is wrong stands in what is shown next.
        self.decide_trouble();
        self.actions.push_back(PoolsAction::Show(Progress::Reloaded));
    }

    fn begin_reload(&mut self, now: Time) {
        let asked: Vec<_> = self.reloadable().collect();
        let pools = asked.len();
        self.reload = Reload::Begun { since: now, pools };
        self.log(PoolsNotice::Reloading { pools });
        self.actions.push_back(PoolsAction::Show(Progress::Reloading));
        for id in asked {
            self.with(id, |pool| pool.asked_at = Some(pool.reloads.taken));
            self.actions.push_back(PoolsAction::ReloadPool(id));
        }
    }

    /// The pools that can replace their children, now or as soon as they have come up.
    fn reloadable(&self) -> impl Iterator<Item = PoolId> {
        self.ids()
            .filter(|(_, pool)| {
                matches!(pool.stage, Stage::Starting { .. } | Stage::Serving { .. })
            })
            .map(|(id, _)| id)
    }
}
