//! Children that can have many requests in hand at once.

use std::{iter, time::Duration};

use prefork_core::{
    Action, Activity, Config, Event, Notice, Observation, Pool, PoolNotice, Request, Share, SlotId,
    Supervisor, Time,
};

const SECOND: Duration = Duration::from_secs(1);

const fn at(ms: u64) -> Time {
    Time::after_origin(Duration::from_millis(ms))
}

/// A child that has so many in hand of 64, and took or finished one then.
fn has(in_hand: u32, changed: Time) -> Activity {
    let since = (in_hand > 0).then_some(at(1));
    Activity::Many { share: Share::claim(in_hand, 64), changed, since, grace: Duration::ZERO }
}

fn config(prefork: u32) -> Config {
    let mut config = Config::new(prefork, 20).expect("valid");
    config.pool = Pool::BY_LOAD;
    config
}

/// A pool whose children all wait for work.
fn serving(config: Config) -> Supervisor {
    let children = config.prefork();
    let mut supervisor = Supervisor::new(config);
    supervisor.handle(at(0), Event::Start);
    for slot in (0..children).map(SlotId) {
        supervisor.handle(at(1), Event::Spawned { slot, pid: 100 + slot.0 });
        supervisor.handle(at(1), Event::Ready { slot });
    }
    while supervisor.next_action().is_some() {}
    supervisor
}

/// Shows it what the children from slot 0 on are doing; returns what it does about it.
fn shown(
    supervisor: &mut Supervisor,
    now: Time,
    activities: impl IntoIterator<Item = Activity>,
    waiting: Option<u32>,
) -> Vec<Action> {
    let activities: Vec<_> = (0..).map(SlotId).zip(activities).collect();
    supervisor.observe(now, &Observation { activities: &activities, waiting });
    iter::from_fn(|| supervisor.next_action()).collect()
}

fn spawned(actions: &[Action]) -> usize {
    actions.iter().filter(|action| matches!(action, Action::Spawn { .. })).count()
}

#[test]
fn a_pool_grows_when_less_than_one_childs_worth_of_room_is_left() {
    for (in_hand, expected) in [
        ([0, 0, 0, 0], 0),
        ([1, 1, 1, 1], 0),
        ([64, 64, 63, 1], 0),
        ([64, 64, 64, 1], 1),
        ([64, 64, 64, 64], 1),
        ([48, 48, 48, 48], 0),
        ([49, 48, 48, 48], 1),
        // More than there can be counts as so many.
        ([900, 64, 63, 0], 0),
    ] {
        let mut supervisor = serving(config(4));
        let activities = in_hand.map(|in_hand| has(in_hand, at(5)));
        let actions = shown(&mut supervisor, at(10), activities, Some(0));
        assert_eq!(spawned(&actions), expected, "{in_hand:?}: {actions:?}");
    }
}

#[test]
fn connections_that_wait_are_for_as_many_children_as_they_fill() {
    let idle = Activity::Idle { since: at(1) };
    let all = [has(0, at(1)); 4];
    for (activities, waiting, expected) in [
        (all, 64, 0),
        (all, 3 * 64, 0),
        (all, 3 * 64 + 1, 1),
        (all, 5 * 64, 2),
        // A child that has one request at a time takes but one.
        ([idle, all[1], all[2], all[3]], 5, 2),
        ([idle; 4], 5, 2),
    ] {
        let mut supervisor = serving(config(4));
        let actions = shown(&mut supervisor, at(10), activities, Some(waiting));
        assert_eq!(spawned(&actions), expected, "{waiting} wait: {actions:?}");
    }
}

/// Does as the hands would until `end`; the children have in hand what they have. Returns who was retired, in order.
fn retired(supervisor: &mut Supervisor, children: &[Activity], end: Time) -> Vec<u32> {
    let (mut retired, mut now) = (Vec::new(), at(1));
    loop {
        while let Some(action) = supervisor.next_action() {
            match action {
                Action::Observe => {
                    let all: Vec<_> = (0..).map(SlotId).zip(children.iter().copied()).collect();
                    let observation = Observation { activities: &all, waiting: Some(0) };
                    supervisor.observe(now, &observation);
                }
                Action::Retire { slot } => retired.push(slot.0),
                _ => {}
            }
        }
        let Some(due) = supervisor.deadline().filter(|due| *due <= end) else { return retired };
        now = due.max(now);
        supervisor.advance(now);
    }
}

#[test]
fn who_has_least_in_hand_is_retired_first() {
    let children = [
        has(5, at(1)),
        has(0, at(900)),
        has(0, at(500)),
        has(1, at(1)),
        has(2, at(1)),
        has(63, at(1)),
    ];
    let mut supervisor = serving(config(6));
    // At rest one is enough.
    for _ in 0..5 {
        supervisor.handle(at(1000), Event::Requested(Request::Fewer));
    }
    // 71 in hand of 64 are two at work, and one is to be free.
    assert_eq!(retired(&mut supervisor, &children, at(60_000)), [2, 1, 3]);
}

