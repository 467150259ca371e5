//! Children that flood or lie.

use std::time::Duration;

use prefork_core::{
    Action, ChildId, ChildNotice, Claim, Config, Event, Exit, Generation, Limit, Notice, SlotId,
    Supervisor, Time,
};

const FLOODER: SlotId = SlotId(1);
const THE_FLOODER: ChildId = ChildId { slot: FLOODER, pid: 101 };

fn at(ms: u64) -> Time {
    Time::after_origin(Duration::from_millis(ms))
}

fn take(supervisor: &mut Supervisor) -> Vec<Action> {
    std::iter::from_fn(|| supervisor.next_action()).collect()
}

/// A pool of two that serves.
fn serving() -> Supervisor {
    let mut supervisor = Supervisor::new(Config::new(2, 4).expect("valid"));
    supervisor.handle(at(0), Event::Start);
    for slot in [SlotId(0), FLOODER] {
        supervisor.handle(at(0), Event::Spawned { slot, pid: 100 + slot.0 });
        supervisor.handle(at(0), Event::Entered { slot });
        supervisor.handle(at(0), Event::Ready { slot });
    }
    take(&mut supervisor);
    supervisor
}

#[test]
fn a_child_that_rings_now_and_then_is_left_alone() {
    let mut supervisor = serving();
    for round in 0..2000 {
        supervisor.handle(at(20 * round), Event::Rang { slot: FLOODER });
    }
    assert_eq!(take(&mut supervisor), []);
}

#[test]
fn a_child_that_does_nothing_but_ring_is_killed_and_named_once() {
    let mut supervisor = serving();
    for _ in 0..10_000 {
        supervisor.handle(at(1), Event::Rang { slot: FLOODER });
    }
    let flooding = Action::Log(Notice::Child(THE_FLOODER, ChildNotice::Flooding));
    let actions = take(&mut supervisor);
    assert_eq!(actions[..2], [flooding, Action::Kill { slot: FLOODER }]);
    let spawn = |action: &&Action| matches!(action, Action::Spawn { .. });
    assert_eq!(actions[2..].iter().filter(spawn).count(), actions.len() - 2, "{actions:?}");
}

#[test]
fn children_that_flood_before_they_work_are_not_forked_without_end() {
    let mut supervisor = serving();
    let (mut flooders, mut spawns) = (vec![FLOODER], 0);
    for now in 0..10_000 {
        for slot in std::mem::take(&mut flooders) {
            (0..100).for_each(|_| supervisor.handle(at(now), Event::Rang { slot }));
            let exit = Exit::Signal { number: 9, core_dumped: false };
            supervisor.handle(at(now), Event::Exited { slot, exit });
        }
        supervisor.advance(at(now));
        for action in take(&mut supervisor) {
            if let Action::Spawn { slot, .. } = action {
                spawns += 1;
                supervisor.handle(at(now), Event::Spawned { slot, pid: 100 + slot.0 });
                flooders.push(slot);
            }
        }
    }
    assert!((3..50).contains(&spawns), "{spawns} in 10 s");
}

#[test]
fn a_child_that_claims_what_cannot_be_is_asked_to_leave_and_named_once() {
    let mut supervisor = serving();
    for _ in 0..3 {
        supervisor.handle(at(1), Event::Lied { slot: FLOODER, claim: Claim::Requests });
    }
    let expected = [
        Action::Log(Notice::Child(
            THE_FLOODER,
            ChildNotice::Implausible { claim: Claim::Requests },
        )),
        Action::Retire { slot: FLOODER },
        Action::Spawn { slot: SlotId(2), generation: Generation(1) },
    ];
    assert_eq!(take(&mut supervisor), expected);
}

/// It has 10 s, and one that was asked before and is in no hurry has no more.
#[test]
fn a_child_that_claims_what_cannot_be_does_not_stay() {
    for was_asked in [false, true] {
        let mut supervisor = serving();
        if was_asked {
            supervisor.handle(at(1), Event::Recycle { slot: FLOODER });
            let standing_in = take(&mut supervisor).into_iter().find_map(|action| match action {
                Action::Spawn { slot, .. } => Some(slot),
                _ => None,
            });
            let slot = standing_in.expect("a stand-in");
            supervisor.handle(at(1), Event::Ready { slot });
            assert!(take(&mut supervisor).contains(&Action::Retire { slot: FLOODER }));
            supervisor.advance(at(3_600_000));
            assert_eq!(take(&mut supervisor), [], "nobody is in a hurry");
        }
        let now = 3_600_001;
        supervisor.handle(at(now), Event::Lied { slot: FLOODER, claim: Claim::Requests });
        let _ = take(&mut supervisor);
        supervisor.advance(at(now + 9_999));
        assert!(!take(&mut supervisor).contains(&Action::Interrupt { slot: FLOODER }));
        supervisor.advance(at(now + 10_000));
        let asked = Duration::from_secs(10);
        let cut =
            Notice::Child(THE_FLOODER, ChildNotice::CutShort { asked, limit: Limit::Distrust });
        let expected = [Action::Log(cut), Action::Interrupt { slot: FLOODER }];
        assert_eq!(take(&mut supervisor), expected, "asked before: {was_asked}");
    }
}

#[test]
fn nobody_is_accused_in_the_place_of_another() {
    let mut supervisor = serving();
    for _ in 0..1000 {
        supervisor.handle(at(1), Event::Rang { slot: SlotId(3) });
        supervisor.handle(at(1), Event::Lied { slot: SlotId(77), claim: Claim::Times });
    }
    assert_eq!(take(&mut supervisor), []);
}
