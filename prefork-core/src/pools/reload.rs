//! Going on with settings that were read again.
//!
//! What becomes of the daemon's pools is found by comparison (`hand_over.rs`): those that are new are started, those that are
//! gone are asked to leave, and those that listen elsewhere do both. The others are reloaded only if they
//! are to be made of something else than their processes are, or nothing is known of that. So who changes one of a hundred files
//! touches one of a hundred pools. Where nothing is read again, all that are up are reloaded.
//!
//! All are asked at once, and none is waited for before the next reload may begin: a pool that takes its time, or whose new
//! children do not work, is its own affair. What it runs counts as unknown until it is done, so the next reload
//! asks it again. A pool is done when it has taken the request in and has no reload under way any more, or has ended: one that
//! is started again has what is newest. The end of an upgrade is such a reload too, as pools replace their children after it.

use std::{collections::BTreeSet, time::Duration};

use super::{Phase, PoolId, Pools, PoolsAction, PoolsNotice, Presence, stage::Pool};
use crate::{Progress, Refusal, ReloadEnd, Reloads, Time};

/// A change of the whole daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum PoolsChange {
    /// The program that runs reads its settings again.
    Reload,
    /// Another program takes its place.
    #[default]
    Upgrade,
}

/// How far a change of the whole has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeState {
    /// It has begun.
    Begun,
    /// It was refused before anything has changed.
    Refused(Refusal),
    /// The program could not take over, and the old one is back.
    NotTaken,
    /// All is done.
    Done,
    /// It is done, but for so many pools.
    InPart {
        /// How many.
        refused: usize,
    },
}

impl ChangeState {
    /// That of one that has come to its end, but for so many pools.
    pub(super) const fn of(refused: usize) -> Self {
        if refused == 0 { Self::Done } else { Self::InPart { refused } }
    }
}

/// What is known of what a pool is to be made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MadeOf {
    /// Nothing: every reload is one of this pool.
    #[default]
    Unsaid,
    /// A number that stands for its settings, and is another one for others.
    Settings(u64),
    /// They are wrong now, so that a pool that runs goes on as it is.
    Unreadable,
}

/// The reloads of one pool, as its parent reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolReloads {
    /// How many requests of the arbiter its process was sent since it was started.
    pub asked: u64,
    /// How many of them it has taken in.
    pub taken: u64,
    /// What has become of these, and of requests of others.
    pub state: Reloads,
}

impl PoolReloads {
    /// Whether what it reports is about the last request.
    const fn is_taken(&self) -> bool {
        self.taken >= self.asked
    }
}

/// How far the pools have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reload {
    /// What it belongs to: after an upgrade the pools replace their children without being asked.
    change: PoolsChange,
    since: Time,
    /// Those that are not done.
    asked: BTreeSet<PoolId>,
    /// Those that are to be there, and are not yet.
    coming: BTreeSet<PoolId>,
    reloaded: usize,
    started: usize,
    refused: usize,
}

impl Reload {
    const fn new(
        change: PoolsChange,
        since: Time,
        asked: BTreeSet<PoolId>,
        coming: BTreeSet<PoolId>,
    ) -> Self {
        Self { change, since, asked, coming, reloaded: 0, started: 0, refused: 0 }
    }
}

impl Pools {
    /// Reloads all pools that are up, whatever they are made of.
    pub(super) fn reload_all(&mut self, now: Time) {
        let up = self.ids().filter(|(_, pool)| pool.is_up());
        let up = up.map(|(id, _)| id).collect();
        self.reload(now, up, BTreeSet::new());
    }

    /// Reloads these pools, and waits for those that are coming.
    pub(super) fn reload(
        &mut self,
        now: Time,
        mut asked: BTreeSet<PoolId>,
        coming: BTreeSet<PoolId>,
    ) {
        let is_always = |id: &PoolId| {
            self.pools.get(id.0 as usize).is_some_and(|pool| pool.presence == Presence::Always)
        };
        let mut coming: BTreeSet<_> = coming.into_iter().filter(is_always).collect();
        self.log(PoolsNotice::Reloading { pools: asked.len() });
        self.show(Progress::Reloading);
        for id in asked.iter().copied() {
            self.with(id, |pool| {
                pool.runs = None;
                pool.reloads.asked += 1;
            });
            self.actions.push_back(PoolsAction::ReloadPool(id));
        }
        // Nothing is over before what began earlier is.
        coming.extend(self.reload.take().into_iter().flat_map(|earlier| earlier.coming));
        asked.extend(self.at_it());
        self.reload = Some(Reload::new(PoolsChange::Reload, now, asked, coming));
    }

    /// Waits for the pools that replace their children after an upgrade.
    pub(super) fn await_rollouts(&mut self, now: Time) {
        let asked = self.at_it();
        self.reload = Some(Reload::new(PoolsChange::Upgrade, now, asked, BTreeSet::new()));
    }

