//! Connections that wait though children count as idle.
//!
//! Children say that they have something to do, and then the pool is looked at. That misses two cases, in which connections
//! wait and nobody says so. So the first connection that waits is as good as the first child that does.
//!
//! - A main loop that accepts by itself, as a server that was ported line by line, and never calls what says that a child
//!   waits or works. As long as no child has said anything, all count as busy while a connection waits. How busy they are
//!   otherwise is not known, and one that does not look whether it is to leave would be ended in the middle of a request: so such a
//!   pool does not shrink.
//! - Children that are stopped, or hang before they accept. One that has said that it waits, and does nothing for a second
//!   in which connections wait at each look, is not free to take them: it counts as busy, until it does something. So it
//!   is with one that can have many requests in hand, and has neither taken nor finished one in that time: what it runs
//!   them on may be held up by one of them.

use std::time::Duration;

use super::Supervisor;
use crate::{Notice, Observation, PoolNotice, Share, SlotId, Tally, Time, share::Shares};

/// How long a child that counts as idle may let connections wait, and how often that is looked at.
pub(super) const IDLE_FOR: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(250);

/// What is known of connections that wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    /// Whether any child has ever said what it does.
    pub(super) spoken: bool,
    /// Whether it was logged that the pool grows though none has.
    logged: bool,
    unserved: Option<Unserved>,
}

/// Since when connections wait at each look while children count as idle.
#[derive(Clone, Copy, Debug)]
struct Unserved {
    since: Time,
    logged: bool,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self { spoken: false, logged: false, unserved: None }
    }

    /// Counts as busy who is not free to take the connections that wait; returns what is to be logged of children that
    /// let them wait, and whether to look again soon.
    pub(super) fn doubt(
        &mut self,
        now: Time,
        tally: &mut Tally,
        observation: &Observation<'_>,
        serves: impl Fn(SlotId) -> bool,
    ) -> (Option<Notice>, Option<Time>) {
        let waiting = observation.waiting.unwrap_or(0);
        if waiting == 0 || tally.idle == 0 {
            self.unserved = None;
            return (None, None);
        }
        if !self.spoken {
            tally.busy += std::mem::take(&mut tally.idle);
            return (None, None);
        }
        let unserved = self.unserved.get_or_insert(Unserved { since: now, logged: false });
        if now.since(unserved.since) < IDLE_FOR {
            return (None, Some(now + LOOK));
        }
        let (mut reported, mut doubted) = (Shares::default(), Shares::default());
        for (_, activity) in observation.activities.iter().filter(|(slot, _)| serves(*slot)) {
            let has_rested = activity.rests_since().is_some_and(|since| since <= unserved.since);
            reported.add(activity.share());
            doubted.add(if has_rested { Share::WHOLE } else { activity.share() });
        }
        let stuck = reported.idle().saturating_sub(doubted.idle()).min(tally.idle);
        tally.idle -= stuck;
        tally.busy += stuck;
        let is_news = stuck > 0 && !std::mem::replace(&mut unserved.logged, true);
        (
            is_news.then_some(Notice::Pool(PoolNotice::Unserved { idle: stuck, waiting })),
            Some(now + LOOK),
        )
    }

    /// Returns what is to be logged when a pool grows whose children say nothing.
    pub(super) fn silent(&mut self) -> Option<Notice> {
        let is_news = !self.spoken && !std::mem::replace(&mut self.logged, true);
        is_news.then_some(Notice::Pool(PoolNotice::Silent))
    }
}

impl Supervisor {
    /// Takes in that a child has said something.
    pub(super) const fn note_word(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.queue.spoken = true;
        }
    }
}
