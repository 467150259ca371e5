//! How much memory the children have, where that is measured: who is retired first, and what is done near the limit.
//!
//! Measuring a child costs system calls, so it is asked for only where it decides something. When a pool shrinks, or
//! children are replaced and there is a choice, the largest of those that have nothing to do goes first. Near the limit
//! of the pool the guard decides ([`MemoryGuard`]). It looks while children are at work, as far as that is known, and
//! when the kernel reports that memory is short ([`Event::MemoryShort`]). At rest nobody looks.
//!
//! [`Event::MemoryShort`]: crate::Event::MemoryShort

use std::{collections::BTreeMap, time::Duration};

use super::{Phase, Supervisor};
use crate::{
    Action, ChildNotice, Measured, Measuring, Notice, OwnLimit, PoolMemory, PoolNotice, Rung,
    SlotId, Time,
    memory_guard::{Finding, MemoryGuard, Standing, Weighed},
    slots::{Child, Stage},
};

/// For so long the sizes of children that have nothing to do are good enough to choose by.
const FRESH: Duration = Duration::from_secs(1);

/// Sizes that differ by less than such a part of the largest one are the same: then other reasons count.
const STEPS: u64 = 8;

/// Between the looks of the guard at least so much time passes when children begin to work.
const LEAST: Duration = Duration::from_millis(5);

/// Without knowing who works, the guard stops looking after so many looks without growth.
const CALM: u32 = 3;

/// While memory is short it looks on for so long without growth.
const QUIET: Duration = Duration::from_millis(500);

/// What is known of memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    guard: MemoryGuard,
    /// When the pool is to be looked at.
    look_at: Option<Time>,
    /// When it was.
    looked: Option<Time>,
    /// Whether it was asked for a measure that has not come yet.
    asked: bool,
    /// How many looks in a row have seen no growth.
    calm: u32,
    /// When there was growth, or the kernel reported that memory is short.
    stirred: Option<Time>,
    /// What each child has had, by its serial number, and when.
    sizes: BTreeMap<u64, u64>,
    weighed: Option<Time>,
    /// How many children are to be retired once they are weighed.
    shrink: Option<Shrink>,
}

/// Children that are too many, before it is decided which.
#[derive(Clone, Debug)]
struct Shrink {
    fewer: usize,
    /// Those that may go, best first as far as their sizes do not matter.
    free: Vec<SlotId>,
}

impl Supervisor {
    /// Takes in how much memory is in use, in answer to [`Action::Measure`].
    pub fn measured(&mut self, now: Time, measured: &Measured<'_>) {
        if self.is_over() {
            return;
        }
        self.memory.asked = false;
        if let Some(children) = measured.children {
            self.note_sizes(children);
            self.memory.weighed = Some(now);
            self.note_weighed(now, measured.preloaded);
        }
        let own = measured
            .own
            .map(|OwnLimit { limit, parent }| PoolMemory::estimate(limit, parent, self.sizes()));
        if matches!(self.phase, Phase::Serving) {
            match measured.pool.into_iter().chain(own).reduce(PoolMemory::tighter) {
                Some(pool) => self.guard(now, pool, measured.children.is_some()),
                None => self.memory.look_at = None,
            }
            self.shrink_weighed(now);
        }
        self.decide(now);
    }

    /// Returns the slots of the children that an [`Action::Measure`] with children asks for, lowest first. Those that were
    /// killed are left alone: whoever looks at the last moment of one may have to give its memory back.
    pub fn slots_to_weigh(&self) -> impl Iterator<Item = SlotId> {
        let weighed =
            self.slots.iter().filter(|(_, child)| standing(child, false) != Standing::Killed);
        weighed.map(|(slot, _)| slot)
    }

    /// Takes in how much each child has. Who was killed has what it had at last, until it has gone.
    fn note_sizes(&mut self, children: &[(SlotId, u64)]) {
        let killed =
            self.slots.iter().filter(|(_, child)| standing(child, false) == Standing::Killed);
        let killed = killed
            .filter_map(|(_, child)| Some((child.serial, *self.memory.sizes.get(&child.serial)?)));
        let serial = |slot: SlotId| self.slots.get(slot).map(|child| child.serial);
        let sizes = children.iter().filter_map(|(slot, bytes)| Some((serial(*slot)?, *bytes)));
        self.memory.sizes = sizes.chain(killed).collect();
    }

    /// Returns whether nobody looks at the memory of the pool, so that [`Event::MemoryShort`] is news.
    ///
    /// [`Event::MemoryShort`]: crate::Event::MemoryShort
    #[must_use]
    pub fn awaits_memory_alarm(&self) -> bool {
        matches!(self.phase, Phase::Serving)
            && self.measures(Measuring::Guard)
            && self.memory.look_at.is_none()
            && !self.memory.asked
    }

