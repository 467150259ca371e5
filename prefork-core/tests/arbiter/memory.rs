//! Pools that share memory. That none gets more before there is room for it, by what children are known to take, is checked
//! at each decision of the world.

use std::time::Duration;

use prefork_core::{Arbiter, ArbiterError, Ceiling, Need, Quota, Time, pools::PoolId};
use proptest::prelude::*;

use crate::{
    ms,
    world::{Delay, World},
};

const SECOND: Duration = Duration::from_secs(1);
const SOON: Delay = Delay { caps: ms(5), reports: ms(5) };
const LATE: Delay = Delay { caps: ms(50), reports: ms(150) };
const MIB: u64 = 1 << 20;

/// A minimum, a maximum, a weight, and how many MiB a child takes.
const fn quota(minimum: u32, maximum: u32, weight: u32, mib: u64) -> Quota {
    Quota { minimum, maximum, weight, child_memory: mib * MIB }
}

const fn memory(mib: u64) -> Ceiling {
    Ceiling::Memory(mib * MIB)
}

#[test]
fn what_cannot_be_kept_is_refused_by_name() {
    let (a, b) = (PoolId(1), PoolId(2));
    let good = (a, quota(2, 8, 1, 10));
    let ceiling = 40 * MIB;
    let minimums =
        |minimums: u64| ArbiterError::MemoryBelowMinimums { ceiling, minimums: minimums * MIB };
    let too_large = |mib: u64| ArbiterError::ChildTooLarge {
        pool: b,
        child_memory: mib * MIB,
        left: 20 * MIB,
        ceiling,
    };
    let table = [
        (vec![good, (b, quota(3, 8, 1, 10))], Some(minimums(50))),
        (vec![good, (b, quota(2, 8, 1, 10))], None),
        (vec![good, (b, quota(0, 8, 1, 21))], Some(too_large(21))),
        (vec![good, (b, quota(0, 8, 1, 20))], None),
        (vec![good, (b, quota(0, 8, 1, 0))], Some(ArbiterError::NoChildMemory { pool: b })),
        (vec![(b, quota(1, 8, 1, u64::MAX / MIB))], Some(minimums(u64::MAX / MIB))),
    ];
    for (quotas, error) in table {
        let made = Arbiter::new(memory(40), quotas.clone()).map(|_| ());
        assert_eq!(made.err(), error);
        if error.is_some() {
            let mut arbiter = Arbiter::new(memory(40), [good]).expect("valid");
            assert_eq!(arbiter.reconfigure(memory(40), quotas).err(), error);
            assert_eq!(arbiter.cap(a), 2, "nothing is changed");
        }
    }
    let both = |children, mib| Ceiling::Both { children, memory: mib * MIB };
    let below = ArbiterError::CeilingBelowMinimums { ceiling: 1, minimums: 2 };
    assert_eq!(Arbiter::new(both(1, 40), [good]).map(|_| ()), Err(below));
    assert_eq!(Arbiter::new(both(2, 19), [good]).map(|_| ()).map_err(|it| it.pool()), Err(None));
    assert!(Arbiter::new(both(2, 20), [good]).is_ok());
}

#[test]
fn saturated_pools_have_their_weights_share_of_memory() {
    for delay in [SOON, LATE] {
        let quotas = [quota(1, 100, 1, 10), quota(1, 100, 1, 40), quota(0, 100, 2, 20)];
        let mut world = World::new(memory(800), &quotas, delay);
        for id in 0..3 {
            world.come(id, 5000, ms(70));
        }
        world.run(3 * SECOND);
        assert_eq!(world.alive(), [20, 5, 20], "200, 200 and 400 of 800 MiB");
    }
}

#[test]
fn where_children_are_counted_too_neither_is_exceeded() {
    let quotas = [quota(1, 100, 1, 10), quota(1, 100, 1, 40)];
    let mut world = World::new(Ceiling::Both { children: 20, memory: 400 * MIB }, &quotas, SOON);
    world.come(0, 5000, ms(70));
    world.run(2 * SECOND);
    assert_eq!(world.alive(), [19, 1], "of 20 children");
    world.come(1, 5000, ms(70));
    world.run(2 * SECOND);
    assert_eq!(world.alive(), [14, 6], "20 children, and one more of either does not fit");
}