#[test]
fn a_reload_asks_those_first_that_have_least_in_hand() {
    let mut supervisor = serving(config(3));
    supervisor.handle(at(10), Event::Requested(Request::Reload));
    let stand_in = iter::from_fn(|| supervisor.next_action())
        .find_map(|action| match action {
            Action::Spawn { slot, .. } => Some(slot),
            _ => None,
        })
        .expect("a stand-in is started");
    supervisor.handle(at(20), Event::Spawned { slot: stand_in, pid: 1 });
    supervisor.handle(at(30), Event::Ready { slot: stand_in });
    while supervisor.next_action().is_some() {}
    let activities = [has(40, at(1)), has(2, at(1)), has(60, at(1)), has(0, at(30))];
    let actions = shown(&mut supervisor, at(31), activities, Some(0));
    let asked = actions.iter().find_map(|action| match action {
        Action::Retire { slot } => Some(slot.0),
        _ => None,
    });
    assert_eq!(asked, Some(1), "{actions:?}");
}

#[test]
fn the_limit_counts_from_when_the_child_says_so() {
    let mut config = config(2);
    config.request_timeout = Some(10 * SECOND);
    let mut supervisor = serving(config);
    let first = |grace| Activity::Many {
        share: Share::claim(2, 64),
        changed: at(1),
        since: Some(at(1000)),
        grace,
    };
    let mut aborted = |now, grace| {
        supervisor.advance(at(now));
        while supervisor.next_action().is_some() {}
        let actions = shown(&mut supervisor, at(now), [first(grace), has(0, at(1))], Some(0));
        actions.contains(&Action::Abort { slot: SlotId(0) })
    };
    assert!(!aborted(2000, Duration::ZERO));
    assert!(!aborted(10_999, Duration::ZERO));
    assert!(!aborted(11_000, 5 * SECOND), "it was given more time meanwhile");
    assert!(!aborted(15_999, 5 * SECOND));
    assert!(aborted(16_000, 5 * SECOND));
}

#[test]
fn clients_of_many_are_their_childs_business() {
    let is_checked = |activity: Activity| {
        let mut config = config(1);
        config.netwatch_interval = Some(2 * SECOND);
        let mut supervisor = serving(config);
        let mut actions = shown(&mut supervisor, at(10), [activity], Some(0));
        for now in (0..100).map(|n| at(20 + 100 * n)) {
            supervisor.advance(now);
            actions.extend(iter::from_fn(|| supervisor.next_action()));
        }
        actions.contains(&Action::CheckConnections)
    };
    assert!(is_checked(Activity::Busy { since: Some(at(5)) }));
    assert!(!is_checked(has(5, at(5))));
}

#[test]
fn a_pool_at_its_maximum_has_enough_while_there_is_room() {
    for (in_hand, waiting, is_logged) in [
        (1, Some(0), false),
        (63, None, false),
        (64, Some(0), true),
        (64, None, true),
        (1, Some(1), true),
    ] {
        let mut config = Config::new(1, 1).expect("valid");
        config.pool = Pool::BY_LOAD;
        let mut supervisor = serving(config);
        let actions = shown(&mut supervisor, at(10), [has(in_hand, at(5))], waiting);
        let is_notice = |action: &Action| {
            matches!(action, Action::Log(Notice::Pool(PoolNotice::AtMaximum { .. })))
        };
        assert_eq!(actions.iter().any(is_notice), is_logged, "{in_hand}, {waiting:?}: {actions:?}");
    }
}

/// Each connection waits though there is room: what runs the requests is held up by one of them.
#[test]
fn children_that_take_nothing_while_connections_wait_have_no_room() {
    let notice = |changes: bool| {
        let mut supervisor = serving(config(2));
        let mut actions = Vec::new();
        for ms in (10..2000).step_by(100) {
            let changed = if changes { at(ms) } else { at(5) };
            let children = [has(3, changed), has(1, changed)];
            actions.extend(shown(&mut supervisor, at(ms), children, Some(1)));
        }
        let is_notice = |action: &Action| {
            matches!(
                action,
                Action::Log(Notice::Pool(PoolNotice::Unserved { idle: 1, waiting: 1 }))
            )
        };
        (actions.iter().filter(|action| is_notice(action)).count(), spawned(&actions))
    };
    assert_eq!(notice(true).0, 0, "they go on all the time");
    let (notices, spawned) = notice(false);
    assert_eq!(notices, 1);
    assert!(spawned >= 2, "{spawned}");
}

/// Where nobody knows what waits, one that has room and takes nothing would stop growth for ever.
#[test]
fn a_child_with_room_that_takes_nothing_while_others_are_full_is_no_reason_not_to_grow() {
    let grown = |takes: bool| {
        let mut supervisor = serving(config(2));
        let mut spawns = 0;
        for ms in (10..5000).step_by(100) {
            let other = has(3, if takes { at(ms) } else { at(5) });
            let actions = shown(&mut supervisor, at(ms), [has(64, at(ms)), other], None);
            spawns += spawned(&actions);
        }
        spawns
    };
    assert!(grown(false) > 0);
    // One full child and a part of another are two at work, so that one is started to be free; it never begins here.
    assert_eq!(grown(true), 1);
}
