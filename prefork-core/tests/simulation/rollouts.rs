//! Replacing children that have requests in hand, that are killed, and where there is no room.

use std::time::Duration;

use prefork_core::{
    ChangeNotice, ChildNotice, Config, Limit, Notice, Pool, PoolNotice, Request, Verdict,
};
use proptest::prelude::*;

use crate::{
    count::cases,
    life::Life,
    ms,
    world::{Step, World},
};

/// A pool in which it is known which children are at work. It may grow by so many.
fn pool(prefork: u32, more: u32) -> Config {
    let mut config = Config::new(prefork, prefork + more).expect("prefork is within max_children");
    config.pool = Pool::BY_LOAD;
    config
}

fn ready(config: Config) -> World {
    let mut world = World::new(config);
    world.run_until_ready();
    world.forget_counts();
    world
}

fn count(world: &World, notice: impl Fn(&Notice) -> bool) -> usize {
    world.notices().iter().filter(|it| notice(it)).count()
}

const fn is_reloaded(notice: &Notice) -> bool {
    matches!(notice, Notice::Change(ChangeNotice::Reloaded { .. }))
}

const fn is_failed(notice: &Notice) -> bool {
    matches!(notice, Notice::Change(ChangeNotice::ReloadFailed { .. }))
}

/// The generations of all children are this one.
fn all_are(generations: &[u32], generation: u32) -> bool {
    generations.iter().all(|found| *found == generation)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(300), ..ProptestConfig::default() })]

    /// A child with a request in hand finishes it, however long that takes, and holds nobody else up.
    #[test]
    fn the_idle_are_replaced_at_once_and_no_request_is_lost(
        prefork in 1u32..40,
        more in 0u32..40,
        busy in 0usize..40,
        reloads in 1usize..4,
        takes in 1u64..100_000,
    ) {
        let config = pool(prefork, more);
        let waves = prefork.div_ceil(config.max_surge);
        let mut world = ready(config.clone());
        world.step(Step::Occupy(busy.min(prefork as usize), ms(takes)));
        let busy = world.in_hand();
        for _ in 0..reloads {
            world.step(Step::Request(Request::Reload));
        }
        // A wave takes as long as a fork and a start. Where there is no room, old ones that are at work are asked one
        // after the other.
        let room = u64::from(more < prefork) * (busy as u64 + 1) * 100;
        let idle = ms(u64::from(waves) * 4 + room);
        world.step(Step::Run(idle));
        prop_assert!(ms(takes) < idle || world.in_hand() == busy);
        if reloads == 1 && busy < prefork as usize {
            prop_assert!(all_are(&world.idle_generations(), 2), "{:?}", world.generations());
        }
        world.step(Step::Run(ms(takes) + Duration::from_secs(20)));
        prop_assert_eq!((world.cut(), world.in_hand()), (0, 0));
        let generations = world.generations();
        prop_assert!(all_are(&generations, generations[0]) && generations[0] > 1, "{:?}", generations);
        prop_assert_eq!(count(&world, is_failed), 0);
        prop_assert_eq!(count(&world, |it| matches!(it, Notice::Child(_, ChildNotice::CutShort { .. }))), 0);
    }

    /// A child of the new generation that is killed from outside, now and then, changes nothing but when all are new.
    #[test]
    fn a_rollout_goes_on_after_deaths_that_prove_nothing(
        prefork in 1u32..40,
        more in 0u32..10,
        kills in prop::collection::vec((0u64..1500, 1usize..4), 0..5),
    ) {
        let mut world = ready(pool(prefork, more));
        world.step(Step::Lives(vec![Life { works_after: None, ..Life::healthy() }]));
        world.step(Step::Request(Request::Reload));
        for (pause, killed) in kills {
            world.step(Step::Run(ms(pause)));
            world.step(Step::KillYoungest(killed));
        }
        world.step(Step::Run(Duration::from_secs(10)));
        prop_assert_eq!((count(&world, is_failed), count(&world, is_reloaded)), (0, 1));
        prop_assert!(all_are(&world.generations(), 2), "{:?}", world.generations());
        prop_assert!(world.alive() >= prefork as usize);
    }

    /// Where no process can be had beside those that are there, old ones go first, and few lines say so.
    #[test]
    fn a_rollout_comes_about_without_room_for_stand_ins(
        prefork in 1u32..40,
        more in 0u32..40,
        busy in 0usize..40,
        takes in 0u64..20_000,
    ) {
        let mut world = ready(pool(prefork, more));
        world.step(Step::Occupy(busy.min(prefork as usize), ms(takes)));
        world.step(Step::Processes(prefork as usize));
        world.step(Step::Request(Request::Reload));
        world.step(Step::Run(ms(takes) + Duration::from_secs(30)));
        prop_assert_eq!(world.generations(), vec![2; prefork as usize]);
        prop_assert_eq!((world.cut(), count(&world, is_reloaded)), (0, 1));
        // Among them those of a pool that would like to grow.
        prop_assert!(world.log_lines() <= 20, "{:?}", world.notices());
        // Once there is room, all is as it was.
        world.step(Step::Processes(usize::MAX));
        world.forget_counts();
        world.step(Step::Request(Request::Reload));
        world.step(Step::Run(Duration::from_secs(5)));
        prop_assert!(all_are(&world.generations(), 3), "{:?}", world.generations());
        prop_assert_eq!(count(&world, |it| matches!(it, Notice::Pool(PoolNotice::SpawnDelayed { .. }))), 0);
    }

    /// A stop in the middle of a rollout has the time of a stop, for old children and new ones.
    #[test]
    fn a_stop_in_a_rollout_takes_its_time_for_all(
        prefork in 1u32..20,
        busy in 0usize..20,
        takes in 0u64..60_000,
        pause in 0u64..30_000,
        reload_timeout in prop::option::of(100u64..100_000),
    ) {
        let mut config = pool(prefork, prefork);
        config.reload_timeout = reload_timeout.map(ms);
        let mut world = ready(config.clone());
        world.step(Step::Occupy(busy, ms(takes)));
        let busy = world.in_hand();
        world.step(Step::Request(Request::Reload));
        world.step(Step::Run(ms(pause)));
        let cut = world.cut();
        let allowed = reload_timeout.is_none_or(|limit| limit > pause);
        prop_assert!(!allowed || cut == 0, "{cut} of {busy}");
        world.step(Step::Request(Request::StopGracefully));
        world.step(Step::Run(config.graceful_timeout - ms(1)));
        prop_assert_eq!(world.cut(), cut, "cut before its time");
        world.step(Step::Run(config.interrupt_timeout + ms(3)));
        prop_assert_eq!(world.verdict(), Some(Verdict::Stopped));
    }
}

