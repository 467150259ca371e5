//! The supervisor in a simulated world.
//!
//! Every run is a list of steps drawn by proptest; a failing one is printed, shrunk, and repeats
//! exactly. The world checks its invariants after every event (see `world.rs`).

mod world;

use std::time::Duration;

use prefork_core::{Config, Notice, Request, Verdict};
use proptest::prelude::*;
use world::{Life, Program, Step, World};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn arb_life() -> impl Strategy<Value = Life> {
    prop_oneof![
        6 => Just(Life::healthy()),
        2 => (0u64..3000).prop_map(|die| Life { dies_after: Some(ms(die)), ..Life::healthy() }),
        1 => (0u64..3000)
            .prop_map(|die| Life { dies_after: Some(ms(die)), works_after: None, ..Life::healthy() }),
        1 => Just(Life::crashing()),
        1 => Just(Life { enters_after: None, ..Life::healthy() }),
        1 => Just(Life { ready_after: None, works_after: None, ..Life::healthy() }),
        1 => Just(Life { heeds_ask: false, ..Life::healthy() }),
        1 => Just(Life { heeds_ask: false, heeds_interrupt: false, ..Life::healthy() }),
    ]
}

fn arb_request() -> impl Strategy<Value = Request> {
    prop_oneof![Just(Request::StopGracefully), Just(Request::StopNow)]
}

fn arb_wish() -> impl Strategy<Value = Request> {
    prop_oneof![
        Just(Request::Reload),
        Just(Request::Reopen),
        Just(Request::More),
        Just(Request::Fewer)
    ]
}

fn arb_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop::collection::vec(arb_life(), 1..5).prop_map(Step::Lives),
        2 => (0u32..30).prop_map(Step::FailForks),
        3 => (1usize..20).prop_map(Step::Kill),
        6 => (0u64..20_000).prop_map(|t| Step::Run(ms(t))),
        1 => (0u64..100_000_000).prop_map(|t| Step::Sleep(ms(t))),
        1 => any::<u32>().prop_map(Step::Gossip),
        2 => prop_oneof![Just(Request::Reload), Just(Request::Reopen), Just(Request::Upgrade)]
            .prop_map(Step::Request),
        1 => arb_program().prop_map(Step::Program),
        1 => (1usize..10).prop_map(Step::Tire),
    ]
}

fn arb_program() -> impl Strategy<Value = Program> {
    prop_oneof![
        3 => Just(Program::Good),
        1 => Just(Program::Bad),
        1 => Just(Program::Unlucky),
        1 => Just(Program::Hangs),
        1 => Just(Program::Busy),
    ]
}

