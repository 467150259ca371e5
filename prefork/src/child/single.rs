//! What a child with one request at a time reports of it: to the scoreboard, and to a parent that wants to know.

use std::{fmt::Display, time::Duration};

use prefork_core::Time;
use prefork_scoreboard::{Slot, State};

use super::limits::{Finding, Limits, Usage};
use crate::{channels::Reporter, disconnect::Accepted};

/// The child's slot of the scoreboard, with the way to make the parent look at it.
#[derive(Debug)]
pub(crate) struct Single {
    slot: Option<Slot>,
    reporter: Option<Reporter>,
    hand: Hand,
    /// The connection that the parent can read of.
    shown: Shown,
    /// Until when more time was asked for, for what is in hand.
    extended: Time,
    usage: Usage,
}

/// What a child has in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hand {
    Nothing,
    /// A connection, of which it waits for the request.
    Connection,
    /// Work with a label.
    Work,
}

/// How it is known which connection is in hand, if it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    None,
    /// It was accepted here.
    Accepted,
    /// It is what this process was found to hold, when a request began.
    Held,
}

impl Single {
    /// Takes a slot, with the way to a parent that looks at it, if there is one.
    pub(super) fn new(slot: Option<Slot>, reporter: Option<Reporter>, limits: Limits) -> Self {
        Self {
            slot,
            reporter,
            hand: Hand::Nothing,
            shown: Shown::None,
            extended: Time::ZERO,
            usage: Usage::new(limits),
        }
    }

    /// Returns how many requests it has finished.
    pub(super) const fn finished(&self) -> u64 {
        self.usage.requests()
    }

    /// Gives up all of it, for a child that is to have many requests in hand. What was in hand is put down, and counts for
    /// nothing.
    pub(super) fn give_up(&mut self) -> (Option<Slot>, Option<Reporter>, Usage) {
        if self.put_down() {
            self.usage.forget_request();
        }
        self.forget_connection();
        let usage = std::mem::replace(&mut self.usage, Usage::new(Limits::default()));
        (self.slot.take(), self.reporter.take(), usage)
    }

    /// Work has begun that `label` describes; `find` says for which connection, where that was not accepted here.
    pub(super) fn begin(&mut self, label: &str, find: impl FnOnce() -> Option<Accepted>) {
        let before = std::mem::replace(&mut self.hand, Hand::Work);
        if before == Hand::Nothing {
            self.usage.count_request();
            self.forget_extension();
            if self.shown == Shown::Held {
                self.forget_connection();
            }
        }
        if let Some(slot) = &mut self.slot {
            slot.busy(label);
        }
        if before == Hand::Nothing && self.shown == Shown::None {
            self.show(Shown::Held, find);
        }
        // Whoever has looked since the connection came has seen no label. A label that follows another is not worth it.
        if before != Hand::Work {
            self.changed();
        }
    }

    /// A connection was accepted, whose client has waited for so long; `describe` says which, if it is one that can be watched.
    pub(super) fn accepted(
        &mut self,
        client: impl Display,
        queued: Option<Duration>,
        describe: impl FnOnce() -> Option<Accepted>,
    ) {
        self.usage.count_request();
        self.forget_extension();
        self.forget_connection();
        if let Some(slot) = &mut self.slot {
            slot.update(|report| {
                report
                    .state(State::Reading)
                    .begin_request()
                    .label("")
                    .client(client)
                    .queued(queued);
            });
        }
        self.hand = Hand::Connection;
        self.show(Shown::Accepted, describe);
        self.changed();
    }

    /// Shows how long the client has waited of a connection that is no request by itself.
    pub(super) fn note_queued(&mut self, queued: Option<Duration>) {
        if queued.is_some()
            && let Some(slot) = &mut self.slot
        {
            slot.update(|report| {
                report.queued(queued);
            });
        }
    }

    /// Makes the parent read which connection is in hand, if it wants to know.
    fn show(&mut self, shown: Shown, connection: impl FnOnce() -> Option<Accepted>) {
        let reporter = self.reporter.as_ref().filter(|reporter| reporter.is_watched());
        if let Some(reporter) = reporter
            && let Some(connection) = connection()
        {
            reporter.connected(connection.into_words());
            self.shown = shown;
        }
    }

