//! The rules, one by one.

use std::time::{Duration, Instant};

use prefork_core::{Arbiter, ArbiterError, Need, Quota, Time, pools::PoolId};

use crate::{
    ms,
    world::{Delay, World},
};

const SECOND: Duration = Duration::from_secs(1);
const SOON: Delay = Delay { caps: ms(5), reports: ms(5) };
const LATE: Delay = Delay { caps: ms(50), reports: ms(150) };

const fn quota(minimum: u32, maximum: u32, weight: u32) -> Quota {
    Quota { minimum, maximum, weight, child_memory: 0 }
}

#[test]
fn quotas_that_cannot_be_kept_are_refused_by_name() {
    let (a, b) = (PoolId(1), PoolId(2));
    let good = (a, quota(2, 8, 1));
    let table = [
        (0, vec![], ArbiterError::NoCeiling),
        (
            9,
            vec![good, (b, quota(8, 9, 1))],
            ArbiterError::CeilingBelowMinimums { ceiling: 9, minimums: 10 },
        ),
        (2, vec![good, (b, quota(0, 4, 1))], ArbiterError::NothingLeft { pool: b, ceiling: 2 }),
        (9, vec![good, (b, quota(0, 0, 1))], ArbiterError::NoMaximum { pool: b }),
        (9, vec![good, (b, quota(0, 9, 0))], ArbiterError::Weight { pool: b, weight: 0 }),
        (9, vec![good, (b, quota(0, 9, 10_001))], ArbiterError::Weight { pool: b, weight: 10_001 }),
        (9, vec![good, good], ArbiterError::Twice { pool: a }),
        (
            9,
            vec![(b, quota(5, 4, 1))],
            ArbiterError::MinimumAboveMaximum { pool: b, minimum: 5, maximum: 4 },
        ),
    ];
    for (ceiling, quotas, error) in table {
        let made = Arbiter::new(ceiling, quotas.clone()).map(|_| ());
        assert_eq!(made, Err(error));
        let mut arbiter = Arbiter::new(9, [good]).expect("valid");
        assert_eq!(arbiter.reconfigure(ceiling, quotas), Err(error));
        assert_eq!(arbiter.cap(a), 2, "nothing is changed");
    }
    let two = Arbiter::new(10, [good, (b, quota(8, 9, 10_000))]);
    assert!(two.is_ok());
}

#[test]
fn saturated_pools_have_their_weights_share() {
    for delay in [SOON, LATE] {
        let quotas = [quota(1, 100, 3), quota(1, 100, 1), quota(10, 100, 1), quota(0, 5, 1)];
        let mut world = World::new(60, &quotas, delay);
        for id in 0..4 {
            world.come(id, 5000, ms(70));
        }
        world.run(3 * SECOND);
        // 60 less the 5 that one may have, three to one to one.
        assert_eq!(world.alive(), [33, 11, 11, 5]);
    }
}

#[test]
fn what_is_idle_elsewhere_is_taken_back_within_the_stated_time() {
    for delay in [SOON, LATE] {
        let mut world = World::new(32, &[quota(4, 32, 1), quota(4, 32, 1)], delay);
        for round in 0..10 {
            let (busy, rests) = (round % 2, 1 - round % 2);
            world.come(busy, 200, ms(20));
            while !world.pool(busy).queue.is_empty() {
                world.run(ms(5));
            }
            world.run(2 * (delay.caps + delay.reports) + ms(25));
            world.come(rests, 1000, ms(400));
            // Until it is known, then 200 ms; each side hears of it.
            world.run(ms(200) + 3 * (delay.caps + delay.reports) + ms(30));
            let alive = world.pool(rests).alive;
            assert_eq!(alive, 28, "{delay:?}, round {round}");
            world.pool(rests).queue.clear();
            world.run(4 * SECOND);
        }
    }
}

