//! Handing the pools over to a new program in the arbiter's process.
//!
//! Pools are known again by their names. What has become of one is seen by comparing what was with what is to be: it
//! stays, and becomes the new program by its own upgrade; it is new, and is started; it is not there any more, and is asked
//! to leave; or it is another one under the same name, which listens elsewhere, hands connections to others or is a role now,
//! and so ends before it is started again, as its parent cannot be given other sockets.

use std::collections::BTreeSet;

use super::{
    ChangeState, MadeOf, Phase, PoolId, PoolReloads, Pools, PoolsAction, PoolsChange, PoolsConfig,
    PoolsNotice, Presence, Wishes,
    stage::{Pool, Stage},
    upgrade::{OfPools, Upgrade},
};
use crate::{AdoptedAs, Arbiter, Ceiling, Need, Progress, Quota, Rung, Time};

/// By what a pool is known again in another program.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PoolIdentity {
    /// Its name, which no other pool of the daemon has.
    pub name: String,
    /// Whether there is never more than one process of it.
    pub is_role: bool,
    /// Where it listens.
    pub addresses: Vec<String>,
    /// The pools to which it hands connections.
    pub hands_to: Vec<String>,
    /// Whether others hand it connections.
    pub takes: bool,
    /// Whether it has no process while there is nothing to do; earlier libraries do not say.
    #[cfg_attr(feature = "serde", serde(default))]
    pub sleeps: Option<bool>,
}

impl PoolIdentity {
    /// Whether it is the same pool, so that its process can go on.
    fn is_same(&self, other: &Self) -> bool {
        let sleeps = self.sleeps.is_none() || other.sleeps.is_none() || self.sleeps == other.sleeps;
        let Self { name, is_role, addresses, hands_to, takes, sleeps: _ } = self;
        (name, is_role, addresses, hands_to, takes)
            == (&other.name, &other.is_role, &other.addresses, &other.hands_to, &other.takes)
            && sleeps
    }
}

/// How far the process of a pool has come, for who takes it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum HandedStage {
    /// There is none.
    Down,
    /// It is not ready yet.
    Starting {
        /// Since when.
        since: Time,
    },
    /// It serves.
    Serving {
        /// Since when it is there.
        since: Time,
    },
    /// It was killed.
    Stuck,
    /// It was asked to end, as the daemon goes on without it.
    Leaving {
        /// When.
        since: Time,
    },
}

/// What is handed over of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HandedPool {
    /// Which one it is.
    pub identity: PoolIdentity,
    /// How far its process has come.
    pub stage: HandedStage,
    /// What its process is made of, if that is known.
    #[cfg_attr(feature = "serde", serde(default))]
    pub runs: Option<u64>,
    /// Whether it has refused the program that the others have become.
    #[cfg_attr(feature = "serde", serde(default))]
    pub not_upgraded: bool,
    /// Whether its process has ended without being asked, and none has been ready since.
    #[cfg_attr(feature = "serde", serde(default))]
    pub lost: bool,
    /// What it has of a ceiling. It is not written down with the rest, as it is found where the pool reports it.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub held: Held,
    /// How far its reloads have come. As with what it has of a ceiling.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub reloads: PoolReloads,
}

/// What a pool has of a ceiling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// How many children it may have, as it was told last; none if it was not told.
    pub said: Option<u32>,
    /// What it has reported.
    pub need: Need,
}

/// What a program goes on with, and as what.
#[derive(Clone, Copy, Debug)]
pub struct Adoption<'a> {
    /// The time limits.
    pub config: PoolsConfig,
    /// The pools of this program.
    pub wanted: &'a [(PoolIdentity, Presence)],
    /// What they are made of, in the same order; of those that are missing here nothing was said.
    pub made_of: &'a [MadeOf],
    /// What they may have together, if that is limited, and what of that each of them may.
    pub shared: Option<(Ceiling, &'a [Quota])>,
    /// What was handed over.
    pub handed: &'a [HandedPool],
    /// Whether this is another program.
    pub adopted_as: AdoptedAs,
    /// What it was executed for.
    pub change: PoolsChange,
    /// What was asked for meanwhile, which begins after this.
    pub again: Wishes,
}

