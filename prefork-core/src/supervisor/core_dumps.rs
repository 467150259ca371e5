//! Core dumps, which a kill would cut.
//!
//! A child that was aborted, or has crashed, lives until the kernel has written its core dump: seconds, where it is large.
//! From its pid that cannot be told from a child that hangs. So before a single child is killed it is asked once
//! whether one is being written. When that is finished the child ends, so there is no need to ask again, but for a limit, as
//! it can be written to what never takes it.

use super::Supervisor;
use crate::{Action, ChildNotice, Notice, Rung, SlotId, Time, ladder::Ladder, slots::Stage};

impl Supervisor {
    /// Puts a kill off until it is known whether it would cut a core dump; returns whether it did.
    pub(super) fn put_off_kill(&mut self, slot: SlotId, ladder: Ladder) -> bool {
        let Some(ladder) = ladder.put_off(self.config.core_dump_timeout) else { return false };
        // Unless the answer is that there is none, the next rung is due at the limit.
        self.slots.leave(slot, ladder);
        self.actions.push_back(Action::LookForCoreDump { slot });
        true
    }

    /// Takes in that a child is to be waited for.
    pub(super) fn core_dump_found(&mut self, slot: SlotId) {
        if self.has_put_off_kill(slot) {
            let limit = self.config.core_dump_timeout;
            self.log(Notice::Child(self.id(slot), ChildNotice::DumpsCore { limit }));
        }
    }

    /// Takes in that there is nothing to wait for.
    pub(super) fn no_core_dump(&mut self, now: Time, slot: SlotId) {
        if self.has_put_off_kill(slot) {
            self.end(now, slot, Rung::Kill);
        }
    }

    fn has_put_off_kill(&self, slot: SlotId) -> bool {
        self.slots.get(slot).is_some_and(|child| match child.stage {
            Stage::Leaving { ladder } => ladder.is_put_off(),
            Stage::Starting | Stage::Entered { .. } | Stage::Serving | Stage::Spent => false,
        })
    }
}
