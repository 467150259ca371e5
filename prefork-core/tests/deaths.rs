//! Children that do not come up, do not go, or end as they should not.

use std::time::Duration;

use prefork_core::{
    Action, ChangeNotice, ChildNotice, Config, Event, Exit, Generation, Notice, PoolNotice,
    Request, SlotId, StartFailure, Supervisor, Time, Verdict,
};

const FAILED: Exit = Exit::Code(1);
const CRASHED: Exit = Exit::Signal { number: 11, core_dumped: false };

const fn at(ms: u64) -> Time {
    Time::after_origin(Duration::from_millis(ms))
}

fn actions(supervisor: &mut Supervisor) -> Vec<Action> {
    std::iter::from_fn(|| supervisor.next_action()).collect()
}

fn notices(supervisor: &mut Supervisor) -> Vec<Notice> {
    let notice = |action| match action {
        Action::Log(notice) => Some(notice),
        _ => None,
    };
    actions(supervisor).into_iter().filter_map(notice).collect()
}

fn spawned(actions: &[Action]) -> Vec<SlotId> {
    let slot = |action: &Action| match action {
        Action::Spawn { slot, .. } => Some(*slot),
        _ => None,
    };
    actions.iter().filter_map(slot).collect()
}

/// A pool that has asked for its first children.
fn starting(prefork: u32) -> Supervisor {
    let mut supervisor = Supervisor::new(Config::new(prefork, prefork).expect("valid"));
    supervisor.handle(at(0), Event::Start);
    assert_eq!(spawned(&actions(&mut supervisor)).len(), prefork as usize);
    supervisor
}

/// A pool whose first children serve.
fn serving(prefork: u32) -> Supervisor {
    serving_with(Config::new(prefork, prefork).expect("valid"))
}

fn serving_with(config: Config) -> Supervisor {
    let prefork = config.prefork();
    let mut supervisor = Supervisor::new(config);
    supervisor.handle(at(0), Event::Start);
    assert_eq!(spawned(&actions(&mut supervisor)).len(), prefork as usize);
    for slot in (0..prefork).map(SlotId) {
        supervisor.handle(at(1), Event::Ready { slot });
        supervisor.handle(at(1), Event::Worked { slot });
    }
    assert!(actions(&mut supervisor).contains(&Action::AnnounceReady));
    supervisor
}

/// The reason of a failed start is reported, also when failing takes its time.
#[test]
fn a_start_fails_of_children_that_fail_slowly() {
    let mut supervisor = starting(3);
    for slot in [0, 1, 2].map(SlotId) {
        supervisor.handle(at(5000), Event::Exited { slot, exit: FAILED });
    }
    for slot in supervisor.slots().collect::<Vec<_>>() {
        supervisor.handle(at(5001), Event::Exited { slot, exit: FAILED });
    }
    let failure = StartFailure::ChildrenDied { deaths: 3, last: FAILED };
    assert_eq!(actions(&mut supervisor).last(), Some(&Action::Exit(Verdict::StartFailed(failure))));
}

/// How often a new child dies, and how, before a reload fails. One that works in between proves the contrary.
#[test]
fn a_reload_fails_of_children_that_fail_again_and_again() {
    const KILLED: Exit = Exit::Signal { number: 9, core_dumped: false };
    let table = [
        (vec![FAILED; 3], true),
        (vec![FAILED; 2], false),
        (vec![CRASHED; 3], true),
        (vec![KILLED; 6], true),
        (vec![KILLED; 5], false),
        (vec![KILLED, KILLED, FAILED, FAILED], true),
        (vec![FAILED, KILLED, FAILED], false),
    ];
    for (exits, fails) in table {
        let mut supervisor = serving(1);
        let mut now = 10;
        supervisor.handle(at(now), Event::Requested(Request::Reload));
        let mut found = Vec::new();
        for exit in &exits {
            let [slot] = spawned(&actions(&mut supervisor))[..] else { panic!("no spawn") };
            now += 2000;
            supervisor.handle(at(now), Event::Exited { slot, exit: *exit });
            found.extend(notices(&mut supervisor));
            now += 2000;
            supervisor.advance(at(now));
        }
        let failed =
            Notice::Change(ChangeNotice::ReloadFailed { generation: Generation(2), old: 1 });
        assert_eq!(found.contains(&failed), fails, "{exits:?}: {found:?}");
        if fails {
            assert_eq!(spawned(&actions(&mut supervisor)), [], "the old one stays");
            continue;
        }
        let [slot] = spawned(&actions(&mut supervisor))[..] else { panic!("no spawn") };
        supervisor.handle(at(now), Event::Worked { slot });
        assert!(actions(&mut supervisor).contains(&Action::Retire { slot: SlotId(0) }));
        supervisor.handle(at(now), Event::Exited { slot: SlotId(0), exit: Exit::Code(0) });
        let reloaded = Notice::Change(ChangeNotice::Reloaded {
            generation: Generation(2),
            took: Duration::from_millis(now - 10),
            old: 0,
        });
        assert!(notices(&mut supervisor).contains(&reloaded), "{exits:?}");
    }
}

