//! Children that are at work on one request for too long.

use std::time::Duration;

use prefork_core::{
    Action, Activity, AtTimeout, ChildId, ChildNotice, Config, Event, Exit, Hook, Notice,
    Observation, Pool, Request, SlotId, Supervisor, Time,
};

const LIMIT: Duration = Duration::from_secs(10);
const SLOT: SlotId = SlotId(0);
const CHILD: ChildId = ChildId { slot: SLOT, pid: 100 };
const IDLE: Activity = Activity::Idle { since: Time::ZERO };

const fn hung(measure: AtTimeout) -> Notice {
    Notice::Child(CHILD, ChildNotice::Hung { busy: LIMIT, limit: LIMIT, measure })
}

const fn at(ms: u64) -> Time {
    Time::after_origin(Duration::from_millis(ms))
}

/// A pool of two, ready at time 0.
fn pool() -> Supervisor {
    pool_with(Vec::new())
}

fn pool_with(hooks: Vec<Hook>) -> Supervisor {
    let mut config = Config::new(2, 4).expect("valid");
    config.hooks = hooks;
    config.pool = Pool::BY_LOAD;
    config.request_timeout = Some(LIMIT);
    supervisor_of(config)
}

fn supervisor_of(config: Config) -> Supervisor {
    let mut supervisor = Supervisor::new(config);
    supervisor.handle(at(0), Event::Start);
    for slot in [0, 1].map(SlotId) {
        supervisor.handle(at(0), Event::Spawned { slot, pid: 100 + slot.0 });
        supervisor.handle(at(0), Event::Ready { slot });
    }
    supervisor
}

/// Does as the hands would until `end`, with the first child at work since `busy`; returns what was
/// done to it and when.
fn run(supervisor: &mut Supervisor, busy: Option<Time>, end: Time) -> Vec<(Time, Action)> {
    run_dumping(supervisor, busy, end, |slot| Some(Event::NoCoreDump { slot }))
}

/// The same, where the question for a core dump is answered by `dump`, or not at all.
fn run_dumping(
    supervisor: &mut Supervisor,
    busy: Option<Time>,
    end: Time,
    dump: impl Fn(SlotId) -> Option<Event>,
) -> Vec<(Time, Action)> {
    let mut done = Vec::new();
    let mut now = at(1);
    loop {
        while let Some(action) = supervisor.next_action() {
            match action {
                Action::Observe => {
                    let first = match busy {
                        Some(since) => Activity::Busy { since: Some(since) },
                        None => IDLE,
                    };
                    let activities = [(SLOT, first), (SlotId(1), IDLE)];
                    let observation = Observation { activities: &activities, waiting: Some(0) };
                    supervisor.observe(now, &observation);
                }
                Action::Abort { .. } | Action::Kill { .. } => done.push((now, action)),
                Action::LookForCoreDump { slot } => {
                    dump(slot).into_iter().for_each(|event| supervisor.handle(now, event));
                }
                Action::Log(Notice::Child(
                    _,
                    ChildNotice::Hung { .. } | ChildNotice::DumpsCore { .. },
                ))
                | Action::Examine { .. } => {
                    done.push((now, action));
                }
                _ => {}
            }
        }
        match supervisor.deadline() {
            Some(due) if due <= end => {
                now = due;
                supervisor.advance(now);
            }
            _ => return done,
        }
    }
}

#[test]
fn is_aborted_when_the_time_is_up_and_killed_a_second_later() {
    let mut supervisor = pool();
    let done = run(&mut supervisor, Some(at(1)), at(20_000));
    let hung = Action::Log(hung(AtTimeout::Abort));
    assert_eq!(
        done,
        [
            (at(10_001), hung),
            (at(10_001), Action::Abort { slot: SLOT }),
            (at(11_001), Action::Kill { slot: SLOT }),
            (at(16_001), Action::Kill { slot: SLOT }),
        ]
    );
    let exit = Exit::Signal { number: 9, core_dumped: false };
    supervisor.handle(at(20_000), Event::Exited { slot: SLOT, exit });
    let actions: Vec<_> = std::iter::from_fn(|| supervisor.next_action()).collect();
    assert!(
        !actions.iter().any(|action| matches!(action, Action::Spawn { .. })),
        "replaced before"
    );
}

