//! The children of a simulated pool.

use std::time::Duration;

use crate::{Activity, QueueGate, Share, SlotId, Tally, Time};

/// What a child is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    Starting,
    /// It has nothing in hand.
    Idle {
        since: Time,
    },
    /// It has one request in hand at least.
    Busy {
        /// When it took the last one.
        since: Time,
        in_hand: u32,
    },
}

/// What a child holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child {
    /// Tells it from others that were in its slot before.
    pub(super) serial: u32,
    pub(super) doing: Doing,
    /// Whether it has finished a request.
    pub(super) worked: bool,
    pub(super) retired: bool,
    pub(super) born: Time,
    /// What decides whom it refuses, if anything does.
    pub(super) gate: Option<QueueGate>,
}

/// All that live, each in its slot.
#[derive(Debug, Default)]
pub(super) struct Children {
    slots: Vec<Option<Child>>,
    alive: u32,
    /// How many requests they have taken, all together.
    pub(super) taken: u64,
}

impl Children {
    pub(super) fn insert(&mut self, slot: SlotId, child: Child) {
        let index = slot.0 as usize;
        if self.slots.len() <= index {
            self.slots.resize(index + 1, None);
        }
        assert!(self.slots[index].replace(child).is_none(), "{slot} is taken");
        self.alive += 1;
    }

    pub(super) fn remove(&mut self, slot: SlotId) -> Child {
        let child = self.slots.get_mut(slot.0 as usize).and_then(Option::take);
        self.alive -= 1;
        child.unwrap_or_else(|| panic!("no child in {slot}"))
    }

    pub(super) fn get(&self, slot: SlotId) -> Option<&Child> {
        self.slots.get(slot.0 as usize)?.as_ref()
    }

    pub(super) fn at(&mut self, slot: SlotId) -> &mut Child {
        let child = self.slots.get_mut(slot.0 as usize).and_then(Option::as_mut);
        child.unwrap_or_else(|| panic!("no child in {slot}"))
    }

    pub(super) const fn alive(&self) -> u32 {
        self.alive
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SlotId, &Child)> {
        let numbered = (0..).map(SlotId).zip(&self.slots);
        numbered.filter_map(|(slot, child)| Some((slot, child.as_ref()?)))
    }

    /// How many requests a child has in hand.
    pub(super) fn in_hand(&self, slot: SlotId) -> u32 {
        match self.get(slot).map(|child| child.doing) {
            Some(Doing::Busy { in_hand, .. }) => in_hand,
            Some(Doing::Starting | Doing::Idle { .. }) | None => 0,
        }
    }

    /// Returns the lowest slot that is free.
    pub(super) fn free(&self) -> SlotId {
        let free = (0..).map(SlotId).find(|slot| self.get(*slot).is_none());
        free.expect("there are more numbers than children")
    }

    /// What those that have started say of themselves, where each can have so many requests in hand at once.
    pub(super) fn activities(&self, at_once: u32) -> impl Iterator<Item = (SlotId, Activity)> {
        self.iter().filter_map(move |(slot, child)| {
            let activity = match (child.doing, at_once) {
                (Doing::Starting, _) => return None,
                (Doing::Idle { since }, 1) => Activity::Idle { since },
                (Doing::Busy { since, .. }, 1) => Activity::Busy { since: Some(since) },
                (Doing::Idle { since }, _) => many(0, at_once, since),
                (Doing::Busy { since, in_hand }, _) => many(in_hand, at_once, since),
            };
            Some((slot, activity))
        })
    }

    pub(super) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for (_, child) in self.iter() {
            *match (child.retired, child.doing) {
                (true, _) => &mut tally.leaving,
                (false, Doing::Starting) => &mut tally.starting,
                (false, Doing::Idle { .. }) => &mut tally.idle,
                (false, Doing::Busy { .. }) => &mut tally.busy,
            } += 1;
        }
        tally
    }
}

fn many(in_hand: u32, at_once: u32, changed: Time) -> Activity {
    let since = (in_hand > 0).then_some(changed);
    Activity::Many { share: Share::claim(in_hand, at_once), changed, since, grace: Duration::ZERO }
}