/// All that were spawned before the first of them died count once.
#[test]
fn new_children_that_die_together_prove_nothing() {
    let mut config = Config::new(20, 40).expect("valid");
    config.max_surge = 20;
    let mut supervisor = Supervisor::new(config);
    supervisor.handle(at(0), Event::Start);
    for slot in spawned(&actions(&mut supervisor)) {
        supervisor.handle(at(1), Event::Worked { slot });
    }
    supervisor.handle(at(10), Event::Requested(Request::Reload));
    let wave = spawned(&actions(&mut supervisor));
    assert_eq!(wave.len(), 20);
    for slot in wave {
        supervisor.handle(at(20), Event::Exited { slot, exit: FAILED });
    }
    let failed =
        |notice: &Notice| matches!(notice, Notice::Change(ChangeNotice::ReloadFailed { .. }));
    assert!(!notices(&mut supervisor).iter().any(failed));
}

/// What was used up before counts.
#[test]
fn a_start_that_began_earlier_ends_earlier() {
    let mut config = Config::new(1, 1).expect("valid");
    config.start_timeout = Duration::from_secs(10);
    config.start_used = Duration::from_secs(7);
    let mut supervisor = Supervisor::new(config);
    supervisor.handle(at(0), Event::Start);
    assert_eq!(supervisor.deadline(), Some(at(3000)));
}

/// A hundred spawns that were decided before the first one failed are not a hundred failures.
#[test]
fn a_wave_of_failed_spawns_counts_once() {
    let mut supervisor = Supervisor::new(Config::new(100, 100).expect("valid"));
    supervisor.handle(at(0), Event::Start);
    let Some(Action::Spawn { slot, .. }) = supervisor.next_action() else { panic!("no spawn") };
    supervisor.handle(at(0), Event::SpawnFailed { slot });
    let delay = Duration::from_millis(10);
    let after = actions(&mut supervisor);
    assert_eq!(after, [Action::Log(Notice::Pool(PoolNotice::SpawnDelayed { delay, failures: 1 }))]);
    assert_eq!(supervisor.alive(), 0);
    supervisor.advance(at(10));
    assert_eq!(spawned(&actions(&mut supervisor)).len(), 1, "one at a time");
    supervisor.handle(at(10), Event::Spawned { slot: SlotId(0), pid: 100 });
    assert_eq!(spawned(&actions(&mut supervisor)).len(), 99, "and all once it works again");
}

/// Where another program takes and gives processes, every other attempt may fail: that is six failures an hour
/// that are logged, and as many recoveries.
#[test]
fn spawns_that_fail_now_and_then_are_logged_ever_more_rarely() {
    let mut supervisor = serving(1);
    let (mut now, mut slot) = (1000, SlotId(0));
    let (mut delayed, mut recovered) = (Vec::new(), 0);
    while now < 86_400_000 {
        now += 5000;
        supervisor.handle(at(now), Event::Exited { slot, exit: CRASHED });
        let mut fails = true;
        loop {
            let Some(action) = supervisor.next_action() else {
                match supervisor.deadline() {
                    Some(due) if supervisor.alive() == 0 => {
                        now = u64::try_from(due.since(Time::ZERO).as_millis()).expect("fits");
                        supervisor.advance(due);
                        continue;
                    }
                    _ => break,
                }
            };
            match action {
                Action::Spawn { slot, .. } if std::mem::take(&mut fails) => {
                    supervisor.handle(at(now), Event::SpawnFailed { slot });
                }
                Action::Spawn { slot: new, .. } => {
                    slot = new;
                    supervisor.handle(at(now), Event::Spawned { slot, pid: 100 + slot.0 });
                    supervisor.handle(at(now), Event::Worked { slot });
                }
                Action::Log(Notice::Pool(PoolNotice::SpawnDelayed { .. })) => delayed.push(now),
                Action::Log(Notice::Pool(PoolNotice::SpawnRecovered { .. })) => recovered += 1,
                _ => {}
            }
        }
    }
    let hours = 24;
    assert!((hours..=hours * 6 + 10).contains(&delayed.len()), "{} lines", delayed.len());
    assert_eq!(recovered, delayed.len());
}

