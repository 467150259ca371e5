//! A pool that is about to use up its memory, and what is done before the kernel does it.
//!
//! Where the limit of a control group is reached, the kernel ends one of its processes, or all of them
//! (`memory.oom.group`, which container platforms set). So the pool looks after itself: of children that have nothing to do
//! the largest one is retired first, which loses nothing. If the pool grows all the same, the child that has grown
//! most is ended, which loses what it has in hand, and nothing else. Its memory counts as given back from then on, however
//! long that takes on a busy machine: another one is ended only if that would not be enough.
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

/// Nobody is ended while what is free lasts for longer than that as fast as the children grow: a page that a child happens
/// to use is no reason.
const LASTS: Duration = Duration::from_secs(1);

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
    pub(crate) fn estimate(
        limit: u64,
        parent: u64,
        children: impl IntoIterator<Item = u64>,
    ) -> Self {
        let more = children.into_iter().map(|bytes| bytes.saturating_sub(parent));
        Self { used: more.fold(parent, u64::saturating_add), limit }
    }

    /// Returns the same with so much less in use.
    const fn without(self, bytes: u64) -> Self {
        Self { used: self.used.saturating_sub(bytes), ..self }
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
    pub(crate) standing: Standing,
}

/// What may be done with a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has worked and has nothing to do: it may be retired, or ended.
    Idle,
    /// It may be ended.
    Busy,
    /// It was killed, and its memory is on the way back.
    Killed,
    /// It was killed long ago, and is still there.
    Unkillable,
}

impl Weighed {
    const fn may_end(&self) -> bool {
        match self.standing {
            Standing::Idle | Standing::Busy => true,
            Standing::Killed | Standing::Unkillable => false,
        }
    }
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
    /// How little each child that is there was ever seen to have.
    lowest: BTreeMap<u64, u64>,
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

impl Look {
    /// Returns what was in use without what those who were killed since had of it.
    fn used_by_others(&self, children: &[Weighed], least: u64) -> u64 {
        let sizes = self.sizes.as_ref();
        let size = |child: &Weighed| sizes?.get(&child.serial).copied();
        let killed = children.iter().filter(|child| child.standing == Standing::Killed);
        let theirs = killed.filter_map(size).map(|bytes| bytes.saturating_sub(least));
        self.used.saturating_sub(sum(theirs))
    }
}

/// What is to be known of children before one of them is chosen.
#[derive(Clone, Copy, Debug)]
struct Scene<'a> {
    now: Time,
    /// Without what is on the way back.
    pool: PoolMemory,
    children: &'a [Weighed],
    /// What the smallest one has, which a new one will have too.
    least: u64,
}

impl<'a> Scene<'a> {
    fn of(now: Time, pool: PoolMemory, children: &'a [Weighed]) -> Self {
        let stay = children.iter().filter(|child| child.may_end());
        let least = stay.map(|child| child.bytes).min().unwrap_or(0);
        let killed = children.iter().filter(|child| child.standing == Standing::Killed);
        let returns = sum(killed.map(|child| child.bytes.saturating_sub(least)));
        Self { now, pool: pool.without(returns), children, least }
    }

    /// Whether something would be won if this child went: one that has hardly more than its successor will have, which is
    /// so much, gives nothing back.
    const fn gives_back(&self, child: &Weighed, successor: u64) -> bool {
        child.bytes >= successor.saturating_add(self.pool.limit / 256)
    }
}

