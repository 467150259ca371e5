//! What children have started, and left behind when they ended.
//!
//! Who they are only the system knows, so the supervisor decides when to look: when something has ended, since
//! it then has left behind whatever it had started. Ending those leaves behind what they had started, and so on,
//! until a look finds nobody.

use std::time::Duration;

use super::Supervisor;
use crate::{
    Action, Config, Descendants as Policy, Notice, Pool, PoolNotice, Time, backoff::Backoff,
};

/// A look takes at most one part in so many of the time, and one more;
const COST: u32 = 4;

/// but what is to be ended waits for no longer than this for the next one.
const LONGEST_PAUSE: Duration = Duration::from_millis(25);

/// The delay before a look for those that are still there although they were ended, and the longest one.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_CAP: Duration = Duration::from_secs(10);

/// A look comes after all other actions of a moment, but not after more than so many: where a thousand children
/// are replaced, what the dead have left does not wait for that.
const FIRST_ACTIONS: u32 = 64;

/// How long a daemon without children waits at its end for those that its children have left.
const PATIENCE: Duration = Duration::from_secs(1);

/// When to look for descendants of children that have ended.
#[derive(Clone, Debug)]
pub(super) struct Descendants {
    policy: Policy,
    look: Look,
    /// Whether something has ended since the last look.
    stirred: bool,
    /// Whether children end all the time, and one look is to serve as many ends as may be.
    in_heaps: bool,
    /// When the next look may be.
    not_before: Time,
    /// How many were there at the last look, ended and not reaped.
    left: usize,
    retry: Backoff,
    /// Until when the end of the daemon is put off for them.
    until: Option<Time>,
}

/// How far a look has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    No,
    /// It comes after so many other actions, or when there are no more.
    Due {
        after: u32,
    },
    /// It was asked for, and not answered yet.
    Asked,
}

impl Descendants {
    pub(super) const fn new(config: &Config) -> Self {
        let in_heaps = match config.pool {
            Pool::OneShot(_) => true,
            Pool::Fixed | Pool::ByLoad(_) => false,
        };
        Self {
            policy: config.descendants,
            in_heaps,
            look: Look::No,
            stirred: false,
            not_before: Time::ZERO,
            left: 0,
            retry: Backoff::new(RETRY_FIRST, RETRY_CAP),
            until: None,
        }
    }

    /// Notes that something has ended, and may have left something behind.
    pub(super) const fn stir(&mut self) {
        match self.policy {
            Policy::End => self.stirred = true,
            Policy::Keep => {}
        }
    }

    /// Notes what a look has found.
    pub(super) fn looked(&mut self, now: Time, left: usize, took: Duration) {
        self.look = Look::No;
        self.left = left;
        let pause = if self.in_heaps { LONGEST_PAUSE } else { (took * COST).min(LONGEST_PAUSE) };
        self.not_before = now + pause;
        if left > 0 {
            self.retry.fail(now);
        } else {
            self.retry.succeed();
        }
    }

    /// When to look, if nothing happens.
    pub(super) fn due(&self) -> Option<Time> {
        match self.look {
            Look::No if self.stirred => Some(self.not_before),
            Look::No => self.retry.not_before(),
            Look::Due { .. } | Look::Asked => None,
        }
    }

    /// Returns whether nobody is left of whom is known.
    const fn are_gone(&self) -> bool {
        matches!(self.look, Look::No) && !self.stirred && self.left == 0
    }

    /// Until when the end of a daemon without children is put off, if it is.
    pub(super) const fn put_off_until(&self) -> Option<Time> {
        self.until
    }
}

impl Supervisor {
    /// Has them looked for when that is due.
    pub(super) fn decide_descendants(&mut self, now: Time) {
        if self.descendants.due().is_some_and(|due| now >= due) {
            self.descendants.look = Look::Due { after: FIRST_ACTIONS };
        }
    }

    /// Returns a look if it is its turn among the actions. So it serves all deaths of a moment, and holds up no
    /// replacement.
    pub(super) fn look_for_descendants(&mut self) -> Option<Action> {
        match self.descendants.look {
            Look::Due { after } if after > 0 && !self.actions.is_empty() => {
                self.descendants.look = Look::Due { after: after - 1 };
                None
            }
            Look::Due { .. } if !self.is_over() => {
                self.descendants.look = Look::Asked;
                self.descendants.stirred = false;
                Some(Action::EndDescendants)
            }
            Look::No | Look::Due { .. } | Look::Asked => None,
        }
    }

    /// Whether a daemon without children can end: none of their descendants is left, or they were waited for
    /// long enough.
    pub(super) fn may_exit(&mut self, now: Time) -> bool {
        if self.descendants.are_gone() {
            return true;
        }
        let until = *self.descendants.until.get_or_insert(now + PATIENCE);
        let is_over = now >= until;
        if is_over && self.descendants.left > 0 {
            self.log(Notice::Pool(PoolNotice::DescendantsLeft { left: self.descendants.left }));
        }
        is_over
    }
}