/// What children grow to is seen when it has happened: then nobody gets more, and those that have more than their share give
/// it up as requests end.
#[test]
fn a_pool_whose_children_grow_has_fewer_of_them() {
    let mut world = World::new(memory(400), &[quota(2, 50, 1, 10), quota(2, 50, 1, 10)], SOON);
    world.come(0, 10_000, ms(50));
    world.come(1, 10_000, ms(50));
    world.run(2 * SECOND);
    assert_eq!(world.alive(), [20, 20]);
    world.pool(0).takes = 50 * MIB;
    world.run(SECOND);
    assert_eq!(world.alive(), [4, 20], "it alone has fewer");
    assert!(world.taken() <= 400 * MIB);
    // What they took counts for 10 s longer.
    world.pool(0).takes = 5 * MIB;
    world.run(9 * SECOND);
    assert_eq!(world.alive(), [4, 20]);
    world.run(2 * SECOND);
    assert_eq!(world.alive(), [20, 20], "no less than declared");
}

#[test]
fn no_pool_has_less_than_its_minimum_whatever_its_children_take() {
    let quotas = [quota(4, 50, 1, 10), quota(2, 50, 1, 10), quota(0, 50, 1, 10)];
    let mut world = World::new(memory(200), &quotas, SOON);
    for id in 0..3 {
        world.come(id, 100_000, ms(50));
    }
    world.run(2 * SECOND);
    world.pool(0).takes = u64::MAX / 100;
    world.run(2 * SECOND);
    assert_eq!(world.alive(), [4, 2, 0], "nothing is left but minimums");
    world.pool(0).takes = 10 * MIB;
    world.run(15 * SECOND);
    let alive = world.alive();
    assert_eq!(alive.iter().sum::<u32>(), 20, "{alive:?}");
    assert!(alive[2] >= 6, "{alive:?}");
}

/// Small children would go on and on while a large one waits for room.
#[test]
fn a_pool_with_large_children_has_its_turn_among_those_with_small_ones() {
    let mut quotas = vec![quota(0, 1, 1, 10); 12];
    quotas.push(quota(0, 1, 1, 80));
    let mut world = World::new(memory(100), &quotas, SOON);
    for id in 0..13 {
        world.run(ms(130));
        world.come(id, 100_000, ms(100));
    }
    world.run(60 * SECOND);
    let served: Vec<usize> = world.pools.values().map(|pool| pool.served).collect();
    println!("{served:?}");
    assert!(served.iter().all(|served| *served >= 80), "{served:?}");
}

#[test]
fn one_that_has_become_too_large_for_any_room_holds_up_nobody() {
    let quotas = [quota(2, 9, 1, 20), quota(0, 1, 1, 50), quota(0, 1, 1, 10)];
    let mut world = World::new(memory(100), &quotas, SOON);
    world.pool(0).takes = 35 * MIB;
    world.come(0, 100_000, ms(50));
    world.run(SECOND);
    assert_eq!(world.alive()[0], 2);
    world.come(1, 10, ms(50));
    world.come(2, 10, ms(50));
    world.run(SECOND);
    assert_eq!(world.alive(), [2, 0, 1], "30 MiB are left");
    world.pool(0).takes = 20 * MIB;
    world.run(15 * SECOND);
    assert_eq!(world.served() - world.pool(0).served, 20);
}

/// It has waited for longest, all the time.
#[test]
fn beside_one_that_has_become_too_large_the_others_take_turns() {
    let quotas = [quota(2, 9, 1, 20), quota(0, 1, 1, 50), quota(0, 1, 1, 15), quota(0, 1, 1, 15)];
    let mut world = World::new(memory(100), &quotas, SOON);
    world.pool(0).takes = 40 * MIB;
    world.come(0, 100_000, ms(50));
    world.run(SECOND);
    for id in 1..4 {
        world.come(id, 10_000, ms(50));
    }
    world.run(60 * SECOND);
    let [two, three] = [2, 3].map(|id| world.pool(id).served);
    assert!(two.min(three) > 300, "{two} and {three}: only one has room at a time");
    assert_eq!(world.pool(1).served, 0);
}

#[test]
fn sizes_that_change_all_the_time_below_what_they_were_change_nothing() {
    let mut world = World::new(memory(400), &[quota(2, 50, 1, 10), quota(2, 50, 2, 10)], SOON);
    for id in 0..2 {
        world.come(id, 50, 1000 * SECOND);
    }
    world.pool(0).takes = 16 * MIB;
    world.run(30 * SECOND);
    let changes = world.changes;
    for round in 0..60 {
        world.pool(0).takes = (16 - round % 5) * MIB;
        world.run(SECOND);
    }
    assert_eq!(world.changes, changes);
}

/// As after an upgrade: an earlier program has given what this one has not, and knows what children take.
#[test]
fn a_new_arbiter_goes_on_with_what_children_are_known_to_take() {
    use prefork_core::pools::Held;
    let ids = [PoolId(0), PoolId(1)];
    let quotas = ids.map(|id| (id, quota(1, 50, 1, 10)));
    let need = Need { alive: 8, busy: 8, wanted: 20, ceiling: Some(8), child_memory: 25 * MIB };
    let held = ids.map(|id| (id, Held { said: Some(8), need }));
    let mut arbiter = Arbiter::adopt(Time::ZERO, memory(250), quotas, held).expect("valid");
    // Two children of 10 MiB have room for 25 MiB each, and twenty have not.
    assert_eq!(arbiter.decide(Time::ZERO), [(ids[0], 5), (ids[1], 5)]);
}