    /// The work in hand is finished, or there was none: the child waits.
    pub(super) fn end(&mut self) {
        let had_work = self.put_down();
        self.forget_connection();
        if let Some(slot) = &mut self.slot {
            if had_work { slot.finished() } else { slot.idle() }
        }
        self.changed();
    }

    /// The child leaves in order: what it says that it has in hand, and has not said that it has finished, is finished.
    pub(super) fn leave(&mut self) {
        if let Some(slot) = &mut self.slot
            && self.hand != Hand::Nothing
        {
            slot.idle();
        }
    }

    /// The request in hand is finished, and the connection waits for its next one.
    pub(super) fn keep_alive(&mut self) {
        let had_work = self.put_down();
        if let Some(slot) = &mut self.slot {
            slot.update(|report| {
                report.state(State::Keepalive).count_requests(u64::from(had_work));
            });
        }
        self.changed();
    }

    /// Lays down what is in hand; returns whether there was anything.
    fn put_down(&mut self) -> bool {
        self.forget_extension();
        std::mem::replace(&mut self.hand, Hand::Nothing) != Hand::Nothing
    }

    /// Asks for more time for what is in hand: `by` from now, and no less than it was given before.
    pub(super) fn extend(&mut self, now: Time, by: Duration) {
        self.extended = self.extended.max(now + by);
        if let Some(reporter) = &self.reporter {
            reporter.extend(self.extended);
        }
    }

    /// Takes back what was asked for, before the record says that something else is in hand.
    fn forget_extension(&mut self) {
        if std::mem::replace(&mut self.extended, Time::ZERO) != Time::ZERO
            && let Some(reporter) = &self.reporter
        {
            reporter.extend(Time::ZERO);
        }
    }

    /// Takes back which connection was in hand, before the record says that something else is.
    fn forget_connection(&mut self) {
        if std::mem::replace(&mut self.shown, Shown::None) != Shown::None
            && let Some(reporter) = &self.reporter
        {
            reporter.disconnected();
        }
    }

    pub(super) const fn is_in_hand(&self) -> bool {
        !matches!(self.hand, Hand::Nothing)
    }

    /// Looks whether a limit has been reached; to be done between two requests.
    pub(super) fn look(&mut self) -> Finding {
        self.usage.look()
    }

    pub(super) const fn slot(&mut self) -> Option<&mut Slot> {
        self.slot.as_mut()
    }

    /// Makes the parent look at the record, which has changed, if it wants to know.
    fn changed(&self) {
        if self.slot.is_some()
            && let Some(reporter) = &self.reporter
        {
            reporter.changed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::both_sides;

    /// Else the board would show a connection for as long as the request takes that came with it.
    #[test]
    fn a_request_that_begins_after_somebody_has_looked_rings() {
        let (mut pages, slot, own, reporter) = both_sides();
        let mut work = Single::new(Some(own.enter()), Some(reporter), Limits::default());
        let mut seconds = 0;
        let mut look = |pages: &mut crate::channels::Pages| {
            seconds += 1;
            pages.arm(Time::after_origin(Duration::from_secs(seconds)), [slot].into_iter());
        };
        look(&mut pages);
        work.accepted("somebody", None, || None);
        assert!(pages.has_changed(slot));
        look(&mut pages);
        work.begin("GET /", || None);
        assert!(pages.has_changed(slot), "what was seen is a connection without a request");
        look(&mut pages);
        work.begin("GET / of it", || None);
        assert!(!pages.has_changed(slot), "it is at work already");
        work.end();
        assert!(pages.has_changed(slot));
    }

    #[test]
    fn more_time_is_for_what_is_in_hand() {
        let mut work = Single::new(None, None, Limits::default());
        let at = |seconds| Time::after_origin(Duration::from_secs(seconds));
        let hour = Duration::from_secs(3600);
        let until = |work: &mut Single, seconds, by| {
            work.extend(at(seconds), by);
            work.extended
        };
        work.begin("a job", || None);
        assert_eq!(until(&mut work, 0, hour), at(3600));
        let less = Duration::from_secs(1);
        assert_eq!(until(&mut work, 600, less), at(3600), "what is given stays");
        work.end();
        work.begin("another", || None);
        assert_eq!(until(&mut work, 601, less), at(602));
        work.keep_alive();
        assert!(!work.is_in_hand());
        work.accepted("somebody", None, || None);
        assert_eq!(until(&mut work, 602, less), at(603));
    }
}
