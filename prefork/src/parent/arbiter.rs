//! The arbiter above this pool, where there is one: what it says, and what it is told.

use prefork_core::{AdoptedAs, Event, Progress, Request, Time};

use super::Parent;
use crate::seat::Link;

impl Parent<'_> {
    /// Takes in how many processes the pool may have, and whether what they take counts.
    pub(super) fn take_ceiling(&mut self, now: Time) {
        if let Some(children) = self.link.as_ref().and_then(Link::take) {
            self.take_memory_shared(now);
            self.supervisor.handle(now, Event::Ceiling { children });
        }
    }

    /// Takes in whether what children take counts, which an earlier program may have been told.
    pub(super) fn take_memory_shared(&mut self, now: Time) {
        if self.link.as_ref().is_some_and(Link::shares_memory) {
            self.supervisor.handle(now, Event::MemoryShared);
        }
    }

    /// Tells the arbiter as what this program goes on with the pool.
    pub(super) fn report_takeover(&self, adopted_as: AdoptedAs) {
        // Before: an upgrade is over when the reload is that follows it.
        self.report_reloads();
        match (&self.link, adopted_as) {
            (Some(link), AdoptedAs::NewProgram) => link.upgraded(),
            (Some(link), AdoptedAs::SameProgram) => link.not_upgraded(),
            (None, _) => {}
        }
    }

    /// Tells the arbiter that an upgrade has come to nothing, if it is that.
    pub(super) fn report_refusal(&self, progress: Progress) {
        if let (Some(link), Progress::UpgradeRefused { .. }) = (&self.link, progress) {
            link.not_upgraded();
        }
    }

    /// Tells the arbiter how far reloads have come.
    pub(super) fn report_reloads(&self) {
        if let Some(link) = &self.link {
            link.report_reloads(self.supervisor.reloads());
        }
    }

    /// Takes in a request, and reports that to the arbiter if it may have come from there.
    pub(super) fn take_request(&mut self, now: Time, request: Request) {
        // Before: what the arbiter asks for from here on is not what this answers.
        let asked = self.link.as_ref().map(Link::reloads_asked);
        self.supervisor.handle(now, Event::Requested(request));
        if let (Some(link), Some(asked), Request::Reload) = (&self.link, asked, request) {
            link.took_reloads(asked, self.supervisor.reloads());
        }
    }

    /// Tells the arbiter what the pool has, and what it would have.
    pub(super) fn report_need(&self) {
        if let Some(link) = &self.link {
            link.report(self.supervisor.need());
        }
    }
}
