//! Naming the requests that a stop cuts off, so that nobody has to look for them in the logs of clients.

use prefork_core::SlotId;
use rustix::process::Signal;

use super::{Parent, table::number};
use crate::logs::{InHand, PoolMessage, describe::Span};

/// So many are named: a stop of thousands of children must not fill the log.
const NAMED: u32 = 50;

impl Parent<'_> {
    /// Interrupts a child. When it is the stop that cannot wait for it, what it has in hand is logged, unless it was when
    /// its time was over.
    pub(super) fn interrupt(&mut self, slot: SlotId) {
        let is_named = self.cut_short.remove(&slot);
        if self.supervisor.is_stopping() && !is_named {
            self.log_cut_off(slot);
        }
        self.signal(slot, Signal::INT);
    }

    fn log_cut_off(&mut self, slot: SlotId) {
        let (in_hand, pid) = (self.in_hand(slot), self.table.pid(slot));
        let (Some(pid), InHand::Request { .. }) = (pid, &in_hand) else { return };
        self.cut_off = self.cut_off.saturating_add(1);
        if self.cut_off <= NAMED {
            self.log.write(&PoolMessage::CutOff {
                child_pid: number(pid),
                slot,
                label: in_hand.label(),
                client: in_hand.client(),
                busy: in_hand.time().map(Span),
                in_hand: &in_hand,
            });
        } else if self.cut_off == NAMED + 1 {
            self.log.write(&PoolMessage::MoreCutOff { named: NAMED });
        }
    }
}