fn sum(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, u64::saturating_add)
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
        let finding = match children {
            Some(children) if pool.is_worth_a_look() => {
                self.choose(&Scene::of(now, pool, children))
            }
            Some(_) | None => Finding::Enough,
        };
        let is_short = pool.free() < near(pool, 0)
            || self.short_since.is_some() && pool.free() < pool.limit / 6;
        self.short_since = is_short.then_some(self.short_since.unwrap_or(now));
        let sizes = children.map(|children| {
            children.iter().map(|child| (child.serial, child.bytes)).collect::<BTreeMap<_, _>>()
        });
        if let Some(sizes) = &sizes {
            let lowest = |(serial, bytes): (&u64, &u64)| {
                (*serial, self.lowest.get(serial).map_or(*bytes, |lowest| *lowest.min(bytes)))
            };
            self.lowest = sizes.iter().map(lowest).collect();
        }
        self.looks.push_back(Look { at: now, used: pool.used, sizes });
        // What is older than the window is needed once.
        while self.looks.get(1).is_some_and(|second| now.since(second.at) >= WINDOW) {
            self.looks.pop_front();
        }
        finding
    }

    fn choose(&mut self, scene: &Scene<'_>) -> Finding {
        let &Scene { now, pool, children, least } = scene;
        let growth = self.growth(scene);
        if pool.free() <= urgent(pool, growth)
            && let Some(finding) = self.fastest(scene, growth)
        {
            return finding;
        }
        let is_there = |serial| children.iter().any(|child| child.serial == serial);
        let waits = self.retired.is_some_and(|(serial, at)| {
            now.since(at) < PACE || now.since(at) < RETIRING && is_there(serial)
        });
        if waits || pool.free() > near(pool, growth) {
            return Finding::Enough;
        }
        let idle = children
            .iter()
            .filter(|child| child.standing == Standing::Idle && scene.gives_back(child, least));
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
    fn fastest(&self, scene: &Scene<'_>, growth: u64) -> Option<Finding> {
        let &Scene { now, pool, children, least } = scene;
        let before = self.looks.iter().find_map(|look| Some((look, look.sizes.as_ref()?)));
        let may_end = children.iter().filter(|child| child.may_end());
        let Some((look, sizes)) = before else {
            let largest = may_end.max_by_key(|child| (child.bytes, child.serial))?;
            let &Weighed { serial, bytes, .. } = largest;
            // With only a moment left there is none to see who grows.
            let lasts = growth == 0 || pool.free() > in_time(growth, LASTS);
            let is_last = pool.free() <= pool.limit / 32 && !lasts;
            return is_last.then_some(Finding::End {
                serial,
                bytes,
                grew: 0,
                over: Duration::ZERO,
            });
        };
        // One that has come since has what it has begun with, which is no growth: about as much as the smallest one has.
        let grew = |child: &Weighed| {
            child.bytes.saturating_sub(sizes.get(&child.serial).copied().unwrap_or(least))
        };
        let all = sum(may_end.clone().map(grew));
        let over = now.since(look.at);
        // The pool may have grown by somebody who stands still right now, and is seen at one of the next looks.
        let theirs = rate(all, over);
        let is_theirs = look.used_by_others(children, least) < pool.used
            && pool.free() <= urgent(pool, growth.min(theirs))
            && pool.free() <= in_time(theirs, LASTS);
        // In a pool of one, or where all grow alike, the smallest one says nothing of what a successor will have.
        let begun =
            |child: &Weighed| self.lowest.get(&child.serial).map_or(least, |it| *it.min(&least));
        let worth_it =
            may_end.filter(|child| grew(child) > 0 && scene.gives_back(child, begun(child)));
        let child = worth_it.max_by_key(|child| (grew(child), child.serial))?;
        let &Weighed { serial, bytes, .. } = child;
        is_theirs.then(|| Finding::End { serial, bytes, grew: grew(child), over })
    }

    /// Returns by how many bytes a second the pool has grown of late.
    fn growth(&self, scene: &Scene<'_>) -> u64 {
        let &Scene { now, pool, children, least } = scene;
        let Some(look) = self.looks.front() else { return 0 };
        let grew = pool.used.saturating_sub(look.used_by_others(children, least));
        rate(grew, now.since(look.at))
    }
}

/// Returns how many bytes a second that is.
fn rate(bytes: u64, over: Duration) -> u64 {
    let rate = u128::from(bytes) * 1_000_000_000 / over.max(SHORTEST).as_nanos();
    u64::try_from(rate).unwrap_or(u64::MAX)
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
    in_time(growth, REACTION)
}