    /// Takes in that memory is short, as the kernel says.
    pub(super) fn note_memory_short(&mut self, now: Time) {
        if self.awaits_memory_alarm() {
            self.memory.calm = 0;
            self.memory.stirred = Some(now);
            self.memory.look_at = Some(self.next_look_after(now));
        }
    }

    /// When the guard may look: soon after it last did, or at once.
    fn next_look_after(&self, now: Time) -> Time {
        self.memory.looked.map_or(now, |looked| now.max(looked + LEAST))
    }

    /// Has the guard look while children are at work.
    pub(super) fn note_work_of(&mut self, busy: u32) {
        if busy > 0 && self.memory.look_at.is_none() && self.measures(Measuring::Guard) {
            self.memory.look_at = Some(self.memory.looked.map_or(Time::ZERO, |at| at + LEAST));
        }
    }

    /// Returns whether so little is left that no more children are to be started for the load.
    pub(super) const fn is_memory_short(&self) -> bool {
        self.memory.guard.short_since().is_some()
    }

    /// When the memory of the pool is to be looked at.
    pub(super) fn memory_due(&self) -> Option<Time> {
        self.memory.look_at.filter(|_| matches!(self.phase, Phase::Serving) && !self.memory.asked)
    }

    /// Asks for a look when one is due.
    pub(super) fn decide_memory(&mut self, now: Time) {
        if self.memory_due().is_some_and(|due| now >= due) {
            self.memory.look_at = None;
            self.measure(false);
        }
    }

    fn measures(&self, least: Measuring) -> bool {
        self.config.measuring >= least
    }

    /// Whether a measure was asked for and has not come.
    pub(super) const fn is_measuring(&self) -> bool {
        self.memory.asked
    }

    /// Returns what each child has had when it was weighed last, in bytes.
    pub(super) fn sizes(&self) -> impl Iterator<Item = u64> {
        self.memory.sizes.values().copied()
    }

    pub(super) fn measure(&mut self, children: bool) {
        self.memory.asked = true;
        self.actions.push_back(Action::Measure { children });
    }

