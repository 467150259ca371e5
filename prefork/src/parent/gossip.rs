//! What children say that they are doing, and the scoreboard that shows it.

use prefork_core::{Activity, Event, Observation, RequestCount, SlotId, Time};

use super::Parent;
use crate::{
    board::Look,
    logs::{InHand, PoolMessage, describe::Span},
    system::clock,
};

impl Parent<'_> {
    /// Goes on with the children of the old program.
    pub(super) fn adopt_gossip(&mut self) {
        let Some(board) = &mut self.runtime_files.board else { return };
        let now = clock::now();
        for (slot, pid, generation) in self.table.iter() {
            let Some(record) = self.channels.pages.record(slot) else { continue };
            // How long it has lived is not known here; what it claims was bounded by the old program.
            let count = RequestCount::adopt(Time::ZERO, now, record.requests());
            board.assign((slot, pid, generation), &record, count, 0, &self.log);
            if self.channels.pages.was_asked(slot) {
                board.mark_leaving(slot, &self.channels.pages, &self.log);
            }
        }
    }

    /// Reads what a child has in hand.
    pub(super) fn in_hand(&self, slot: SlotId) -> InHand {
        let record =
            self.runtime_files.board.as_ref().and_then(|_| self.channels.pages.record(slot));
        record.as_ref().map_or(InHand::Unknown, InHand::of)
    }

    /// Looks at what all children are doing.
    pub(super) fn look(&mut self) {
        self.mend_listeners(clock::now());
        match self.activities() {
            Some(activities) => {
                let places = self.listeners.places();
                // Before it is seen how many wait, so that these are not among them.
                self.count_accepted(clock::now());
                let waiting = self.listeners.waiting(&places);
                self.show_places(places);
                let observation = Observation { activities: &activities, waiting };
                self.supervisor.observe(clock::now(), &observation);
            }
            None => self.supervisor.observation_failed(clock::now()),
        }
    }

    /// Passes on how many connections were accepted since the last look, where that matters.
    fn count_accepted(&mut self, now: Time) {
        if self.supervisor.config().queue_target.is_some() {
            let (pages, accepted) = (&self.channels.pages, &mut self.table.accepted);
            let slots = self.supervisor.slots();
            let new = slots.map(|slot| accepted.read(now, slot, pages.accepted(slot)));
            let new = new.fold(0, u64::saturating_add);
            self.supervisor.accepted(new);
        }
    }

    /// Reads what the children are doing, and passes on what follows from that; `None` without a scoreboard.
    pub(super) fn activities(&mut self) -> Option<Vec<(SlotId, Activity)>> {
        let (board, pages, now) =
            (self.runtime_files.board.as_mut()?, &self.channels.pages, clock::now());
        let look = board.look(now, self.supervisor.slots(), pages, &self.log);
        let Look { activities, extended, implausible } = look;
        // After it was read: it may be about a request that has begun during the look.
        let now = clock::now();
        for (slot, until) in extended {
            self.supervisor.handle(now, Event::Extended { slot, by: until.since(now) });
        }
        for (slot, claim) in implausible {
            self.supervisor.handle(now, Event::Lied { slot, claim });
        }
        self.read_queue_times(now);
        Some(activities)
    }

    /// Reads how long clients have waited, where children find out.
    fn read_queue_times(&mut self, now: Time) {
        if !self.settings.in_force.live.measures_queue() {
            return;
        }
        for slot in self.supervisor.slots() {
            if let Some(times) = self.channels.pages.queue_times(slot) {
                self.counters.queue.read(now, slot, &times);
            }
        }
        if let Some(queue_limit) = self.settings.in_force.live.queue_limit
            && let Some(refused) = self.counters.queue.refused(now)
        {
            let queue_limit = Span(queue_limit);
            self.log.write(&PoolMessage::ClientsRefused { refused, queue_limit });
        }
    }

    /// Looks at the scoreboard if something may have happened to it.
    pub(super) fn check_board(&mut self, now: Time) {
        if let Some(board) = &mut self.runtime_files.board {
            board.check(now, &self.channels.pages, &self.log);
        }
    }

    /// When the scoreboard is to be made again, or looked at.
    pub(super) fn board_due(&self) -> Option<Time> {
        self.runtime_files.board.as_ref()?.public().due()
    }

    /// Makes the scoreboard again, if that is due.
    pub(super) fn keep_board(&mut self) {
        let (pages, log) = (&self.channels.pages, &self.log);
        if self
            .runtime_files
            .board
            .as_mut()
            .is_some_and(|board| board.heal(clock::now(), pages, log))
        {
            self.helpers.renew_status(self.runtime_files.board.as_ref(), &self.log);
        }
    }
}
