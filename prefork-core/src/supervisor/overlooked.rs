//! Children that report that they are idle, and take nothing while all others work, where nobody knows what waits.
//!
//! Growth begins when no child is free. Where it is not known how many connections or jobs wait, one child that reports
//! that it is idle and is not, by a wrong word or by malice, would stop growth for ever. Such a child differs from one that
//! is free in one thing: whenever others take their next work, it takes none. So a child that has rested while the others
//! were at work at each look for a second, and went from one piece of work to the next, is not free: it counts as busy. So
//! does one that can have many requests in hand, has room for more, and has neither taken nor finished any in that time.
//!
//! That may be wrong, as those that are free are not asked in turn, and then the pool grows by a child that rests too. So it is
//! believed again that children are free once one rests that has come since, and not doubted for a while.

use std::time::Duration;

use super::queue::IDLE_FOR;
use crate::{Notice, Observation, PoolNotice, SlotId, Tally, Time};

/// At so many looks at least somebody must have taken work since the look before.
const ROUNDS: u32 = 4;

/// A child that is idle for so long has nothing to take.
const RESTS: Duration = Duration::from_millis(100);

/// After a doubt that was wrong there is none for so long.
const TRUST: Duration = Duration::from_secs(10);

/// Who rests while all others work.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Overlooked {
    watched: Option<Watched>,
    trusted_until: Time,
}

/// Since when all who are idle have been so, and all others were at work at each look.
#[derive(Clone, Copy, Debug)]
struct Watched {
    since: Time,
    /// When work was taken last, and at how many looks that was news.
    taken: Time,
    rounds: u32,
    doubted: bool,
}

impl Overlooked {
    /// Counts as busy who rests while all others work; returns what is to be logged of them. What the children do is given
    /// where it is not known what waits.
    pub(super) fn doubt(
        &mut self,
        now: Time,
        tally: &mut Tally,
        unknown: Option<&Observation<'_>>,
        serves: impl Fn(SlotId) -> bool,
    ) -> Option<Notice> {
        let Some(observation) = unknown.filter(|_| tally.idle > 0 && tally.busy > 0) else {
            self.watched = None;
            return None;
        };
        let serving = || observation.activities.iter().filter(|(slot, _)| serves(*slot));
        let taken = serving().filter_map(|(_, activity)| activity.taken_at());
        let taken = taken.max().unwrap_or(Time::ZERO);
        let rested = serving().filter_map(|(_, activity)| activity.rests_since());
        let watched = self.watched.get_or_insert(Watched::new(now, taken));
        if let Some(since) = rested.max().filter(|since| *since > watched.since) {
            if watched.doubted && now.since(since) >= RESTS {
                self.trusted_until = now + TRUST;
            } else if watched.doubted {
                // One that has just come may be about to take what waits.
                return None;
            }
            *watched = Watched::new(now, taken);
            return None;
        }
        if taken > watched.taken {
            watched.taken = taken;
            watched.rounds += 1;
        }
        let is_long = now.since(watched.since) >= IDLE_FOR && watched.rounds >= ROUNDS;
        if !is_long || now < self.trusted_until {
            return None;
        }
        let idle = std::mem::take(&mut tally.idle);
        tally.busy += idle;
        let is_news = !std::mem::replace(&mut watched.doubted, true);
        is_news.then_some(Notice::Pool(PoolNotice::Overlooked { idle }))
    }
}

impl Watched {
    const fn new(since: Time, taken: Time) -> Self {
        Self { since, taken, rounds: 0, doubted: false }
    }
}