#[test]
fn children_at_work_are_given_up_as_their_requests_end() {
    let mut world = World::new(32, &[quota(2, 32, 1), quota(2, 32, 1)], SOON);
    world.come(0, 30, 10 * SECOND);
    world.run(SECOND);
    assert_eq!(world.alive(), [30, 2]);
    world.come(1, 1000, ms(100));
    world.run(8 * SECOND);
    assert_eq!(world.alive(), [30, 2], "they are at work");
    assert_eq!(world.caps()[0], 16);
    world.run(2 * SECOND);
    assert!(world.alive()[1] >= 16, "{:?}", world.alive());
}

#[test]
fn a_minimum_is_kept_free_for_its_pool() {
    let mut world = World::new(20, &[quota(8, 20, 1), quota(1, 20, 100)], SOON);
    world.come(1, 1000, 100 * SECOND);
    world.run(10 * SECOND);
    assert_eq!(world.alive(), [8, 12]);
    world.come(0, 8, SECOND);
    world.run(ms(100));
    assert!(world.pool(0).queue.is_empty());
}

#[test]
fn nothing_changes_while_needs_are_the_same() {
    for delay in [SOON, LATE] {
        let quotas = [quota(2, 50, 1), quota(2, 50, 2), quota(0, 50, 1), quota(5, 50, 1)];
        let mut world = World::new(40, &quotas, delay);
        for id in 0..3 {
            world.come(id, 30, 1000 * SECOND);
        }
        world.run(10 * SECOND);
        let (changes, decisions) = (world.changes, world.decisions);
        world.run(100 * SECOND);
        assert_eq!((world.changes, world.decisions), (changes, decisions));
        assert_eq!(world.arbiter.deadline(), None);
    }
}

/// What one lacks nobody else has: at rest nobody is told anything.
#[test]
fn where_there_is_enough_nobody_is_told_to_have_fewer() {
    let mut world = World::new(100, &[quota(2, 50, 1), quota(2, 50, 1)], SOON);
    for _ in 0..20 {
        world.come(0, 30, ms(500));
        world.come(1, 10, ms(500));
        world.run(5 * SECOND);
    }
    assert_eq!(world.caps(), [31, 11]);
    assert!(world.changes <= 4, "{}", world.changes);
}

#[test]
fn pools_for_which_there_is_not_one_child_each_take_turns() {
    let quotas: Vec<_> = (0..10).map(|id| quota(u32::from(id == 0), 9, 1 + id)).collect();
    let mut world = World::new(4, &quotas, SOON);
    for id in 0..10 {
        world.come(id, 100_000, ms(100));
    }
    world.run(60 * SECOND);
    let served: Vec<usize> = world.pools.values().map(|pool| pool.served).collect();
    // The nine have three children among them, for 60 s: 20 s each.
    assert!(served[1..].iter().all(|served| (150..250).contains(served)), "{served:?}");
    assert!(served[0] > 550, "{served:?}");
    let starts: usize = world.pools.values().map(|pool| pool.starts).sum();
    assert!(starts < 120, "{starts}");
}

#[test]
fn a_pool_with_nothing_to_do_gives_its_only_child_up_at_once() {
    let mut world = World::new(1, &[quota(0, 1, 1), quota(0, 1, 1)], SOON);
    for round in 0..10 {
        world.come(round % 2, 1, ms(20));
        world.run(ms(400));
        assert_eq!(world.served(), round as usize + 1);
    }
}

#[test]
fn pools_that_sleep_have_nothing_and_wake_with_all_that_they_want() {
    let mut world = World::new(50, &[quota(0, 50, 1), quota(0, 50, 1)], SOON);
    assert_eq!((world.caps(), world.arbiter.deadline()), (vec![0, 0], None));
    world.come(1, 20, ms(100));
    world.run(ms(10));
    assert_eq!(world.alive(), [0, 20]);
    world.run(20 * SECOND);
    assert_eq!((world.caps(), world.alive()), (vec![0, 0], vec![0, 0]));
}

