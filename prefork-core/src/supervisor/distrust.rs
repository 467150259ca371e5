//! Children that harm their parent, or try to.

use std::time::Duration;

use super::Supervisor;
use crate::{
    Allowance, ChildNotice, Claim, Notice, Rung, SlotId, Time, ladder::Ladder, slots::Stage,
};

/// How often a child may wake its parent. One that behaves does so a few times while it starts, and then no
/// more than a few times a second.
pub(super) const RINGS: Allowance = Allowance::new(64, Duration::from_nanos(15_625_000));

/// How long a child that claims what cannot be may take to finish what it has in hand: it may do anything but leave.
const PATIENCE: Duration = Duration::from_secs(10);

impl Supervisor {
    /// Takes in that a child has woken the parent, and ends one that does little else.
    pub(super) fn rang(&mut self, now: Time, slot: SlotId) {
        let Some(child) = self.slots.get(slot) else { return };
        let mut rings = child.rings;
        let is_too_often = !rings.take(now) && !child.expelled;
        self.slots.update(slot, |child| {
            child.rings = rings;
            child.expelled |= is_too_often;
        });
        if is_too_often {
            self.log(Notice::Child(self.id(slot), ChildNotice::Flooding));
            self.end(now, slot, Rung::Kill);
        }
    }

    /// Takes in that a child claims what cannot be.
    pub(super) fn lied(&mut self, now: Time, slot: SlotId, claim: Claim) {
        let Some(child) = self.slots.get(slot).filter(|child| !child.lied) else { return };
        let stage = child.stage;
        self.slots.update(slot, |child| child.lied = true);
        self.log(Notice::Child(self.id(slot), ChildNotice::Implausible { claim }));
        if self.is_stopping() {
            return;
        }
        match stage {
            Stage::Leaving { ladder } if ladder.deadline().is_some() => return,
            // It was asked, and is in no hurry.
            Stage::Leaving { .. } => {}
            Stage::Starting | Stage::Entered { .. } | Stage::Serving | Stage::Spent => {
                self.retire(now, slot);
            }
        }
        self.slots.leave(slot, Ladder::patient(now, Some(PATIENCE)));
    }
}