/// A child that waits for a disk that does not answer is nobody's to wait for.
#[test]
fn whom_not_even_a_kill_ends_holds_up_no_reload() {
    let mut config = Config::new(3, 3).expect("valid");
    config.reload_timeout = Some(Duration::from_secs(30));
    let mut supervisor = serving_with(config);
    supervisor.handle(at(10), Event::Requested(Request::Reload));
    let mut now = at(10);
    let (mut lingers, mut reloaded) = (0, false);
    while now < at(120_000) {
        for action in actions(&mut supervisor) {
            match action {
                Action::Spawn { slot, .. } => supervisor.handle(now, Event::Ready { slot }),
                // The first child never leaves.
                Action::Retire { slot } if slot != SlotId(0) => {
                    supervisor.handle(now, Event::Exited { slot, exit: Exit::Code(0) });
                }
                Action::Log(Notice::Child(child, ChildNotice::Unkillable)) => {
                    assert_eq!(child.slot, SlotId(0));
                    lingers += 1;
                }
                Action::Log(Notice::Change(ChangeNotice::Reloaded { .. })) => reloaded = true,
                _ => {}
            }
        }
        now = supervisor.deadline().unwrap_or(at(120_000)).max(now);
        supervisor.advance(now);
    }
    assert_eq!(lingers, 1, "said once");
    assert!(reloaded);
    assert!(supervisor.alive() <= 4, "{}", supervisor.alive());
}

#[test]
fn a_reload_is_not_over_while_nobody_serves() {
    let mut supervisor = serving(1);
    supervisor.handle(at(10), Event::Requested(Request::Reload));
    let [SlotId(1)] = spawned(&actions(&mut supervisor))[..] else { panic!("no stand-in") };
    supervisor.handle(at(10), Event::SpawnFailed { slot: SlotId(1) });
    let _ = actions(&mut supervisor);
    supervisor.handle(at(11), Event::Exited { slot: SlotId(0), exit: CRASHED });
    let reloaded =
        |notice: &Notice| matches!(notice, Notice::Change(ChangeNotice::Reloaded { .. }));
    let after = actions(&mut supervisor);
    assert!(!after.iter().any(|it| matches!(it, Action::Log(notice) if reloaded(notice))));
    // There may be room now, so that is tried at once.
    let [slot] = spawned(&after)[..] else { panic!("nobody to serve") };
    supervisor.handle(at(21), Event::Ready { slot });
    assert!(notices(&mut supervisor).iter().any(reloaded));
}

/// Being retired does not explain a segmentation fault.
#[test]
fn a_crash_on_the_way_out_is_logged() {
    for (exit, is_logged) in [
        (CRASHED, true),
        (Exit::Code(0), false),
        (Exit::Code(1), false),
        (Exit::Signal { number: 15, core_dumped: false }, false),
        (Exit::Signal { number: 9, core_dumped: false }, false),
    ] {
        let mut supervisor = serving(1);
        supervisor.handle(at(10), Event::Requested(Request::StopGracefully));
        assert!(actions(&mut supervisor).contains(&Action::Retire { slot: SlotId(0) }));
        supervisor.handle(at(20), Event::Exited { slot: SlotId(0), exit });
        let died = |notice: &Notice| {
            matches!(notice, Notice::Child(_, ChildNotice::DiedAbnormally { .. }))
        };
        assert_eq!(notices(&mut supervisor).iter().any(died), is_logged, "{exit:?}");
    }
}

/// Children that work and then end, more often than anybody could read of.
#[test]
fn deaths_without_end_are_logged_ever_more_rarely_and_all_are_counted() {
    let mut supervisor = serving(1);
    let (mut named, mut summed, mut lines) = (0, 0, 0);
    let mut count = |supervisor: &mut Supervisor| {
        let all = actions(supervisor);
        for action in &all {
            match action {
                Action::Log(Notice::Child(_, ChildNotice::DiedAbnormally { .. })) => named += 1,
                Action::Log(Notice::Pool(PoolNotice::MoreDied { deaths, last, over })) => {
                    assert_eq!(*last, CRASHED);
                    assert!(*over <= Duration::from_secs(11), "{over:?}");
                    summed += deaths;
                    lines += 1;
                }
                _ => {}
            }
        }
        spawned(&all)
    };
    let mut slot = SlotId(0);
    for round in 0..6_000 {
        let now = at(1_000 + round * 10);
        supervisor.handle(now, Event::Exited { slot, exit: CRASHED });
        let [next] = count(&mut supervisor)[..] else { panic!("it is replaced at once") };
        slot = next;
        supervisor.handle(now, Event::Ready { slot });
        supervisor.handle(now, Event::Worked { slot });
        count(&mut supervisor);
    }
    // What is left comes with the time alone.
    let due = supervisor.deadline().expect("it is still to be logged");
    assert!(due <= at(61_000 + 10_000), "{due:?}");
    supervisor.advance(due);
    count(&mut supervisor);
    assert_eq!(supervisor.deadline(), None);
    assert_eq!(named + summed, 6_000);
    assert!((128..=136).contains(&named), "{named} lines of one child each");
    assert!((5..=7).contains(&lines), "{lines} sums in a minute");
}

