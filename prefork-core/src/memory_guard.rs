//! A pool that is about to use up its memory, and what is done before the kernel does it.
//!
//! Where the limit of a control group is reached, the kernel ends one of its processes, or all of them
//! (`memory.oom.group`, which container platforms set). So the pool looks after itself: of children that have nothing to do
//! the largest one is retired first, which loses nothing. If the pool grows all the same, the child that has grown
//! most is ended, which loses what it has in hand, and nothing else.
//!
//! Looks come as often as the memory that is free could be used up at the most, and whoever grows slowly is given time.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::Time;

/// So many bytes a second are taken by a process that does nothing else, at the most.
const FASTEST: u64 = 4 << 30;

/// Looks are no closer to each other, and no further apart.
const SHORTEST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_secs(1);

/// Growth is what has been added in so long, so that a burst of a moment is not taken for a rate.
const WINDOW: Duration = Duration::from_millis(20);

/// What was seen so long ago says nothing of growth.
const STALE: Duration = Duration::from_secs(2);

/// Room is kept for what is added in so long: in which a look comes late, and a child ends.
const REACTION: Duration = Duration::from_millis(100);

/// For so long after one child was ended for it no other one is, unless it has gone.
const ENDING: Duration = Duration::from_millis(200);

/// For so long after one child was retired for it no other one is, unless it has gone; and that is no sooner than this.
const RETIRING: Duration = Duration::from_secs(1);
const PACE: Duration = Duration::from_millis(250);

/// How much memory a pool uses that it could not give back, and how much it may have, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolMemory {
    /// What is in use, without what the kernel takes back when it needs it, such as files that are cached.
    pub used: u64,
    /// What may be.
    pub limit: u64,
}

impl PoolMemory {
    /// Returns how much may still be taken.
    #[must_use]
    pub const fn free(self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// Returns that of two limits of which less is free.
    #[must_use]
    pub const fn tighter(self, other: Self) -> Self {
        if other.free() < self.free() { other } else { self }
    }

    /// Returns about how much a pool uses whose parent has so many bytes resident and its children so many each. What the
    /// parent has its children share, as far as nobody has written to it since they were forked.
    #[must_use]
    pub fn estimate(limit: u64, parent: u64, children: impl IntoIterator<Item = u64>) -> Self {
        let more = children.into_iter().map(|bytes| bytes.saturating_sub(parent));
        Self { used: more.fold(parent, u64::saturating_add), limit }
    }

    /// Whether there is so little left that it matters who has how much.
    const fn is_worth_a_look(self) -> bool {
        self.free() < self.limit / 4
    }
}

/// A child with its memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weighed {
    /// By what it is known: no other one ever has the same.
    pub(crate) serial: u64,
    /// In bytes.
    pub(crate) bytes: u64,
    /// Whether it has worked and has nothing to do.
    pub(crate) may_retire: bool,
    /// Whether nobody has ended it by harder measures already.
    pub(crate) may_end: bool,
}

/// What follows from a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Nothing.
    Enough,
    /// It has to be known how much each child has.
    Weigh,
    /// This child is to be retired.
    Retire { serial: u64, bytes: u64 },
    /// This child is to be ended. It has grown so much in that time; in none, if it was not weighed before.
    End { serial: u64, bytes: u64, grew: u64, over: Duration },
}

/// What is remembered from one look to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryGuard {
    looks: VecDeque<Look>,
    ended: Option<(u64, Time)>,
    retired: Option<(u64, Time)>,
    /// Since when there is little left.
    short_since: Option<Time>,
}

/// What was seen once.
#[derive(Clone, Debug)]
struct Look {
    at: Time,
    used: u64,
    /// What each child has had, if that was looked at.
    sizes: Option<BTreeMap<u64, u64>>,
}

impl MemoryGuard {
    /// Returns since when there is so little left that no more children are to be started.
    pub(crate) const fn short_since(&self) -> Option<Time> {
        self.short_since
    }

    /// Returns when to look again.
    pub(crate) fn next_look(&self, now: Time, pool: PoolMemory) -> Time {
        now + Duration::from_nanos(
            u64::try_from(u128::from(pool.free()) * 1_000_000_000 / u128::from(FASTEST))
                .unwrap_or(u64::MAX),
        )
        .clamp(SHORTEST, LONGEST)
    }

