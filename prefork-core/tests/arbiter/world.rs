//! Pools that follow what they may have, and clients of theirs.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use prefork_core::{Arbiter, Ceiling, Need, Quota, Time, pools::PoolId};

use crate::ms;

pub(crate) const STEP: Duration = ms(5);

/// A pool keeps children for so long that it does not need.
const CALM: Duration = ms(3000);

/// How long messages are under way, in each direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delay {
    pub(crate) caps: Duration,
    pub(crate) reports: Duration,
}

/// A pool as a supervisor leads it, but simpler: children start at once.
#[derive(Debug)]
pub(crate) struct Pool {
    quota: Quota,
    pub(crate) is_running: bool,
    /// Until when it is stopped, and neither hears nor does anything.
    pub(crate) stopped: Time,
    ceiling: u32,
    pub(crate) alive: u32,
    /// When each request in hand is finished.
    busy: Vec<Time>,
    pub(crate) queue: VecDeque<Duration>,
    /// How many it has wanted, and when that was so last.
    needed: VecDeque<(Time, u32)>,
    caps: VecDeque<(Time, u32)>,
    reports: VecDeque<(Time, Need)>,
    reported: Need,
    /// What a child takes, in bytes.
    pub(crate) takes: u64,
    /// What the arbiter has heard of it last.
    heard: Need,
    pub(crate) served: usize,
    pub(crate) starts: usize,
}

impl Pool {
    const fn new(quota: Quota) -> Self {
        Self {
            quota,
            is_running: false,
            stopped: Time::ZERO,
            ceiling: 0,
            alive: 0,
            busy: Vec::new(),
            queue: VecDeque::new(),
            needed: VecDeque::new(),
            caps: VecDeque::new(),
            reports: VecDeque::new(),
            reported: Need { alive: 0, busy: 0, wanted: 0, ceiling: None, child_memory: 0 },
            takes: quota.child_memory,
            heard: Need { alive: 0, busy: 0, wanted: 0, ceiling: None, child_memory: 0 },
            served: 0,
            starts: 0,
        }
    }

    fn count(&self) -> u32 {
        u32::try_from(self.busy.len()).expect("few")
    }

    fn start(&mut self, ceiling: u32) {
        (self.is_running, self.ceiling) = (true, ceiling);
        self.starts += 1;
    }

    /// What it would have.
    fn wanted(&mut self, now: Time) -> u32 {
        let waiting = u32::try_from(self.queue.len()).expect("few");
        let need = self.count() + waiting + 1;
        self.needed.push_back((now, need));
        while self.needed.front().is_some_and(|(at, _)| now.since(*at) >= CALM) {
            self.needed.pop_front();
        }
        let most = self.needed.iter().map(|(_, need)| *need).max().unwrap_or(0);
        // Who has fewer than that does not get those back that have nothing to do.
        let kept = most.min(self.alive).max(need);
        kept.max(self.quota.minimum).min(self.quota.maximum)
    }

    fn act(&mut self, now: Time, delay: Delay) {
        if !self.is_running || now < self.stopped {
            return;
        }
        while let Some((_, cap)) = pop_due(&mut self.caps, now) {
            self.ceiling = cap;
        }
        let before = self.busy.len();
        self.busy.retain(|until| *until > now);
        self.served += before - self.busy.len();
        // Those who were asked leave when they have finished.
        let over = self.alive.saturating_sub(self.ceiling);
        self.alive -= over.min(self.alive - self.count());
        let wanted = self.wanted(now);
        self.alive = self.alive.max(wanted.min(self.ceiling));
        while self.count() < self.alive.min(self.ceiling)
            && let Some(takes) = self.queue.pop_front()
        {
            self.busy.push(now + takes);
        }
        let idle_since = self.needed.iter().rev().find(|(_, need)| *need > 1);
        let is_idle = self.quota.minimum == 0 && idle_since.is_none() && self.needed.len() > 500;
        if is_idle || self.ceiling == 0 {
            self.alive = if is_idle { 0 } else { self.alive };
            if self.alive == 0 {
                self.is_running = false;
                self.needed.clear();
                self.caps.clear();
                self.reports.clear();
                return;
            }
        }
        let (alive, busy, ceiling) = (self.alive, self.count(), Some(self.ceiling));
        let need = Need { alive, busy, wanted, ceiling, child_memory: self.takes };
        if need != self.reported {
            self.reported = need;
            self.reports.push_back((now + delay.reports, need));
        }
    }
}