#[test]
fn is_not_killed_while_its_core_dump_is_written() {
    let mut supervisor = pool();
    let limit = Duration::from_secs(60);
    let done = run_dumping(&mut supervisor, Some(at(1)), at(70_500), |slot| {
        Some(Event::CoreDumpFound { slot })
    });
    let child = CHILD;
    assert_eq!(
        done[1..],
        [
            (at(10_001), Action::Abort { slot: SLOT }),
            (at(11_001), Action::Log(Notice::Child(child, ChildNotice::DumpsCore { limit }))),
            (at(70_001), Action::Kill { slot: SLOT }),
        ],
        "at the latest"
    );
}

#[test]
fn is_killed_in_the_end_where_nobody_knows_of_its_core_dump() {
    let mut supervisor = pool();
    let done = run_dumping(&mut supervisor, Some(at(1)), at(72_000), |_| None);
    assert_eq!(done[2..], [(at(70_001), Action::Kill { slot: SLOT })]);
}

#[test]
fn a_core_dump_that_nobody_asked_for_changes_nothing() {
    let mut supervisor = pool();
    for event in [Event::CoreDumpFound { slot: SLOT }, Event::NoCoreDump { slot: SLOT }] {
        supervisor.handle(at(2), event);
    }
    assert_eq!(run(&mut supervisor, None, at(20_000)), []);
}

#[test]
fn a_stop_waits_for_no_core_dump() {
    let mut supervisor = pool();
    let found = |slot| Some(Event::CoreDumpFound { slot });
    run_dumping(&mut supervisor, Some(at(1)), at(12_000), found);
    supervisor.handle(at(12_001), Event::Requested(Request::StopNow));
    let killed = run_dumping(&mut supervisor, Some(at(1)), at(13_500), found);
    assert!(killed.contains(&(at(13_001), Action::Kill { slot: SLOT })), "{killed:?}");
}

#[test]
fn has_its_successor_at_once() {
    let mut supervisor = pool();
    run(&mut supervisor, Some(at(1)), at(10_000));
    supervisor.advance(at(10_001));
    let look = std::iter::from_fn(|| supervisor.next_action()).last();
    assert_eq!(look, Some(Action::Observe));
    let busy = Activity::Busy { since: Some(at(1)) };
    supervisor.observe(
        at(10_001),
        &Observation { activities: &[(SLOT, busy), (SlotId(1), IDLE)], waiting: Some(0) },
    );
    let actions: Vec<_> = std::iter::from_fn(|| supervisor.next_action()).collect();
    assert!(matches!(actions[..], [_, Action::Abort { .. }, Action::Spawn { .. }]), "{actions:?}");
}

#[test]
fn is_left_alone_when_it_asked_for_more_time() {
    let mut supervisor = pool();
    let by = Duration::from_secs(30);
    supervisor.handle(at(2), Event::Extended { slot: SLOT, by });
    let done = run(&mut supervisor, Some(at(1)), at(35_000));
    assert_eq!(done.first().map(|(at, _)| *at), Some(at(30_002)));
}

#[test]
fn more_time_is_for_the_request_in_hand_alone() {
    let mut supervisor = pool();
    let by = Duration::from_secs(3600);
    supervisor.handle(at(2), Event::Extended { slot: SLOT, by });
    let done = run(&mut supervisor, Some(at(1000)), at(35_000));
    assert_eq!(done.first().map(|(at, _)| *at), Some(at(11_000)));
}

