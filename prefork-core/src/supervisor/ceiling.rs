//! A pool that shares a ceiling with others: it never has more processes than it is allowed at the moment.
//!
//! What the pool would like to have, its target, is one thing, and follows its load as ever; what it may have is another.
//! The goal is the lower one. A ceiling that rises is room for what is wanted already, so the pool grows without another
//! look. A ceiling that sinks is kept to at once: children that start are missed least, then those that have nothing to do;
//! if that is not enough, some that are at work are asked to leave, and finish what they have in hand. Nobody is ended
//! for it.
//!
//! A pool that is full by its ceiling asks for more by [`Supervisor::need`], and no more often than it looks at its children
//! anyway.

use std::{cmp::Reverse, time::Duration};

use super::{Phase, Supervisor};
use crate::{Need, SlotId, Time, slots::Stage};

/// For so long those that are to be replaced wait for room below the ceiling for others in their place.
const PATIENCE: Duration = Duration::from_millis(100);

/// How many processes there may be, by what others decide.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ceiling {
    /// How many; as many as the pool likes if that is not said.
    pub(super) children: Option<u32>,
    /// Since when children wait to be replaced for want of room below it.
    pressed: Option<Time>,
    /// How many children had nothing to do when that was last looked at, less those that were asked to leave since.
    idle: u32,
}

impl Supervisor {
    /// Returns how many children the pool has, and how many it would have without a ceiling
    /// ([`Event::Ceiling`](crate::Event::Ceiling)): what its load asks for, up to
    /// [`Config::max_children`](crate::Config::max_children), and those that stand in for others. Cheap enough to be asked
    /// after each event.
    ///
    /// Which children are idle is known as it was at the last look; in a pool that does not follow its load none is.
    #[must_use]
    pub fn need(&self) -> Need {
        let count = |children: usize| u32::try_from(children).unwrap_or(u32::MAX);
        let (alive, there) = (self.slots.alive(), self.slots.staying() + self.slots.spent());
        let wanted = if self.is_stopping() {
            0
        } else {
            let wanted = self.wanted().saturating_add(count(self.stand_ins()));
            wanted.min(count(self.own_most()))
        };
        Need {
            alive: count(alive),
            busy: count(there).saturating_sub(self.ceiling.idle),
            wanted,
            ceiling: self.ceiling.children,
            child_memory: self.child_memory.reported(),
        }
    }

    /// How many the pool would have, but for those that stand in for others.
    fn wanted(&self) -> u32 {
        let spent = u32::try_from(self.slots.spent()).unwrap_or(u32::MAX);
        self.target.saturating_add(spent).min(self.config.max_children())
    }

    /// How many processes there may be, whatever else is wanted.
    pub(super) fn most(&self) -> usize {
        let ceiling = self.ceiling.children.map_or(usize::MAX, |children| children as usize);
        ceiling.min(self.own_most())
    }

    /// How many there may be by the pool's own settings, those that stand in for others included.
    const fn own_most(&self) -> usize {
        if self.config.exclusive { 1 } else { usize::MAX }
    }

    /// How many children there should be now, not counting those that are leaving.
    pub(super) fn goal(&self) -> usize {
        if self.is_dozing() { 0 } else { self.most().min(self.target as usize) }
    }

    /// Whether there may be fewer than the settings say.
    pub(super) fn is_capped(&self) -> bool {
        let own = self.own_most().min(self.config.max_children() as usize);
        self.most() < own
    }

    /// Takes in how many there may be from now on.
    pub(super) fn ceiling_changed(&mut self, now: Time, children: u32) {
        let before = self.goal();
        // Of none at all a pool is left only if it can sleep.
        self.ceiling.children = Some(if self.can_sleep() { children } else { children.max(1) });
        if self.goal() > before
            && let Some(watch) = &mut self.watch
        {
            watch.grew(now);
        }
    }

    /// Takes in how many children have nothing to do, as they were seen.
    pub(super) const fn note_idle(&mut self, idle: u32) {
        self.ceiling.idle = idle;
    }

    /// Takes in that a child serves no more, before that is noted in the table.
    pub(super) fn note_gone(&mut self, slot: SlotId) {
        let was_idle =
            self.slots.get(slot).is_some_and(|it| it.stage == Stage::Serving && it.eighths == 0);
        self.ceiling.idle -= u32::from(was_idle).min(self.ceiling.idle);
    }

    /// How many there are too many, but for those that leave.
    pub(super) fn over_ceiling(&self) -> usize {
        (self.slots.staying() + self.slots.spent()).saturating_sub(self.most())
    }

    /// Asks as many to leave as there are too many.
    pub(super) fn decide_ceiling(&mut self, now: Time) {
        if !matches!(self.phase, Phase::Starting { .. } | Phase::Serving) {
            return;
        }
        let over = self.over_ceiling().min(self.slots.staying());
        if over == 0 {
            return;
        }
        let not_yet = self.slots.starting() + self.slots.entered();
        let has_choice = over > not_yet && over < self.slots.staying();
        if has_choice
            && matches!(self.phase, Phase::Serving)
            && !(self.knows_idle(now) && self.knows_sizes(now))
        {
            return;
        }
        // Sizes may be on their way for children that are retired here.
        self.forget_shrink();
        for (slot, is_idle) in self.least_missed().into_iter().take(over) {
            if is_idle && self.follows_load() {
                self.target = self.target.saturating_sub(1).max(self.config.prefork());
            }
            self.stats.retired += 1;
            self.retire(now, slot);
        }
    }

    /// The children that stay, the one that is missed least first, and whether each is known to be idle.
    fn least_missed(&self) -> Vec<(SlotId, bool)> {
        let outgoing: Vec<SlotId> = self.outgoing().map(|(slot, _)| slot).collect();
        let serving = self.staying().filter(|(_, child)| child.stage == Stage::Serving);
        let largest = self.largest(&serving.map(|(slot, _)| slot).collect::<Vec<_>>());
        let mut children: Vec<_> = self
            .staying()
            .map(|(slot, child)| {
                let serves = child.stage == Stage::Serving;
                let is_idle = serves && child.eighths == 0;
                let stays = outgoing.binary_search(&slot).is_err();
                // Where nobody knows what they do, the newest have least to lose.
                let order = match self.follows_load() && serves {
                    true => (child.serial, Reverse(0)),
                    false => (0, Reverse(child.serial)),
                };
                ((serves, !is_idle, stays, self.rank(slot, largest), order), slot, is_idle)
            })
            .collect();
        children.sort_unstable();
        children.into_iter().map(|(_, slot, is_idle)| (slot, is_idle)).collect()
    }

    const fn follows_load(&self) -> bool {
        self.watch.is_some() && self.one_shot.is_none()
    }

    /// Until when those that are to be replaced wait, as there may be room for others in their place in a moment: the pool is
    /// full, but only by its ceiling.
    pub(super) fn awaits_room(&mut self, now: Time) -> Option<Time> {
        if self.slots.alive() >= self.own_room().min(self.own_most()) {
            return None;
        }
        let until = *self.ceiling.pressed.get_or_insert(now) + PATIENCE;
        (now < until).then_some(until)
    }

    /// Notes that nobody is to be replaced.
    pub(super) const fn forget_pressure(&mut self) {
        self.ceiling.pressed = None;
    }
}
