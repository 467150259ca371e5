//! What a child says of its work: to the scoreboard, and to a parent that wants to know.

use std::{fmt::Display, io, time::Duration};

use prefork_core::Time;
use prefork_scoreboard::{Slot, State};

use crate::nudge::{Nudge, Nudger};

/// The child's slot of the scoreboard, with the way to nudge the parent.
#[derive(Debug)]
pub(crate) struct Work {
    slot: Option<Slot>,
    nudger: Option<Nudger>,
    in_hand: bool,
    /// Until when more time was asked for, for what is in hand.
    extended: Time,
}

impl Work {
    pub(crate) fn new(slot: Option<Slot>, nudge: Nudge) -> io::Result<Self> {
        let nudger = if slot.is_some() { Some(nudge.into_nudger()?) } else { None };
        Ok(Self { slot, nudger, in_hand: false, extended: Time::ZERO })
    }

    /// Takes a slot where there is no parent to nudge.
    pub(crate) const fn alone(slot: Option<Slot>) -> Self {
        Self { slot, nudger: None, in_hand: false, extended: Time::ZERO }
    }

    /// Work has begun that `label` describes.
    pub(crate) fn begin(&mut self, label: &str) {
        if !self.in_hand {
            self.extended = Time::ZERO;
        }
        if let Some(slot) = &mut self.slot {
            slot.writing(label);
        }
        self.turned_busy();
    }

    /// A connection was accepted.
    pub(crate) fn accepted(&mut self, client: impl Display) {
        self.extended = Time::ZERO;
        if let Some(slot) = &mut self.slot {
            slot.update(|report| {
                report.state(State::Reading).begin_request().label("").client(client);
            });
        }
        self.turned_busy();
    }

    /// The work in hand is finished, or there was none: the child waits.
    pub(crate) fn end(&mut self) {
        let had_work = self.put_down();
        if let Some(slot) = &mut self.slot {
            if had_work { slot.finished() } else { slot.idle() }
        }
    }

    /// The request in hand is finished, and the connection waits for its next one.
    pub(crate) fn keep_alive(&mut self) {
        let had_work = self.put_down();
        if let Some(slot) = &mut self.slot {
            slot.update(|report| {
                report.state(State::Keepalive).count_requests(u64::from(had_work));
            });
        }
    }

    /// Lays down what is in hand; tells whether there was anything.
    const fn put_down(&mut self) -> bool {
        self.extended = Time::ZERO;
        std::mem::replace(&mut self.in_hand, false)
    }

    /// How much time is to be asked for, so that what is in hand has `by` from now and no less than it was
    /// given before.
    pub(crate) fn extend(&mut self, now: Time, by: Duration) -> Duration {
        self.extended = self.extended.max(now + by);
        self.extended.since(now)
    }

    pub(crate) const fn is_in_hand(&self) -> bool {
        self.in_hand
    }

    pub(crate) const fn slot(&mut self) -> Option<&mut Slot> {
        self.slot.as_mut()
    }

    fn turned_busy(&mut self) {
        if !std::mem::replace(&mut self.in_hand, true)
            && let Some(nudger) = &self.nudger
        {
            nudger.turned_busy();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_time_is_for_what_is_in_hand() {
        let mut work = Work::alone(None);
        let at = |seconds| Time::after_origin(Duration::from_secs(seconds));
        let hour = Duration::from_secs(3600);
        work.begin("a job");
        assert_eq!(work.extend(at(0), hour), hour);
        let less = Duration::from_secs(1);
        assert_eq!(work.extend(at(600), less), Duration::from_secs(3000), "what is given stays");
        work.end();
        work.begin("another");
        assert_eq!(work.extend(at(601), less), less);
        work.keep_alive();
        assert!(!work.is_in_hand());
        work.accepted("somebody");
        assert_eq!(work.extend(at(602), less), less);
    }
}
