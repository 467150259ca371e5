//! What is known of one pool.

use std::time::Duration;

use super::TAKE_BACK;
use crate::{LARGEST_POOL, Need, Time, highest::Highest, pools::Held};

/// What a pool may have of the ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Quota {
    /// It may always have so many. A pool with 0 may be left none at times.
    pub minimum: u32,
    /// It may never have more, those included that leave or stand in for others; at least 1.
    pub maximum: u32,
    /// Where all want more than there is, pools have children in proportion to this, or memory where that is shared: 1 to
    /// 10,000.
    pub weight: u32,
    /// How many bytes a child takes, as it is declared. At least 1 where memory is shared; not looked at where it is not.
    #[cfg_attr(feature = "serde", serde(default))]
    pub child_memory: u64,
}

/// What children have taken counts for so long when they take less: else every moment of that would start children for which
/// there is no room in the next.
const SETTLED: Duration = Duration::from_secs(10);

/// A pool with what it needs and what it may have.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub(super) quota: Quota,
    /// It is only waited for.
    pub(super) is_removed: bool,
    /// Whether it has a process.
    pub(super) is_running: bool,
    /// Whether that has reported anything.
    pub(super) has_reported: bool,
    pub(super) need: Need,
    /// How many children it may have.
    pub(super) cap: u32,
    /// How many it could have before, until it reports that it knows.
    before: Option<u32>,
    /// How many were busy.
    busy: Highest,
    /// How many KiB a child has taken.
    sizes: Highest,
    /// How many bytes a child can count with at the most, whatever is reported.
    pub(super) largest: u64,
    /// Since when it may have any children, or waits for that.
    pub(super) since: Time,
}

impl Pool {
    pub(super) const fn new(quota: Quota) -> Self {
        Self {
            quota,
            is_removed: false,
            is_running: false,
            has_reported: false,
            need: Need { alive: 0, busy: 0, wanted: 0, ceiling: None, child_memory: 0 },
            cap: 0,
            before: None,
            busy: Highest::new(),
            sizes: Highest::new(),
            largest: u64::MAX,
            since: Time::ZERO,
        }
    }

    /// One that has a process, which was told by another arbiter what it may have, or by none.
    pub(super) fn of(held: Held, quota: Option<&Quota>, now: Time) -> Self {
        let Held { said, need } = held;
        let quota = quota.copied();
        let own = quota.map_or(0, |quota| quota.maximum);
        // One that was told nothing goes by its own size, of which only that of this program is known.
        let cap = said.unwrap_or_else(|| own.max(need.alive));
        let none = Quota { minimum: 0, maximum: 1, weight: 1, child_memory: 0 };
        let mut pool = Self::new(quota.unwrap_or(none));
        pool.cap = cap;
        pool.start();
        // What it still goes by, if it has not heard of the last.
        pool.before = said.and(need.ceiling).filter(|ceiling| *ceiling != cap);
        pool.note(now, need);
        pool
    }

    pub(super) const fn begin_with(&mut self, cap: u32) {
        self.cap = cap;
    }

    pub(super) const fn start(&mut self) {
        (self.is_running, self.has_reported, self.before) = (true, false, None);
    }

    pub(super) fn end(&mut self, now: Time) {
        (self.is_running, self.has_reported, self.before) = (false, false, None);
        self.busy = Highest::new();
        // The next ones will take as much as these did.
        self.need = Need { child_memory: self.need.child_memory, ..Need::default() };
        self.since = now;
    }

    pub(super) fn note(&mut self, now: Time, need: Need) {
        if self.cap == 0 && self.wanted() == 0 {
            self.since = now;
        }
        // What was so before was so until now.
        self.busy.note(now, self.need.busy, TAKE_BACK);
        self.busy.note(now, need.busy, TAKE_BACK);
        self.sizes.note(now, self.measured(), SETTLED);
        let alive = need.alive.min(LARGEST_POOL * 2);
        let is_measured = need.child_memory > 0;
        let child_memory = if is_measured { need.child_memory } else { self.need.child_memory };
        self.need = Need { alive, child_memory, ..need };
        self.sizes.note(now, self.measured(), SETTLED);
        self.has_reported = self.is_running;
        if need.ceiling == Some(self.cap) {
            self.before = None;
        }
    }

    /// Whether no change is under way of which it is not known if the pool has heard of it.
    pub(super) const fn may_change(&self) -> bool {
        self.before.is_none()
    }

    pub(super) fn allow(&mut self, now: Time, cap: u32) {
        if (self.cap == 0) != (cap == 0) {
            self.since = now;
        }
        // Whoever has no process starts with what it may have then.
        self.before = self.is_running.then_some(self.cap);
        self.cap = cap;
    }

    /// How many children it may have at any moment until it reports again.
    pub(super) fn bound(&self) -> u32 {
        self.need.alive.max(self.cap).max(self.before.unwrap_or(0))
    }

    /// How many KiB a child takes, as it was reported last, by an earlier process too; 0 if it was not.
    fn measured(&self) -> u32 {
        in_kib(self.need.child_memory)
    }

    /// How many bytes a child counts with.
    pub(super) fn child_memory(&self, now: Time) -> u64 {
        let recently = self.sizes.of(now, SETTLED).map_or(0, |(_, size)| size);
        let measured = u64::from(self.measured().max(recently)) << 10;
        self.quota.child_memory.max(measured.min(self.largest))
    }

    /// When children that take less than they did count with that.
    pub(super) fn shrinks_at(&self, now: Time) -> Option<Time> {
        let (at, size) = self.sizes.of(now, SETTLED)?;
        (size > self.measured()).then(|| at + SETTLED)
    }

    /// How many bytes its minimum takes, as it is declared.
    pub(super) const fn declared_minimum(&self) -> u64 {
        self.quota.child_memory.saturating_mul(self.minimum() as u64)
    }

    pub(super) const fn minimum(&self) -> u32 {
        if self.is_removed { 0 } else { self.quota.minimum }
    }

    /// How many it would have.
    pub(super) fn wanted(&self) -> u32 {
        if self.is_removed {
            return 0;
        }
        self.need.wanted.clamp(self.quota.minimum, self.quota.maximum)
    }

    /// How many have been busy within so long.
    pub(super) fn busy_within(&self, now: Time, window: Duration) -> u32 {
        let recently = self.busy.of(now, window).map_or(0, |(_, busy)| busy);
        self.need.busy.max(recently)
    }

    /// Whether so many are idle that this is no chance of a moment.
    const fn is_mostly_idle(&self) -> bool {
        self.need.busy <= self.need.alive / 4
    }

    /// How many it needs for work.
    pub(super) fn working(&self, now: Time) -> u32 {
        let wanted = self.wanted();
        let is_growing = self.need.wanted > self.need.alive;
        let busy =
            if self.is_mostly_idle() { self.need.busy } else { self.busy_within(now, TAKE_BACK) };
        if is_growing { wanted } else { wanted.min(busy.saturating_add(1)) }
    }

    /// How many it keeps if nobody else wants them.
    pub(super) fn kept(&self) -> u32 {
        if self.is_running && !self.is_removed { self.cap.min(self.quota.maximum) } else { 0 }
    }

    /// When more were busy than now for the last time within so long, seen from its end.
    pub(super) fn calms_at(&self, now: Time, window: Duration) -> Option<Time> {
        let (at, busy) = self.busy.of(now, window)?;
        (busy > self.need.busy).then(|| at + window)
    }
}

/// Returns so many bytes in KiB, rounded up.
fn in_kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX)
}