fn arb_pool() -> impl Strategy<Value = Config> {
    (1u32..40, 0u32..40).prop_map(|(prefork, more)| {
        Config::new(prefork, prefork + more).expect("prefork is within max_children")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// Whatever happened, once children behave and forks succeed the pool is whole again and the
    /// parent sleeps without a timer.
    #[test]
    fn always_comes_back_to_prefork_and_then_rests(
        config in arb_pool(),
        steps in prop::collection::vec(arb_step(), 0..40),
    ) {
        let mut world = World::new(config.clone());
        world.run_until_ready();
        for step in steps {
            world.step(step);
        }
        world.step(Step::Lives(vec![Life::healthy()]));
        world.heal();
        if world.is_probing() {
            world.step(Step::Run(config.start_timeout));
        }
        let longest = config.throttle_cap + config.spawn_retry_cap + config.early + ms(1000);
        world.step(Step::Run(longest));
        prop_assert_eq!(world.alive(), config.prefork() as usize);
        prop_assert_eq!(world.serving(), config.prefork() as usize);
        prop_assert_eq!(world.deadline(), None, "a pool at rest needs no timer");
    }

    /// A stop ends in bounded time at whatever moment it is asked for, with every child gone or,
    /// if the kernel itself cannot end one, said so.
    #[test]
    fn every_stop_ends_in_bounded_time(
        config in arb_pool(),
        ready_first in any::<bool>(),
        steps in prop::collection::vec(arb_step(), 0..20),
        requests in prop::collection::vec((arb_request(), 0u64..2000), 1..4),
        immortal in prop::bool::weighted(0.1),
    ) {
        let mut world = World::new(config.clone());
        if ready_first {
            world.run_until_ready();
        } else {
            world.start();
        }
        for step in steps {
            world.step(step);
        }
        if immortal {
            world.make_one_immortal();
        }
        let immortals = world.immortals();
        for (request, pause) in requests {
            world.step(Step::Request(request));
            world.step(Step::Run(ms(pause)));
        }
        let ladder = config.graceful_timeout + config.interrupt_timeout + config.kill_timeout;
        world.step(Step::Run(ladder + ms(1)));
        let verdict = world.verdict();
        if immortals > 0 {
            prop_assert_eq!(verdict, Some(Verdict::GaveUp { alive: immortals }));
        } else {
            prop_assert!(verdict.is_some(), "still not over");
            prop_assert_eq!(world.alive(), 0);
        }
        prop_assert_eq!(world.shutdown_hooks(), 1);
        prop_assert!(!world.is_probing(), "a probe was left behind");
    }

    /// However often upgrades are asked for, whatever the program file is meanwhile: in the end a good
    /// one runs, in all children, and the pool is what it was.
    #[test]
    fn the_last_good_program_runs_in_the_end(
        config in arb_pool(),
        steps in prop::collection::vec(
            prop_oneof![
                arb_step(),
                arb_program().prop_map(Step::Program),
                Just(Step::Request(Request::Upgrade)),
            ],
            0..40,
        ),
    ) {
        let mut world = World::new(config.clone());
        world.run_until_ready();
        for step in steps {
            world.step(step);
        }
        world.step(Step::Lives(vec![Life::healthy()]));
        world.heal();
        world.step(Step::Run(config.start_timeout + Duration::from_secs(100)));
        let (before, upgrades) = (world.generations(), world.upgrades());
        world.step(Step::Request(Request::Upgrade));
        world.step(Step::Run(Duration::from_secs(5)));
        let after = world.generations();
        prop_assert_eq!(world.upgrades(), upgrades + 1);
        prop_assert_eq!(after.len(), config.prefork() as usize);
        prop_assert!(after.iter().all(|generation| *generation == after[0]), "{:?}", after);
        prop_assert!(before.iter().all(|generation| *generation < after[0]));
        prop_assert_eq!(world.deadline(), None, "nothing is left to do");
    }

    /// After any number of reloads, whatever happens meanwhile, all children are of one generation.
    #[test]
    fn a_reload_replaces_every_child(
        config in arb_pool(),
        steps in prop::collection::vec(arb_step(), 0..20),
        reloads in 1usize..20,
    ) {
        let mut world = World::new(config.clone());
        world.run_until_ready();
        for step in steps {
            world.step(step);
        }
        world.step(Step::Lives(vec![Life::healthy()]));
        world.heal();
        world.step(Step::Run(Duration::from_secs(100)));
        let before = world.generations();
        for _ in 0..reloads {
            world.step(Step::Request(Request::Reload));
        }
        world.step(Step::Run(Duration::from_secs(5)));
        let after = world.generations();
        prop_assert_eq!(after.len(), config.prefork() as usize);
        prop_assert!(after.iter().all(|generation| *generation == after[0]), "{:?}", after);
        prop_assert!(before.iter().all(|generation| *generation < after[0]));
        prop_assert!(after[0] <= before[0] + 2, "reloads coalesce: {:?} to {:?}", before, after);
        prop_assert_eq!(world.deadline(), None, "nothing is left to do");
    }

    /// Any wishes of operators leave a pool within its limits.
    #[test]
    fn wishes_are_granted_within_limits(
        config in arb_pool(),
        wishes in prop::collection::vec((arb_wish(), 0u64..50), 0..60),
    ) {
        let mut world = World::new(config.clone());
        world.run_until_ready();
        let mut size = config.prefork();
        for (wish, pause) in wishes {
            match wish {
                Request::More => size = (size + 1).min(config.max_children()),
                Request::Fewer => size = (size - 1).max(1),
                _ => {}
            }
            world.step(Step::Request(wish));
            world.step(Step::Run(ms(pause)));
        }
        world.step(Step::Run(Duration::from_secs(10)));
        prop_assert_eq!(world.alive(), size as usize);
        prop_assert_eq!(world.deadline(), None);
    }

    /// Children that die at once cost a bounded number of forks and log lines a minute.
    #[test]
    fn a_crash_loop_is_bounded(config in arb_pool(), lives in 0u64..990) {
        let mut world = World::new(config.clone());
        world.run_until_ready();
        let life = Life { dies_after: Some(ms(lives)), works_after: None, ..Life::healthy() };
        world.step(Step::Lives(vec![life]));
        world.step(Step::Kill(usize::MAX));
        world.step(Step::Run(Duration::from_secs(120)));
        world.forget_counts();
        world.step(Step::Run(Duration::from_secs(60)));
        // One probe a delay at the cap, and those under way when the minute began.
        prop_assert!(world.forks() <= 7, "{} forks", world.forks());
        prop_assert!(world.log_lines() <= 14, "{} lines", world.log_lines());
    }

    /// The first minute of a crash loop is bounded as well, whatever the pool.
    #[test]
    fn a_crash_loop_is_bounded_from_its_first_minute(config in arb_pool()) {
        let mut world = World::new(config.clone());
        world.run_until_ready();
        world.step(Step::Lives(vec![Life::crashing()]));
        world.forget_counts();
        world.step(Step::Kill(usize::MAX));
        world.step(Step::Run(Duration::from_secs(60)));
        let wave = config.prefork() as usize;
        prop_assert!(world.forks() <= wave + 18, "{} forks for {wave}", world.forks());
    }

    /// A start that cannot succeed fails, soon, and leaves nothing behind.
    #[test]
    fn a_start_without_a_living_child_fails(config in arb_pool()) {
        let mut world = World::new(config.clone());
        world.step(Step::Lives(vec![Life::crashing()]));
        world.start();
        world.step(Step::Run(ms(200)));
        let failed = matches!(world.verdict(), Some(Verdict::StartFailed(_)));
        prop_assert!(failed, "{:?}", world.verdict());
        prop_assert!(!world.announced());
        prop_assert_eq!(world.alive(), 0);
    }
}

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
    let gave_up = |notice: &&Notice| matches!(notice, Notice::ProgramBusy { .. });
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
    let failed = |notice: &&Notice| matches!(notice, Notice::ReloadFailed { old: 12, .. });
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
    let stuck = |notice: &&Notice| matches!(notice, Notice::StuckStarting { .. });
    assert_eq!(world.notices().iter().filter(stuck).count(), 1);
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
    assert!(!world.notices().iter().any(|n| matches!(n, Notice::Throttled { .. })));
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
