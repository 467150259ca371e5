//! Pools that go over to a supervisor with other settings.

use std::time::Duration;

use prefork_core::{
    Action, AdoptedAs, ChangeNotice, ChildId, ChildNotice, Config, Event, Exit, Generation,
    Handover, HandoverChild, HandoverStage, Hook, Limit, Notice, Pool, Progress, Request, Rung,
    SlotId, Supervisor, Time,
};

const NOW: Time = Time::after_origin(Duration::from_secs(100));

fn serving(slot: u32) -> HandoverChild {
    HandoverChild {
        slot: SlotId(slot),
        pid: slot.saturating_add(100),
        generation: Generation(3),
        spawned: Time::after_origin(Duration::from_secs(50)),
        extension: None,
        worked: true,
        recycle: false,
        stuck: false,
        stage: HandoverStage::Serving,
    }
}

fn pool(children: Vec<HandoverChild>) -> Handover {
    Handover {
        generation: Generation(3),
        target: u32::try_from(children.len()).expect("few"),
        ceiling: None,
        reloading: false,
        upgrade_again: false,
        silent: false,
        children,
    }
}

fn config(prefork: u32, max_children: u32) -> Config {
    Config::new(prefork, max_children).expect("valid")
}

/// Does as healthy children would until nothing is left to do; returns the most that lived.
fn run(supervisor: &mut Supervisor) -> usize {
    let mut now = NOW;
    let mut most = 0;
    for _ in 0..10_000 {
        while let Some(action) = supervisor.next_action() {
            match action {
                Action::Spawn { slot, .. } => {
                    supervisor.handle(now, Event::Spawned { slot, pid: 100 + slot.0 });
                    supervisor.handle(now, Event::Ready { slot });
                }
                Action::Retire { slot } => {
                    supervisor.handle(now, Event::Exited { slot, exit: Exit::Code(0) });
                }
                _ => {}
            }
            most = most.max(supervisor.alive());
        }
        match supervisor.deadline() {
            Some(due) => now = due,
            None => return most,
        }
        supervisor.advance(now);
    }
    panic!("it never comes to rest");
}

#[test]
fn a_new_program_replaces_all_children() {
    let handover = pool((0..4).map(serving).collect());
    let mut supervisor = Supervisor::adopt(config(4, 10), NOW, &handover, AdoptedAs::NewProgram);
    // One stands in, while the one before that was asked may not have left yet.
    assert_eq!(run(&mut supervisor), 6);
    let after = supervisor.hand_over();
    assert!(after.children.iter().all(|child| child.generation == Generation(4)), "{after:?}");
    assert_eq!(after.children.len(), 4);
}

#[test]
fn the_same_program_leaves_them_alone() {
    let handover = pool((0..4).map(serving).collect());
    let mut supervisor = Supervisor::adopt(config(4, 10), NOW, &handover, AdoptedAs::SameProgram);
    run(&mut supervisor);
    assert_eq!(supervisor.hand_over(), handover);
}

#[test]
fn the_same_program_finishes_a_reload_that_was_under_way() {
    let mut handover = pool((0..4).map(serving).collect());
    handover.generation = Generation(4);
    handover.reloading = true;
    let mut supervisor = Supervisor::adopt(config(4, 10), NOW, &handover, AdoptedAs::SameProgram);
    run(&mut supervisor);
    let after = supervisor.hand_over();
    assert!(after.children.iter().all(|child| child.generation == Generation(4)), "{after:?}");
}

#[test]
fn children_beyond_smaller_limits_leave() {
    let handover = pool((0..40).map(serving).collect());
    let mut supervisor = Supervisor::adopt(config(2, 3), NOW, &handover, AdoptedAs::NewProgram);
    assert_eq!(run(&mut supervisor), 40);
    let slots: Vec<_> = supervisor.slots().collect();
    assert_eq!(slots.len(), 2);
    assert!(slots.iter().all(|slot| slot.0 < 4), "{slots:?}");
}

#[test]
fn a_larger_pool_is_filled() {
    let handover = pool(vec![serving(0)]);
    let mut supervisor = Supervisor::adopt(config(20, 30), NOW, &handover, AdoptedAs::NewProgram);
    run(&mut supervisor);
    assert_eq!(supervisor.alive(), 20);
}

#[test]
fn a_pool_that_has_grown_keeps_its_size_within_the_limits() {
    let handover = pool((0..40).map(serving).collect());
    for (max_children, expected) in [(150, 40), (25, 25)] {
        let mut config = config(3, max_children);
        config.pool = Pool::BY_LOAD;
        let supervisor = Supervisor::adopt(config, NOW, &handover, AdoptedAs::NewProgram);
        assert_eq!(supervisor.hand_over().target, expected);
    }
}

#[test]
fn what_was_decided_of_a_child_stays_decided() {
    let deadline = NOW + Duration::from_secs(5);
    let leaving = HandoverChild {
        stage: HandoverStage::Leaving { rung: Rung::Retire, deadline: Some(deadline) },
        ..serving(7)
    };
    let handover = pool(vec![serving(0), leaving]);
    let mut supervisor = Supervisor::adopt(config(1, 2), NOW, &handover, AdoptedAs::SameProgram);
    while supervisor.next_action().is_some() {}
    assert_eq!(supervisor.deadline(), Some(deadline));
    supervisor.advance(deadline);
    let (child, asked) = (ChildId { slot: SlotId(7), pid: 107 }, Duration::from_secs(5));
    let cut = Notice::Child(child, ChildNotice::CutShort { asked, limit: Limit::Reload });
    assert_eq!(supervisor.next_action(), Some(Action::Log(cut)));
    assert_eq!(supervisor.next_action(), Some(Action::Interrupt { slot: SlotId(7) }));
}