/// A hoster's: small and large children, and every pool has its burst now and then.
#[test]
fn hundreds_of_pools_with_bursts_share_memory() {
    let pools = 300_u32;
    let quotas: Vec<_> =
        (0..pools).map(|id| quota(0, 64, 1, [10, 20, 40][id as usize % 3])).collect();
    let mut world = World::new(memory(8000), &quotas, SOON);
    let (mut seed, mut sent) = (7_u64, 0);
    let mut next = |below: u32| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((seed >> 33) % u64::from(below)).expect("few")
    };
    let began = std::time::Instant::now();
    let mut over = 0;
    for _ in 0..300 {
        for _ in 0..3 {
            let id = next(pools);
            world.come(id, 60, ms(100));
            sent += 60;
        }
        // What children take changes all the time, by a quarter above what is declared.
        let id = next(pools);
        let declared = quotas[id as usize].child_memory;
        world.pool(id).takes = declared + declared / 8 * u64::from(next(3));
        world.run(ms(100));
        over += u32::from(world.taken() > 8000 * MIB);
    }
    let took = began.elapsed();
    println!(
        "{sent} requests to {pools} pools in 30 s; {} decisions, {} changes, above for {over} of 300 looks, in {took:?}",
        world.decisions, world.changes
    );
    assert!(over <= 6, "{over} of 300 looks have seen more than there is");
    world.run(20 * SECOND);
    assert_eq!(world.served(), sent);
    assert_eq!(world.caps().iter().sum::<u32>(), 0, "all sleep");
}

#[derive(Clone, Debug)]
enum Step {
    Come(u32, usize, u64),
    Run(u64),
    /// What children of a pool take from now on, in eighths of what is declared.
    Take(u32, u64),
    /// A pool is stopped for a while.
    Stop(u32, u64),
}

fn arb_quotas() -> impl Strategy<Value = Vec<Quota>> {
    let quota = (0u32..4, 1u32..20, 1u32..10, 1u64..50)
        .prop_map(|(minimum, more, weight, mib)| quota(minimum, minimum + more, weight, mib));
    prop::collection::vec(quota, 1..10)
}

fn arb_delay() -> impl Strategy<Value = Delay> {
    (0u64..80, 0u64..200).prop_map(|(caps, reports)| Delay { caps: ms(caps), reports: ms(reports) })
}

/// Children grow up to so many eighths of what is declared.
fn arb_step(most: u64) -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u32..10, 1usize..60, 1u64..3000)
            .prop_map(|(pool, requests, takes)| Step::Come(pool, requests, takes)),
        6 => (1u64..3000).prop_map(Step::Run),
        3 => (0u32..10, 1..=most).prop_map(|(pool, eighths)| Step::Take(pool, eighths)),
        1 => (0u32..10, 1u64..4000).prop_map(|(pool, time)| Step::Stop(pool, time)),
    ]
}

/// The least ceiling for these, or more, and perhaps one of children too.
fn ceiling(quotas: &[Quota], more: u64, children: Option<u32>) -> Ceiling {
    let minimums: u64 = quotas.iter().map(|it| u64::from(it.minimum) * it.child_memory).sum();
    let without = quotas.iter().filter(|quota| quota.minimum == 0);
    let largest = without.map(|quota| quota.child_memory).max().unwrap_or(0);
    let memory = minimums + largest + more * MIB;
    let least: u32 = quotas.iter().map(|quota| quota.minimum).sum();
    match children {
        Some(more) => Ceiling::Both { children: least + 1 + more, memory },
        None => Ceiling::Memory(memory),
    }
}

