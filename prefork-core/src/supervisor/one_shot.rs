//! Pools of children that serve one client each, and end.
//!
//! A child that has taken its client is *spent*: it is at work, ends by itself, and counts for nobody who comes. So the
//! target of such a pool is how many wait for a client ([`Spares`]), and the room for them is what spent ones leave of
//! the maximum. The rest is as in other pools: limits of time hold for spent children, a stop asks them, and what they leave behind
//! is ended.

use std::time::Duration;

use super::{Phase, Supervisor};
use crate::{
    Config, Pool, SlotId, Time,
    slots::{Child, Stage},
    spares::{Bounds, Spares},
};

/// How soon after the last look there is another one because nobody is left who waits for a client.
const EXHAUSTED: Duration = Duration::from_millis(10);

/// What is known of such a pool.
#[derive(Clone, Debug)]
pub(super) struct OneShot {
    spares: Spares,
    /// How many clients were taken, as long as the pool starts: who has taken one has come up.
    taken_at_start: usize,
    /// When fewer are to wait, if nobody comes.
    due: Option<Time>,
}

impl OneShot {
    pub(super) fn of(config: &Config) -> Option<Self> {
        let spares = Spares::new(bounds(config)?);
        Some(Self { spares, taken_at_start: 0, due: None })
    }

    /// Notes how many were to wait before this program took over.
    pub(super) fn resume(&mut self, now: Time, wanted: u32) {
        self.spares.resume(now, wanted);
    }

    /// Notes how many clients wait, and children beside them that only seem to be free.
    pub(super) fn waiting(&mut self, now: Time, clients: u32) {
        self.spares.waiting(now, clients);
    }

    pub(super) const fn taken_at_start(&self) -> usize {
        self.taken_at_start
    }
}

fn bounds(config: &Config) -> Option<Bounds> {
    match config.pool {
        Pool::OneShot(tuning) => Some(Bounds::new(config, tuning)),
        Pool::Fixed | Pool::ByLoad(_) => None,
    }
}

impl Supervisor {
    /// Goes on within what the settings say now.
    pub(super) fn change_one_shot(&mut self) {
        if let (Some(one_shot), Some(bounds)) = (&mut self.one_shot, bounds(&self.config)) {
            one_shot.spares.change(bounds);
        }
    }

    /// Takes in that a child waits for its client.
    pub(super) fn spare_came_up(&mut self, now: Time, slot: SlotId) {
        let Some(one_shot) = &mut self.one_shot else { return };
        if let Some(child) = self.slots.get(slot).filter(|child| child.has_not_served()) {
            one_shot.spares.came_up(now.since(child.spawned));
        }
    }

    /// Takes in that a child has taken its only client.
    pub(super) fn client_taken(&mut self, now: Time, slot: SlotId) {
        let Some(one_shot) = &mut self.one_shot else { return };
        if !self.slots.spend(slot) {
            return;
        }
        one_shot.spares.taken(now);
        match self.phase {
            Phase::New | Phase::Starting { .. } => one_shot.taken_at_start += 1,
            Phase::Serving | Phase::Stopping { .. } | Phase::Over => {}
        }
        if self.slots.serving() == 0
            && let Some(watch) = &mut self.watch
        {
            let next = watch.seen.map_or(now, |seen| now.max(seen + EXHAUSTED));
            watch.observe_by(next);
        }
    }

    /// Follows how many clients come: more are to wait, or some that wait are asked to leave.
    pub(super) fn decide_spares(&mut self, now: Time) {
        if !matches!(self.phase, Phase::Serving) {
            return;
        }
        // Those that stand in for others are not too many.
        let is_replacing = self.outgoing().next().is_some();
        let Some(one_shot) = &mut self.one_shot else { return };
        let waiting = self.slots.serving();
        self.target = one_shot.spares.target(now, waiting);
        one_shot.due = None;
        if is_replacing {
            return;
        }
        let surplus = one_shot.spares.surplus(now, waiting);
        one_shot.due = one_shot.spares.due(now, waiting - surplus as usize);
        if surplus == 0 {
            return;
        }
        // Those first that have waited for longest: their memory is shared least.
        let mut waiting: Vec<(u64, SlotId)> = self
            .staying()
            .filter(|(_, child)| child.stage == Stage::Serving)
            .map(|(slot, child)| (child.serial, slot))
            .collect();
        waiting.sort_unstable();
        for (_, slot) in waiting.into_iter().take(surplus as usize) {
            self.stats.retired += 1;
            self.retire(now, slot);
        }
    }

    /// When fewer are to wait, if nobody comes.
    pub(super) fn spares_due(&self) -> Option<Time> {
        self.one_shot.as_ref().filter(|_| matches!(self.phase, Phase::Serving))?.due
    }

    /// Asks spent children of older generations to leave, which ends nobody's request: so they have as long for it as any
    /// other that is replaced.
    pub(super) fn retire_spent(&mut self, now: Time) {
        let Some(awaited) = self.awaited().filter(|_| self.slots.spent() > 0) else { return };
        let is_old = |child: &Child| child.stage == Stage::Spent && child.generation < awaited;
        let old = self.slots.iter().filter(|(_, child)| is_old(child)).map(|(slot, _)| slot);
        for slot in old.collect::<Vec<_>>() {
            self.retire(now, slot);
        }
    }
}
