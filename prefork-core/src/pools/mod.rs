//! Several pools in one daemon: what is decided above them.
//!
//! Each pool that is awake has a process of its own, which supervises that pool and no other. [`Pools`] decides which of these
//! processes there are: it starts them, starts them again, wakes those that are needed and lets the others sleep, and
//! ends all of them. How many children each pool has is its own supervisor's to decide.
//!
//! - `messages.rs`: what goes in and comes out.
//! - `stage.rs`: one pool, as seen from above.
//! - `upgrade.rs`: becoming a new program, first here, then pool after pool.
//! - `reload.rs`: going on with other settings, or without some pools and with others.
//! - `hand_over.rs`: what the new program goes on with.
//! - `trouble.rs`: what is wrong with some of them.
//!
//! As everywhere in this crate there is no clock here and no system call: events go in with their time, actions come out.

mod hand_over;
mod messages;
mod reload;
mod roster;
mod stage;
mod trouble;
mod upgrade;

use std::{collections::VecDeque, time::Duration};

use crate::{Arbiter, ArbiterError, Ceiling, Exit, Quota, Request, Reread, Rung, Time};
pub use hand_over::{AdoptedPools, Adoption, HandedPool, HandedStage, Held, PoolIdentity};
pub use messages::{PoolsAction, PoolsEvent, PoolsNotice, PoolsVerdict};
use reload::Reload;
pub use reload::{ChangeState, MadeOf, PoolReloads, PoolsChange};
pub use roster::{
    LONGEST_ROSTER, Listed, ListedChange, ListedOutcome, NoRoster, PoolKind, Roster, file_of_pool,
    is_pool_name,
};
use stage::{Pool, Stage};
pub use trouble::{PoolsTrouble, TroubleKind};
use upgrade::Upgrade;
pub use upgrade::Wishes;

/// The number of a pool, from 0 on in the order in which pools were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(pub u32);

/// When a pool has a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Always.
    Always,
    /// While there is something for it to do: it is started for the first client that waits, and ends by itself.
    OnDemand,
    /// Not any more: it is on its way out, and is not started again.
    Gone,
}

/// The time limits of [`Pools`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolsConfig {
    /// How long a pool may take to be ready. Default 60 s.
    pub start_timeout: Duration,
    /// How long all pools together may take to end, before they are killed. Default 45 s.
    pub stop_timeout: Duration,
    /// A pool that ends sooner than this is started again after a pause. Default 1 s.
    pub early: Duration,
    /// The first such pause; it doubles with every further one. At least 1 ms. Default 10 ms.
    pub throttle_first: Duration,
    /// The longest such pause. Default 10 s.
    pub throttle_cap: Duration,
    /// Whether a reload reads the settings again, by the program that runs. Default [`Reread::Never`]: all pools that have a
    /// process are reloaded then.
    pub reread: Reread,
}

impl Default for PoolsConfig {
    fn default() -> Self {
        Self {
            start_timeout: Duration::from_secs(60),
            stop_timeout: Duration::from_secs(45),
            early: Duration::from_secs(1),
            throttle_first: Duration::from_millis(10),
            throttle_cap: Duration::from_secs(10),
            reread: Reread::Never,
        }
    }
}

/// Decides which pools of a daemon have a process.
///
/// # Examples
///
/// ```
/// use prefork_core::{Time, pools::{PoolId, Pools, PoolsAction, PoolsConfig, PoolsEvent, Presence}};
///
/// let mut pools = Pools::new(PoolsConfig::default());
/// let web = pools.add(Presence::Always);
/// let reports = pools.add(Presence::OnDemand);
/// pools.handle(Time::ZERO, PoolsEvent::Start);
/// assert_eq!(pools.next_action(), Some(PoolsAction::Start(web, None)));
/// assert_eq!(pools.next_action(), None);
/// assert_eq!(pools.sleeping(Time::ZERO).collect::<Vec<_>>(), [reports]);
/// ```
#[derive(Clone, Debug)]
pub struct Pools {
    config: PoolsConfig,
    pools: Vec<Pool>,
    /// Shares one ceiling out, if there is one.
    arbiter: Option<Arbiter>,
    phase: Phase,
    upgrade: Upgrade,
    /// How far the pools have come with the last reload.
    reload: Option<Reload>,
    /// What is shown to be wrong.
    shown: Option<PoolsTrouble>,
    actions: VecDeque<PoolsAction>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    New,
    Starting { began: Time },
    Serving,
    Stopping { began: Time, rung: Rung, verdict: PoolsVerdict },
    Over,
}