/// Pools that were taken over.
#[derive(Clone, Debug)]
pub struct AdoptedPools {
    /// Those of the new program, in its order, and after them those that are leaving.
    pub pools: Pools,
    /// For each of them, which one it was among those that were handed over.
    pub were: Vec<Option<usize>>,
}

impl Pools {
    /// Returns what is handed over of a pool that is known again by this, but for what is found where the pool reports it.
    #[must_use]
    pub fn hand_over(&self, id: PoolId, identity: PoolIdentity) -> HandedPool {
        let pool = self.pools.get(id.0 as usize);
        HandedPool {
            identity,
            stage: pool.map_or(HandedStage::Down, Pool::handed_stage),
            runs: pool.and_then(|pool| pool.runs),
            not_upgraded: pool.is_some_and(|pool| pool.has_refused),
            lost: pool.is_some_and(|pool| pool.is_lost),
            held: Held::default(),
            reloads: PoolReloads::default(),
        }
    }

    /// Goes on with pools that another program has had.
    ///
    /// It serves from the first moment: there is no [`PoolsEvent::Start`](super::PoolsEvent::Start) to wait for. Pools that
    /// sleep go on to sleep. A new program asks those that are awake to become it too, one after the other; the same program that
    /// has read its settings again has those reloaded whose settings are others, all at once. Under a ceiling
    /// each has what it has had, until that is shared out anew.
    #[must_use]
    pub fn adopt(now: Time, adoption: Adoption<'_>) -> AdoptedPools {
        let Adoption { config, wanted, made_of, shared, handed, adopted_as, change, again } =
            adoption;
        let mut pools = Self::new(config);
        pools.phase = Phase::Serving;
        let mut were: Vec<Option<usize>> = Vec::new();
        // Whether somebody goes on with a socket of a pool, and serves those who wait there.
        let is_shared = |was: &PoolIdentity| {
            wanted.iter().any(|(identity, _)| {
                let takes = was.takes && identity.takes && was.name == identity.name;
                takes || was.addresses.iter().any(|address| identity.addresses.contains(address))
            })
        };
        let (mut to_follow, mut coming) = (Vec::new(), BTreeSet::new());
        let mut made_of = made_of.iter().copied();
        let is_upgrade = (adopted_as, change) == (AdoptedAs::NewProgram, PoolsChange::Upgrade);
        for (identity, presence) in wanted {
            let id = pools.add(*presence);
            pools.made_of(id, made_of.next().unwrap_or(MadeOf::Unsaid));
            let was = handed.iter().position(|handed| handed.identity.name == identity.name);
            were.push(was);
            let Some(was) = was.map(|was| &handed[was]) else {
                coming.insert(id);
                continue;
            };
            let is_same = was.identity.is_same(identity);
            pools.with(id, |pool| {
                pool.adopt(was);
                // It is asked to become this program.
                pool.has_refused &= !is_upgrade;
            });
            match was.stage {
                HandedStage::Down | HandedStage::Stuck | HandedStage::Leaving { .. } => {}
                HandedStage::Starting { .. } | HandedStage::Serving { .. } if is_same => {
                    to_follow.push(id);
                }
                HandedStage::Starting { .. } | HandedStage::Serving { .. } => {
                    let is_shared = is_shared(&was.identity);
                    pools.have_leave(now, id, is_shared, PoolsNotice::Changed(id));
                    coming.insert(id);
                }
            }
        }
        for (number, gone) in handed.iter().enumerate() {
            if gone.stage == HandedStage::Down || were.contains(&Some(number)) {
                continue;
            }
            let id = pools.add(Presence::Gone);
            were.push(Some(number));
            pools.with(id, |pool| pool.adopt(gone));
            if let HandedStage::Starting { .. } | HandedStage::Serving { .. } = gone.stage {
                let is_shared = is_shared(&gone.identity);
                pools.have_leave(now, id, is_shared, PoolsNotice::Gone(id));
            }
        }
        match (adopted_as, change) {
            (AdoptedAs::NewProgram, PoolsChange::Upgrade) => {
                pools.show(Progress::Reloading);
                pools.upgrade = Upgrade::OfPools(OfPools::new(to_follow.into(), again));
            }
            (AdoptedAs::NewProgram, PoolsChange::Reload) => {
                pools.upgrade = Upgrade::next(again);
                let is_other =
                    |id: &PoolId| pools.pools.get(id.0 as usize).is_some_and(Pool::is_to_reload);
                let asked = to_follow.into_iter().filter(is_other).collect();
                pools.reload(now, asked, coming);
            }
            (AdoptedAs::SameProgram, _) => {
                pools.report(change, ChangeState::NotTaken);
                pools.upgrade = Upgrade::next(again);
            }
        }
        pools.adopt_ceiling(now, shared, handed, &were);
        pools.advance(now);
        AdoptedPools { pools, were }
    }