/// It may start children at any moment, and nobody knows what it has heard of.
#[test]
fn what_a_pool_may_have_that_does_not_answer_is_not_given_away() {
    let mut world = World::new(32, &[quota(2, 32, 1), quota(2, 32, 1)], SOON);
    world.come(0, 28, ms(100));
    world.run(SECOND);
    let until = world.now + 60 * SECOND;
    world.pool(0).stopped = until;
    world.come(1, 1000, SECOND);
    world.run(50 * SECOND);
    assert_eq!(world.alive()[1], 3);
    world.run(12 * SECOND);
    assert_eq!(world.alive()[1], 30);
}

#[test]
fn pools_come_and_go_and_others_get_what_they_had() {
    let (a, b, c) = (PoolId(0), PoolId(1), PoolId(2));
    let mut world = World::new(20, &[quota(10, 20, 1), quota(2, 20, 1)], SOON);
    world.come(0, 18, 5 * SECOND);
    world.run(SECOND);
    assert_eq!(world.alive(), [18, 2]);
    assert!(world.reconfigure(20, &[(b, quota(2, 20, 1)), (c, quota(15, 20, 1))]));
    world.run(ms(500));
    assert_eq!(world.alive(), [18, 2, 0], "its requests are in hand");
    world.run(5 * SECOND);
    assert_eq!(world.alive(), [2, 15]);
    assert!(!world.reconfigure(16, &[(b, quota(2, 20, 1)), (c, quota(15, 20, 1))]));
    assert!(
        world.reconfigure(30, &[(a, quota(1, 30, 1)), (b, quota(2, 20, 1)), (c, quota(15, 20, 1))])
    );
    world.run(SECOND);
    assert_eq!(world.alive(), [1, 2, 15]);
}

#[test]
fn reports_of_pools_that_nobody_knows_change_nothing() {
    let mut arbiter = Arbiter::new(4, [(PoolId(1), quota(1, 4, 1))]).expect("valid");
    let need = Need {
        alive: u32::MAX,
        busy: u32::MAX,
        wanted: u32::MAX,
        ceiling: Some(0),
        child_memory: 0,
    };
    for id in [0, 2, u32::MAX].map(PoolId) {
        arbiter.report(Time::ZERO, id, need);
        arbiter.wants(Time::ZERO, id, u32::MAX);
        arbiter.started(id);
        arbiter.ended(Time::ZERO, id);
    }
    assert_eq!((arbiter.decide(Time::ZERO), arbiter.deadline()), (vec![], None));
    // What is beyond all that can be is bounded.
    arbiter.started(PoolId(1));
    arbiter.report(Time::ZERO, PoolId(1), need);
    assert_eq!(arbiter.decide(Time::ZERO), [(PoolId(1), 4)]);
}

/// A hoster's: each pool has its burst now and then, some at a time.
#[test]
fn hundreds_of_pools_with_bursts_share_what_each_would_need_for_itself() {
    let pools = 300;
    let quotas = vec![quota(0, 64, 1); pools];
    let mut world = World::new(400, &quotas, SOON);
    let (mut seed, mut sent) = (7_u64, 0);
    let began = Instant::now();
    for _ in 0..400 {
        // 60 % of what 400 children can do, in bursts of 60 requests of 100 ms.
        for _ in 0..4 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let id = u32::try_from((seed >> 33) % pools as u64).expect("few");
            world.come(id, 60, ms(100));
            sent += 60;
        }
        world.run(ms(100));
    }
    let took = began.elapsed();
    let waiting: usize = world.pools.values().map(|pool| pool.queue.len()).sum();
    println!(
        "{sent} requests to {pools} pools in 40 s, {waiting} wait at the end; {} decisions, {} changes, in {took:?}",
        world.decisions, world.changes
    );
    assert!(waiting < 1200, "{waiting} of {sent} wait");
    world.run(20 * SECOND);
    assert_eq!(world.served(), sent);
    assert_eq!(world.caps().iter().sum::<u32>(), 0, "all sleep");
}