    fn guard(&mut self, now: Time, pool: PoolMemory, is_weighed: bool) {
        let was_short = self.memory.guard.short_since();
        let weighed: Option<Vec<_>> = is_weighed.then(|| self.weigh());
        let finding = self.memory.guard.look(now, pool, weighed.as_deref());
        if finding == Finding::Weigh {
            self.measure(true);
            return;
        }
        let PoolMemory { used, limit } = pool;
        match (was_short, self.memory.guard.short_since()) {
            (None, Some(_)) => self.log(Notice::Pool(PoolNotice::MemoryShort { used, limit })),
            (Some(since), None) => {
                let lasted = now.since(since);
                self.log(Notice::Pool(PoolNotice::MemoryEased { used, limit, lasted }));
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
        match finding {
            Finding::Enough | Finding::Weigh => {}
            Finding::Retire { serial, bytes } => {
                if let Some(slot) = self.slot_of(serial) {
                    let notice = ChildNotice::RetiredForMemory { bytes, used, limit };
                    self.log(Notice::Child(self.id(slot), notice));
                    self.stats.retired_for_memory += 1;
                    self.retire(now, slot);
                }
            }
            Finding::End { serial, bytes, grew, over } => {
                if let Some(slot) = self.slot_of(serial) {
                    let notice = ChildNotice::EndedForMemory { bytes, grew, over, used, limit };
                    self.log(Notice::Child(self.id(slot), notice));
                    self.stats.ended_for_memory += 1;
                    self.end(now, slot, Rung::Kill);
                }
            }
        }
        self.memory.looked = Some(now);
        self.memory.look_at =
            self.keeps_looking(now).then(|| self.memory.guard.next_look(now, pool));
    }

    /// Whether the memory of the pool may grow: somebody is at work, as far as that is known.
    fn keeps_looking(&mut self, now: Time) -> bool {
        if self.memory.guard.grows() {
            (self.memory.calm, self.memory.stirred) = (0, Some(now));
        } else {
            self.memory.calm = self.memory.calm.saturating_add(1);
        }
        // Where little is left, looks come so often that who grows may just not have run meanwhile.
        let stirs = self.is_memory_short()
            && self.memory.stirred.is_some_and(|stirred| now.since(stirred) < QUIET);
        let may_grow = self.memory.calm < CALM || stirs;
        let leaving = self.slots.leaving() > 0;
        let Some(watch) = &mut self.watch else { return leaving || may_grow };
        let works = self.slots.iter().any(|(_, child)| {
            child.eighths > 0 && matches!(child.stage, Stage::Serving | Stage::Leaving { .. })
        });
        // Whether they still are nobody may say.
        if works && watch.seen.is_none_or(|seen| now.since(seen) >= FRESH) {
            watch.observe_soon(now);
        }
        works || leaving || may_grow
    }

    fn slot_of(&self, serial: u64) -> Option<SlotId> {
        self.slots.iter().find(|(_, child)| child.serial == serial).map(|(slot, _)| slot)
    }

    /// The children that were weighed, and what may be done with each.
    fn weigh(&self) -> Vec<Weighed> {
        let knows_idle = self.watch.is_some();
        let weighed = self.slots.iter().filter_map(|(_, child)| {
            let bytes = *self.memory.sizes.get(&child.serial)?;
            Some(Weighed { serial: child.serial, bytes, standing: standing(child, knows_idle) })
        });
        weighed.collect()
    }

    // Who goes first.

    /// Retires so many of these children, which are in the order in which they would go if they had the same size; of those
    /// that have nothing to do the largest first.
    pub(super) fn retire_free(&mut self, now: Time, free: Vec<SlotId>, fewer: usize) {
        if free.len() > fewer && self.measures(Measuring::Children) && !self.are_sizes_known(now) {
            self.memory.shrink = Some(Shrink { fewer, free });
            self.measure(true);
            return;
        }
        self.retire_first(now, free, fewer);
    }

    /// Goes on with what has waited for sizes.
    fn shrink_weighed(&mut self, now: Time) {
        if self.memory.weighed == Some(now)
            && let Some(Shrink { fewer, free }) = self.memory.shrink.take()
        {
            let free = free.into_iter().filter(|slot| self.is_serving(*slot)).collect();
            self.retire_first(now, free, fewer);
        }
    }

    /// Leaves the choice to others.
    pub(super) fn forget_shrink(&mut self) {
        self.memory.shrink = None;
    }

    fn retire_first(&mut self, now: Time, mut free: Vec<SlotId>, fewer: usize) {
        // A stable sort: the order that there is counts among equals.
        let largest = self.largest(&free);
        free.sort_by_key(|slot| self.rank(*slot, largest));
        for slot in free.into_iter().take(fewer) {
            self.target = self.target.saturating_sub(1);
            self.stats.retired += 1;
            self.retire(now, slot);
        }
    }

    /// Returns by what children are put in order: those that have nothing to do before the others, and of these the largest
    /// first. Small differences do not matter.
    pub(super) fn rank(&self, slot: SlotId, largest: u64) -> (u8, u64) {
        let eighths = self.slots.get(slot).map_or(8, |child| child.eighths);
        let step = (largest / STEPS).max(1);
        let size = self.size(slot).unwrap_or(0).min(largest);
        let smaller = if eighths == 0 { (largest - size) / step } else { 0 };
        (eighths, smaller)
    }

    /// Returns the size of the largest of these.
    pub(super) fn largest(&self, slots: &[SlotId]) -> u64 {
        slots.iter().filter_map(|slot| self.size(*slot)).max().unwrap_or(0)
    }

    fn size(&self, slot: SlotId) -> Option<u64> {
        let serial = self.slots.get(slot)?.serial;
        self.memory.sizes.get(&serial).copied()
    }

    fn are_sizes_known(&self, now: Time) -> bool {
        self.memory.weighed.is_some_and(|weighed| now.since(weighed) <= FRESH)
    }

    /// Whether the sizes of children are known, where they are measured at all and it is known who has nothing to do; asks for
    /// them if not.
    pub(super) fn knows_sizes(&mut self, now: Time) -> bool {
        let known = self.watch.is_none()
            || !self.measures(Measuring::Children)
            || self.are_sizes_known(now);
        if !known && !self.memory.asked {
            self.measure(true);
        }
        known
    }
}

/// What may be done with a child, where it is known who has nothing to do or not.
const fn standing(child: &Child, knows_idle: bool) -> Standing {
    match child.stage {
        Stage::Serving if knows_idle && child.worked && child.eighths == 0 => Standing::Idle,
        Stage::Serving | Stage::Starting | Stage::Entered { .. } | Stage::Spent => Standing::Busy,
        Stage::Leaving { .. } if child.unkillable => Standing::Unkillable,
        Stage::Leaving { ladder } => match ladder.rung() {
            Rung::Retire | Rung::Interrupt | Rung::Abort => Standing::Busy,
            Rung::Kill => Standing::Killed,
        },
    }
}
