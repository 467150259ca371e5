//! Pools that grow for the wrong reason, or not for the right one.

use std::time::Duration;

use prefork_core::{
    Action, Activity, Config, Event, Exit, Notice, Observation, Pool, PoolNotice, SlotId,
    Supervisor, Time,
};

const STEP: Duration = Duration::from_millis(1);

const fn at(ms: u64) -> Time {
    Time::after_origin(Duration::from_millis(ms))
}

/// A pool of 4 to 20 whose queue nobody knows, as of jobs; all four serve and wait.
fn waiting() -> Supervisor {
    let mut config = Config::new(4, 20).expect("valid");
    config.pool = Pool::BY_LOAD;
    let mut supervisor = Supervisor::new(config);
    supervisor.handle(at(0), Event::Start);
    for slot in (0..4).map(SlotId) {
        supervisor.handle(at(1), Event::Spawned { slot, pid: 1 });
        supervisor.handle(at(1), Event::Ready { slot });
    }
    supervisor
}

/// Goes on from `from` to `until`: who is spawned ends at once, or waits; each look shows the same.
fn go_on(supervisor: &mut Supervisor, from: Time, until: Time, works: bool, waiting: Option<u32>) {
    let mut now = from;
    let idle = Activity::Idle { since: from };
    while now < until {
        let mut ended = Vec::new();
        while let Some(action) = supervisor.next_action() {
            match action {
                Action::Spawn { slot, .. } => {
                    supervisor.handle(now, Event::Spawned { slot, pid: 1 });
                    if works {
                        supervisor.handle(now, Event::Ready { slot });
                    } else {
                        ended.push(slot);
                    }
                }
                Action::Observe => {
                    let activities: Vec<_> = supervisor.slots().map(|slot| (slot, idle)).collect();
                    let observation = Observation { activities: &activities, waiting };
                    supervisor.observe(now, &observation);
                }
                _ => {}
            }
        }
        now = now + STEP;
        for slot in ended {
            supervisor.handle(now, Event::Exited { slot, exit: Exit::Code(1) });
        }
        // Whoever looks for work says so.
        supervisor.handle(now, Event::Nudged);
        supervisor.advance(now);
    }
}

#[test]
fn children_that_are_waited_for_are_not_wanted_once_more() {
    let mut supervisor = waiting();
    go_on(&mut supervisor, at(1), at(5000), true, None);
    assert_eq!(supervisor.alive(), 4);
    for slot in (0..4).map(SlotId) {
        supervisor.handle(at(5000), Event::Exited { slot, exit: Exit::Code(1) });
    }
    // What they all need has gone, and comes back.
    go_on(&mut supervisor, at(5000), at(15_000), false, None);
    go_on(&mut supervisor, at(15_000), at(40_000), true, None);
    assert_eq!(supervisor.alive(), 4);
    assert_eq!(supervisor.stats().retired, 0, "there were never more");
}

#[test]
fn while_none_can_start_no_more_are_wanted_than_connections_wait() {
    let mut supervisor = waiting();
    go_on(&mut supervisor, at(1), at(5000), true, Some(0));
    for slot in (0..4).map(SlotId) {
        supervisor.handle(at(5000), Event::Exited { slot, exit: Exit::Code(1) });
    }
    go_on(&mut supervisor, at(5000), at(15_000), false, Some(5));
    // They can again, and before any is retired all are there that were wanted.
    go_on(&mut supervisor, at(15_000), at(24_900), true, Some(0));
    assert_eq!(supervisor.alive(), 6, "one for each that waits, and one to spare");
}

/// A pool of 2 to 9 whose children enter their main loop and say no more.
fn silent() -> Supervisor {
    let mut config = Config::new(2, 9).expect("valid");
    config.pool = Pool::BY_LOAD;
    let mut supervisor = Supervisor::new(config);
    supervisor.handle(at(0), Event::Start);
    for slot in (0..2).map(SlotId) {
        supervisor.handle(at(0), Event::Spawned { slot, pid: 1 });
        supervisor.handle(at(1), Event::Entered { slot });
    }
    supervisor.advance(at(200));
    supervisor
}

fn take(supervisor: &mut Supervisor) -> Vec<Action> {
    std::iter::from_fn(|| supervisor.next_action()).collect()
}

