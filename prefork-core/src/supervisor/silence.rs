//! Children that never say what they do.
//!
//! A main loop that accepts by itself, as a server that was ported line by line, and never calls what says that a child waits
//! or works, nudges nobody: its pool would not be looked at, and would never grow. So as long as no child has said anything,
//! the first connection that waits has the pool looked at. While any does, all children count as busy. How busy they are
//! otherwise is not known, and one that does not look whether it is to leave would be ended in the middle of a request: so such a pool
//! does not shrink.

use std::time::Duration;

use super::{Phase, Supervisor};
use crate::{Action, Tally, Time, slots::Stage};

/// How long a connection may wait before that means something, while children count as idle.
const GATHER: Duration = Duration::from_millis(5);

/// How long after one connection the next is noticed.
const PAUSE: Duration = Duration::from_millis(150);

/// Whether children say what they do, and what is done while none has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// One has said something.
    Broken,
    /// From then on connections are waited for, once a child serves.
    From(Time),
    /// They are waited for.
    Watching,
}

impl Supervisor {
    /// Takes in that a child has said something.
    pub(super) const fn break_silence(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.silence = Silence::Broken;
        }
    }

    /// Has connections waited for where no child has said anything.
    pub(super) fn decide_silence(&mut self, now: Time) {
        if self.silence_due().is_none_or(|due| now < due) {
            return;
        }
        if let Some(watch) = &mut self.watch {
            watch.silence = Silence::Watching;
            self.actions.push_back(Action::WatchQueue);
        }
    }

    pub(super) fn silence_due(&self) -> Option<Time> {
        let Silence::From(due) = self.watch.as_ref()?.silence else { return None };
        let serves = self.slots.iter().any(|(_, child)| child.stage == Stage::Serving);
        (serves && matches!(self.phase, Phase::Serving)).then_some(due)
    }

    /// Takes in that a connection waits.
    pub(super) fn queued(&mut self, now: Time) {
        if let Some(watch) = &mut self.watch
            && watch.silence == Silence::Watching
        {
            watch.silence = Silence::From(now + PAUSE);
            watch.observe_by(now + GATHER);
        }
    }
}

/// Counts children that say nothing as busy while connections wait.
pub(super) fn doubt_idle(tally: &mut Tally, waiting: Option<u32>) {
    if waiting.is_some_and(|waiting| waiting > 0) {
        tally.busy += std::mem::take(&mut tally.idle);
    }
}