    /// Whether more memory is in use than at the look before.
    pub(crate) fn grows(&self) -> bool {
        let mut looks = self.looks.iter().rev();
        let (last, before) = (looks.next(), looks.next());
        last.zip(before).is_some_and(|(last, before)| last.used > before.used)
    }

    /// Takes in what is in use, and decides what follows. Where that is to weigh the children, it is called again with them.
    pub(crate) fn look(
        &mut self,
        now: Time,
        pool: PoolMemory,
        children: Option<&[Weighed]>,
    ) -> Finding {
        if children.is_none() && pool.is_worth_a_look() {
            return Finding::Weigh;
        }
        self.looks.retain(|look| now.since(look.at) < STALE);
        let growth = self.growth(now, pool.used);
        let finding = match children {
            Some(children) if pool.is_worth_a_look() => self.choose(now, pool, growth, children),
            Some(_) | None => Finding::Enough,
        };
        let is_short = pool.free() < near(pool, 0)
            || self.short_since.is_some() && pool.free() < pool.limit / 6;
        self.short_since = is_short.then_some(self.short_since.unwrap_or(now));
        let sizes = children.map(|children| {
            children.iter().map(|child| (child.serial, child.bytes)).collect::<BTreeMap<_, _>>()
        });
        self.looks.push_back(Look { at: now, used: pool.used, sizes });
        // What is older than the window is needed once.
        while self.looks.get(1).is_some_and(|second| now.since(second.at) >= WINDOW) {
            self.looks.pop_front();
        }
        finding
    }

    fn choose(
        &mut self,
        now: Time,
        pool: PoolMemory,
        growth: u64,
        children: &[Weighed],
    ) -> Finding {
        let is_there = |serial| children.iter().any(|child| child.serial == serial);
        let waits = |done: Option<(u64, Time)>, most| {
            done.is_some_and(|(serial, at)| now.since(at) < most && is_there(serial))
        };
        if waits(self.ended, ENDING) {
            return Finding::Enough;
        }
        if pool.free() <= urgent(pool, growth)
            && let Some(finding) = self.fastest(now, pool, children)
        {
            if let Finding::End { serial, .. } = finding {
                self.ended = Some((serial, now));
            }
            return finding;
        }
        let paced = self.retired.is_some_and(|(_, at)| now.since(at) < PACE);
        if pool.free() > near(pool, growth) || paced || waits(self.retired, RETIRING) {
            return Finding::Enough;
        }
        // One that has hardly more than its successor will have gives nothing back.
        let least = children.iter().map(|child| child.bytes).min().unwrap_or(0);
        let gain = least.saturating_add(pool.limit / 256);
        let idle = children.iter().filter(|child| child.may_retire && child.bytes >= gain);
        match idle.max_by_key(|child| (child.bytes, child.serial)) {
            Some(&Weighed { serial, bytes, .. }) => {
                self.retired = Some((serial, now));
                Finding::Retire { serial, bytes }
            }
            None => Finding::Enough,
        }
    }

    /// Finds the child that has grown most, or, where nobody has been weighed before, the largest one. None if
    /// the pool does not grow, or not by its children.
    fn fastest(&self, now: Time, pool: PoolMemory, children: &[Weighed]) -> Option<Finding> {
        let before = self.looks.iter().find_map(|look| Some((look, look.sizes.as_ref()?)));
        let may_end = children.iter().filter(|child| child.may_end);
        let Some((look, sizes)) = before else {
            let largest = may_end.max_by_key(|child| (child.bytes, child.serial))?;
            let &Weighed { serial, bytes, .. } = largest;
            // With only a moment left there is none to see who grows.
            let is_last = pool.free() <= pool.limit / 32;
            return is_last.then_some(Finding::End {
                serial,
                bytes,
                grew: 0,
                over: Duration::ZERO,
            });
        };
        // One that has come since has what it has begun with, which is no growth: about as much as the smallest one has.
        let least = children.iter().map(|child| child.bytes).min().unwrap_or(0);
        let grew = may_end.map(|child| {
            let before = sizes.get(&child.serial).copied().unwrap_or(least);
            (child.bytes.saturating_sub(before), child)
        });
        let (grew, child) = grew.max_by_key(|(grew, child)| (*grew, child.serial))?;
        let &Weighed { serial, bytes, .. } = child;
        let grows = pool.used > look.used && grew > 0;
        grows.then(|| Finding::End { serial, bytes, grew, over: now.since(look.at) })
    }