fn busy_reload(reload_timeout: Option<Duration>) -> World {
    let mut config = pool(4, 0);
    config.reload_timeout = reload_timeout;
    let mut world = ready(config);
    world.step(Step::Occupy(1, Duration::from_secs(60)));
    world.step(Step::Request(Request::Reload));
    world.step(Step::Run(ms(100)));
    world
}

#[test]
fn one_long_request_holds_nobody_up_and_is_answered() {
    let mut world = busy_reload(None);
    assert_eq!(world.generations(), [1, 2, 2, 2, 2]);
    // When it is clear that the old one is at work.
    world.step(Step::Run(ms(20)));
    let reloaded =
        |it: &Notice| matches!(it, Notice::Change(ChangeNotice::Reloaded { old: 1, .. }));
    assert_eq!(count(&world, reloaded), 1, "{:?}", world.notices());
    world.step(Step::Run(Duration::from_secs(1)));
    assert_eq!(world.deadline(), None, "nobody is in a hurry");
    world.step(Step::Run(Duration::from_secs(61)));
    assert_eq!((world.generations(), world.cut()), (vec![2; 4], 0));
    assert_eq!(count(&world, |it| matches!(it, Notice::Change(ChangeNotice::OldLeft { .. }))), 1);
}

#[test]
fn who_is_cut_short_by_a_limit_is_named() {
    let limit = Duration::from_secs(5);
    let mut world = busy_reload(Some(limit));
    world.step(Step::Run(ms(4800)));
    assert_eq!(world.cut(), 0);
    world.step(Step::Run(ms(200)));
    assert_eq!((world.generations(), world.cut()), (vec![2; 4], 1));
    let named = |it: &Notice| matches!(it, Notice::Child(_, ChildNotice::CutShort { limit: Limit::Reload, asked, .. }) if *asked == limit);
    assert_eq!(count(&world, named), 1, "{:?}", world.notices());
}

/// The kernel does so for want of memory. It must end at some time.
#[test]
fn a_generation_of_which_each_child_is_killed_does_not_work() {
    let mut world = ready(pool(3, 3));
    world.step(Step::Lives(vec![Life { enters_after: None, ..Life::healthy() }]));
    world.step(Step::Request(Request::Reload));
    for _ in 0..6 {
        assert_eq!(count(&world, is_failed), 0);
        world.step(Step::KillYoungest(1));
        world.step(Step::Run(ms(700)));
    }
    assert_eq!(count(&world, is_failed), 1, "{:?}", world.notices());
}

/// The second of two reloads finds those from before the first, and all that is new is replaced once more.
#[test]
fn a_second_reload_beside_a_long_request_comes_about_too() {
    let mut world = busy_reload(None);
    world.step(Step::Request(Request::Reload));
    world.step(Step::Run(ms(100)));
    assert_eq!(world.generations(), [1, 3, 3, 3, 3]);
    assert_eq!((world.cut(), world.in_hand()), (0, 1));
}