/// Takes the next message if it has arrived.
fn pop_due<T>(messages: &mut VecDeque<(Time, T)>, now: Time) -> Option<(Time, T)> {
    let is_due = messages.front().is_some_and(|(at, _)| *at <= now);
    if is_due { messages.pop_front() } else { None }
}

fn most(ceiling: Ceiling) -> u32 {
    ceiling.children().unwrap_or(u32::MAX)
}

pub(crate) struct World {
    pub(crate) arbiter: Arbiter,
    pub(crate) pools: BTreeMap<PoolId, Pool>,
    pub(crate) now: Time,
    pub(crate) delay: Delay,
    /// There may be so many until then, as pools have to hear of a lower ceiling, and requests to end.
    lowered: (Time, u32),
    pub(crate) ceiling: Ceiling,
    pub(crate) changes: usize,
    pub(crate) decisions: usize,
}

impl World {
    pub(crate) fn new(ceiling: impl Into<Ceiling>, quotas: &[Quota], delay: Delay) -> Self {
        let ceiling = ceiling.into();
        let quotas: Vec<_> = (0..).map(PoolId).zip(quotas.iter().copied()).collect();
        let mut world = Self {
            arbiter: Arbiter::new(ceiling, quotas.iter().copied()).expect("valid"),
            pools: quotas.into_iter().map(|(id, quota)| (id, Pool::new(quota))).collect(),
            now: Time::after_origin(ms(1_000_000)),
            delay,
            lowered: (Time::ZERO, 0),
            ceiling,
            changes: 0,
            decisions: 0,
        };
        world.run(ms(50));
        world
    }

    pub(crate) fn pool(&mut self, id: u32) -> &mut Pool {
        self.pools.get_mut(&PoolId(id)).expect("there is one")
    }

    pub(crate) fn come(&mut self, id: u32, requests: usize, takes: Duration) {
        self.pool(id).queue.extend(std::iter::repeat_n(takes, requests));
    }

    pub(crate) fn alive(&self) -> Vec<u32> {
        self.pools.values().map(|pool| pool.alive).collect()
    }

    pub(crate) fn caps(&self) -> Vec<u32> {
        self.pools.keys().map(|id| self.arbiter.cap(*id)).collect()
    }

    pub(crate) fn served(&self) -> usize {
        self.pools.values().map(|pool| pool.served).sum()
    }

