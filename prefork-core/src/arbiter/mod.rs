//! How many children each of several pools may have, where all together have a ceiling.
//!
//! Problem: capacity is to be where clients wait, but a child that another pool has cannot be taken away: only an idle one
//! leaves at once, one at work when its request ends. Each pool is a process of its own, which hears of a change some time
//! later, and may have started children meanwhile. And the sum must never be above the ceiling.
//!
//! Idea: two steps, each time. What each pool *should* have follows from what all need, by weighted max-min fairness
//! (`fill.rs`). What each *may* have moves there: caps sink at once, and rise only into room that is free for certain. Of a
//! pool that has not reported that it keeps to a cap that has sunk, the higher one counts; to be sure which one a report is
//! about, no pool has two changes under way. What no other pool lacks stays where it is: so at rest nothing changes, and a
//! pool that needs again what it had need not ask.
//!
//! What a pool should have, first that which comes first:
//!
//! 1. its minimum, whether it needs that or not: lent to others it would come back when their requests end, which may be
//!    never;
//! 2. one child, if it needs any: where there is not even room for that, pools take turns (`turns.rs`);
//! 3. what it needs for work: if it wants more than it has, all that; else as many as have been busy in the last
//!    [`TAKE_BACK`] and one to spare, as others are idle for a moment now and then; or, where three quarters are idle, which
//!    is no chance, as many as are busy and one to spare;
//! 4. what it would keep for a while though it is idle;
//! 5. what it may have already.
//!
//! Where it is memory that is shared, a child counts with what it takes: what is declared of its pool, or what children of
//! that take on average if that is more, as its process reports it (`pool.rs`). So what pools have can become more than
//! there is though nobody has got more: then they are to have fewer, down to their minimums.

mod ceiling;
mod error;
mod fill;
mod pool;
mod turns;

use std::{collections::BTreeMap, time::Duration};

use self::{
    ceiling::Amount,
    fill::{Claimant, MOST_WEIGHT, fill},
    pool::Pool,
};
pub use self::{ceiling::Ceiling, error::ArbiterError, pool::Quota};
use crate::{
    Need, Time,
    pools::{Held, PoolId},
};

/// Idle children are left to their pool for so long after they were busy when others need them, unless nearly all of it is.
const TAKE_BACK: Duration = Duration::from_millis(500);

/// Shares one ceiling among pools: decides how many children each may have at the moment.
///
/// Report what each needs by [`report`](Self::report), call [`decide`](Self::decide) then and at
/// [`deadline`](Self::deadline), and pass on what has changed; a [`Supervisor`](crate::Supervisor) takes that as
/// [`Event::Ceiling`](crate::Event::Ceiling). How many reports come between two decisions does not matter.
///
/// # Promises
///
/// As long as pools keep to what they may have:
///
/// - All pools together never have more children than the ceiling, however late each of them hears of a change.
/// - A pool may always have its minimum. (One that was added gets it as room becomes free.)
/// - Children that are idle in one pool and needed by another are taken back when the pool has reported that three quarters
///   of it or more are idle, else after they have been idle for 0.5 s. The pool has to hear of it, and they to leave.
/// - Where all want more than there is, each has a share by its weight as requests end. If there is not even one child for
///   each, pools without a minimum take turns of 2 s, those first that have waited for longest.
/// - Equal needs have equal answers: if nothing changes nothing is changed, but for such turns.
///
/// # Memory
///
/// With [`Ceiling::Memory`] or [`Ceiling::Both`] each child counts with [`Quota::child_memory`], or with what children of its
/// pool take on average ([`Need::child_memory`]) if that is more: from then on, and until they have taken less for 10 s. What is
/// known of it counts while the pool has no process too.
/// It is then memory that pools share by their weights. As long as no child takes more than is declared of it, all of the
/// above holds for memory as for children. Where some do:
///
/// - No pool gets more before there is room for it, by what children take then.
/// - While children take more than the ceiling, pools may have fewer: those first that have more than
///   their share by what their children take. None may have less than its minimum for it, whatever that takes.
/// - While minimums alone take more than the ceiling, pools without one may have none.
/// - A pool counts with no more than would leave all others their minimums as declared, whatever is reported of it.
///
/// # Pools that sleep
///
/// A pool with a minimum of 0 may have 0 children: then it should have no process. Before one is started,
/// [`wants`](Self::wants) asks for room; when it is, it begins with [`cap`](Self::cap), and that is reported by
/// [`started`](Self::started). Such a pool must be able to sleep ([`Config::sleep_after`](crate::Config::sleep_after)), as it
/// may be left no child while others wait for a turn.
///
/// # Examples
///
/// ```
/// use prefork_core::{Arbiter, Need, Quota, Time, pools::PoolId};
///
/// let (web, jobs) = (PoolId(0), PoolId(1));
/// let mut arbiter = Arbiter::new(
///     10,
///     [
///         (web, Quota { minimum: 4, maximum: 10, weight: 2, child_memory: 0 }),
///         (jobs, Quota { minimum: 0, maximum: 10, weight: 1, child_memory: 0 }),
///     ],
/// )?;
/// assert_eq!(arbiter.cap(web), 4);
/// arbiter.started(web);
///
/// // Jobs come while the web is at rest, and its pool is started with all that it wants and may have.
/// arbiter.wants(Time::ZERO, jobs, 20);
/// assert_eq!(arbiter.decide(Time::ZERO), [(jobs, 6)]);
/// arbiter.started(jobs);
/// let need = Need { alive: 6, busy: 6, wanted: 20, ceiling: Some(6), child_memory: 0 };
/// arbiter.report(Time::ZERO, jobs, need);
///
/// // The web wants its share: twice as much. First the other pool is to have fewer.
/// let need = Need { alive: 4, busy: 4, wanted: 20, ceiling: Some(4), child_memory: 0 };
/// arbiter.report(Time::ZERO, web, need);
/// assert_eq!(arbiter.decide(Time::ZERO), [(jobs, 3)]);
///
/// // It keeps to that, but only two requests have ended: there is room for two.
/// let need = Need { alive: 4, busy: 3, wanted: 20, ceiling: Some(3), child_memory: 0 };
/// arbiter.report(Time::ZERO, jobs, need);
/// assert_eq!(arbiter.decide(Time::ZERO), [(web, 6)]);
/// # Ok::<(), prefork_core::ArbiterError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Arbiter {
    ceiling: Ceiling,
    pools: BTreeMap<PoolId, Pool>,
    due: Option<Time>,
}