/// One that the old program was in no hurry with has the time of the new one.
#[test]
fn the_new_program_limits_what_the_old_one_did_not() {
    let stage = HandoverStage::Leaving { rung: Rung::Retire, deadline: None };
    let handover = pool(vec![serving(0), HandoverChild { stage, ..serving(7) }]);
    for limit in [None, Some(Duration::from_secs(3))] {
        let mut config = config(1, 2);
        config.reload_timeout = limit;
        let mut supervisor = Supervisor::adopt(config, NOW, &handover, AdoptedAs::SameProgram);
        while supervisor.next_action().is_some() {}
        assert_eq!(supervisor.deadline(), limit.map(|limit| NOW + limit));
    }
}

#[test]
fn nonsense_is_ignored() {
    let beyond = serving(u32::MAX);
    let handover = pool(vec![serving(0), serving(0), beyond]);
    let supervisor = Supervisor::adopt(config(1, 2), NOW, &handover, AdoptedAs::SameProgram);
    assert_eq!(supervisor.alive(), 1);
}

#[test]
fn a_stop_comes_before_an_upgrade_that_is_due() {
    let handover = pool(vec![serving(0)]);
    let mut supervisor = Supervisor::adopt(config(1, 2), NOW, &handover, AdoptedAs::SameProgram);
    supervisor.handle(NOW, Event::Requested(Request::Upgrade));
    supervisor.handle(NOW, Event::ProbeReady);
    supervisor.handle(NOW, Event::Requested(Request::StopGracefully));
    let actions: Vec<_> = std::iter::from_fn(|| supervisor.next_action()).collect();
    assert!(actions.contains(&Action::EndProbe), "{actions:?}");
    assert!(!actions.contains(&Action::Upgrade), "{actions:?}");
}

/// A call that begins in the same moment in which a probe is ready is waited for like one that has begun before.
#[test]
fn a_hook_that_begins_with_an_upgrade_is_waited_for() {
    let handover = pool(vec![serving(0)]);
    let mut supervisor = Supervisor::adopt(config(1, 2), NOW, &handover, AdoptedAs::SameProgram);
    supervisor.handle(NOW, Event::Requested(Request::Upgrade));
    supervisor.handle(NOW, Event::ProbeReady);
    supervisor.handle(NOW, Event::HookBegun(Hook::OnChildExit));
    let actions = |supervisor: &mut Supervisor| -> Vec<_> {
        std::iter::from_fn(|| supervisor.next_action()).collect()
    };
    let early = actions(&mut supervisor);
    assert!(!early.contains(&Action::Upgrade), "{early:?}");
    supervisor.handle(NOW, Event::HookEnded(Hook::OnChildExit));
    let late = actions(&mut supervisor);
    assert_eq!(late.last(), Some(&Action::Upgrade), "{late:?}");
}

/// Only children that are there are handed over: a child that was only decided upon is spawned first.
#[test]
fn an_upgrade_comes_after_everything_else() {
    let handover = pool(vec![serving(0)]);
    let mut supervisor = Supervisor::adopt(config(1, 2), NOW, &handover, AdoptedAs::SameProgram);
    supervisor.handle(NOW, Event::Requested(Request::Upgrade));
    supervisor.handle(NOW, Event::ProbeReady);
    supervisor.handle(NOW, Event::Exited { slot: SlotId(0), exit: Exit::Code(0) });
    let actions: Vec<_> = std::iter::from_fn(|| supervisor.next_action()).collect();
    let spawn = Action::Spawn { slot: SlotId(0), generation: Generation(3) };
    assert_eq!(
        actions,
        [
            Action::Log(Notice::Change(ChangeNotice::Probing)),
            Action::Show(Progress::Probing),
            Action::Probe,
            Action::Log(Notice::Change(ChangeNotice::Upgrading)),
            Action::Show(Progress::Upgrading),
            spawn,
            Action::Upgrade
        ]
    );
}

#[cfg(feature = "serde")]
#[test]
fn a_handover_survives_being_written_down() {
    let mut handover = pool(vec![serving(0), serving(5)]);
    handover.children[1].stage = HandoverStage::Leaving { rung: Rung::Kill, deadline: Some(NOW) };
    let text = serde_json::to_string(&handover).expect("written");
    // The parent has these beside.
    handover.children.iter_mut().for_each(|child| child.pid = 0);
    assert_eq!(serde_json::from_str::<Handover>(&text).expect("read"), handover);
}

/// Programs that were built with other releases read it too.
#[cfg(feature = "serde")]
#[test]
fn names_in_a_handover_stay_what_they_were() {
    let stage = HandoverStage::Leaving { rung: Rung::Retire, deadline: None };
    let child = HandoverChild { stage, ..serving(0) };
    let text = serde_json::to_string(&pool(vec![child])).expect("written");
    for name in [r#""tired":false"#, r#""rung":"Ask""#] {
        assert!(text.contains(name), "{name} in {text}");
    }
    assert!(!text.contains("pid"), "{text}");
}
