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
//!
//! Jobs that wait (`demand.rs`) are taken likewise, with two differences. Children that look whether they are to leave, and
//! never report work, count as busy while jobs wait. And a child that looks for jobs now and then may leave one alone for a
//! while, and a queue that moves may have a job in it whenever it is asked: children are doubted after 10 s in which none of
//! them has taken or finished anything.

use std::time::Duration;

use super::Supervisor;
use crate::{Notice, Observation, PoolNotice, Share, SlotId, Tally, Time, share::Shares};

/// How long a child that counts as idle may let connections wait, and how often that is looked at.
pub(super) const IDLE_FOR: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(250);

/// How long a child that counts as idle may let jobs wait.
const IDLE_BESIDE_JOBS_FOR: Duration = Duration::from_secs(10);

/// What is known of connections that wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    /// Whether any child has ever said what it does.
    pub(super) spoken: bool,
    /// Whether any has ever reported that it is at work.
    pub(super) reports_work: bool,
    /// Whether it was logged that the pool grows though none has.
    logged: bool,
    unserved: Option<Unserved>,
    unserved_jobs: Option<Unserved>,
}

/// Since when connections, or jobs, wait at each look while children count as idle.
#[derive(Clone, Copy, Debug)]
struct Unserved {
    since: Time,
    logged: bool,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self {
            spoken: false,
            reports_work: false,
            logged: false,
            unserved: None,
            unserved_jobs: None,
        }
    }

    /// Counts as busy who is not free to take the connections and jobs that wait; returns what is to be logged of children
    /// that let them wait, and whether to look again soon.
    pub(super) fn doubt(
        &mut self,
        now: Time,
        tally: &mut Tally,
        (observation, jobs): (&Observation<'_>, Option<u32>),
        serves: impl Fn(SlotId) -> bool + Copy,
    ) -> (Option<Notice>, Option<Time>) {
        let (connections, jobs) = (observation.waiting.unwrap_or(0), jobs.unwrap_or(0));
        let is_silent = match (connections, jobs) {
            (0, 0) => false,
            (_, 0) => !self.spoken,
            (_, _) => !self.reports_work,
        };
        if is_silent {
            tally.busy += std::mem::take(&mut tally.idle);
        }
        let doubt = |unserved: &mut Option<Unserved>, waiting, idle_for, tally: &mut Tally| {
            if waiting == 0 || tally.idle == 0 {
                *unserved = None;
                return (0, None);
            }
            let unserved = unserved.get_or_insert(Unserved { since: now, logged: false });
            unserved.doubt(now, idle_for, tally, observation, serves)
        };
        let (idle, look) = doubt(&mut self.unserved, connections, IDLE_FOR, tally);
        let notice =
            (idle > 0).then_some(Notice::Pool(PoolNotice::Unserved { idle, waiting: connections }));
        if self.unserved_jobs.is_some_and(|it| it.has_ended(observation, serves)) {
            self.unserved_jobs = None;
        }
        // A look follows each answer about jobs.
        let (idle, _) = doubt(&mut self.unserved_jobs, jobs, IDLE_BESIDE_JOBS_FOR, tally);
        let of_jobs = (idle > 0).then_some(Notice::Pool(PoolNotice::JobsUnserved { idle, jobs }));
        (notice.or(of_jobs), look)
    }

    /// Returns what is to be logged when a pool grows whose children say nothing.
    pub(super) fn silent(&mut self) -> Option<Notice> {
        let is_news = !self.spoken && !std::mem::replace(&mut self.logged, true);
        is_news.then_some(Notice::Pool(PoolNotice::Silent))
    }
}

impl Unserved {
    /// Whether a child has taken or finished anything since.
    fn has_ended(&self, observation: &Observation<'_>, serves: impl Fn(SlotId) -> bool) -> bool {
        observation.activities.iter().filter(|(slot, _)| serves(*slot)).any(|(_, activity)| {
            let changed = activity.rests_since().max(activity.taken_at());
            changed.is_some_and(|changed| changed > self.since)
        })
    }

    /// Counts as busy who has been idle all the time, if that is long; returns how many these are if that is news, and when
    /// to look again.
    fn doubt(
        &mut self,
        now: Time,
        idle_for: Duration,
        tally: &mut Tally,
        observation: &Observation<'_>,
        serves: impl Fn(SlotId) -> bool,
    ) -> (u32, Option<Time>) {
        if now.since(self.since) < idle_for {
            return (0, Some(now + LOOK));
        }
        let (mut reported, mut doubted) = (Shares::default(), Shares::default());
        for (_, activity) in observation.activities.iter().filter(|(slot, _)| serves(*slot)) {
            let has_rested = activity.rests_since().is_some_and(|since| since <= self.since);
            reported.add(activity.share());
            doubted.add(if has_rested { Share::WHOLE } else { activity.share() });
        }
        let stuck = reported.idle().saturating_sub(doubted.idle()).min(tally.idle);
        tally.idle -= stuck;
        tally.busy += stuck;
        let is_news = stuck > 0 && !std::mem::replace(&mut self.logged, true);
        (if is_news { stuck } else { 0 }, Some(now + LOOK))
    }
}

impl Supervisor {
    /// Takes in that a child has said something.
    pub(super) const fn note_word(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.queue.spoken = true;
        }
    }

    /// Takes in that a child has reported that it works, or has.
    pub(super) const fn note_work(&mut self) {
        if let Some(watch) = &mut self.watch {
            (watch.queue.spoken, watch.queue.reports_work) = (true, true);
        }
    }
}
