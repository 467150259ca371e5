//! The arbiter above this pool, where there is one: what it says, and what it is told.

use prefork_core::{Event, Time};

use super::Parent;
use crate::seat::Link;

impl Parent<'_> {
    /// Takes in how many processes the pool may have.
    pub(super) fn take_ceiling(&mut self, now: Time) {
        if let Some(children) = self.link.as_ref().and_then(Link::take) {
            self.supervisor.handle(now, Event::Ceiling { children });
        }
    }

    /// Tells the arbiter what the pool has, and what it would have.
    pub(super) fn report_need(&self) {
        if let Some(link) = &self.link {
            link.report(self.supervisor.need());
        }
    }
}
