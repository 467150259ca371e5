//! A parent that has come back from an upgrade without what `after_init` makes.
//!
//! Where the new program could not take over, the old one is executed again, and its `after_init` runs once more. If
//! that fails, no child can be forked, as each begins with what it makes. But the children that are left serve, and the
//! parent reaps, asks and stops as always. Once another child is needed, it tries its own program as for an upgrade, and
//! executes that if `after_init` works there; a better program can be put in its place meanwhile, and asked for.

use std::time::Duration;

use prefork_core::{Event, Request, SlotId, Time};

use super::Parent;
use crate::{status::counters::Counter, system::clock};

/// How long after one attempt the next one may begin.
const PAUSE: Duration = Duration::from_secs(10);

/// What such a parent knows of its attempts.
#[derive(Debug)]
pub(super) struct Bare {
    /// When the next one may begin.
    next: Time,
    /// Whether the next probe is one of them, and not of what stands where the program was started from.
    is_due: bool,
}

impl Bare {
    /// Begins, right after an attempt.
    pub(super) fn new() -> Self {
        Self { next: clock::now() + PAUSE, is_due: false }
    }
}

impl Parent<'_> {
    /// Does not fork the child that is wanted, if this parent cannot; returns whether that is so.
    pub(super) fn lacks_state(&mut self, slot: SlotId) -> bool {
        let Some(bare) = &mut self.bare else { return false };
        let now = clock::now();
        let tries = now >= bare.next;
        if tries {
            *bare = Bare { next: now + PAUSE, is_due: true };
        }
        self.counters.count(Counter::SpawnFailures);
        self.supervisor.handle(now, Event::SpawnFailed { slot });
        if tries {
            self.supervisor.handle(now, Event::Requested(Request::Upgrade));
        }
        true
    }

    /// Returns whether the next probe is of the program that runs.
    pub(super) fn is_about_to_try_itself(&self) -> bool {
        self.bare.as_ref().is_some_and(|bare| bare.is_due)
    }

    /// Returns whether the probe that is to be started is of the program that runs.
    pub(super) fn tries_itself(&mut self) -> bool {
        self.bare.as_mut().is_some_and(|bare| std::mem::take(&mut bare.is_due))
    }
}