/// Looks at a pool in which all count as idle.
fn look(supervisor: &mut Supervisor, now: Time, waiting: u32) -> Vec<Action> {
    let idle = Activity::Idle { since: Time::ZERO };
    let activities: Vec<_> = supervisor.slots().map(|slot| (slot, idle)).collect();
    let observation = Observation { activities: &activities, waiting: Some(waiting) };
    supervisor.observe(now, &observation);
    take(supervisor)
}

#[test]
fn children_that_say_nothing_are_busy_while_connections_wait() {
    let mut supervisor = silent();
    assert!(take(&mut supervisor).contains(&Action::ArmNudge));
    supervisor.handle(at(1000), Event::Queued);
    supervisor.advance(at(1005));
    assert!(take(&mut supervisor).contains(&Action::Observe));
    let grown = look(&mut supervisor, at(1005), 3);
    let spawns = grown.iter().filter(|action| matches!(action, Action::Spawn { .. })).count();
    assert_eq!(spawns, 4, "for those that wait, and one to spare: {grown:?}");
    let warnings =
        grown.iter().filter(|it| **it == Action::Log(Notice::Pool(PoolNotice::Silent))).count();
    assert_eq!(warnings, 1, "{grown:?}");
    // The next one that waits is noticed again, and warned of no more.
    supervisor.advance(at(1150));
    assert!(take(&mut supervisor).contains(&Action::ArmNudge));
    supervisor.handle(at(1160), Event::Queued);
    supervisor.advance(at(1165));
    take(&mut supervisor);
    assert!(
        !look(&mut supervisor, at(1165), 2)
            .contains(&Action::Log(Notice::Pool(PoolNotice::Silent)))
    );
}

#[test]
fn children_that_say_nothing_are_not_ended_in_what_nobody_sees() {
    let mut supervisor = silent();
    supervisor.handle(at(1000), Event::Queued);
    look(&mut supervisor, at(1005), 3);
    for slot in (2..6).map(SlotId) {
        supervisor.handle(at(1006), Event::Spawned { slot, pid: 1 });
        supervisor.handle(at(1007), Event::Entered { slot });
    }
    let mut now = at(1150);
    supervisor.advance(now);
    // None waits any more: it comes to rest, as large as it is.
    while let Some(due) = supervisor.deadline() {
        now = due;
        assert!(now < at(60_000), "it rests");
        supervisor.advance(now);
        while let Some(action) = supervisor.next_action() {
            if action == Action::Observe {
                look(&mut supervisor, now, 0);
            }
        }
    }
    assert_eq!((supervisor.alive(), supervisor.stats().retired), (6, 0));
}

#[test]
fn a_word_of_one_child_is_enough_to_believe_them() {
    let words =
        [Event::Ready { slot: SlotId(1) }, Event::Worked { slot: SlotId(1) }, Event::Nudged];
    for word in words {
        let mut supervisor = silent();
        supervisor.handle(at(201), word);
        take(&mut supervisor);
        supervisor.handle(at(1000), Event::Queued);
        supervisor.advance(at(1005));
        take(&mut supervisor);
        let actions = look(&mut supervisor, at(1010), 1);
        assert!(
            !actions.contains(&Action::Log(Notice::Pool(PoolNotice::Silent))),
            "{word:?}: {actions:?}"
        );
    }
}

/// A pool of 3 to 9 whose children wait since `at(1)`, and say so.
fn speaking() -> Supervisor {
    let mut config = Config::new(3, 9).expect("valid");
    config.pool = Pool::BY_LOAD;
    let mut supervisor = Supervisor::new(config);
    supervisor.handle(at(0), Event::Start);
    for slot in (0..3).map(SlotId) {
        supervisor.handle(at(0), Event::Spawned { slot, pid: 1 });
        supervisor.handle(at(1), Event::Ready { slot });
    }
    assert!(take(&mut supervisor).contains(&Action::ArmNudge));
    supervisor
}

