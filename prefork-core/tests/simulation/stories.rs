//! Single courses of events.

use std::time::Duration;

use prefork_core::{
    ChangeNotice, ChildNotice, Config, Hook, HookNotice, Notice, PoolNotice, Request, Verdict,
};

use crate::{
    life::{Life, Program},
    ms,
    world::{Step, World},
};

#[test]
fn a_program_that_does_not_work_changes_nothing() {
    for program in [Program::Bad, Program::Unlucky, Program::Hangs] {
        let mut world = World::new(Config::new(4, 8).expect("valid"));
        world.run_until_ready();
        world.forget_counts();
        world.step(Step::Program(program));
        world.step(Step::Request(Request::Upgrade));
        world.step(Step::Run(Duration::from_secs(3600)));
        assert_eq!((world.probes(), world.upgrades(), world.forks()), (1, 0, 0), "{program:?}");
        assert_eq!(world.generations(), [1; 4], "{program:?}");
        assert_eq!(world.deadline(), None, "{program:?}");
    }
}

#[test]
fn a_program_that_is_being_written_is_tried_again_for_a_minute() {
    let mut world = World::new(Config::new(2, 2).expect("valid"));
    world.run_until_ready();
    world.step(Step::Program(Program::Busy));
    world.step(Step::Request(Request::Upgrade));
    world.step(Step::Run(Duration::from_secs(3600)));
    assert!((100..=130).contains(&world.probes()), "{} probes", world.probes());
    let gave_up =
        |notice: &&Notice| matches!(notice, Notice::Change(ChangeNotice::ProgramBusy { .. }));
    assert_eq!(world.notices().iter().filter(gave_up).count(), 1);
    world.step(Step::Request(Request::Upgrade));
    world.step(Step::Run(Duration::from_secs(10)));
    world.step(Step::Program(Program::Good));
    world.step(Step::Run(Duration::from_secs(2)));
    assert_eq!(world.upgrades(), 1);
}

#[test]
fn requests_during_a_probe_make_one_more_upgrade() {
    let mut world = World::new(Config::new(2, 2).expect("valid"));
    world.run_until_ready();
    for _ in 0..20 {
        world.step(Step::Request(Request::Upgrade));
    }
    world.step(Step::Run(Duration::from_secs(10)));
    assert_eq!(world.upgrades(), 2);
}

#[test]
fn an_upgrade_asked_for_during_the_start_waits_for_it() {
    let mut world = World::new(Config::new(2, 2).expect("valid"));
    world.start();
    world.step(Step::Request(Request::Upgrade));
    assert_eq!(world.probes(), 0);
    world.step(Step::Run(Duration::from_secs(5)));
    assert!(world.announced());
    assert_eq!(world.upgrades(), 1);
}

#[test]
fn a_new_generation_that_dies_leaves_the_old_one_serving() {
    let mut world = World::new(Config::new(12, 20).expect("valid"));
    world.run_until_ready();
    world.step(Step::Lives(vec![Life::crashing()]));
    world.step(Step::Request(Request::Reload));
    world.step(Step::Run(Duration::from_secs(60)));
    let old = world.generations().iter().filter(|generation| **generation == 1).count();
    assert_eq!(old, 12, "{:?}", world.generations());
    let failed = |notice: &&Notice| {
        matches!(notice, Notice::Change(ChangeNotice::ReloadFailed { old: 12, .. }))
    };
    assert_eq!(world.notices().iter().filter(failed).count(), 1);
}

#[test]
fn a_new_child_that_hangs_in_its_start_does_not_cost_an_old_one() {
    let mut world = World::new(Config::new(4, 8).expect("valid"));
    world.run_until_ready();
    world.step(Step::Lives(vec![Life { enters_after: None, ..Life::healthy() }]));
    world.step(Step::Request(Request::Reload));
    world.step(Step::Run(Duration::from_secs(300)));
    let old = world.generations().iter().filter(|generation| **generation == 1).count();
    assert_eq!(old, 4, "{:?}", world.generations());
    let stuck =
        |notice: &&Notice| matches!(notice, Notice::Child(_, ChildNotice::StuckStarting { .. }));
    assert_eq!(world.notices().iter().filter(stuck).count(), 2);
}