/// Returns how many bytes so many a second are in that time.
fn in_time(rate: u64, time: Duration) -> u64 {
    let bytes = u128::from(rate) * time.as_nanos() / 1_000_000_000;
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
            let standing = if idle[place] { Standing::Idle } else { Standing::Busy };
            Weighed { serial, bytes: sizes[place] * MB, standing }
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
    }

    /// Seen on a busy machine, where an end took longer than any time that was set for it.
    #[test]
    fn nobody_else_is_ended_while_the_memory_of_one_that_was_killed_is_on_the_way_back() {
        let mut guard = MemoryGuard::default();
        let mut sizes = [700, 50, 50];
        let _ = guard.look(at(0), pool(800), Some(&children(sizes, NONE)));
        sizes[0] = 740;
        let found = guard.look(at(20), pool(840), Some(&children(sizes, NONE)));
        assert!(matches!(found, Finding::End { serial: 1, .. }), "{found:?}");
        for ms in (25..5000).step_by(5) {
            // The others use their memory, as they do.
            let other = if ms % 10 == 0 { 1 } else { 2 };
            sizes[other] += ms % 2;
            let mut children = children(sizes, NONE);
            children[0].standing = Standing::Killed;
            let found = guard.look(at(ms), pool(1000), Some(&children));
            assert_eq!(found, Finding::Enough, "after {ms} ms, with {sizes:?}");
        }
    }

    #[test]
    fn a_second_one_is_ended_at_once_if_the_end_of_the_first_is_not_enough() {
        let mut guard = MemoryGuard::default();
        let mut last = None;
        for (ms, sizes) in [(0, [500, 300, 50]), (20, [520, 320, 50]), (25, [520, 330, 50])] {
            let mut children = children(sizes, NONE);
            if last.is_some() {
                children[0].standing = Standing::Killed;
            }
            let used = sizes.iter().sum();
            last = match guard.look(at(ms), pool(used), Some(&children)) {
                Finding::End { serial, .. } => Some(serial),
                Finding::Enough | Finding::Weigh | Finding::Retire { .. } => None,
            };
        }
        assert_eq!(last, None, "520 MB of 900 are on the way back");
        // They have been used up since.
        for (ms, size) in [(250, 650), (270, 750), (275, 770)] {
            let mut children = children([200, size, 50], NONE);
            children[0].standing = Standing::Killed;
            let found = guard.look(at(ms), pool(250 + size), Some(&children));
            let is_ended = matches!(found, Finding::End { serial: 2, .. });
            assert_eq!(is_ended, size >= 750, "{found:?} with {size}");
        }
    }

    /// Seen on a busy machine: the one that ate everything was not running.
    #[test]
    fn a_page_that_somebody_uses_is_no_reason_while_the_one_that_grows_stands_still() {
        let mut guard = MemoryGuard::default();
        // By what was in use before anybody was weighed the pool grows fast.
        assert_eq!(guard.look(at(0), pool(400), None), Finding::Enough);
        let before = children([700, 60, 50], NONE);
        assert_eq!(guard.look(at(15), pool(820), Some(&before)), Finding::Enough);
        let page = 4096;
        let mut after = before;
        after[1].bytes += page;
        let used = PoolMemory { used: 820 * MB + page, limit: LIMIT };
        assert_eq!(guard.look(at(24), used, Some(&after)), Finding::Enough);
        after[0].bytes += 40 * MB;
        let found = guard.look(at(30), pool(861), Some(&after));
        assert!(matches!(found, Finding::End { serial: 1, .. }), "{found:?}");
    }

    #[test]
    fn a_pool_that_has_more_than_it_may_loses_nobody_for_a_page() {
        let mut guard = MemoryGuard::default();
        let mut children = children([500, 400, 300], NONE);
        let mut used = 1300 * MB;
        for ms in (0..2000).step_by(10) {
            let found = guard.look(at(ms), PoolMemory { used, limit: LIMIT }, Some(&children));
            assert_eq!(found, Finding::Enough, "after {ms} ms");
            if ms % 100 == 0 {
                children[2].bytes += 4096;
                used += 4096;
            }
        }
    }

    #[test]
    fn a_child_that_is_alone_is_ended_when_it_grows() {
        let mut guard = MemoryGuard::default();
        let found = [700, 780, 860, 940].map(|megabytes| {
            let child = Weighed { serial: 1, bytes: megabytes * MB, standing: Standing::Busy };
            guard.look(at(megabytes), pool(megabytes + 20), Some(&[child]))
        });
        assert!(matches!(found, [_, _, _, Finding::End { serial: 1, .. }]), "{found:?}");
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
        let same = children([100, 800, 100], NONE);
        for (before, is_ended) in [(Some(700), true), (None, false)] {
            let mut guard = MemoryGuard::default();
            if let Some(before) = before {
                let _ = guard.look(at(0), pool(before), None);
            }
            let found = guard.look(at(80), pool(1000), Some(&same));
            let found = matches!(found, Finding::End { serial: 2, grew: 0, .. });
            assert_eq!(found, is_ended, "{before:?} before");
        }
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