/// Runs until `until`, with so many that wait; all children are idle, each since `since` says. Returns how many were spawned,
/// and what was logged.
fn run_waiting(
    supervisor: &mut Supervisor,
    from: Time,
    until: Time,
    waiting: u32,
    since: impl Fn(Time, SlotId) -> Time,
) -> (usize, Vec<Notice>) {
    let (mut now, mut spawns, mut notices) = (from, 0, Vec::new());
    if waiting > 0 {
        supervisor.handle(now, Event::Queued);
        supervisor.advance(now);
    }
    while now < until {
        while let Some(action) = supervisor.next_action() {
            match action {
                Action::Spawn { slot, .. } => {
                    spawns += 1;
                    supervisor.handle(now, Event::Spawned { slot, pid: 1 });
                    supervisor.handle(now, Event::Ready { slot });
                }
                Action::Observe => {
                    let slots = supervisor.slots();
                    let activities: Vec<_> = slots
                        .map(|slot| (slot, Activity::Idle { since: since(now, slot) }))
                        .collect();
                    let observation =
                        Observation { activities: &activities, waiting: Some(waiting) };
                    supervisor.observe(now, &observation);
                }
                Action::Retire { slot } => {
                    supervisor.handle(now, Event::Exited { slot, exit: Exit::Code(0) });
                }
                Action::ArmNudge if waiting > 0 => supervisor.handle(now, Event::Queued),
                Action::Log(notice) => notices.push(notice),
                _ => {}
            }
        }
        now = supervisor.deadline().unwrap_or(until).max(now + STEP);
        supervisor.advance(now);
    }
    (spawns, notices)
}

#[test]
fn idle_children_that_take_no_connection_are_not_free() {
    let mut supervisor = speaking();
    // All of them are stopped; those that are started meanwhile are quick, and idle again a moment ago.
    let since = |now, slot| if slot < SlotId(3) { at(1) } else { now };
    let (spawns, notices) = run_waiting(&mut supervisor, at(2000), at(2900), 1, since);
    assert_eq!(
        (spawns, notices.contains(&Notice::Pool(PoolNotice::Unserved { idle: 3, waiting: 1 }))),
        (0, false)
    );
    let (spawns, notices) = run_waiting(&mut supervisor, at(2900), at(8000), 1, since);
    assert_eq!(spawns, 2, "one for the connection, one to spare: {notices:?}");
    let unserved = Notice::Pool(PoolNotice::Unserved { idle: 3, waiting: 1 });
    assert_eq!(notices.iter().filter(|notice| **notice == unserved).count(), 1, "{notices:?}");
    // They go on, and all is as before.
    let (_, notices) = run_waiting(&mut supervisor, at(8000), at(60_000), 0, |now, _| now);
    assert_eq!(supervisor.alive(), 3, "{notices:?}");
    assert_eq!(supervisor.deadline(), None);
}

/// Children that report by their slots alone have nobody look when they turn idle: what they say by then counts.
#[test]
fn the_calm_time_begins_when_children_say_that_they_have_turned_idle() {
    let mut supervisor = speaking();
    supervisor.handle(at(2000), Event::Nudged);
    let busy = |slot| (SlotId(slot), Activity::Busy { since: Some(at(2000)) });
    let idle = |slot, since| (SlotId(slot), Activity::Idle { since: at(since) });
    let look = |supervisor: &mut Supervisor, now, activities: &[_]| {
        supervisor.advance(now);
        take(supervisor);
        supervisor.observe(now, &Observation { activities, waiting: Some(0) });
        take(supervisor)
    };
    let spawned = look(&mut supervisor, at(2005), &[busy(0), busy(1), busy(2)]);
    assert!(
        spawned.iter().any(|it| matches!(it, Action::Spawn { slot: SlotId(3), .. })),
        "{spawned:?}"
    );
    supervisor.handle(at(2006), Event::Spawned { slot: SlotId(3), pid: 1 });
    supervisor.handle(at(2007), Event::Ready { slot: SlotId(3) });
    look(&mut supervisor, at(2020), &[busy(0), busy(1), busy(2), idle(3, 2007)]);
    // They have turned idle one after the other, the first of them long before anybody looks.
    supervisor.handle(at(9000), Event::Nudged);
    let all = [idle(0, 3000), idle(1, 4000), idle(2, 5000), idle(3, 2007)];
    let mut now = at(9005);
    let is_retired =
        |actions: &[Action]| actions.iter().any(|it| matches!(it, Action::Retire { .. }));
    while !is_retired(&look(&mut supervisor, now, &all)) {
        now = supervisor.deadline().expect("one is too many");
    }
    // Four were needed until the first of them had turned idle, and three are what there is at rest.
    assert_eq!(now, at(13_000));
}

#[test]
fn a_queue_that_is_never_empty_makes_no_pool_grow_whose_children_turn_over() {
    let mut supervisor = speaking();
    // Seen idle at each look, though each takes one connection after the other.
    let (spawns, notices) = run_waiting(&mut supervisor, at(2000), at(60_000), 2, |now, _| now);
    assert_eq!(spawns, 0, "{notices:?}");
}
