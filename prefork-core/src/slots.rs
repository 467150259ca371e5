//! The table of children.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Allowance, Generation, LARGEST_POOL, SlotId, Time, ladder::Ladder};

/// No pool has more places: the largest, with as many children that stand in for others.
const MOST_PLACES: usize = 2 * LARGEST_POOL as usize;

/// How far a child has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Spawned, not yet in its main loop.
    Starting,
    /// In its main loop since then, but not known to wait for work.
    Entered { since: Time },
    /// In its main loop, at work or waiting for it.
    Serving,
    /// In a pool of children that serve one client each: it has taken that, and ends by itself.
    Spent,
    /// Retired: it is to leave.
    Leaving { ladder: Ladder },
}

/// More time that a child has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Extension {
    /// When it asked: for the request it had in hand then.
    pub asked: Time,
    /// Until when it may be at work on that, at least.
    pub until: Time,
}

impl Extension {
    /// Until when a child may be at work on the request that it has been at since then.
    pub(crate) fn of(self, since: Time) -> Option<Time> {
        (since <= self.asked).then_some(self.until)
    }
}

/// A request that a child has been at for too long, and at which the program may look before the child is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hung {
    /// When the child began with that request.
    pub(crate) since: Time,
    /// Until when the program may look; then nobody waits for it.
    pub(crate) until: Time,
}

/// What the supervisor knows of a child.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Child {
    pub(crate) generation: Generation,
    /// Counts the children that there ever were.
    pub(crate) serial: u64,
    /// Its pid, for log lines alone; 0 until it was forked.
    pub(crate) pid: u32,
    pub(crate) spawned: Time,
    pub(crate) stage: Stage,
    pub(crate) worked: bool,
    /// How much of it was in use when that was last looked at, in eighths: a table that is seldom written to stays shared
    /// with the children that are forked.
    pub(crate) eighths: u8,
    /// It would like to be replaced.
    pub(crate) recycle: bool,
    /// It did not reach its main loop in time.
    pub(crate) stuck: bool,
    /// It was killed, and is still there.
    pub(crate) unkillable: bool,
    /// It was ended for waking the parent without end.
    pub(crate) expelled: bool,
    /// It claimed what cannot be.
    pub(crate) lied: bool,
    /// How often it may still wake the parent.
    pub(crate) rings: Allowance,
    pub(crate) extension: Option<Extension>,
    /// That it has been at one request for too long.
    pub(crate) hung: Option<Hung>,
}

impl Child {
    pub(crate) const fn has_not_served(&self) -> bool {
        match self.stage {
            Stage::Starting | Stage::Entered { .. } => true,
            Stage::Serving | Stage::Spent | Stage::Leaving { .. } => false,
        }
    }
}

/// A table of places, each empty or with one child.
///
/// Children that were adopted from a larger pool may stand beyond; their places are not used again.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    children: Vec<Option<Child>>,
    free: BTreeSet<SlotId>,
    /// Those without a child in which none may be before the program has taken in the end of the last one, until then at most.
    held: BTreeMap<SlotId, Time>,
    places: u32,
    alive: usize,
    starting: usize,
    entered: usize,
    serving: usize,
    spent: usize,
    leaving: usize,
    /// How many would like to be replaced.
    recycling: usize,
}

impl Slots {
    pub(crate) fn new(places: u32) -> Self {
        Self {
            children: vec![None; places as usize],
            free: (0..places).map(SlotId).collect(),
            held: BTreeMap::new(),
            places,
            alive: 0,
            starting: 0,
            entered: 0,
            serving: 0,
            spent: 0,
            leaving: 0,
            recycling: 0,
        }
    }

    /// Makes sure that there are so many places at the least.
    pub(crate) fn grow(&mut self, places: u32) {
        let added = self.places..places;
        self.places = self.places.max(places);
        let len = self.children.len().max(self.places as usize);
        self.children.resize(len, None);
        // Children of a larger pool may stand there already.
        let free = added.map(SlotId).filter(|slot| self.children[slot.index()].is_none());
        self.free.extend(free);
    }

    /// Puts a child into the lowest free place; `None` if there is none.
    pub(crate) fn take(&mut self, child: Child) -> Option<SlotId> {
        let slot = self.free.pop_first()?;
        self.put(slot, child);
        Some(slot)
    }

    /// Puts a child into the place that it has already; `false` if another one is there, or no pool
    /// has such a place.
    pub(crate) fn adopt(&mut self, slot: SlotId, child: Child) -> bool {
        if self.get(slot).is_some() || slot.index() >= MOST_PLACES {
            return false;
        }
        if slot.index() >= self.children.len() {
            self.children.resize(slot.index() + 1, None);
        }
        self.free.remove(&slot);
        self.held.remove(&slot);
        self.put(slot, child);
        true
    }