    /// Returns by how many bytes a second the pool has grown of late.
    fn growth(&self, now: Time, used: u64) -> u64 {
        let Some(look) = self.looks.front() else { return 0 };
        let over = now.since(look.at).max(SHORTEST).as_nanos();
        let grew = u128::from(used.saturating_sub(look.used));
        u64::try_from(grew * 1_000_000_000 / over).unwrap_or(u64::MAX)
    }
}

/// How little may be free before a child is ended: no more than a quarter, whatever is foreseen.
fn urgent(pool: PoolMemory, growth: u64) -> u64 {
    (pool.limit / 32).saturating_add(foreseen(growth)).min(pool.limit / 4)
}

/// How little may be free before an idle child is retired.
fn near(pool: PoolMemory, growth: u64) -> u64 {
    (pool.limit / 8).saturating_add(foreseen(growth)).min(pool.limit / 4)
}

fn foreseen(growth: u64) -> u64 {
    let bytes = u128::from(growth) * REACTION.as_nanos() / 1_000_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;
    const LIMIT: u64 = 1024 * MB;

    const fn at(ms: u64) -> Time {
        Time::after_origin(Duration::from_millis(ms))
    }

    const fn pool(used_mb: u64) -> PoolMemory {
        PoolMemory { used: used_mb * MB, limit: LIMIT }
    }

    /// Children 1, 2, 3 with so many megabytes, of which these are idle.
    fn children(sizes: [u64; 3], idle: [bool; 3]) -> [Weighed; 3] {
        let mut serial = 0;
        std::array::from_fn(|place| {
            serial += 1;
            let (bytes, may_retire) = (sizes[place] * MB, idle[place]);
            Weighed { serial, bytes, may_retire, may_end: true }
        })
    }

    const NONE: [bool; 3] = [false; 3];
    const ALL: [bool; 3] = [true; 3];

    #[test]
    fn what_children_share_with_their_parent_counts_once() {
        let of = |children: &[u64]| PoolMemory::estimate(1000, 100, children.iter().copied()).used;
        assert_eq!([of(&[]), of(&[100, 100, 90]), of(&[150, 100, 300])], [100, 100, 350]);
    }

    #[test]
    fn the_limit_counts_of_which_less_is_free() {
        let (wide, narrow) =
            (PoolMemory { used: 90, limit: 200 }, PoolMemory { used: 1, limit: 100 });
        assert_eq!(wide.tighter(narrow), narrow);
        assert_eq!(narrow.tighter(wide), narrow);
    }

    #[test]
    fn nobody_is_weighed_while_there_is_enough() {
        let mut guard = MemoryGuard::default();
        assert_eq!(guard.look(at(0), pool(768), None), Finding::Enough);
        assert_eq!(guard.look(at(1), pool(769), None), Finding::Weigh);
    }

    #[test]
    fn the_largest_idle_child_is_retired_when_little_is_left() {
        let sizes = [300, 200, 100];
        for (used, idle, expected) in [
            (880, ALL, None),
            (900, ALL, Some(1)),
            (900, [false, true, true], Some(2)),
            (900, NONE, None),
            // It has no more than a new one would have.
            (900, [false, false, true], None),
        ] {
            let mut guard = MemoryGuard::default();
            let found = guard.look(at(0), pool(used), Some(&children(sizes, idle)));
            let retired = match found {
                Finding::Retire { serial, .. } => Some(serial),
                Finding::Enough | Finding::Weigh | Finding::End { .. } => None,
            };
            assert_eq!(retired, expected, "{used} of 1024, idle {idle:?}: {found:?}");
        }
    }

    #[test]
    fn one_after_the_other_is_retired_as_long_as_that_is_needed() {
        let mut guard = MemoryGuard::default();
        let sizes = [300, 200, 100];
        let mut look =
            |ms, used, children: &[Weighed]| match guard.look(at(ms), pool(used), Some(children)) {
                Finding::Retire { serial, .. } => Some(serial),
                Finding::Enough | Finding::Weigh | Finding::End { .. } => None,
            };
        let all = children(sizes, ALL);
        assert_eq!(look(0, 900, &all), Some(1));
        // It has something in hand after all.
        let without = children(sizes, [false, true, true]);
        assert_eq!(look(300, 900, &without), None, "the first has not gone");
        assert_eq!(look(400, 900, &without[1..]), Some(2));
        assert_eq!(look(500, 900, &without[2..]), None, "too soon");
    }

    #[test]
    fn who_has_grown_most_is_ended_when_the_pool_is_about_to_be_full() {
        let mut guard = MemoryGuard::default();
        let before = children([300, 200, 100], NONE);
        assert_eq!(guard.look(at(0), pool(800), Some(&before)), Finding::Enough);
        // 40 MB in 20 ms are 2 GB a second: that is over in 100 ms.
        let after = children([302, 200, 138], NONE);
        let found = guard.look(at(20), pool(840), Some(&after));
        let over = Duration::from_millis(20);
        assert_eq!(found, Finding::End { serial: 3, bytes: 138 * MB, grew: 38 * MB, over });
        // It is on its way.
        assert_eq!(guard.look(at(40), pool(870), Some(&after)), Finding::Enough);
    }

    #[test]
    fn slow_growth_and_no_growth_end_nobody_before_the_last_moment() {
        let mut guard = MemoryGuard::default();
        let mut used = 800;
        for ms in (0..1000).step_by(100) {
            let sizes = [used - 500, 200, 100];
            let found = guard.look(at(ms), pool(used), Some(&children(sizes, NONE)));
            assert_eq!(found, Finding::Enough, "{used} after {ms} ms");
            used += 15;
        }
        // Full, and at rest.
        let mut guard = MemoryGuard::default();
        let same = children([500, 400, 100], NONE);
        for ms in (100..1000).step_by(100) {
            let found = guard.look(at(ms), pool(980), Some(&same));
            assert_eq!(found, Finding::Enough, "after {ms} ms");
        }
    }

    /// Seen when a child was replaced while another one ate everything.
    #[test]
    fn a_child_that_has_just_come_has_not_grown_by_what_it_has_begun_with() {
        let mut guard = MemoryGuard::default();
        let before = children([700, 50, 50], NONE);
        assert_eq!(guard.look(at(0), pool(800), Some(&before[..2])), Finding::Enough);
        let after = children([740, 50, 52], NONE);
        let found = guard.look(at(20), pool(842), Some(&after));
        assert!(matches!(found, Finding::End { serial: 1, .. }), "{found:?}");
    }

    #[test]
    fn with_only_a_moment_left_the_largest_is_ended_unseen() {
        let mut guard = MemoryGuard::default();
        let same = children([100, 800, 100], NONE);
        let found = guard.look(at(0), pool(1000), Some(&same));
        assert!(matches!(found, Finding::End { serial: 2, grew: 0, .. }), "{found:?}");
    }

    #[test]
    fn looks_come_as_often_as_the_rest_could_be_used_up() {
        let guard = MemoryGuard::default();
        for (used, ms) in [(0, 250), (512, 125), (1020, 5), (2000, 5)] {
            assert_eq!(guard.next_look(at(0), pool(used)), at(ms), "{used}");
        }
        let huge = PoolMemory { used: 0, limit: u64::MAX };
        assert_eq!(guard.next_look(at(0), huge), at(1000));
    }

    #[test]
    fn it_is_short_until_there_is_clearly_more() {
        let mut guard = MemoryGuard::default();
        let mut is_short = |ms, used| {
            let _ = guard.look(at(ms), pool(used), Some(&[]));
            guard.short_since().is_some()
        };
        let found =
            [(0, 800), (10, 900), (20, 880), (30, 840)].map(|(ms, used)| is_short(ms, used));
        assert_eq!(found, [false, true, true, false]);
    }
}