    /// The pools that have a reload under way.
    fn at_it(&self) -> BTreeSet<PoolId> {
        let at_it = self.ids().filter(|(_, pool)| pool.is_up() && pool.reloads.state.goes_on);
        at_it.map(|(id, _)| id).collect()
    }

    /// Takes in how far the reloads of a pool have come.
    pub(super) fn note_reloads(&mut self, id: PoolId, reloads: PoolReloads) {
        let Some(pool) = self.pools.get_mut(id.0 as usize) else { return };
        let before = pool.reloads;
        // What it was sent is known best here.
        pool.reloads = PoolReloads { asked: before.asked, ..reloads };
        if !pool.reloads.is_taken() {
            return;
        }
        let Reloads { goes_on, last } = reloads.state;
        if before.is_taken() && goes_on && !before.state.goes_on {
            // Somebody else has asked it: it may have read what nobody here has.
            pool.runs = None;
        }
        if !goes_on {
            let is_done = last == ReloadEnd::Done;
            if !is_done {
                pool.runs = None;
            }
            self.reload_answered(id, is_done);
        }
    }

    /// Notes what has become of a pool that was asked.
    fn reload_answered(&mut self, id: PoolId, is_done: bool) {
        let Some(reload) = &mut self.reload else { return };
        if !reload.asked.remove(&id) {
            return;
        }
        match (reload.change, is_done) {
            (PoolsChange::Reload, true) => {
                reload.reloaded += 1;
                self.with(id, Pool::note_renewed);
            }
            (PoolsChange::Reload, false) => {
                reload.refused += 1;
                self.log(PoolsNotice::NotReloaded(id));
            }
            (PoolsChange::Upgrade, _) => {}
        }
    }

    /// Notes that a pool serves.
    pub(super) fn reload_started(&mut self, id: PoolId) {
        if let Some(reload) = &mut self.reload
            && reload.coming.remove(&id)
        {
            reload.started += 1;
        }
    }

    /// Notes that a pool could not be started.
    pub(super) fn reload_not_started(&mut self, id: PoolId) {
        if let Some(reload) = &mut self.reload
            && reload.coming.remove(&id)
        {
            reload.refused += 1;
        }
    }

    /// Notes that the process of a pool has ended: one that was asked begins with what is new when it is started again.
    pub(super) fn reload_ended(&mut self, id: PoolId, was_serving: bool, was_to_leave: bool) {
        let is_always =
            self.pools.get(id.0 as usize).map(|it| it.presence) == Some(Presence::Always);
        let Some(reload) = &mut self.reload else { return };
        if reload.asked.remove(&id) && is_always {
            reload.coming.insert(id);
        } else if !was_serving && !was_to_leave {
            self.reload_not_started(id);
        }
    }

    /// Publishes what has become of a reload when nothing more is waited for.
    pub(super) fn decide_reload(&mut self, now: Time) {
        let limit = self.patience_with_reload();
        let Some(mut reload) = self.reload.take() else { return };
        if now.since(reload.since) >= limit {
            // One that is at it takes as long as its own limits say.
            let (late, at_it) = reload.asked.iter().partition(|id| self.has_not_taken(**id));
            let late: BTreeSet<_> = late;
            reload.asked = at_it;
            for pool in &late | &std::mem::take(&mut reload.coming) {
                reload.refused += 1;
                self.log(PoolsNotice::ReloadUnanswered { pool, limit });
            }
        }
        if !reload.asked.is_empty() || !reload.coming.is_empty() {
            self.reload = Some(reload);
            return;
        }
        let Reload { change, since, reloaded, started, refused, .. } = reload;
        if change == PoolsChange::Reload {
            let took = now.since(since);
            self.log(PoolsNotice::Reloaded { reloaded, started, refused, took });
        }
        // What is wrong stands in what is shown next.
        self.decide_trouble();
        self.show(Progress::Reloaded);
        if change == PoolsChange::Reload {
            self.report(change, ChangeState::of(refused));
        }
    }

    /// Whether a pool was asked for a reload, and has not taken that in.
    fn has_not_taken(&self, id: PoolId) -> bool {
        self.pools.get(id.0 as usize).is_some_and(|pool| !pool.reloads.is_taken())
    }

    /// When a reload will have taken too long.
    pub(super) fn reload_due(&self) -> Option<Time> {
        let serves = matches!(self.phase, Phase::Serving);
        let reload = self.reload.as_ref().filter(|_| serves)?;
        let is_bounded =
            !reload.coming.is_empty() || reload.asked.iter().any(|id| self.has_not_taken(*id));
        is_bounded.then(|| reload.since + self.patience_with_reload())
    }

    /// How long it may take: a pool that listens elsewhere now ends before it is started again.
    fn patience_with_reload(&self) -> Duration {
        self.config.stop_timeout.saturating_add(self.patience_with_pool())
    }

    pub(super) fn report(&mut self, change: PoolsChange, state: ChangeState) {
        self.actions.push_back(PoolsAction::Report(change, state));
    }
}
