//! Replacing children that still serve: by a new generation, or because they are tired or old.
//!
//! All is one rule. A child that is to be replaced is *outgoing*, and goes on serving. For outgoing
//! children, stand-ins are spawned above the target, [`Config::max_surge`] at a time. Whenever
//! more children serve than the target says, an outgoing one is asked to leave: one that has nothing to do, if
//! there is one. It finishes what it has in hand, and holds nobody else up meanwhile. So the new one is
//! ready before the old one is asked, whatever the reason, and a pool whose new children do not come
//! up keeps its old ones.
//!
//! Where there is no room for a stand-in, because those that leave and have much in hand take it all, or because the
//! system gives no more processes, it is the other way round: an outgoing one leaves first.
//!
//! [`Config::max_surge`]: crate::Config::max_surge

use std::time::Duration;

use super::{Phase, Supervisor};
use crate::{
    ChildNotice, Generation, Notice, PoolNotice, Rung, SlotId, Time, jittered,
    slots::{Child, Stage},
};

/// A child that was retired so long ago and is still there has something in hand.
const SOON: Duration = Duration::from_millis(100);

/// For so long what the children were last seen doing is good enough to choose among them.
const FRESH: Duration = Duration::from_millis(5);

/// So many attempts to start a stand-in, a little more than a second of them, show that there is no room for any.
const REFUSALS: u32 = 8;

impl Supervisor {
    /// Asks outgoing children to leave, as far as others serve in their place: those that have nothing to do first, or least,
    /// of these the largest, where that is measured, and among equals those that have been there for longest.
    pub(super) fn decide_replace(&mut self, now: Time) {
        if !matches!(self.phase, Phase::Serving) {
            return;
        }
        let old = self.old_age().filter(|(due, _)| now >= *due).map(|(_, slot)| slot);
        for slot in old.collect::<Vec<_>>() {
            self.slots.update(slot, |child| child.recycle = true);
            if let (Some(lived), Some(limit)) = (self.lived(now, slot), self.config.max_lifetime) {
                self.log(Notice::Child(self.id(slot), ChildNotice::TooOld { lived, limit }));
            }
        }
        self.retire_spent(now);
        let is_short_of_room =
            self.awaited().is_some() || self.stand_ins() > 0 && self.slots.alive() >= self.room();
        let soon = self.leaving_soon(now).map(|(soon, _)| soon);
        self.replace_at = soon.filter(|_| is_short_of_room).min();
        // Those that were replaced are still in the way.
        if self.awaited().is_none() && self.slots.leaving() == 0 && self.stand_ins() == 0 {
            self.crowd = None;
            self.forget_pressure();
        }
        let mut outgoing: Vec<_> = self
            .outgoing()
            .filter(|(_, child)| child.stage == Stage::Serving)
            .map(|(slot, child)| (child.serial, slot))
            .collect();
        if outgoing.is_empty() {
            return;
        }
        let spare = match self.slots.serving().saturating_sub(self.goal()) {
            0 => self.make_room(now),
            spare => spare,
        };
        // Where there is a choice, it is made by what they are doing now.
        let has_choice = outgoing.len() > spare;
        if spare == 0 || has_choice && !(self.knows_idle(now) && self.knows_sizes(now)) {
            return;
        }
        let slots: Vec<_> = outgoing.iter().map(|(_, slot)| *slot).collect();
        let largest = self.largest(&slots);
        outgoing.sort_unstable_by_key(|(serial, slot)| (self.rank(*slot, largest), *serial));
        for (_, slot) in outgoing.into_iter().take(spare) {
            self.count_replacement(now, slot);
            self.retire(now, slot);
        }
    }

    /// Counts that a child is replaced, and why: the first reason that is true.
    fn count_replacement(&mut self, now: Time, slot: SlotId) {
        self.stats.replaced += 1;
        let Some(child) = self.slots.get(slot) else { return };
        let too_old = |limit| now >= old_age_of(child, limit);
        if self.awaited().is_some_and(|awaited| child.generation < awaited) {
            self.stats.replaced_old_generation += 1;
        } else if self.config.max_lifetime.is_some_and(too_old) {
            self.stats.replaced_old_age += 1;
        }
    }

    /// Returns how many outgoing children have to leave before others can come, where there is no room for
    /// stand-ins: some at a time, of which those do not count that have been asked and are at work. None while
    /// stand-ins that hang have to go first, in whose place the next are started.
    fn make_room(&mut self, now: Time) -> usize {
        if self.stand_ins() == 0 {
            return 0;
        }
        let is_full = self.slots.alive() >= self.room();
        if !is_full || self.slots.starting() + self.slots.entered() > 0 {
            return 0;
        }
        if let Some(until) = self.awaits_room(now) {
            self.replace_at = Some(self.replace_at.map_or(until, |at| at.min(until)));
            return 0;
        }
        (self.config.stand_ins() as usize).saturating_sub(self.leaving_soon(now).count())
    }

