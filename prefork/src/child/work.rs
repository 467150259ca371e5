//! What a child has in hand: one request at a time, or many.

use std::{fmt::Display, time::Duration};

use prefork_core::Time;
use prefork_scoreboard::Slot;

use super::{
    Limits,
    in_flight::{InFlight, InHand},
    limits::Finding,
    single::Single,
};
use crate::{channels::Reporter, disconnect::Accepted, logs::log::Log};

/// What a child has in hand, and the way to make the parent look at it.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a process has one, which it seldom moves")]
pub(crate) enum Work {
    One(Single),
    /// Since [`Child::in_flight`](super::Child::in_flight) was called.
    Many(Many),
}

/// What a child of many requests knows of them.
#[derive(Debug)]
pub(crate) struct Many {
    in_flight: InFlight,
    /// That which the main loop has begun itself.
    own: Option<InHand>,
}

impl Work {
    /// Takes a slot, with the way to a parent that looks at it, if there is one.
    pub(crate) fn new(slot: Option<Slot>, reporter: Option<Reporter>, limits: Limits) -> Self {
        Self::One(Single::new(slot, reporter, limits))
    }

    /// Makes it work of many requests, if it is not; returns the way to begin them.
    pub(super) fn in_flight(&mut self, concurrency: u32, log: &Log) -> InFlight {
        match self {
            Self::Many(many) => many.in_flight.clone(),
            Self::One(single) => {
                let (slot, reporter, usage) = single.give_up();
                let in_flight = InFlight::new(slot, reporter, usage, concurrency, log.clone());
                *self = Self::Many(Many { in_flight: in_flight.clone(), own: None });
                in_flight
            }
        }
    }

    /// Work has begun that `label` describes; `find` says for which connection, where that was not accepted here.
    pub(super) fn begin(&mut self, label: &str, find: impl FnOnce() -> Option<Accepted>) {
        match self {
            Self::One(single) => single.begin(label, find),
            Self::Many(Many { own: Some(own), .. }) => own.set_label(label),
            Self::Many(Many { in_flight, own }) => *own = Some(in_flight.begin(label)),
        }
    }

    /// A connection was accepted, whose client has waited for so long; `describe` says which, if it is one that can be watched.
    /// Among many requests it is none by itself.
    pub(super) fn accepted(
        &mut self,
        client: impl Display,
        queued: Option<Duration>,
        describe: impl FnOnce() -> Option<Accepted>,
    ) {
        match self {
            Self::One(single) => single.accepted(client, queued, describe),
            Self::Many(_) => self.note_queued(queued),
        }
    }

    /// Notes how long the client has waited of a connection that was accepted, where that by itself is no request.
    pub(super) fn note_queued(&mut self, queued: Option<Duration>) {
        match self {
            Self::One(single) => single.note_queued(queued),
            Self::Many(many) => many.in_flight.note_queued(queued),
        }
    }

    /// The work in hand is finished, or there was none: the child waits.
    pub(super) fn end(&mut self) {
        match self {
            Self::One(single) => single.end(),
            Self::Many(many) => many.own = None,
        }
    }

    /// The request in hand is finished, and the connection waits for its next one. Among many requests that occupies nobody.
    pub(super) fn keep_alive(&mut self) {
        match self {
            Self::One(single) => single.keep_alive(),
            Self::Many(many) => many.own = None,
        }
    }

    /// The child leaves in order: what it says that it has in hand, and has not said that it has finished, is finished. Of
    /// many requests those are cut off that the program has not put down.
    pub(super) fn leave(&mut self) {
        match self {
            Self::One(single) => single.leave(),
            Self::Many(many) => many.own = None,
        }
    }

    /// Asks for more time for what is in hand: `by` from now, and no less than it was given before.
    pub(super) fn extend(&mut self, now: Time, by: Duration) {
        match self {
            Self::One(single) => single.extend(now, by),
            Self::Many(many) => many.own.iter().for_each(|own| own.extend_deadline(by)),
        }
    }

    /// Whether anything is in hand, of the main loop or of other threads.
    pub(super) fn has_any_in_hand(&self) -> bool {
        match self {
            Self::One(single) => single.is_in_hand(),
            Self::Many(many) => many.in_flight.count() > 0,
        }
    }

    /// Returns how many requests were finished.
    pub(super) fn finished(&self) -> u64 {
        match self {
            Self::One(single) => single.finished(),
            Self::Many(many) => many.in_flight.finished(),
        }
    }

    pub(super) const fn is_in_hand(&self) -> bool {
        match self {
            Self::One(single) => single.is_in_hand(),
            Self::Many(many) => many.own.is_some(),
        }
    }

    /// Looks whether a limit has been reached; to be done between two requests. Many look to it themselves.
    pub(super) fn look(&mut self) -> Finding {
        match self {
            Self::One(single) => single.look(),
            Self::Many(_) => Finding::WithinLimits,
        }
    }

    /// The slot, for the program's own reports. Of many requests the report is no one thread's.
    pub(super) const fn slot(&mut self) -> Option<&mut Slot> {
        match self {
            Self::One(single) => single.slot(),
            Self::Many(_) => None,
        }
    }
}
