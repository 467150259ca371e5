//! How many children a pool needs so that nobody waits longer than a target.
//!
//! Problem: children that are free for the next client cost memory whether it comes or not, and where a request takes a
//! millisecond, one that waits for a busy child waits for a millisecond. Where it takes a minute, nobody should. A constant
//! number of spare children is wrong for one of the two.
//!
//! Idea: a queue of `w` connections is worked off by `n` children in `w * s / n`, where a request takes a child the time `s`. As
//! long as that is no longer than the target there are enough. Else so many are missing that with them it is: those who start
//! take one each, and the others wait for all. What a request takes is what children at work have spent on those that were
//! done with since the oldest of the connections that still wait came. So it needs no clock in a client or a child, and holds
//! for sockets of any kind. Where hardly any was done with since, it is known only once somebody has waited for the target.
//!
//! To shrink it is of no interest that all children were at work for a moment: others may wait that long. So what is needed
//! is how many were at work on average, over the target.

use std::{collections::VecDeque, time::Duration};

use crate::{Tally, Time};

/// Fewer requests say nothing of how long one takes.
const ENOUGH: u64 = 4;

/// How many moments are remembered at the most.
const MOST: usize = 256;

/// The pace of looks while connections wait.
const PACE: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];

/// What is known of a queue and those who work it off.
#[derive(Clone, Debug, Default)]
pub(crate) struct QueueTarget {
    /// How many connections were accepted so far.
    accepted: u64,
    /// For how long children have been at work so far, all together.
    work: Duration,
    /// How many were at work from then on; the first one may be older than the target.
    busy: VecDeque<(Time, u32)>,
    /// Those who wait, by when they were seen to.
    waiting: VecDeque<Seen>,
}

/// A queue that was seen.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Time,
    /// How many had been accepted, and for how long children had been at work.
    accepted: u64,
    work: Duration,
    busy: u32,
    /// How many have been accepted when the last of them is.
    until: u64,
}

impl QueueTarget {
    /// Takes in that so many more connections were accepted.
    pub(crate) const fn accepted(&mut self, more: u64) {
        self.accepted = self.accepted.saturating_add(more);
    }

    /// Takes in how many are at work from then on; what was before lasted until then.
    pub(crate) fn note_busy(&mut self, then: Time, busy: u32, target: Duration) {
        if let Some((before, was)) = self.busy.back().copied() {
            self.work = self.work.saturating_add(then.since(before).saturating_mul(was));
            if then <= before {
                self.busy.pop_back();
            }
        }
        self.busy.push_back((then, busy));
        let is_old = |it: &(Time, u32)| then.since(it.0) >= target;
        while self.busy.len() > MOST || self.busy.get(1).is_some_and(is_old) {
            self.busy.pop_front();
        }
    }

    /// Takes in a look, and returns how many children are needed.
    pub(crate) fn look(&mut self, now: Time, tally: Tally, waiting: u32, target: Duration) -> u32 {
        self.note_busy(now, tally.busy, target);
        if waiting == 0 {
            self.waiting.clear();
        }
        while self.waiting.front().is_some_and(|seen| seen.until <= self.accepted) {
            self.waiting.pop_front();
        }
        let at_work = self.average(now, target);
        let needed = self.service(now, tally.busy, target).map_or(0, |service| {
            let clients = tally.busy.saturating_add(waiting);
            if service > target && self.is_late(now, target) {
                // Those ahead have all begun at once, and do not end in time: each needs one of its own.
                clients
            } else if waits(waiting, tally.staying(), service) <= target {
                0
            } else {
                children_for(clients, service, target)
            }
        });
        if waiting > 0 && self.waiting.len() < MOST {
            let (accepted, work) = (self.accepted, self.work);
            let until = accepted.saturating_add(u64::from(waiting));
            self.waiting.push_back(Seen { at: now, accepted, work, busy: tally.busy, until });
        }
        at_work.max(needed)
    }

    /// Returns when to look again at the latest, while connections wait.
    pub(crate) fn due(&self, now: Time, target: Duration) -> Option<Time> {
        let [shortest, longest] = PACE;
        (!self.waiting.is_empty()).then(|| now + target.clamp(shortest, longest))
    }

    /// Whether somebody has waited for longer than the target.
    fn is_late(&self, now: Time, target: Duration) -> bool {
        self.waiting.front().is_some_and(|first| now.since(first.at) > target)
    }

    /// How long a request takes a child, as far as that is known.
    fn service(&self, now: Time, busy: u32, target: Duration) -> Option<Duration> {
        let first = self.waiting.front()?;
        let (accepted, work) =
            (self.accepted - first.accepted, self.work.saturating_sub(first.work));
        let age = now.since(first.at);
        // Those that children have begun besides take as long as they take.
        let done = accepted.saturating_sub(u64::from(busy.saturating_sub(first.busy)));
        if done >= ENOUGH {
            return Some(divided(work, done));
        }
        // Nobody who has come since, and hardly anybody before.
        (age > target).then(|| divided(work.max(age), done.max(1)))
    }

    /// How many were at work on average in the time of the target.
    fn average(&self, now: Time, target: Duration) -> u32 {
        let from = now.since_origin().saturating_sub(target);
        let (mut sum, mut end) = (0_u128, now);
        for (at, busy) in self.busy.iter().rev() {
            let begin = (*at).max(Time::after_origin(from));
            sum += end.since(begin).as_nanos() * u128::from(*busy);
            end = begin.min(end);
        }
        let first = self.busy.front().map_or(now, |(at, _)| *at).max(Time::after_origin(from));
        match now.since(first).as_nanos() {
            // Nothing else is known.
            0 => self.busy.back().map_or(0, |(_, busy)| *busy),
            time => u32::try_from(sum.div_ceil(time)).unwrap_or(u32::MAX),
        }
    }
}