    /// The children that were retired a moment ago and have not left, each with the time at which they count as being at work.
    pub(super) fn leaving_soon(&self, now: Time) -> impl Iterator<Item = (Time, &Child)> {
        let children = (self.slots.leaving() > 0).then(|| self.slots.iter());
        let soon = children.into_iter().flatten().filter_map(|(_, child)| match child.stage {
            Stage::Leaving { ladder } => Some((ladder.since() + SOON, child)),
            Stage::Starting | Stage::Entered { .. } | Stage::Serving | Stage::Spent => None,
        });
        soon.filter(move |(soon, _)| *soon > now)
    }

    /// Whether it is known who has nothing to do, as far as that can be known; asks for an observation if it is not.
    pub(super) fn knows_idle(&mut self, now: Time) -> bool {
        let Some(watch) = &mut self.watch else { return true };
        let is_known = watch.seen.is_some_and(|seen| now.since(seen) <= FRESH);
        if !is_known {
            watch.observe_soon(now);
        }
        is_known
    }

    /// Takes in that a child could not be started. If children are to be replaced, and it was not for the first time,
    /// they leave before others are started from now on, until all are replaced.
    pub(super) fn note_refusal(&mut self, failures: u32) {
        if failures >= REFUSALS && self.crowd.is_none() && self.stand_ins() > 0 {
            let alive = self.slots.alive();
            self.crowd = Some(alive);
            self.log(Notice::Pool(PoolNotice::Crowded { alive }));
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
            self.log(Notice::Child(self.id(slot), ChildNotice::StuckStarting { limit }));
            self.stats.stuck_starts += 1;
            self.slots.update(slot, |child| child.stuck = true);
            self.end(now, slot, Rung::Interrupt);
        }
    }

    /// How many children may be there above the target, for those that are to be replaced. A retired child
    /// has its stand-in already, however long it takes.
    pub(super) fn stand_ins(&self) -> usize {
        let is_anybody_outgoing = self.awaited().is_some() || self.slots.recycling() > 0;
        // Asked with each event: the table is not to be searched for nobody.
        if !matches!(self.phase, Phase::Serving) || !is_anybody_outgoing {
            return 0;
        }
        let hanging = if self.slots.leaving() == 0 { 0 } else { self.hanging_in_their_start() };
        let most = (self.config.stand_ins() as usize).saturating_sub(hanging);
        if most == 0 { 0 } else { self.outgoing().take(most).count() }
    }

    /// How many stand-ins were ended as they do not come up: the next ones are tried once they have gone.
    fn hanging_in_their_start(&self) -> usize {
        let hangs = |child: &Child| {
            child.stuck && !child.unkillable && matches!(child.stage, Stage::Leaving { .. })
        };
        self.slots.iter().filter(|(_, child)| hangs(child)).count()
    }

    /// How many children there may be, those included that leave.
    pub(super) fn room(&self) -> usize {
        self.own_room().min(self.most())
    }

    /// How many there may be by the pool's own settings.
    pub(super) fn own_room(&self) -> usize {
        let most = self.config.stand_ins() as usize;
        let beyond = match self.stand_ins() {
            0 if self.slots.leaving() == 0 => 0,
            0 => self.slots.iter().filter(|(_, child)| self.is_replaced(child)).take(most).count(),
            _ => most,
        };
        let room = self.config.max_children() as usize + beyond;
        self.crowd.map_or(room, |crowd| room.min(crowd))
    }

    /// Whether a child leaves because another one is there in its place.
    fn is_replaced(&self, child: &Child) -> bool {
        matches!(child.stage, Stage::Leaving { .. })
            && (child.recycle || child.generation < self.generation)
    }

    /// The children that serve until somebody else does in their place.
    pub(super) fn outgoing(&self) -> impl Iterator<Item = (SlotId, &Child)> {
        let before = self.awaited().unwrap_or(Generation(0));
        self.staying().filter(move |(_, child)| child.recycle || child.generation < before)
    }

    /// When children that were asked to leave will have taken so long that they are at work, where that matters.
    pub(super) const fn replace_due(&self) -> Option<Time> {
        match self.phase {
            Phase::Serving => self.replace_at,
            Phase::New | Phase::Starting { .. } | Phase::Stopping { .. } | Phase::Over => None,
        }
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
                .filter(|(_, child)| child.stage == Stage::Serving && !child.recycle)
                .map(move |(slot, child)| (old_age_of(child, limit), slot))
        })
    }

    fn starting(&self) -> impl Iterator<Item = (SlotId, &Child)> {
        let children = (self.slots.starting() > 0).then(|| self.slots.iter());
        children.into_iter().flatten().filter(|(_, child)| child.stage == Stage::Starting)
    }

    pub(super) fn staying(&self) -> impl Iterator<Item = (SlotId, &Child)> {
        let goes = |child: &Child| matches!(child.stage, Stage::Spent | Stage::Leaving { .. });
        self.slots.iter().filter(move |(_, child)| !goes(child))
    }
}

/// When a child is too old.
fn old_age_of(child: &Child, limit: Duration) -> Time {
    child.spawned + jittered(limit, child.serial)
}
