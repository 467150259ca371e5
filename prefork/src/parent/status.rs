//! Keeping the status page and its figures up.

use super::Parent;
use crate::{
    logs::{Streams, stderr},
    status::World,
    status::counters::Counter,
    system::clock,
};

impl Parent<'_> {
    /// Publishes what was counted before the parent sleeps, and keeps a process that shows it.
    pub(super) fn keep_status(&mut self) {
        let (now, alive) = (clock::now(), self.supervisor.alive());
        self.counters.observe(now, &self.supervisor);
        self.counters.add(Counter::LogLinesLost, stderr::take_lost());
        let Some(status) = &mut self.helpers.status else { return };
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
            layers: &self.layers,
            title: &mut self.title,
            mask: self.signals.before(),
            log: &self.log,
        };
        status.tend(now, world);
    }
}
