//! What holds whatever happens.

use std::time::Duration;

use prefork_core::{Hook, Request, Verdict};
use proptest::prelude::*;

use crate::{
    arbitrary::{arb_pool, arb_program, arb_request, arb_step, arb_wish},
    count::cases,
    life::Life,
    ms,
    world::{Step, World},
};

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(600), ..ProptestConfig::default() })]

    /// Whatever happened, once children behave and forks succeed the pool is whole again and the
    /// parent sleeps without a timer.
    #[test]
    fn always_comes_back_to_prefork_and_then_rests(
        config in arb_pool(),
        steps in prop::collection::vec(arb_step(), 0..40),
    ) {
        let mut world = World::healed_after(config.clone(), steps);
        if world.is_probing() {
            world.step(Step::Run(config.start_timeout));
        }
        // Calls of hooks from before that would never end.
        world.step(Step::Run(config.hook_timeout));
        let longest = config.throttle_cap + config.spawn_retry_cap + config.early + ms(1000);
        world.step(Step::Run(longest));
        prop_assert_eq!(world.alive(), config.prefork() as usize);
        prop_assert_eq!(world.serving(), config.prefork() as usize);
        prop_assert_eq!(world.deadline(), None, "a pool at rest needs no timer");
    }

    /// Whatever happened, of what a child had started nothing is left a second after its end, while what
    /// living children have started stays.
    #[test]
    fn descendants_end_with_their_child(
        config in arb_pool(),
        steps in prop::collection::vec(arb_step(), 0..40),
    ) {
        let mut world = World::new(config);
        world.step(Step::Lives(vec![Life { descendants: 4, ..Life::healthy() }]));
        world.run_until_ready();
        let kept = world.kept();
        prop_assert_eq!(kept, world.alive(), "one each");
        for step in steps {
            world.step(step);
        }
        world.step(Step::Lives(vec![Life::healthy()]));
        // Those that could not be ended at once are tried again now and then.
        let limit = if world.stubborn() > 0 { 11 } else { 1 };
        world.heal();
        world.step(Step::Run(Duration::from_secs(limit)));
        prop_assert_eq!(world.left_behind(), 0);
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
        // Before the children, and after them.
        let hooks = 2 * config.hook_timeout;
        world.step(Step::Run(hooks + ladder + ms(1001)));
        let verdict = world.verdict();
        if immortals > 0 {
            prop_assert_eq!(verdict, Some(Verdict::GaveUp { alive: immortals }));
        } else {
            prop_assert!(verdict.is_some(), "still not over");
            prop_assert_eq!(world.alive(), 0);
            prop_assert_eq!(world.left_behind(), world.stubborn(), "descendants were left behind");
        }
        let has_hook = config.hooks.contains(&Hook::BeforeShutdown);
        prop_assert_eq!(world.shutdown_hooks(), usize::from(has_hook));
        prop_assert!(!world.is_probing(), "a probe was left behind");
        prop_assert!(!world.is_reading(), "a settings process was left behind");
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
        let mut world = World::healed_after(config.clone(), steps);
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
        let mut world = World::healed_after(config.clone(), steps);
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
    fn a_crash_loop_is_bounded_from_its_first_minute(
        config in arb_pool(), serves in prop::option::of(0u64..990),
    ) {
        let mut world = World::new(config.clone());
        world.run_until_ready();
        let wave = config.prefork() as usize;
        let (life, more) = match serves {
            None => (Life::crashing(), 0),
            Some(serves) => {
                let dies_after = Some(ms(serves));
                // Those that delay nothing, and all that are spawned between two doublings of a delay that is shorter
                // than they live: there are seven of less than a second.
                (Life { dies_after, works_after: None, ..Life::healthy() }, 12 + 7 * wave)
            }
        };
        world.step(Step::Lives(vec![life]));
        world.forget_counts();
        world.step(Step::Kill(usize::MAX));
        world.step(Step::Run(Duration::from_secs(60)));
        let most = wave + 18 + more;
        prop_assert!(world.forks() <= most, "{} forks for {wave}, at most {most}", world.forks());
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
