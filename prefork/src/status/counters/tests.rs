use prefork_core::{Config, Event, Request, Reread, SlotId};

use super::*;

const CHILD: ChildId = ChildId { slot: SlotId(0), pid: 7 };

const fn at(seconds: u64) -> Time {
    Time::after_origin(Duration::from_secs(seconds))
}

fn counters() -> Counters {
    Counters::new(at(10), 3, 5)
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = Counter::ALL.iter().map(|counter| counter.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Counter::ALL.len());
}

#[test]
fn ends_are_counted_by_their_cause() {
    let signal = |number| Exit::Signal { number, core_dumped: false };
    let table = [
        (Exit::Code(0), Counter::Exited),
        (Exit::Code(101), Counter::Failed),
        (signal(9), Counter::Killed),
        (signal(6), Counter::Aborted),
        (signal(11), Counter::Crashed),
        (signal(15), Counter::Signalled),
        (signal(64), Counter::Signalled),
    ];
    for (exit, counter) in table {
        let mut counters = counters();
        counters.died(CHILD, exit, Some(7));
        let counted: Vec<_> =
            Counter::ALL.iter().filter(|counter| counters.get(**counter) == 1).collect();
        assert_eq!(counted, [&counter], "{exit:?}");
        assert_eq!(counters.get(Counter::RequestsOfEnded), 7);
    }
}

#[test]
fn what_the_supervisor_has_done_is_counted_once() {
    let mut config = Config::new(1, 1).expect("within limits");
    config.reread = Reread::AtReload;
    let mut supervisor = Supervisor::new(config);
    let mut counters = counters();
    for event in [
        Event::Start,
        Event::Spawned { slot: SlotId(0), pid: 7 },
        Event::Ready { slot: SlotId(0) },
        Event::Requested(Request::More),
        Event::Requested(Request::Reload),
        Event::SettingsRefused,
        Event::Requested(Request::Upgrade),
        Event::ProbeFailed,
        Event::Requested(Request::Reload),
        Event::SettingsUnread,
    ] {
        supervisor.handle(at(11), event);
        counters.observe(at(11), &supervisor);
    }
    let counted: Vec<_> =
        Counter::ALL.iter().filter(|counter| counters.get(**counter) == 1).collect();
    assert_eq!(counted, [&Counter::ReloadsFailed, &Counter::UpgradesRefused]);
    assert_eq!((counters.generation, counters.prefork, counters.max_children), (2, 1, 1));
}

#[test]
fn the_time_with_a_full_pool_adds_up() {
    let mut counters = counters();
    for (now, alive) in [(11, 4), (12, 5), (13, 6), (14, 4), (20, 5)] {
        counters.note_size(at(now), alive);
    }
    assert_eq!(counters.at_maximum, Duration::from_secs(2));
    assert_eq!(counters.at_maximum_since, Some(at(20)));
    assert_eq!(counters.hand_over(at(21)).at_maximum, Duration::from_secs(3));
}

#[test]
fn the_next_program_goes_on_counting() {
    let mut before = counters();
    before.add(Counter::Spawns, 7);
    before.died(CHILD, Exit::Code(0), Some(u64::MAX));
    before.died(CHILD, Exit::Code(3), None);
    let text = serde_json::to_string(&before.hand_over(at(30))).expect("written");
    let handed: HandedCounters = serde_json::from_str(&text).expect("read");
    let mut next = Counters::new(at(40), 3, 5);
    next.adopt(&handed);
    next.count(Counter::Spawns);
    assert_eq!((next.get(Counter::Spawns), next.get(Counter::Exited)), (8, 1));
    assert_eq!(next.started, at(10));
    assert_eq!(next.last_failure.map(Failure::exit), Some(Exit::Code(3)));
    next.died(CHILD, Exit::Code(0), Some(1));
    assert!(next.last_failure.is_some(), "an end in order is no failure");
    assert_eq!(next.get(Counter::RequestsOfEnded), u64::MAX, "no overflow");
}

#[test]
fn a_program_that_counts_less_is_understood() {
    let handed: HandedCounters =
        serde_json::from_str(r#"{"counts":{"spawns":3,"of a later library":1}}"#).expect("read");
    let mut next = counters();
    next.adopt(&handed);
    assert_eq!((next.get(Counter::Spawns), next.get(Counter::Reloads)), (3, 0));
    assert_eq!(next.started, at(10));
    assert_eq!(
        serde_json::from_str::<HandedCounters>("{}").expect("read"),
        HandedCounters::default()
    );
}