/// How long the last of those who wait does.
fn waits(waiting: u32, children: u32, service: Duration) -> Duration {
    divided(service.saturating_mul(waiting), u64::from(children.max(1)))
}

/// How many children have so many clients in hand or waiting no longer than the target.
fn children_for(clients: u32, service: Duration, target: Duration) -> u32 {
    let (service, target) = (service.as_nanos(), target.as_nanos());
    let children = (u128::from(clients) * service).div_ceil((service + target).max(1));
    u32::try_from(children).unwrap_or(u32::MAX)
}

fn divided(time: Duration, by: u64) -> Duration {
    let nanos = time.as_nanos() / u128::from(by.max(1));
    u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TARGET: Duration = Duration::from_millis(200);

    fn at(ms: u64) -> Time {
        Time::after_origin(Duration::from_millis(1_000_000 + ms))
    }

    fn busy(busy: u32) -> Tally {
        Tally { busy, ..Tally::default() }
    }

    #[test]
    fn a_queue_that_is_worked_off_within_the_target_needs_nobody() {
        let mut pool = QueueTarget::default();
        assert_eq!(pool.look(at(0), busy(2), 8, TARGET), 2, "nothing is known yet");
        // Each takes 40 ms, so that 8 of two children have waited 160 ms.
        pool.accepted(4);
        assert_eq!(pool.look(at(80), busy(2), 8, TARGET), 2);
        pool.accepted(4);
        assert_eq!(pool.look(at(160), busy(2), 8, TARGET), 2);
        // 12 would wait for 240 ms: 3 children have 9 of 11 waiting, for 120 ms.
        pool.accepted(4);
        assert_eq!(pool.look(at(240), busy(2), 12, TARGET), 3);
    }

    #[test]
    fn a_burst_has_as_many_as_its_requests_take() {
        for (ms, waiting, expected) in
            [(1, 100, 2), (5, 100, 3), (50, 100, 21), (1000, 100, 102), (60_000, 100, 102)]
        {
            let mut pool = QueueTarget::default();
            pool.look(at(0), busy(2), waiting + 4, TARGET);
            pool.accepted(4);
            let found = pool.look(at(2 * ms), busy(2), waiting, TARGET);
            assert_eq!(found, expected, "{ms} ms each");
        }
    }

    /// A child that is at a request for ever answers nothing that one could go by.
    #[test]
    fn who_waits_behind_requests_that_do_not_end_is_seen_at_the_target() {
        let mut pool = QueueTarget::default();
        assert_eq!(pool.look(at(0), busy(1), 1, TARGET), 1);
        assert_eq!(pool.look(at(200), busy(1), 1, TARGET), 1);
        assert_eq!(pool.look(at(201), busy(1), 1, TARGET), 2);
        assert_eq!(pool.due(at(201), TARGET), Some(at(401)));
        pool.accepted(1);
        assert_eq!(pool.look(at(210), busy(2), 0, TARGET), 1, "the second has just begun");
        assert_eq!(pool.due(at(210), TARGET), None);
    }

    #[test]
    fn a_moment_in_which_all_are_at_work_needs_less_than_all() {
        let mut pool = QueueTarget::default();
        pool.look(at(0), busy(0), 0, TARGET);
        pool.look(at(1000), busy(8), 0, TARGET);
        assert_eq!(pool.look(at(1050), busy(0), 0, TARGET), 2, "50 of 200 ms");
        assert_eq!(pool.look(at(1250), busy(0), 0, TARGET), 0);
    }

    proptest! {
        /// Whatever is seen: never more than all clients, and of a queue of nobody no more than were at work.
        #[test]
        fn what_is_needed_is_bounded(
            looks in prop::collection::vec((0..500u64, 0..50u32, 0..50u32, 0..200u32, 0..500u64), 1..100),
            target in 1..2000u64,
        ) {
            let (mut pool, mut now, mut most) = (QueueTarget::default(), 0, 0);
            let target = Duration::from_millis(target);
            for (pause, busy, idle, waiting, accepted) in looks {
                now += pause;
                most = most.max(busy);
                pool.accepted(accepted);
                let needed = pool.look(at(now), Tally { busy, idle, ..Tally::default() }, waiting, target);
                prop_assert!(needed <= most.max(busy + waiting), "{}", needed);
                if waiting == 0 {
                    prop_assert!(needed <= most, "{}", needed);
                }
                prop_assert_eq!(pool.due(at(now), target).is_some(), waiting > 0);
            }
        }

        /// With as many as it wants, the wait is within the target, and with one fewer it is not.
        #[test]
        fn as_many_are_wanted_as_it_takes(busy in 1..100u32, waiting in 1..1000u32, ms in 1..10_000u64, target in 1..10_000u64) {
            let [service, target] = [ms, target].map(Duration::from_millis);
            let wanted = children_for(busy + waiting, service, target);
            let rest = |children: u32| (busy + waiting).saturating_sub(children);
            prop_assert!(waits(rest(wanted), wanted, service) <= target);
            if wanted > 1 {
                prop_assert!(waits(rest(wanted - 1), wanted - 1, service) + Duration::from_nanos(1) > target);
            }
        }
    }
}