#[test]
fn what_it_asks_for_last_counts() {
    let mut supervisor = pool();
    for (now, by) in [(2, 3600), (3, 30)] {
        supervisor.handle(at(now), Event::Extended { slot: SLOT, by: Duration::from_secs(by) });
    }
    let done = run(&mut supervisor, Some(at(1)), at(35_000));
    assert_eq!(done.first().map(|(at, _)| *at), Some(at(30_003)));
}

#[test]
fn is_not_judged_by_a_parent_that_was_stopped_itself() {
    let mut supervisor = pool();
    run(&mut supervisor, Some(at(1)), at(9_000));
    // The parent was stopped for an hour.
    let back = at(3_600_000);
    supervisor.advance(back);
    assert_eq!(supervisor.next_action(), Some(Action::Observe));
    let busy = Activity::Busy { since: Some(at(1)) };
    supervisor.observe(
        back,
        &Observation { activities: &[(SLOT, busy), (SlotId(1), IDLE)], waiting: Some(0) },
    );
    assert_eq!(supervisor.next_action(), None);
    assert_eq!(supervisor.deadline(), Some(back + LIMIT));
}

#[test]
fn idle_children_are_never_hung() {
    let mut supervisor = pool();
    assert_eq!(run(&mut supervisor, None, at(100_000)), []);
}

#[test]
fn lives_until_the_program_has_looked_at_it() {
    let mut supervisor = pool_with(vec![Hook::OnTimeout]);
    let done = run(&mut supervisor, Some(at(1)), at(12_000));
    let examine = Action::Examine { slot: SLOT, busy: LIMIT };
    let hung = Action::Log(hung(AtTimeout::Examine));
    assert_eq!(done, [(at(10_001), hung), (at(10_001), examine)]);
    supervisor.handle(at(12_345), Event::Examined { slot: SLOT });
    let done = run(&mut supervisor, Some(at(1)), at(12_400));
    assert!(matches!(done[..], [(_, Action::Abort { slot: SLOT })]), "{done:?}");
}

#[test]
fn lives_no_longer_than_the_program_may_look() {
    let mut supervisor = pool_with(vec![Hook::OnTimeout]);
    let done = run(&mut supervisor, Some(at(1)), at(41_000));
    assert_eq!(done[2], (at(40_001), Action::Abort { slot: SLOT }), "{done:?}");
}

/// Where the program has no hook, the daemon itself looks, for a shorter time, whatever becomes of that.
#[test]
fn lives_no_longer_than_it_is_looked_into() {
    let looked_into = || {
        let mut config = Config::new(2, 4).expect("valid");
        (config.pool, config.request_timeout) = (Pool::BY_LOAD, Some(LIMIT));
        config.look_into = Some(Duration::from_secs(2));
        supervisor_of(config)
    };
    let (mut silent, mut answered) = (looked_into(), looked_into());
    let begun = [
        (at(10_001), Action::Log(hung(AtTimeout::LookInto))),
        (at(10_001), Action::Examine { slot: SLOT, busy: LIMIT }),
    ];
    let done = run(&mut silent, Some(at(1)), at(12_500));
    assert_eq!(done[..2], begun);
    assert_eq!(done[2..], [(at(12_001), Action::Abort { slot: SLOT })]);
    assert_eq!(run(&mut answered, Some(at(1)), at(10_100)), begun);
    answered.handle(at(10_101), Event::Examined { slot: SLOT });
    let done = run(&mut answered, Some(at(1)), at(10_300));
    assert!(matches!(done[..], [(_, Action::Abort { slot: SLOT })]), "{done:?}");
}

#[test]
fn is_left_alone_if_it_has_finished_while_the_program_looked() {
    let mut supervisor = pool_with(vec![Hook::OnTimeout]);
    assert_eq!(run(&mut supervisor, Some(at(1)), at(12_000)).len(), 2);
    supervisor.handle(at(12_345), Event::Examined { slot: SLOT });
    assert_eq!(run(&mut supervisor, Some(at(12_100)), at(22_000)), []);
}
