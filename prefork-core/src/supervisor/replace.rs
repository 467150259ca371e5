//! Replacing children that still serve: by a new generation, or because they are tired or old.
//!
//! All is one rule. A child that is to be replaced is *outgoing*, and goes on serving. For outgoing
//! children, stand-ins are spawned above the target, [`Config::max_unavailable`] at a time. Whenever
//! more children serve than the target says, an outgoing one is asked to leave. So the new one is
//! ready before the old one is asked, whatever the reason, and a pool whose new children do not come
//! up keeps its old ones.
//!
//! [`Config::max_unavailable`]: crate::Config::max_unavailable

use super::{Phase, Supervisor};
use crate::{
    Generation, Notice, Rung, SlotId, Time, jittered,
    slots::{Child, Stage},
};

/// The replacement of a generation by the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roll {
    pub(super) began: Time,
}

impl Supervisor {
    /// Begins a roll that was asked for, and notes the end of one.
    pub(super) fn decide_roll(&mut self, now: Time) {
        if !matches!(self.phase, Phase::Serving) {
            return;
        }
        let generation = self.generation;
        if let Some(roll) = self.roll
            && self.slots.serving() > 0
            && !self
                .staying()
                .any(|(_, child)| child.generation < generation || child.stage != Stage::Serving)
        {
            self.roll = None;
            self.log(Notice::Reloaded { generation, took: now.since(roll.began) });
        }
        if self.roll.is_none() && std::mem::take(&mut self.roll_again) {
            self.generation = Generation(self.generation.0.saturating_add(1));
            self.roll = Some(Roll { began: now });
            self.log(Notice::Reloading { generation: self.generation });
        }
    }

    /// Ends the roll when a child of the new generation has died early.
    pub(super) fn fail_roll(&mut self, child: &Child) {
        if self.roll.is_none() || child.generation < self.generation {
            return;
        }
        self.roll = None;
        let generation = self.generation;
        let old = self.staying().filter(|(_, child)| child.generation < generation).count();
        self.log(Notice::ReloadFailed { generation, old });
    }

    /// Asks outgoing children to leave, as far as others serve in their place; longest there first.
    pub(super) fn decide_replace(&mut self, now: Time) {
        if !matches!(self.phase, Phase::Serving) {
            return;
        }
        let old = self.old_age().filter(|(due, _)| now >= *due).map(|(_, slot)| slot);
        for slot in old.collect::<Vec<_>>() {
            self.slots.update(slot, |child| child.tired = true);
        }
        let spare = self.slots.serving().saturating_sub(self.target as usize);
        let spare = if self.has_no_place_left() { spare.max(1) } else { spare };
        if spare == 0 {
            return;
        }
        let mut outgoing: Vec<_> = self
            .outgoing()
            .filter(|(_, child)| child.stage == Stage::Serving)
            .map(|(slot, child)| (child.serial, slot))
            .collect();
        outgoing.sort_unstable();
        for (_, slot) in outgoing.into_iter().take(spare) {
            self.deeds.replaced += 1;
            self.ask_to_leave(now, slot);
        }
    }

    /// Ends children that do not reach their main loop.
    pub(super) fn decide_stuck(&mut self, now: Time) {
        if self.stuck_due().is_none_or(|due| now < due) {
            return;
        }
        let limit = self.config.start_timeout;
        let stuck = self.starting().filter(|(_, child)| now.since(child.spawned) >= limit);
        for slot in stuck.map(|(slot, _)| slot).collect::<Vec<_>>() {
            self.log(Notice::StuckStarting { slot, limit });
            self.slots.update(slot, |child| child.stuck = true);
            self.end(now, slot, Rung::Interrupt);
        }
    }

    /// How many children may be there above the target, for those that are to be replaced.
    pub(super) fn stand_ins(&self) -> usize {
        if !matches!(self.phase, Phase::Serving) {
            return 0;
        }
        let room = (self.config.stand_ins() as usize).saturating_sub(self.slots.leaving_soon());
        if room == 0 { 0 } else { self.outgoing().take(room).count() }
    }

    /// Whether those who linger have all the places in which somebody could stand in, so that one must go
    /// before another can come.
    fn has_no_place_left(&self) -> bool {
        let on_the_move = self.slots.leaving_soon() + self.slots.starting() + self.slots.entered();
        self.slots.leaving() > 0
            && on_the_move == 0
            && self.slots.alive() >= self.config.slots() as usize
    }

    /// The children that serve until somebody else does in their place.
    pub(super) fn outgoing(&self) -> impl Iterator<Item = (SlotId, &Child)> {
        let before = self.roll.map_or(Generation(0), |_| self.generation);
        self.staying().filter(move |(_, child)| child.tired || child.generation < before)
    }

    /// When a child will have taken too long to start.
    pub(super) fn stuck_due(&self) -> Option<Time> {
        if !matches!(self.phase, Phase::Serving) {
            return None;
        }
        self.starting().map(|(_, child)| child.spawned + self.config.start_timeout).min()
    }

    /// When a child will have become too old.
    pub(super) fn old_age_due(&self) -> Option<Time> {
        self.old_age().map(|(due, _)| due).min()
    }

    fn old_age(&self) -> impl Iterator<Item = (Time, SlotId)> {
        let serving = matches!(self.phase, Phase::Serving);
        let limit = self.config.max_lifetime.filter(|_| serving);
        limit.into_iter().flat_map(move |limit| {
            self.staying()
                .filter(|(_, child)| child.stage == Stage::Serving && !child.tired)
                .map(move |(slot, child)| (child.spawned + jittered(limit, child.serial), slot))
        })
    }

    fn starting(&self) -> impl Iterator<Item = (SlotId, &Child)> {
        let children = (self.slots.starting() > 0).then(|| self.slots.iter());
        children.into_iter().flatten().filter(|(_, child)| child.stage == Stage::Starting)
    }

    pub(super) fn staying(&self) -> impl Iterator<Item = (SlotId, &Child)> {
        self.slots.iter().filter(|(_, child)| !matches!(child.stage, Stage::Leaving { .. }))
    }
}