    /// Shares another ceiling among others; pools that are not among them end when they have finished.
    pub(crate) fn reconfigure(&mut self, ceiling: u32, quotas: &[(PoolId, Quota)]) -> bool {
        let ceiling = Ceiling::Children(ceiling);
        if self.arbiter.reconfigure(ceiling, quotas.iter().copied()).is_err() {
            return false;
        }
        let (until, before) = self.lowered;
        let before = if self.now < until { before } else { 0 };
        self.lowered = (self.now + ms(15_000), most(self.ceiling).max(before));
        self.ceiling = ceiling;
        let now = self.now;
        for (id, pool) in &mut self.pools {
            if !quotas.iter().any(|(other, _)| other == id) {
                pool.queue.clear();
                pool.quota = Quota { minimum: 0, maximum: 0, weight: 1, child_memory: 0 };
                pool.caps.push_back((now, 0));
            }
        }
        for (id, quota) in quotas {
            self.pools.entry(*id).or_insert_with(|| Pool::new(*quota)).quota = *quota;
        }
        self.decide();
        true
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.now + STEP;
            self.step();
        }
    }

    /// Lets time pass until every client is served, 1,995 s at the most; returns those pools in which some still wait, and how many.
    pub(crate) fn serve_all(&mut self) -> Vec<(PoolId, usize)> {
        for _ in 0..399 {
            if self.pools.values().all(|pool| pool.queue.is_empty()) {
                break;
            }
            self.run(Duration::from_secs(5));
        }
        let waits = self.pools.iter().map(|(id, pool)| (*id, pool.queue.len()));
        waits.filter(|(_, waiting)| *waiting > 0).collect()
    }

    fn step(&mut self) {
        let (now, delay) = (self.now, self.delay);
        let mut is_news = self.arbiter.deadline().is_some_and(|due| now >= due);
        for (id, pool) in &mut self.pools {
            let was_running = pool.is_running;
            pool.act(now, delay);
            if was_running && !pool.is_running {
                let child_memory = pool.heard.child_memory;
                pool.heard = Need { child_memory, ..Need::default() };
                self.arbiter.ended(now, *id);
                is_news = true;
            }
            while let Some((_, need)) = pop_due(&mut pool.reports, now) {
                self.arbiter.report(now, *id, need);
                pool.heard = need;
                is_news = true;
            }
            if !pool.is_running && !pool.queue.is_empty() {
                let wants = u32::try_from(pool.queue.len()).expect("few");
                self.arbiter.wants(now, *id, wants);
                is_news = true;
            }
        }
        let alive: u32 = self.pools.values().map(|pool| pool.alive).sum();
        let (until, before) = self.lowered;
        let most = most(self.ceiling);
        let most = if now < until { most.max(before) } else { most };
        assert!(alive <= most, "{alive} of {:?}", self.ceiling);
        if is_news {
            self.decide();
        }
        self.start();
        self.pools.retain(|_, pool| pool.is_running || pool.quota.maximum > 0);
    }

    fn decide(&mut self) {
        self.decisions += 1;
        let before: BTreeMap<_, _> =
            self.pools.keys().map(|id| (*id, self.arbiter.cap(*id))).collect();
        let changed = self.arbiter.decide(self.now);
        let has = |id: &PoolId| self.pools.get(id).map_or(0, |pool| pool.heard.alive);
        if changed
            .iter()
            .any(|(id, cap)| *cap > has(id) && before.get(id).is_none_or(|it| cap > it))
        {
            self.assert_room();
        }
        for (id, cap) in changed {
            self.changes += 1;
            if let Some(pool) = self.pools.get_mut(&id).filter(|pool| pool.is_running) {
                pool.caps.push_back((self.now + self.delay.caps, cap));
            }
        }
        let deadline = self.arbiter.deadline();
        assert!(deadline.is_none_or(|due| due > self.now), "{deadline:?} at {:?}", self.now);
        assert_eq!(self.arbiter.clone().decide(self.now), [], "one decision is enough");
    }

    /// When a pool gets more than it has there is room for that, by what children are known to take.
    fn assert_room(&self) {
        let Some(memory) = self.ceiling.memory() else { return };
        let sum: u64 = self
            .pools
            .iter()
            .map(|(id, pool)| u64::from(pool.alive.max(self.arbiter.cap(*id))) * self.known(*id))
            .sum();
        assert!(sum <= memory, "{sum} of {memory}");
    }

    /// What a child of a pool is known to take, as far as the other pools leave room for it.
    pub(crate) fn known(&self, id: PoolId) -> u64 {
        let minimum = |pool: &Pool| u64::from(pool.quota.minimum) * pool.quota.child_memory;
        let others = self.pools.iter().filter(|(other, _)| **other != id);
        let others: u64 = others.map(|(_, pool)| minimum(pool)).sum();
        let memory = self.ceiling.memory().unwrap_or(u64::MAX);
        let Pool { quota, heard, .. } = &self.pools[&id];
        let most = (memory - others) / u64::from(quota.minimum.max(1));
        quota.child_memory.max(heard.child_memory.min(most))
    }

    /// How much all children take.
    pub(crate) fn taken(&self) -> u64 {
        self.pools.values().map(|pool| u64::from(pool.alive) * pool.takes).sum()
    }

    /// Starts pools that need to run and may.
    fn start(&mut self) {
        for (id, pool) in &mut self.pools {
            let cap = self.arbiter.cap(*id);
            let needs = pool.quota.minimum > 0 || !pool.queue.is_empty();
            if !pool.is_running && needs && cap > 0 {
                pool.start(cap);
                self.arbiter.started(*id);
            }
        }
    }
}