#[test]
fn old_children_are_replaced_one_by_one() {
    let mut config = Config::new(10, 10).expect("valid");
    config.max_lifetime = Some(Duration::from_secs(3600));
    let mut world = World::new(config);
    world.run_until_ready();
    world.forget_counts();
    world.step(Step::Run(Duration::from_secs(24 * 3600)));
    assert!((200..=280).contains(&world.forks()), "{} forks in a day", world.forks());
    assert_eq!(world.alive(), 10);
}

#[test]
fn a_start_whose_forks_fail_recovers_by_itself() {
    let mut world = World::new(Config::new(3, 3).expect("valid"));
    world.step(Step::FailForks(20));
    world.start();
    world.step(Step::Run(Duration::from_secs(20)));
    assert!(world.announced());
    assert_eq!(world.alive(), 3);
}

#[test]
fn a_start_whose_forks_never_succeed_times_out() {
    let mut world = World::new(Config::new(3, 3).expect("valid"));
    world.step(Step::FailForks(u32::MAX));
    world.start();
    world.step(Step::Run(Duration::from_secs(61)));
    assert!(matches!(world.verdict(), Some(Verdict::StartFailed(_))), "{:?}", world.verdict());
    assert!(!world.announced());
}

#[test]
fn children_that_had_worked_are_replaced_without_delay() {
    let mut world = World::new(Config::new(50, 50).expect("valid"));
    world.run_until_ready();
    world.step(Step::Run(ms(50)));
    world.step(Step::Kill(usize::MAX));
    world.step(Step::Run(Duration::ZERO));
    assert_eq!(world.alive(), 50);
    assert!(
        !world.notices().iter().any(|n| matches!(n, Notice::Pool(PoolNotice::Throttled { .. })))
    );
}

#[test]
fn young_children_killed_at_once_are_back_within_a_second() {
    let mut world = World::new(Config::new(3, 150).expect("valid"));
    let idle = Life { works_after: None, ..Life::healthy() };
    world.step(Step::Lives(vec![idle]));
    world.run_until_ready();
    world.step(Step::Kill(usize::MAX));
    world.step(Step::Run(Duration::from_secs(1)));
    assert_eq!(world.alive(), 3);
}

/// A pool of three, ready, with a hook that never returns.
fn with_hanging(hook: Hook) -> World {
    let mut config = Config::new(3, 3).expect("valid");
    config.hooks = vec![hook];
    let mut world = World::new(config);
    world.run_until_ready();
    world.step(Step::Hooks(None));
    world.forget_counts();
    world
}

fn count(world: &World, notice: impl Fn(&Notice) -> bool) -> usize {
    world.notices().iter().filter(|it| notice(it)).count()
}

const fn is_waiting(notice: &Notice) -> bool {
    matches!(notice, Notice::Hook(Hook::BeforeShutdown, HookNotice::Waiting { .. }))
}

#[test]
fn children_serve_until_a_hook_that_hangs_is_ended() {
    let mut world = with_hanging(Hook::BeforeShutdown);
    world.step(Step::Request(Request::StopGracefully));
    world.step(Step::Run(Duration::from_secs(29)));
    assert_eq!((world.alive(), world.verdict()), (3, None));
    assert_eq!(count(&world, is_waiting), 1, "{:?}", world.notices());
    world.step(Step::Run(Duration::from_secs(2)));
    assert_eq!((world.alive(), world.verdict()), (0, Some(Verdict::Stopped)));
    assert_eq!(count(&world, |it| matches!(it, Notice::Hook(_, HookNotice::TimedOut { .. }))), 1);
}