fn act(world: &mut World, step: &Step, quotas: &[Quota]) {
    let id = |pool: u32| pool % u32::try_from(quotas.len()).expect("few");
    match *step {
        Step::Come(pool, requests, takes) => world.come(id(pool), requests, ms(takes)),
        Step::Run(time) => world.run(ms(time)),
        Step::Take(pool, eighths) => {
            let declared = quotas[id(pool) as usize].child_memory;
            world.pool(id(pool)).takes = declared / 8 * eighths;
        }
        Step::Stop(pool, time) => {
            let until = world.now + ms(time);
            world.pool(id(pool)).stopped = until;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// While no child takes more than is declared, all of them together never take more than there is.
    #[test]
    fn never_more_than_there_is_while_children_take_what_is_declared(
        quotas in arb_quotas(),
        more in 0u64..400,
        children in prop::option::of(0u32..20),
        delay in arb_delay(),
        steps in prop::collection::vec(arb_step(8), 1..30),
    ) {
        let ceiling = ceiling(&quotas, more, children);
        let memory = ceiling.memory().expect("it is shared");
        let mut world = World::new(ceiling, &quotas, delay);
        for step in steps {
            act(&mut world, &step, &quotas);
            for _ in 0..10 {
                world.run(ms(10));
                prop_assert!(world.taken() <= memory, "{} of {}", world.taken(), memory);
                for (id, quota) in quotas.iter().enumerate() {
                    let id = PoolId(u32::try_from(id).expect("few"));
                    prop_assert!(world.arbiter.cap(id) >= quota.minimum);
                }
            }
        }
    }

    /// Whatever children take, no pool is below its minimum, all come below the ceiling or to their minimums, and once they take what is
    /// declared every client is served.
    #[test]
    fn all_is_well_in_the_end_whatever_children_have_taken(
        quotas in arb_quotas(),
        more in 0u64..400,
        children in prop::option::of(0u32..20),
        delay in arb_delay(),
        steps in prop::collection::vec(arb_step(200), 1..30),
    ) {
        let ceiling = ceiling(&quotas, more, children);
        let memory = ceiling.memory().expect("it is shared");
        let mut world = World::new(ceiling, &quotas, delay);
        for step in &steps {
            act(&mut world, step, &quotas);
            for (id, quota) in quotas.iter().enumerate() {
                let id = PoolId(u32::try_from(id).expect("few"));
                prop_assert!(world.arbiter.cap(id) >= quota.minimum);
                prop_assert!(world.pools[&id].alive >= quota.minimum);
            }
        }
        // What children have taken counts for 10 s, and then a request may begin that was held up by it: that is over by then, too.
        world.run(Duration::from_secs(20));
        let beyond =
            world.pools.values().zip(&quotas).any(|(pool, quota)| pool.alive > quota.minimum);
        let counted: u64 =
            world.pools.iter().map(|(id, it)| u64::from(it.alive) * world.known(*id)).sum();
        prop_assert!(counted <= memory || !beyond, "{} of {}: {:?}", counted, memory, world.alive());
        for (id, quota) in (0..).zip(&quotas) {
            world.pool(id).takes = quota.child_memory;
        }
        let waits = world.serve_all();
        prop_assert!(waits.is_empty(), "somebody starves: {:?}", waits);
        world.run(Duration::from_secs(20));
        prop_assert_eq!(world.arbiter.deadline(), None, "at rest it needs no timer");
    }

    /// Needs and sizes that last have an answer that lasts, and no room is left for a child that somebody wants.
    #[test]
    fn lasting_needs_and_sizes_have_a_lasting_answer(
        mut quotas in arb_quotas(),
        more in 0u64..400,
        delay in arb_delay(),
        before in prop::collection::vec(arb_step(40), 0..10),
        needs in prop::collection::vec((0usize..30, 1u64..24), 10),
    ) {
        // Pools that take turns change with each.
        quotas.iter_mut().for_each(|quota| quota.minimum = quota.minimum.max(1));
        let ceiling = ceiling(&quotas, more, None);
        let memory = ceiling.memory().expect("it is shared");
        let mut world = World::new(ceiling, &quotas, delay);
        for step in &before {
            act(&mut world, step, &quotas);
        }
        let lasting = || (0..).zip(&quotas).zip(&needs);
        for ((id, quota), (need, eighths)) in lasting() {
            world.pool(id).queue.clear();
            world.pool(id).takes = quota.child_memory / 8 * eighths;
            world.come(id, *need, Duration::from_secs(10_000));
        }
        world.run(Duration::from_secs(30));
        let (changes, decisions, alive) = (world.changes, world.decisions, world.alive());
        world.run(Duration::from_secs(100));
        prop_assert_eq!((world.changes, world.decisions), (changes, decisions));
        prop_assert_eq!(&world.alive(), &alive);
        let size = |id: u32| world.known(PoolId(id));
        let used: u64 = (0..).zip(&alive).map(|(id, alive)| u64::from(*alive) * size(id)).sum();
        // Requests that go on for ever may keep children of which others have the share.
        let is_owed = world.pools.values().zip(world.caps()).any(|(pool, cap)| pool.alive > cap);
        for ((id, quota), (need, _)) in lasting() {
            let wanted = u32::try_from(*need).expect("few").min(quota.maximum);
            let has_all = alive[id as usize] >= wanted;
            prop_assert!(has_all || is_owed || used + size(id) > memory, "{used} of {memory}");
        }
    }
}