    /// Goes on to share a ceiling, or begins to, or ends it.
    fn adopt_ceiling(
        &mut self,
        now: Time,
        shared: Option<(Ceiling, &[Quota])>,
        handed: &[HandedPool],
        were: &[Option<usize>],
    ) {
        let awake = self.ids().zip(were).filter(|((_, pool), _)| pool.has_process());
        let held = awake.filter_map(|((id, _), was)| Some((id, handed.get((*was)?)?.held)));
        let held: Vec<_> = held.collect();
        if let Some((ceiling, quotas)) = shared {
            let quotas = (0..).map(PoolId).zip(quotas.iter().copied());
            // What could be wrong with them was found when the arguments were checked.
            self.arbiter = Arbiter::adopt(now, ceiling, quotas, held).ok();
        } else {
            for (id, _) in held.into_iter().filter(|(_, held)| held.said.is_some()) {
                if self.pools.get(id.0 as usize).is_some_and(Pool::goes_by_ceiling) {
                    self.actions.push_back(PoolsAction::Ceiling(id, u32::MAX));
                }
            }
        }
    }

    fn have_leave(&mut self, now: Time, id: PoolId, is_shared: bool, notice: PoolsNotice) {
        self.with(id, |pool| pool.stage = Stage::Leaving { since: now });
        self.log(notice);
        // Who waits at a socket that others go on with is theirs.
        self.actions.push_back(if is_shared {
            PoolsAction::Replace(id)
        } else {
            PoolsAction::Stop(id, Rung::Retire)
        });
    }

    /// Kills pools that were asked to leave and have not; a stop of all has a limit of its own.
    pub(super) fn decide_leaving(&mut self, now: Time) {
        if !matches!(self.phase, Phase::Serving) {
            return;
        }
        let limit = self.config.stop_timeout;
        let is_late = |pool: &Pool| matches!(pool.stage, Stage::Leaving { since } if now.since(since) >= limit);
        let late: Vec<_> = self.ids().filter(|(_, it)| is_late(it)).map(|(id, _)| id).collect();
        if !late.is_empty() {
            self.log(PoolsNotice::Killed { pools: late.len() });
        }
        for id in late {
            self.with(id, |pool| pool.stage = Stage::Stuck);
            self.actions.push_back(PoolsAction::Stop(id, Rung::Kill));
        }
    }
}

impl Pool {
    /// How far its process has come; one that is about to be started is the next program's to start.
    const fn handed_stage(&self) -> HandedStage {
        match self.stage {
            Stage::Down | Stage::Asked => HandedStage::Down,
            Stage::Starting { since } => HandedStage::Starting { since },
            Stage::Serving { since } => HandedStage::Serving { since },
            Stage::Stuck => HandedStage::Stuck,
            Stage::Leaving { since } => HandedStage::Leaving { since },
        }
    }

    fn adopt(&mut self, handed: &HandedPool) {
        let HandedPool { stage, runs, not_upgraded, lost, reloads, identity: _, held: _ } = handed;
        (self.runs, self.reloads) = (*runs, *reloads);
        (self.has_refused, self.is_lost) = (*not_upgraded, *lost);
        self.was_ready = matches!(stage, HandedStage::Serving { .. });
        self.stage = match *stage {
            HandedStage::Down => Stage::Down,
            HandedStage::Starting { since } => Stage::Starting { since },
            HandedStage::Serving { since } => Stage::Serving { since },
            HandedStage::Stuck => Stage::Stuck,
            HandedStage::Leaving { since } => Stage::Leaving { since },
        };
    }
}
