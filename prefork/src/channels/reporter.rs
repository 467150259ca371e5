//! What a child reports, and the bell that makes the parent look.

use std::sync::Arc;

use prefork_core::Time;

use super::Words;
use super::{Bell, OwnPage, Report};
use crate::system::clock;

/// A child's voice.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    page: OwnPage,
    bell: Arc<Bell>,
}

impl Reporter {
    pub(crate) fn new(page: OwnPage, bell: Bell) -> Self {
        Self { page, bell: Arc::new(bell) }
    }

    /// Reports something once; it never waits. Returns whether it was for the first time.
    pub(crate) fn report(&self, report: Report) -> bool {
        let is_new = self.page.report(report);
        if is_new {
            self.bell.ring();
        }
        is_new
    }

    /// Makes the parent look at what both share, whether there is something to report or not.
    pub(crate) fn ring(&self) {
        self.bell.ring();
    }

    /// The page in which the child reports what it does.
    pub(crate) const fn page(&self) -> OwnPage {
        self.page
    }

    /// Counts a line that could not be written.
    pub(crate) fn lost_line(&self) {
        self.page.count_lost_line();
    }

    /// Asks for time until then, for the request in hand. The parent reads it when the usual time is over.
    pub(crate) fn extend(&self, until: Time) {
        self.page.extend(until);
    }

    /// Returns whether the parent wants to know which connection is in hand.
    pub(crate) fn is_watched(&self) -> bool {
        self.page.is_watched()
    }

    /// Says which connection is in hand, after the record has said that a request has begun.
    pub(crate) fn connected(&self, connection: Words) {
        self.page.connected(connection, clock::now());
    }

    /// Says that none is in hand any more, before the record says so.
    pub(crate) fn disconnected(&self) {
        self.page.disconnected();
    }

    /// Makes the parent look, after the record has changed, if it wants to know.
    pub(crate) fn changed(&self) {
        if self.page.wants_bell() {
            self.bell.ring();
        }
    }
}