impl Arbiter {
    /// Makes an arbiter for pools of which none has a process yet. Each may have its minimum.
    ///
    /// # Errors
    ///
    /// Fails if the ceiling is 0, below the sum of all minimums, or not above it though there are pools without a minimum; if
    /// a minimum is above its maximum, a maximum is 0, a weight is not from 1 to 10,000, or a pool is there twice. Where memory
    /// is shared, fails if the children of all minimums take more than there is, those of a pool without a minimum
    /// more than that leaves, or if it is not said what they take.
    pub fn new(
        ceiling: impl Into<Ceiling>,
        quotas: impl IntoIterator<Item = (PoolId, Quota)>,
    ) -> Result<Self, ArbiterError> {
        let ceiling = ceiling.into();
        let mut arbiter = Self { ceiling, pools: BTreeMap::new(), due: None };
        arbiter.reconfigure(ceiling, quotas)?;
        for pool in arbiter.pools.values_mut() {
            pool.begin_with(pool.quota.minimum);
        }
        Ok(arbiter)
    }

    /// Makes an arbiter for pools that have had another one, or none: those that have a process, with what they have of a
    /// ceiling. As with [`reconfigure`](Self::reconfigure), nobody gets more until there is room for it.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn adopt(
        now: Time,
        ceiling: impl Into<Ceiling>,
        quotas: impl IntoIterator<Item = (PoolId, Quota)>,
        held: impl IntoIterator<Item = (PoolId, Held)>,
    ) -> Result<Self, ArbiterError> {
        let ceiling = ceiling.into();
        let quotas = error::checked(ceiling, quotas)?;
        let held = held.into_iter().map(|(id, held)| (id, Pool::of(held, quotas.get(&id), now)));
        let mut arbiter = Self { ceiling, pools: held.collect(), due: None };
        arbiter.reconfigure(ceiling, quotas)?;
        Ok(arbiter)
    }

    /// Shares another ceiling, among other pools or by other quotas. What pools have that are not among these counts until
    /// they have [`ended`](Self::ended); they may have no children any more.
    ///
    /// Pools that are added, and those whose minimum is higher, get that as room becomes free. Until then, and until there are
    /// no more children than a lower ceiling allows, nobody else gets more.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new); nothing is changed then.
    pub fn reconfigure(
        &mut self,
        ceiling: impl Into<Ceiling>,
        quotas: impl IntoIterator<Item = (PoolId, Quota)>,
    ) -> Result<(), ArbiterError> {
        let ceiling = ceiling.into();
        let quotas = error::checked(ceiling, quotas)?;
        self.ceiling = ceiling;
        for (id, pool) in &mut self.pools {
            pool.is_removed = !quotas.contains_key(id);
        }
        self.pools.retain(|_, pool| !pool.is_removed || pool.bound() > 0 || pool.is_running);
        for (id, quota) in quotas {
            self.pools.entry(id).or_insert_with(|| Pool::new(quota)).quota = quota;
        }
        self.bound_sizes();
        Ok(())
    }

    /// Returns how many children a pool may have; 0 if it is not known.
    #[must_use]
    pub fn cap(&self, pool: PoolId) -> u32 {
        self.pools.get(&pool).map_or(0, |pool| pool.cap)
    }

    /// Takes in that a process was started for a pool, which knows that it may have [`cap`](Self::cap) children.
    pub fn started(&mut self, pool: PoolId) {
        if let Some(pool) = self.pools.get_mut(&pool) {
            pool.start();
        }
    }

    /// Takes in that a pool without a process is to be started, and how many children it would have.
    pub fn wants(&mut self, now: Time, pool: PoolId, children: u32) {
        if let Some(pool) = self.pools.get_mut(&pool).filter(|pool| !pool.is_running) {
            pool.note(now, Need { wanted: children.max(1), ..Need::default() });
        }
    }

    /// Takes in what a pool needs.
    pub fn report(&mut self, now: Time, pool: PoolId, need: Need) {
        if let Some(pool) = self.pools.get_mut(&pool).filter(|pool| pool.is_running) {
            pool.note(now, need);
        }
    }

    /// Takes in that all processes of a pool have gone.
    pub fn ended(&mut self, now: Time, pool: PoolId) {
        let Some(ended) = self.pools.get_mut(&pool) else { return };
        ended.end(now);
        if ended.is_removed {
            self.pools.remove(&pool);
        }
    }

    /// Decides how many children each pool may have from now on; returns those for which that has changed.
    pub fn decide(&mut self, now: Time) -> Vec<(PoolId, u32)> {
        let before: Vec<u32> = self.pools.values().map(|pool| pool.cap).collect();
        let sizes = self.sizes(now);
        let shares = self.shares(now, &sizes);
        for (pool, share) in self.pools.values_mut().zip(&shares) {
            if *share < pool.cap && pool.may_change() {
                pool.allow(now, *share);
            }
        }
        self.raise(now, &sizes, &shares);
        self.due = self.next_change(now);
        let changed = self.pools.iter().zip(before);
        changed
            .filter(|((_, pool), before)| pool.cap != *before)
            .map(|((id, pool), _)| (*id, pool.cap))
            .collect()
    }

    /// Returns when to [`decide`](Self::decide) again if nothing is reported before; `None` while every pool may have what it
    /// wants.
    #[must_use]
    pub const fn deadline(&self) -> Option<Time> {
        self.due
    }

    /// Sees to it that no pool counts with more than one child of it for each of its minimum can take beside the minimums of
    /// all others.
    fn bound_sizes(&mut self) {
        let Some(memory) = self.ceiling.memory() else { return };
        let minimums = self.pools.values().map(Pool::declared_minimum).fold(0, u64::saturating_add);
        for pool in self.pools.values_mut() {
            let others = minimums.saturating_sub(pool.declared_minimum());
            pool.largest = memory.saturating_sub(others) / u64::from(pool.minimum().max(1));
        }
    }

    /// Returns how much memory a child of each pool takes, in the unit in which it is shared.
    fn sizes(&self, now: Time) -> Vec<u64> {
        self.pools.values().map(|pool| self.ceiling.size(pool.child_memory(now))).collect()
    }

    /// Returns what each pool should have.
    fn shares(&self, now: Time, sizes: &[u64]) -> Vec<u32> {
        let capacity = self.ceiling.capacity();
        let divide = |floors: Vec<u32>, demand: fn(&Pool, Time) -> u32| {
            let claimants: Vec<_> = self
                .pools
                .values()
                .zip(sizes)
                .zip(floors)
                .map(|((pool, size), floor)| Claimant {
                    weight: pool.quota.weight,
                    size: *size,
                    floor,
                    demand: demand(pool, now),
                })
                .collect();
            fill(&claimants, capacity)
        };
        let shares = turns::first_children(&self.pools, sizes, capacity, now);
        let shares = divide(shares, Pool::working);
        let shares = divide(shares, |pool, _| pool.wanted());
        divide(shares, |pool, _| pool.kept())
    }

    /// Lets pools have more, as far as there is room for certain.
    fn raise(&mut self, now: Time, sizes: &[u64], shares: &[u32]) {
        let bounds = self.pools.values().zip(sizes);
        let bounds: Amount = bounds.map(|(pool, size)| Amount::of(pool.bound(), *size)).sum();
        let free = self.ceiling.capacity().without(bounds);
        let claimants: Vec<_> = self
            .pools
            .values()
            .zip(sizes)
            .zip(shares)
            .map(|((pool, size), share)| {
                let (weight, size, floor) = (pool.quota.weight, *size, pool.bound());
                let rises = *share > pool.cap && pool.may_change();
                Claimant { weight, size, floor, demand: if rises { *share } else { 0 } }
            })
            .collect();
        let room = fill(&claimants, bounds.and(free));
        for ((pool, share), room) in self.pools.values_mut().zip(shares).zip(room) {
            let cap = room.min(*share);
            if cap > pool.cap && pool.may_change() {
                pool.allow(now, cap);
            }
        }
    }

    /// When something changes if nothing is reported: idle children can be taken back, or a turn is over.
    fn next_change(&self, now: Time) -> Option<Time> {
        let is_short = self.pools.values().any(|pool| pool.cap < pool.wanted());
        if !is_short {
            return None;
        }
        let calms = self.pools.values().filter_map(|pool| pool.calms_at(now, TAKE_BACK));
        let turns = turns::next(&self.pools, now);
        let shrink = self.pools.values().filter_map(|pool| pool.shrinks_at(now));
        calms.chain(turns).chain(shrink).filter(|at| *at > now).min()
    }
}