/// For so long after a request to stop, another one is the same wish, as with a single pool.
const SAME_WISH: Duration = Duration::from_secs(1);

impl Pools {
    /// Makes one without pools.
    #[must_use]
    pub const fn new(config: PoolsConfig) -> Self {
        Self {
            config,
            pools: Vec::new(),
            arbiter: None,
            phase: Phase::New,
            upgrade: Upgrade::No,
            reload: None,
            shown: None,
            actions: VecDeque::new(),
        }
    }

    /// Has all pools share a ceiling, each by its quota, in the order of the pools. Before [`PoolsEvent::Start`].
    ///
    /// # Errors
    ///
    /// Those of [`Arbiter::new`].
    pub fn share(
        &mut self,
        ceiling: impl Into<Ceiling>,
        quotas: &[Quota],
    ) -> Result<(), ArbiterError> {
        let quotas = (0..).map(PoolId).zip(quotas.iter().copied());
        self.arbiter = Some(Arbiter::new(ceiling, quotas)?);
        Ok(())
    }

    /// Adds a pool, before [`PoolsEvent::Start`].
    ///
    /// # Panics
    ///
    /// Panics if there are 2^32 pools.
    pub fn add(&mut self, presence: Presence) -> PoolId {
        let id = PoolId(u32::try_from(self.pools.len()).expect("fewer pools than that"));
        self.pools.push(Pool::new(presence, &self.config));
        id
    }

    /// Says what a pool is made of, when it has been added: of others it is reloaded.
    pub fn made_of(&mut self, id: PoolId, made_of: MadeOf) {
        self.with(id, |pool| pool.made_of = made_of);
    }

    /// Notes that one pool hands work to another: where all stop, the other one is asked when the first has ended, unless
    /// it hands work back.
    pub fn hands_to(&mut self, from: PoolId, to: PoolId) {
        self.with(to, |pool| pool.comes_from.push(from));
    }

