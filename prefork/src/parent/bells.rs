//! Children that wake the parent, and what they want.

use std::{io, time::Duration};

use prefork_core::{Allowance, Event, SlotId, Time};
use rustix::process::Signal;

use super::Parent;
use crate::channels::Report;

/// How often bells wake the parent, all together: with up to 64 bells each time that is more than most pools need,
/// and it bounds what children that only ring cost the parent. While it is awake anyway they are read as well: in a pool of
/// children that serve one client each it is awake for each that ends, and what is rung is news that cannot wait.
pub(super) const ALLOWANCE: Allowance = Allowance::new(256, Duration::from_millis(4));

impl Parent<'_> {
    /// Takes in which children have rung, and what they report.
    pub(super) fn take_bells(&mut self, now: Time) -> io::Result<()> {
        let rung = self.channels.bells.rung()?;
        if rung.is_empty() {
            return Ok(());
        }
        self.wakes.take(now);
        // One that finds its listening socket shut down rings.
        self.mend_listeners(now);
        let mut has_changed = false;
        for bell in rung {
            // A bell that outlives its child is nobody's.
            let Some(slot) = self.table.slot_of(bell) else { continue };
            self.supervisor.handle(now, Event::Rang { slot });
            self.take_reports(now, slot);
            has_changed |= self.channels.pages.has_changed(slot);
        }
        if has_changed {
            self.disarm();
            self.supervisor.handle(now, Event::Nudged);
        }
        Ok(())
    }

    /// Takes in what a child has reported.
    pub(super) fn take_reports(&mut self, now: Time, slot: SlotId) {
        self.count_lost_lines(now, slot);
        let reports = self.channels.pages.reports(slot);
        for report in self.table.note(slot, reports) {
            let event = match report {
                Report::Entered => Event::Entered { slot },
                Report::Ready => Event::Ready { slot },
                Report::Worked => Event::Worked { slot },
                Report::Tired => Event::Recycle { slot },
                // It may have been asked in a way that it does not notice any more.
                Report::Polls if self.channels.pages.was_asked(slot) => {
                    self.signal(slot, Signal::TERM);
                    continue;
                }
                Report::Polls => continue,
            };
            self.supervisor.handle(now, event);
        }
    }

    /// Makes the first child ring that begins or finishes work, and has the first connection that waits noticed.
    pub(super) fn arm(&mut self) {
        self.channels.pages.arm(crate::system::clock::now(), self.supervisor.slots());
        self.watches_queue = true;
    }

    /// The first child has rung, or a connection waits: the next ones are nobody's business.
    pub(super) fn disarm(&mut self) {
        self.channels.pages.disarm(self.supervisor.slots());
        self.watches_queue = false;
    }
}
