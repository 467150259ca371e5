//! What a child says of its work: to the scoreboard, and to a parent that wants to know.

use std::{fmt::Display, io};

use prefork_scoreboard::{Slot, State};

use crate::nudge::{Nudge, Nudger};

/// The child's slot of the scoreboard, with the way to nudge the parent.
#[derive(Debug)]
pub(crate) struct Work {
    slot: Option<Slot>,
    nudger: Option<Nudger>,
    in_hand: bool,
}

impl Work {
    pub(crate) fn new(slot: Option<Slot>, nudge: Nudge) -> io::Result<Self> {
        let nudger = if slot.is_some() { Some(nudge.into_nudger()?) } else { None };
        Ok(Self { slot, nudger, in_hand: false })
    }

    /// Takes a slot where there is no parent to nudge.
    pub(crate) const fn alone(slot: Option<Slot>) -> Self {
        Self { slot, nudger: None, in_hand: false }
    }

    /// Work has begun that `label` describes.
    pub(crate) fn begin(&mut self, label: &str) {
        if let Some(slot) = &mut self.slot {
            slot.writing(label);
        }
        self.turned_busy();
    }

    /// A connection was accepted.
    pub(crate) fn accepted(&mut self, client: impl Display) {
        if let Some(slot) = &mut self.slot {
            slot.update(|report| {
                report.state(State::Reading).begin_request().label("").client(client);
            });
        }
        self.turned_busy();
    }

    /// The work in hand is finished, or there was none: the child waits.
    pub(crate) fn end(&mut self) {
        let had_work = std::mem::take(&mut self.in_hand);
        if let Some(slot) = &mut self.slot {
            if had_work { slot.finished() } else { slot.idle() }
        }
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
