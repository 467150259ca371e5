//! A pool that is as large as it may be, and not large enough: what is logged of it.

use std::time::Duration;

use super::{Supervisor, watch::Watch};
use crate::{Notice, PoolNotice, Tally, Time};

/// After so long without it, being full is news again.
const EPISODE: Duration = Duration::from_secs(10);

/// Being at a ceiling is news when it has lasted for so long.
const CEILING_IS_NEWS: Duration = Duration::from_secs(1);

/// When the pool was as large as it may be, and not large enough.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full {
    since: Time,
    /// When that was last seen.
    seen: Time,
    /// By which limit, if that was logged.
    logged: Option<FullBy>,
}

/// What keeps a pool from growing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FullBy {
    Maximum,
    Ceiling,
}

impl Full {
    /// When it is over, if it is not seen again.
    pub(super) fn ends(self) -> Time {
        self.seen + EPISODE
    }
}

impl Supervisor {
    /// Says that more children are wanted than there may be, once until that has not been so for a
    /// while, and then that it is over: a child that is seen between two requests does not end it. `short` is what the
    /// children do, and how many connections and jobs wait, if more are wanted now.
    pub(super) fn log_at_maximum(
        &mut self,
        now: Time,
        watch: &mut Watch,
        short: Option<(Tally, Option<u32>, Option<u32>)>,
    ) {
        if let Some(Full { since, seen, logged }) = watch.full
            && short.is_none()
            && now.since(seen) >= EPISODE
        {
            watch.full = None;
            let lasted = seen.since(since);
            match logged {
                Some(FullBy::Maximum) => {
                    self.log(Notice::Pool(PoolNotice::BelowMaximum { lasted }));
                }
                Some(FullBy::Ceiling) => {
                    self.log(Notice::Pool(PoolNotice::BelowCeiling { lasted }));
                }
                None => {}
            }
        }
        let Some((tally, waiting, jobs)) = short else { return };
        let is_capped = self.is_capped();
        let full = watch.full.get_or_insert(Full { since: now, seen: now, logged: None });
        full.seen = now;
        // Others may make room in a moment.
        if full.logged.is_some() || is_capped && now.since(full.since) < CEILING_IS_NEWS {
            return;
        }
        full.logged = Some(if is_capped { FullBy::Ceiling } else { FullBy::Maximum });
        let busy = tally.busy + tally.starting;
        let max_children = self.most_children();
        self.log(Notice::Pool(if is_capped {
            PoolNotice::AtCeiling { ceiling: max_children, busy, waiting, jobs }
        } else {
            PoolNotice::AtMaximum { max_children, busy, waiting, jobs }
        }));
    }
}