#[test]
fn what_a_stop_waits_for_is_logged_and_can_be_ended() {
    let mut world = with_hanging(Hook::BeforeShutdown);
    world.step(Step::Request(Request::StopGracefully));
    world.step(Step::Run(ms(1500)));
    assert_eq!((count(&world, is_waiting), world.alive()), (1, 3));
    world.step(Step::Request(Request::StopGracefully));
    assert_eq!((count(&world, is_waiting), world.alive()), (2, 3));
    world.step(Step::Request(Request::StopNow));
    world.step(Step::Run(ms(10)));
    assert_eq!(world.verdict(), Some(Verdict::Stopped));
    assert_eq!(count(&world, |it| matches!(it, Notice::Hook(_, HookNotice::CutShort))), 1);
}

#[test]
fn the_last_child_is_not_the_end_while_a_hook_runs_for_it() {
    let mut world = with_hanging(Hook::OnChildExit);
    world.step(Step::Hooks(Some(Duration::from_secs(5))));
    world.step(Step::Request(Request::StopGracefully));
    world.step(Step::Run(Duration::from_secs(4)));
    assert_eq!((world.alive(), world.verdict()), (0, None));
    world.step(Step::Run(Duration::from_secs(2)));
    assert_eq!(world.verdict(), Some(Verdict::Stopped));
}

/// What the program finds by the slot of a child that has ended is that child's, and no successor's.
#[test]
fn a_slot_stays_empty_while_the_hook_runs_for_its_last_child() {
    let mut config = Config::new(3, 6).expect("valid");
    config.hooks = vec![Hook::OnChildExit];
    let mut world = World::new(config);
    world.run_until_ready();
    world.step(Step::Hooks(Some(Duration::from_secs(2))));
    world.step(Step::Kill(1));
    world.step(Step::Run(Duration::from_secs(1)));
    assert_eq!(world.slots(), [1, 2, 3], "replaced at once, elsewhere");
    world.step(Step::Run(Duration::from_secs(2)));
    world.step(Step::Kill(1));
    world.step(Step::Run(Duration::from_secs(1)));
    assert_eq!(world.slots(), [0, 2, 3], "and there again once the hook has returned");
}

#[test]
fn an_upgrade_waits_for_hooks_but_not_for_ever() {
    let mut world = with_hanging(Hook::OnChildExit);
    world.step(Step::Kill(1));
    world.step(Step::Request(Request::Upgrade));
    world.step(Step::Run(Duration::from_secs(20)));
    assert_eq!((world.probes(), world.upgrades()), (1, 0));
    world.step(Step::Run(Duration::from_secs(11)));
    assert_eq!(world.upgrades(), 1);
}

#[test]
fn ready_is_announced_in_time_whatever_its_hook_does() {
    let mut config = Config::new(3, 3).expect("valid");
    config.hooks = vec![Hook::Ready];
    let mut world = World::new(config);
    world.step(Step::Hooks(None));
    world.start();
    world.step(Step::Run(Duration::from_secs(29)));
    assert!(!world.announced());
    world.step(Step::Run(Duration::from_secs(2)));
    assert!(world.announced());
}

/// A year of a pool of thousands, with something going wrong every few hours.
#[test]
fn a_simulated_year() {
    let days: u32 = if cfg!(debug_assertions) { 60 } else { 365 };
    let mut world = World::new(Config::new(2000, 2500).expect("valid"));
    world.run_until_ready();
    let lives = vec![Life::healthy(), Life { dies_after: Some(ms(86_400_000)), ..Life::healthy() }];
    for day in 0..days {
        world.step(Step::Lives(lives.clone()));
        world.step(Step::Run(Duration::from_secs(6 * 3600)));
        world.step(Step::Kill(7 + day as usize % 1000));
        world.step(Step::FailForks(day % 40));
        world.step(Step::Run(Duration::from_secs(6 * 3600)));
        world.step(Step::Lives(vec![Life::crashing()]));
        world.step(Step::Kill(3));
        world.step(Step::Run(Duration::from_secs(600)));
        world.step(Step::Lives(lives.clone()));
        world.step(Step::Run(Duration::from_secs(3 * 3600)));
        world.step(Step::Sleep(Duration::from_secs(3600)));
    }
    world.step(Step::Run(Duration::from_secs(20)));
    assert_eq!(world.serving(), 2000);
    println!("{} events", world.events());
}