    /// Takes in what has happened. What concerns no pool that was added changes nothing.
    pub fn handle(&mut self, now: Time, event: PoolsEvent) {
        match event {
            PoolsEvent::Start => {
                if self.phase == Phase::New {
                    self.phase = Phase::Starting { began: now };
                }
            }
            PoolsEvent::Started(id) => {
                self.with(id, |pool| {
                    pool.stage = Stage::Starting { since: now };
                    pool.note_renewed();
                });
                if let Some(arbiter) = &mut self.arbiter {
                    arbiter.started(id);
                }
            }
            PoolsEvent::Need(id, need) => {
                if let Some(arbiter) = &mut self.arbiter {
                    arbiter.report(now, id, need);
                }
            }
            PoolsEvent::StartFailed(id) => {
                if let Some(pool) = self.pools.get_mut(id.0 as usize) {
                    pool.stage = Stage::Down;
                    pool.is_lost = true;
                    let pause = pool.fail(now);
                    self.log(PoolsNotice::NotStarted { pool: id, pause });
                    self.reload_not_started(id);
                }
            }
            PoolsEvent::Ready(id) => {
                self.with(id, |pool| {
                    if let Stage::Starting { since } = pool.stage {
                        pool.stage = Stage::Serving { since };
                        pool.was_ready = true;
                        pool.is_lost = false;
                    }
                });
                self.reload_started(id);
            }
            PoolsEvent::Queued(id) => {
                let is_asleep = self.sleeping(now).any(|sleeping| sleeping == id);
                if is_asleep {
                    self.with(id, |pool| pool.is_wanted = true);
                    if let Some(arbiter) = &mut self.arbiter {
                        arbiter.wants(now, id, 1);
                    }
                    self.log(PoolsNotice::Woken(id));
                }
            }
            PoolsEvent::Ended(pool, exit) => self.ended(now, pool, exit),
            PoolsEvent::Requested(Request::StopGracefully) => match self.phase {
                Phase::Stopping { began, .. } if now.since(began) < SAME_WISH => {}
                Phase::Stopping { .. } => self.stop(now, Rung::Interrupt, PoolsVerdict::Stopped),
                _ => self.stop(now, Rung::Retire, PoolsVerdict::Stopped),
            },
            PoolsEvent::Requested(Request::StopNow) => {
                self.stop(now, Rung::Interrupt, PoolsVerdict::Stopped);
            }
            PoolsEvent::Reloads(id, reloads) => self.note_reloads(id, reloads),
            PoolsEvent::Requested(Request::Upgrade) => self.want(PoolsChange::Upgrade),
            PoolsEvent::Requested(Request::Reload) => self.want(PoolsChange::Reload),
            PoolsEvent::Requested(_) => {}
            PoolsEvent::ProbeReady => self.probe_ready(),
            PoolsEvent::ProbeFailed => self.probe_failed(),
            PoolsEvent::ProgramBusy => self.program_busy(now),
            PoolsEvent::UpgradeFailed => self.upgrade_failed(),
            PoolsEvent::PoolUpgraded(id) => self.pool_answered(id, true),
            PoolsEvent::PoolNotUpgraded(id) => self.pool_answered(id, false),
        }
        self.advance(now);
    }

    /// Takes in that time has passed.
    pub fn advance(&mut self, now: Time) {
        for pool in self.pools.iter_mut().filter(|pool| pool.may_start(now)) {
            pool.pause = None;
        }
        self.decide_stuck(now);
        self.decide_leaving(now);
        self.decide_ceilings(now);
        self.decide_start(now);
        self.decide_ready();
        self.decide_upgrade(now);
        self.decide_reload(now);
        self.decide_trouble();
        self.decide_asked();
        self.decide_over();
    }

    /// Returns what is to be done next.
    pub fn next_action(&mut self) -> Option<PoolsAction> {
        self.actions.pop_front().or_else(|| self.last_action())
    }

