//! Keeping the status page and its figures up.

use super::Parent;
use crate::{
    logs::{Streams, stderr},
    status::counters::Counter,
    status::{Service, World},
    system::clock,
};

impl Parent<'_> {
    /// Before the parent sleeps: what was counted is there to be read, and somebody there to tell it.
    pub(super) fn keep_status(&mut self) {
        let (now, alive) = (clock::now(), self.supervisor.alive());
        self.counters.observe(now, self.supervisor.deeds(), alive);
        self.counters.add(Counter::LogLinesLost, stderr::take_lost());
        let Some(status) = &mut self.status else { return };
        status.publish(&self.counters, alive);
        if self.supervisor.is_stopping() {
            return;
        }
        let world = World {
            name: &self.settings.name,
            handout: &self.channels.handout,
            streams: Streams::of(&self.settings),
            listeners: &self.listeners,
            privileges: &self.privileges,
            title: &mut self.title,
            mask: self.signals.before(),
            log: &self.log,
        };
        status.tend(now, world);
    }

    /// Has nobody serve the page any more.
    pub(super) fn end_status(&mut self) {
        let clerk = self.status.as_mut().and_then(Service::release);
        clerk.iter().for_each(|clerk| self.leftovers.take_over(clerk));
    }

    /// Has the page go on with the board that is there now.
    pub(super) fn renew_status(&mut self) {
        if let Some(status) = &mut self.status {
            let leaving = status.renew(self.board.as_ref(), &self.log);
            leaving.iter().for_each(|clerk| self.leftovers.take_over(clerk));
        }
    }
}
