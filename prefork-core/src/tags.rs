//! Marks by which the processes that a child has started are known as its own.
//!
//! A process that has lost its parent belongs to the process that reaps for it, and nothing that the kernel shows says from
//! whom it descends: session, group, name and environment are its own to change. What every process inherits,
//! over fork, exec and any change of user, and can only make smaller without privileges, is a resource limit. So
//! each child is given its own value, its *tag*, of a limit that limits nothing.
//!
//! Daemons nest: a child may run a daemon that gives tags to its own children. Tags are therefore taken from
//! below the limit that the daemon itself has, its own tag if it is such a child, and in steps that leave room for
//! another level between two tags: 2^32 where there is no limit, 2^16 below one of those, 1 below one of these. At
//! a fourth level tags run into those of a sibling of the daemon.

use std::collections::HashSet;

use crate::SlotId;

/// Step of the first two levels, and the width of all that lies below one of their tags.
const FIRST: u64 = 1 << 32;
const SECOND: u64 = 1 << 16;

/// The end of the first level, where there is no limit.
const HIGHEST: u64 = 1 << 63;

/// The tags of the children of one daemon.
///
/// # Examples
///
/// ```
/// use prefork_core::{Owner, SlotId, Tags};
///
/// let mut tags = Tags::below(None);
/// let tag = tags.assign(SlotId(0));
/// assert_eq!(tags.owner(tag), Owner::Living);
/// tags.release(SlotId(0));
/// assert_eq!(tags.owner(tag), Owner::Ended);
/// assert_eq!(tags.owner(None), Owner::Stranger);
/// ```
#[derive(Clone, Debug)]
pub struct Tags {
    /// What the daemon has itself; `None` for no limit.
    limit: Option<u64>,
    /// All tags lie above it,
    base: u64,
    /// this far from each other,
    step: u64,
    /// and there are so many.
    places: u64,
    /// Counts those that were given.
    given: u64,
    /// The place of each slot's child. These two lie close together: a pool writes to them at each fork.
    by_slot: Vec<Option<u64>>,
    /// The places whose child lives.
    living: HashSet<u64>,
}

/// To whom a process belongs that has lost its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// To nobody here: no child of this daemon has started it.
    Stranger,
    /// To a child that lives.
    Living,
    /// To a child that has ended, or to one that has disguised what it started.
    Ended,
}

/// What a program leaves of its tags to the next one in its process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct HandedTags {
    /// How many were given.
    pub given: u64,
    /// The children that have one.
    pub children: Vec<(SlotId, u64)>,
}

impl Tags {
    /// Takes tags from below the limit that the daemon has itself; `None` for no limit.
    #[must_use]
    pub fn below(limit: Option<u64>) -> Self {
        let (width, step) = match limit {
            None => (HIGHEST, FIRST),
            Some(tag) if tag.is_multiple_of(FIRST) => (FIRST, SECOND),
            Some(_) => (SECOND, 1),
        };
        let end = limit.unwrap_or(HIGHEST);
        let base = end.saturating_sub(width);
        // The daemon's own value is none of them.
        let places = (end - base).saturating_sub(1) / step;
        let (by_slot, living) = (Vec::new(), HashSet::new());
        Self { limit, base, step, places, given: 0, by_slot, living }
    }

    /// Gives the child of a slot a tag that no living child has: the one that was given longest ago, if
    /// ever; `None` if there is none left.
    pub fn assign(&mut self, slot: SlotId) -> Option<u64> {
        self.release(slot);
        if self.living.len() as u64 >= self.places {
            return None;
        }
        let place = loop {
            let place = self.given % self.places;
            self.given = self.given.wrapping_add(1);
            if !self.living.contains(&place) {
                break place;
            }
        };
        self.hold(slot, place);
        Some(self.tag(place))
    }

    /// Notes that the child of a slot has ended, or was never started.
    pub fn release(&mut self, slot: SlotId) {
        if let Some(place) = self.by_slot.get_mut(slot.index()).and_then(Option::take) {
            self.living.remove(&place);
        }
    }

    /// Returns the tag of the child of a slot.
    #[must_use]
    pub fn tag_of(&self, slot: SlotId) -> Option<u64> {
        (*self.by_slot.get(slot.index())?).map(|place| self.tag(place))
    }

    /// Returns to whom a process with this limit belongs; `None` for no limit.
    ///
    /// A process with the daemon's own limit, or a higher one, was not started by a child. One that has lowered its
    /// own cannot get away by that: it belongs to the child whose range it is in then, and where no child lives, to
    /// one that has ended.
    #[must_use]
    pub fn owner(&self, limit: Option<u64>) -> Owner {
        match (limit, self.limit) {
            (None, _) => Owner::Stranger,
            (Some(limit), Some(own)) if limit >= own => Owner::Stranger,
            (Some(limit), _) => match self.place(limit) {
                Some(place) if self.living.contains(&place) => Owner::Living,
                Some(_) | None => Owner::Ended,
            },
        }
    }

    /// Returns what the next program needs to go on with these children.
    #[must_use]
    pub fn hand_over(&self) -> HandedTags {
        let slots = (0..).map(SlotId).zip(&self.by_slot);
        let children = slots.filter_map(|(slot, place)| Some((slot, self.tag((*place)?))));
        HandedTags { given: self.given, children: children.collect() }
    }

    /// Goes on with the children of another program in this process. Tags that it cannot have given below this
    /// limit are passed over.
    pub fn adopt(&mut self, handed: &HandedTags) {
        self.given = handed.given;
        for (slot, tag) in &handed.children {
            if let Some(place) = self.place(*tag).filter(|place| self.tag(*place) == *tag) {
                self.hold(*slot, place);
            }
        }
    }

    fn hold(&mut self, slot: SlotId, place: u64) {
        self.release(slot);
        if self.by_slot.len() <= slot.index() {
            self.by_slot.resize(slot.index() + 1, None);
        }
        self.by_slot[slot.index()] = Some(place);
        self.living.insert(place);
    }

    /// The highest value of a place.
    const fn tag(&self, place: u64) -> u64 {
        self.base + (place + 1) * self.step
    }

    /// The place in whose range a value is.
    fn place(&self, value: u64) -> Option<u64> {
        let place = value.checked_sub(self.base)?.checked_sub(1)? / self.step;
        (place < self.places).then_some(place)
    }
}
