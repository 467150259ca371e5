//! Which of many requests that a child has in hand is to end first.
//!
//! A child with one request in hand reports when that has begun, and until when it wants time. Of many, each with its own
//! time, the parent needs to know only which will have taken too long before all others. The child keeps them in that order,
//! for which it knows the limit, and reports of the first one the moment from which the limit counts: when it began, or as
//! long before the end of the time that it was given.

use std::{sync::atomic::Ordering, time::Duration};

use prefork_core::{SlotId, Time};

use super::{OwnPage, Pages};

/// Written by a child that has many requests in hand: from when on the limit counts of the first one that it will end, in
/// nanoseconds of `CLOCK_MONOTONIC`, which may be to come; 0 while it has none in hand.
const FIRST: usize = 70;
/// Written by the parent: how long a request may take, in nanoseconds; 0 for as long as it likes.
pub(super) const LIMIT: usize = 77;

impl Pages {
    /// Lets these children know, and those that are assigned from now on, how long a request may take.
    pub(crate) fn limit_requests(
        &mut self,
        limit: Option<Duration>,
        slots: impl Iterator<Item = SlotId>,
    ) {
        self.limit = limit.map_or(0, nanos);
        slots.for_each(|slot| self.store(slot, LIMIT, self.limit));
    }

    /// Reads from when on the limit counts of that request of a child with many which will have taken too long before all
    /// others; to be read after its record.
    pub(crate) fn first_in_hand(&self, slot: SlotId) -> Option<Time> {
        // Acquire: pairs with the release of the child, so that a record which is read later is no older than this.
        let nanos = self.word(slot, FIRST)?.load(Ordering::Acquire);
        (nanos != 0).then(|| Time::after_origin(Duration::from_nanos(nanos)))
    }
}

impl OwnPage {
    /// How long a request may take.
    pub(crate) fn limit(self) -> Option<Duration> {
        let nanos = self.page[LIMIT].load(Ordering::Relaxed);
        (nanos != 0).then(|| Duration::from_nanos(nanos))
    }

    /// Reports from when on the limit counts of the first request in hand, before the record shows which that is.
    pub(crate) fn first_in_hand(self, from: Option<Time>) {
        let nanos = from.map_or(0, |from| nanos(from.since_origin()).max(1));
        self.page[FIRST].store(nanos, Ordering::Release);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
