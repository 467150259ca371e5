//! Which ends of children are logged one by one.
//!
//! Each is, until there are so many that nobody could read them: a pool whose memory is short, or that is sent requests which crash it,
//! can lose hundreds of children a second. Then they are summed up.

use std::time::Duration;

use super::Supervisor;
use crate::{Allowance, ChildId, ChildNotice, Exit, Notice, PoolNotice, Time};

/// So many at once, and one more in each pause; the others are summed up so often.
const AT_ONCE: u32 = 128;
const PAUSE: Duration = Duration::from_secs(10);

/// How many there were, and of what was not logged yet.
#[derive(Clone, Debug)]
pub(super) struct DeathLines {
    allowance: Allowance,
    left_out: Option<LeftOut>,
}

#[derive(Clone, Copy, Debug)]
struct LeftOut {
    deaths: u32,
    since: Time,
    last: Exit,
}

impl DeathLines {
    pub(super) const fn new() -> Self {
        Self { allowance: Allowance::new(AT_ONCE, PAUSE), left_out: None }
    }

    /// When what was left out is to be logged.
    pub(super) fn due(&self) -> Option<Time> {
        self.left_out.map(|left_out| left_out.since + PAUSE)
    }
}

impl Supervisor {
    /// Logs that a child has ended abnormally, or keeps it for a sum.
    pub(super) fn log_death(&mut self, now: Time, child: ChildId, exit: Exit, lived: Duration) {
        // A stop has as many as there are children, and then no more.
        if self.is_stopping() || self.death_lines.allowance.take(now) {
            self.log(Notice::Child(child, ChildNotice::DiedAbnormally { exit, lived }));
            return;
        }
        let first = LeftOut { deaths: 0, since: now, last: exit };
        let left_out = self.death_lines.left_out.get_or_insert(first);
        *left_out = LeftOut { deaths: left_out.deaths.saturating_add(1), last: exit, ..*left_out };
    }

    /// Sums up what was left out.
    pub(super) fn decide_death_lines(&mut self, now: Time) {
        let is_due = self.death_lines.due().is_some_and(|due| now >= due || self.is_stopping());
        if is_due && let Some(LeftOut { deaths, since, last }) = self.death_lines.left_out.take() {
            self.log(Notice::Pool(PoolNotice::MoreDied { deaths, last, over: now.since(since) }));
        }
    }
}