    fn put(&mut self, slot: SlotId, child: Child) {
        *self.count(child.stage) += 1;
        self.alive += 1;
        self.recycling += usize::from(child.recycle);
        self.children[slot.index()] = Some(child);
    }

    /// Takes a child out of its place.
    pub(crate) fn release(&mut self, slot: SlotId) -> Option<Child> {
        let child = self.children.get_mut(slot.index())?.take()?;
        if slot.0 < self.places {
            self.free.insert(slot);
        }
        *self.count(child.stage) -= 1;
        self.alive -= 1;
        self.recycling -= usize::from(child.recycle);
        Some(child)
    }

    /// Lets nobody into a slot without a child before `until`, or before it is let go.
    pub(crate) fn hold(&mut self, slot: SlotId, until: Time) {
        if self.free.remove(&slot) {
            self.held.insert(slot, until);
        }
    }

    /// Lets a slot go that was held.
    pub(crate) fn let_go(&mut self, slot: SlotId) {
        if self.held.remove(&slot).is_some() {
            self.free.insert(slot);
        }
    }

    /// Returns the slots that are held, each with the time until which it is.
    pub(crate) fn held(&self) -> impl Iterator<Item = (SlotId, Time)> {
        self.held.iter().map(|(slot, until)| (*slot, *until))
    }

    /// Whether there is a slot for one more child.
    pub(crate) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    pub(crate) fn get(&self, slot: SlotId) -> Option<&Child> {
        self.children.get(slot.index())?.as_ref()
    }

    /// Notes that a child is in its main loop.
    pub(crate) fn enter(&mut self, slot: SlotId, now: Time) {
        if self.get(slot).is_some_and(|child| child.stage == Stage::Starting) {
            self.set_stage(slot, Stage::Entered { since: now });
        }
    }

    /// Notes that a child serves.
    pub(crate) fn serve(&mut self, slot: SlotId) {
        match self.get(slot).map(|child| child.stage) {
            Some(Stage::Starting | Stage::Entered { .. }) => self.set_stage(slot, Stage::Serving),
            Some(Stage::Serving | Stage::Spent | Stage::Leaving { .. }) | None => {}
        }
    }

    /// Notes that a child has taken its only client; returns whether it was to stay until then.
    pub(crate) fn spend(&mut self, slot: SlotId) -> bool {
        match self.get(slot).map(|child| child.stage) {
            Some(Stage::Starting | Stage::Entered { .. } | Stage::Serving) => {
                self.set_stage(slot, Stage::Spent);
                true
            }
            Some(Stage::Spent | Stage::Leaving { .. }) | None => false,
        }
    }

    /// Notes that a child is to leave.
    pub(crate) fn leave(&mut self, slot: SlotId, ladder: Ladder) {
        self.set_stage(slot, Stage::Leaving { ladder });
    }

    /// Changes what is known of a child.
    pub(crate) fn update(&mut self, slot: SlotId, change: impl FnOnce(&mut Child)) {
        if let Some(Some(child)) = self.children.get_mut(slot.index()) {
            let stage = child.stage;
            self.recycling -= usize::from(child.recycle);
            change(child);
            self.recycling += usize::from(child.recycle);
            debug_assert_eq!(child.stage, stage, "stages are counted: use the methods for them");
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (SlotId, &Child)> {
        (0u32..)
            .zip(&self.children)
            .filter_map(|(place, child)| Some((SlotId(place), child.as_ref()?)))
    }

    pub(crate) const fn alive(&self) -> usize {
        self.alive
    }

    pub(crate) const fn starting(&self) -> usize {
        self.starting
    }

    /// How many are there, and neither spent nor to leave.
    pub(crate) const fn staying(&self) -> usize {
        self.alive - self.leaving - self.spent
    }

    /// How many have taken their only client.
    pub(crate) const fn spent(&self) -> usize {
        self.spent
    }

    pub(crate) const fn leaving(&self) -> usize {
        self.leaving
    }

    /// How many would like to be replaced, those that leave included.
    pub(crate) const fn recycling(&self) -> usize {
        self.recycling
    }

    /// How many are in their main loop but not known to serve.
    pub(crate) const fn entered(&self) -> usize {
        self.entered
    }

    pub(crate) const fn serving(&self) -> usize {
        self.serving
    }

    fn set_stage(&mut self, slot: SlotId, stage: Stage) {
        let Some(Some(child)) = self.children.get_mut(slot.index()) else { return };
        let before = std::mem::replace(&mut child.stage, stage);
        *self.count(before) -= 1;
        *self.count(stage) += 1;
    }

    fn count(&mut self, stage: Stage) -> &mut usize {
        match stage {
            Stage::Starting => &mut self.starting,
            Stage::Entered { .. } => &mut self.entered,
            Stage::Serving => &mut self.serving,
            Stage::Spent => &mut self.spent,
            Stage::Leaving { .. } => &mut self.leaving,
        }
    }
}
