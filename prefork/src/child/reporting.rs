//! What a child reports to the parent: each once, and without waiting.

use super::Child;
use crate::{channels::Report, logs::stderr};

impl Child {
    /// Reports to the parent that this child is in its main loop.
    pub(super) fn say_entered(&mut self) {
        self.has_entered = true;
        self.report(Report::Entered);
    }

    /// Reports to the parent, once, that this child has served enough.
    pub(super) fn say_if_tired(&mut self) {
        self.work.look().report(self.reporter.as_ref(), &self.log);
    }

    /// Reports to the parent, once, that this child waits for work. One that is not in its main loop yet does not.
    pub(super) fn say_ready(&mut self) {
        if self.has_entered && !std::mem::replace(&mut self.said_ready, true) {
            self.report(Report::Ready);
            drop(stderr::take_original());
            if !self.work.is_in_hand() {
                self.work.end();
            }
        }
    }

    /// Reports to the parent, once, that this child has taken work.
    pub(super) fn say_worked(&mut self) {
        if !std::mem::replace(&mut self.said_worked, true) {
            self.report(Report::Worked);
            drop(stderr::take_original());
        }
    }

    /// Reports something to the parent, if there is one. It never waits.
    pub(super) fn report(&self, report: Report) {
        if let Some(reporter) = &self.reporter {
            reporter.report(report);
        }
    }

    /// Makes the parent look at what it shares with this child; returns whether there is a parent.
    pub(super) fn ring(&self) -> bool {
        self.reporter.as_ref().inspect(|reporter| reporter.ring()).is_some()
    }
}