/// What a stop would leave unsaid is logged before it.
#[test]
fn a_stop_does_not_swallow_deaths() {
    let mut supervisor = serving(200);
    for slot in (0..200).map(SlotId) {
        supervisor.handle(at(1_000), Event::Exited { slot, exit: FAILED });
    }
    let died =
        |notice: &&Notice| matches!(notice, Notice::Child(_, ChildNotice::DiedAbnormally { .. }));
    assert_eq!(notices(&mut supervisor).iter().filter(died).count(), 128);
    supervisor.handle(at(1_500), Event::Requested(Request::StopNow));
    let over = Duration::from_millis(500);
    let sum = Notice::Pool(PoolNotice::MoreDied { deaths: 72, last: FAILED, over });
    assert!(notices(&mut supervisor).contains(&sum));
}

#[test]
fn nothing_comes_after_the_exit() {
    let mut supervisor = serving(1);
    supervisor.handle(at(10), Event::Requested(Request::StopNow));
    let mut now = at(10);
    while let Some(due) = supervisor.deadline() {
        now = due;
        supervisor.advance(now);
    }
    let done = actions(&mut supervisor);
    assert_eq!(done.last(), Some(&Action::Exit(Verdict::GaveUp { alive: 1 })));
    supervisor.handle(now, Event::Worked { slot: SlotId(0) });
    supervisor.handle(now, Event::Requested(Request::Reload));
    supervisor.handle(now, Event::Exited { slot: SlotId(0), exit: CRASHED });
    supervisor.advance(at(1_000_000));
    assert_eq!(actions(&mut supervisor), []);
}

/// Slots are used again, so that the highest is not the newest.
#[test]
fn of_too_many_the_newest_leave() {
    let mut supervisor = serving(3);
    supervisor.handle(at(10_000), Event::Exited { slot: SlotId(0), exit: CRASHED });
    assert_eq!(spawned(&actions(&mut supervisor)), [SlotId(0)]);
    supervisor.handle(at(10_001), Event::Ready { slot: SlotId(0) });
    supervisor.handle(at(10_002), Event::Requested(Request::Fewer));
    assert!(actions(&mut supervisor).contains(&Action::Retire { slot: SlotId(0) }));
}

/// Ends the newest child `count` times, so often that it has served for `served` each time; returns when each was replaced,
/// counted from its end.
fn replaced_after(supervisor: &mut Supervisor, count: u32, served: u64) -> Vec<Duration> {
    let mut now = at(10_000);
    let mut newest = SlotId(0);
    let end = |_| {
        supervisor.handle(now, Event::Exited { slot: newest, exit: CRASHED });
        let died = now;
        let successor = loop {
            if let Some(slot) = spawned(&actions(supervisor)).first() {
                break *slot;
            }
            now = now.max(supervisor.deadline().expect("somebody is missing"));
            supervisor.advance(now);
        };
        supervisor.handle(now, Event::Spawned { slot: successor, pid: 1 });
        supervisor.handle(now, Event::Ready { slot: successor });
        let waited = now.since(died);
        let until = now + Duration::from_millis(served);
        while supervisor.deadline().is_some_and(|deadline| deadline < until) {
            now = now.max(supervisor.deadline().expect("just seen"));
            supervisor.advance(now);
            actions(supervisor);
        }
        now = until;
        newest = successor;
        waited
    };
    (0..count).map(end).collect()
}

#[test]
fn the_newest_child_is_replaced_at_once_however_often_it_is_ended() {
    for served in [700, 1000, 2500] {
        let waited = replaced_after(&mut serving(3), 10, served);
        assert_eq!(waited, [Duration::ZERO; 10], "every {served} ms");
    }
}

#[test]
fn children_that_serve_and_crash_without_end_are_replaced_ever_more_slowly() {
    let waited = replaced_after(&mut serving(3), 24, 10);
    // One that was old enough, and those that are tolerated.
    assert_eq!(waited[..13], [Duration::ZERO; 13]);
    let delays: Vec<_> = waited[13..].iter().map(Duration::as_millis).collect();
    assert_eq!(delays, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_000]);
}