    /// Returns when [`advance`](Self::advance) is to be called if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let own = match self.phase {
            Phase::New | Phase::Over | Phase::Serving => None,
            Phase::Starting { began } => Some(began + self.config.start_timeout),
            Phase::Stopping { rung: Rung::Kill, .. } => None,
            Phase::Stopping { began, .. } => Some(began + self.config.stop_timeout),
        };
        let of_pools =
            self.pools.iter().filter(|_| !self.is_stopping()).filter_map(|pool| match pool.stage {
                Stage::Down => pool.pause,
                Stage::Starting { since } => Some(since + self.config.start_timeout),
                Stage::Leaving { since } => Some(since + self.config.stop_timeout),
                Stage::Asked | Stage::Serving { .. } | Stage::Stuck => None,
            });
        let shared =
            self.arbiter.as_ref().filter(|_| !self.is_stopping()).and_then(Arbiter::deadline);
        let changes = self.upgrade_due().into_iter().chain(self.reload_due());
        own.into_iter().chain(of_pools).chain(shared).chain(changes).min()
    }

    /// Returns the pools that have no process, and are started as soon as a client waits at one of their sockets.
    pub fn sleeping(&self, now: Time) -> impl Iterator<Item = PoolId> {
        let serves = matches!(self.phase, Phase::Starting { .. } | Phase::Serving);
        let pools = self.ids().filter(move |_| serves);
        pools.filter(move |(_, pool)| pool.is_asleep() && pool.may_start(now)).map(|(id, _)| id)
    }

    /// Whether it is about to end.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping { .. } | Phase::Over)
    }

    /// Returns how many pools have a process.
    #[must_use]
    pub fn awake(&self) -> usize {
        self.pools.iter().filter(|pool| pool.has_process()).count()
    }

    fn ids(&self) -> impl Iterator<Item = (PoolId, &Pool)> {
        (0..).map(PoolId).zip(&self.pools)
    }

    fn with(&mut self, id: PoolId, change: impl FnOnce(&mut Pool)) {
        if let Some(pool) = self.pools.get_mut(id.0 as usize) {
            change(pool);
        }
    }

    fn log(&mut self, notice: PoolsNotice) {
        self.actions.push_back(PoolsAction::Log(notice));
    }

    /// A pool that ends by itself, in order, has nothing to do; all others are to be there.
    fn ended(&mut self, now: Time, id: PoolId, exit: Exit) {
        let Some(pool) = self.pools.get_mut(id.0 as usize) else { return };
        let (lived, was_serving) = (pool.lived(now), matches!(pool.stage, Stage::Serving { .. }));
        let was_to_leave = matches!(pool.stage, Stage::Leaving { .. }) || pool.is_gone();
        pool.stage = Stage::Down;
        pool.forget_process();
        if let Some(arbiter) = &mut self.arbiter {
            arbiter.ended(now, id);
        }
        self.forget_upgrade_of(id);
        self.reload_ended(id, was_serving, was_to_leave);
        match self.phase {
            Phase::New | Phase::Stopping { .. } | Phase::Over => return,
            Phase::Starting { .. } if !was_serving => {
                self.stop(now, Rung::Interrupt, PoolsVerdict::PoolDied(id, exit));
                return;
            }
            Phase::Starting { .. } | Phase::Serving => {}
        }
        if was_to_leave {
            self.log(PoolsNotice::Left(id));
            return;
        }
        let Some(pool) = self.pools.get_mut(id.0 as usize) else { return };
        if pool.presence == Presence::OnDemand && was_serving && exit == Exit::Code(0) {
            pool.backoff.succeed();
            pool.is_wanted = false;
            self.log(PoolsNotice::Asleep(id));
            return;
        }
        pool.is_lost = true;
        // Its clients are still there, or come again: one that sleeps is started for the next.
        pool.is_wanted = false;
        let pause = if was_serving && lived >= self.config.early {
            pool.backoff.succeed();
            None
        } else {
            Some(pool.fail(now))
        };
        self.log(PoolsNotice::Lost { pool: id, exit, lived, pause });
    }

    fn stop(&mut self, now: Time, rung: Rung, verdict: PoolsVerdict) {
        let (began, verdict) = match self.phase {
            Phase::Over => return,
            // Harder than before, or nothing new; why it ends stays.
            Phase::Stopping { rung: before, .. } if rung <= before => return,
            Phase::Stopping { began, verdict, .. } => (began, verdict),
            Phase::New | Phase::Starting { .. } | Phase::Serving => (now, verdict),
        };
        self.phase = Phase::Stopping { began, rung, verdict };
        // What was not started yet is not.
        self.actions.retain(|action| !matches!(action, PoolsAction::Start(..)));
        for pool in self.pools.iter_mut().filter(|pool| pool.stage == Stage::Asked) {
            pool.stage = Stage::Down;
        }
        self.forgo_upgrade();
        self.reload = None;
        self.pools.iter_mut().for_each(|pool| pool.is_asked = false);
    }

    /// Asks those that are to go: all, or in a graceful stop those to whom nobody hands anything any more.
    fn decide_asked(&mut self) {
        let Phase::Stopping { rung, .. } = self.phase else { return };
        let has_process = |id: PoolId| self.pools.get(id.0 as usize).is_some_and(Pool::has_process);
        let hands = |from: PoolId, to: PoolId| {
            self.pools.get(to.0 as usize).is_some_and(|pool| pool.comes_from.contains(&from))
        };
        let waits = |id: PoolId, pool: &Pool| {
            let mut senders = pool.comes_from.iter().copied();
            senders.any(|from| from != id && has_process(from) && !hands(id, from))
        };
        let due = self.ids().filter(|(id, pool)| {
            // One that is leaving was asked already.
            let is_leaving = matches!(pool.stage, Stage::Leaving { .. });
            let is_due = rung > Rung::Retire || !(is_leaving || waits(*id, pool));
            pool.has_process() && !pool.is_asked && is_due
        });
        for id in due.map(|(id, _)| id).collect::<Vec<_>>() {
            self.with(id, |pool| pool.is_asked = true);
            self.actions.push_back(PoolsAction::Stop(id, rung));
        }
    }

    fn decide_stuck(&mut self, now: Time) {
        match self.phase {
            Phase::Starting { began } if now.since(began) >= self.config.start_timeout => {
                let late = self.ids().find(|(_, pool)| pool.is_missed()).map(|(id, _)| id);
                if let Some(late) = late {
                    self.stop(now, Rung::Interrupt, PoolsVerdict::StartTimedOut(late));
                }
            }
            Phase::Serving => {
                let limit = self.config.start_timeout;
                let is_stuck = |pool: &Pool| matches!(pool.stage, Stage::Starting { since } if now.since(since) >= limit);
                let stuck: Vec<_> =
                    self.ids().filter(|(_, pool)| is_stuck(pool)).map(|(id, _)| id).collect();
                for id in stuck {
                    self.with(id, |pool| pool.stage = Stage::Stuck);
                    self.log(PoolsNotice::Stuck(id));
                    self.actions.push_back(PoolsAction::Stop(id, Rung::Kill));
                }
            }
            Phase::Stopping { began, rung, verdict } => {
                if rung < Rung::Kill
                    && now.since(began) >= self.config.stop_timeout
                    && self.awake() > 0
                {
                    self.log(PoolsNotice::Killed { pools: self.awake() });
                    self.stop(now, Rung::Kill, verdict);
                }
            }
            Phase::New | Phase::Starting { .. } | Phase::Over => {}
        }
    }

    /// Shares the ceiling out anew.
    fn decide_ceilings(&mut self, now: Time) {
        if self.is_stopping() {
            return;
        }
        let Some(arbiter) = &mut self.arbiter else { return };
        for (id, ceiling) in arbiter.decide(now) {
            if self.pools.get(id.0 as usize).is_some_and(Pool::goes_by_ceiling) {
                self.actions.push_back(PoolsAction::Ceiling(id, ceiling));
            }
        }
    }

    fn decide_start(&mut self, now: Time) {
        if !matches!(self.phase, Phase::Starting { .. } | Phase::Serving) {
            return;
        }
        let due = |pool: &Pool| pool.is_missing() && pool.may_start(now);
        let due: Vec<_> = self.ids().filter(|(_, pool)| due(pool)).map(|(id, _)| id).collect();
        for id in due {
            let ceiling = self.arbiter.as_ref().map(|arbiter| arbiter.cap(id));
            // Its client waits until others have given something back.
            if ceiling == Some(0) {
                continue;
            }
            self.with(id, |pool| pool.stage = Stage::Asked);
            self.actions.push_back(PoolsAction::Start(id, ceiling));
        }
    }

    fn decide_ready(&mut self) {
        if matches!(self.phase, Phase::Starting { .. }) && !self.pools.iter().any(Pool::is_missed) {
            self.phase = Phase::Serving;
            self.actions.push_back(PoolsAction::Ready);
        }
    }

    fn decide_over(&mut self) {
        if let Phase::Stopping { verdict, .. } = self.phase
            && self.awake() == 0
        {
            self.phase = Phase::Over;
            self.actions.push_back(PoolsAction::Exit(verdict));
        }
    }
}

#[cfg(test)]
mod tests;
