//! What holds whatever happens. That there are never more children than the ceiling is checked at each step of the world.

use std::time::Duration;

use prefork_core::{Quota, pools::PoolId};
use proptest::prelude::*;

use crate::{
    ms,
    world::{Delay, World},
};

#[derive(Clone, Debug)]
enum Step {
    Come(u32, usize, u64),
    Run(u64),
    /// A pool is stopped for a while.
    Stop(u32, u64),
    /// Other quotas, and another ceiling, as far as they make sense; with pools that go.
    Change(u32, Vec<Quota>, u32),
}

fn arb_quota() -> impl Strategy<Value = Quota> {
    (0u32..4, 1u32..20, 1u32..10).prop_map(|(minimum, more, weight)| Quota {
        minimum,
        maximum: minimum + more,
        weight,
        child_memory: 0,
    })
}

fn arb_quotas() -> impl Strategy<Value = Vec<Quota>> {
    prop::collection::vec(arb_quota(), 1..10)
}

fn arb_delay() -> impl Strategy<Value = Delay> {
    (0u64..80, 0u64..200).prop_map(|(caps, reports)| Delay { caps: ms(caps), reports: ms(reports) })
}

fn arb_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u32..12, 1usize..60, 1u64..3000)
            .prop_map(|(pool, requests, takes)| Step::Come(pool, requests, takes)),
        6 => (1u64..3000).prop_map(Step::Run),
        1 => (0u32..12, 1u64..4000).prop_map(|(pool, time)| Step::Stop(pool, time)),
        1 => (1u32..40, arb_quotas(), 0u32..3)
            .prop_map(|(ceiling, quotas, first)| Step::Change(ceiling, quotas, first)),
    ]
}

/// The least ceiling for these, or more.
fn ceiling(quotas: &[Quota], more: u32) -> u32 {
    let without = quotas.iter().any(|quota| quota.minimum == 0);
    quotas.iter().map(|quota| quota.minimum).sum::<u32>() + u32::from(without) + more
}

fn numbered(quotas: &[Quota], first: u32) -> Vec<(PoolId, Quota)> {
    (first..).map(PoolId).zip(quotas.iter().copied()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Whatever happens there are never too many, each pool comes to its minimum in the end, and every client is served.
    #[test]
    fn never_too_many_and_in_the_end_all_are_served(
        mut quotas in arb_quotas(),
        more in 0u32..20,
        delay in arb_delay(),
        steps in prop::collection::vec(arb_step(), 0..30),
    ) {
        let mut world = World::new(ceiling(&quotas, more), &quotas, delay);
        let mut first = 0;
        for step in steps {
            match step {
                Step::Come(pool, requests, takes) => {
                    let id = first + pool % u32::try_from(quotas.len()).expect("few");
                    world.come(id, requests, ms(takes));
                }
                Step::Run(time) => world.run(ms(time)),
                Step::Stop(pool, time) => {
                    let until = world.now + ms(time);
                    if let Some(pool) = world.pools.get_mut(&PoolId(pool)) {
                        pool.stopped = until;
                    }
                }
                Step::Change(more, others, from) => {
                    // A pool that comes back before it has ended would be another one.
                    let ids = numbered(&others, from);
                    let returns =
                        |id: &PoolId| !numbered(&quotas, first).iter().any(|(it, _)| it == id);
                    let gone = ids.iter().any(|(id, _)| returns(id) && world.pools.contains_key(id));
                    if !gone && world.reconfigure(ceiling(&others, more), &ids) {
                        (quotas, first) = (others, from);
                    }
                }
            }
        }
        // Each has at least a child in ten all the time, or takes turns.
        let waits = world.serve_all();
        prop_assert!(waits.is_empty(), "somebody starves: {:?}", waits);
        world.run(Duration::from_secs(15));
        prop_assert!(world.pools.values().all(|pool| pool.queue.is_empty()));
        for (id, quota) in numbered(&quotas, first) {
            prop_assert!(world.arbiter.cap(id) >= quota.minimum);
            prop_assert!(world.pools[&id].alive >= quota.minimum);
        }
        prop_assert_eq!(world.arbiter.deadline(), None, "at rest it needs no timer");
    }

    /// No pool that has come to its minimum may ever have less.
    #[test]
    fn no_pool_may_have_less_than_its_minimum(
        quotas in arb_quotas(),
        more in 0u32..20,
        delay in arb_delay(),
        steps in prop::collection::vec((0u32..10, 1usize..60, 1u64..3000, 1u64..1000), 1..30),
    ) {
        let mut world = World::new(ceiling(&quotas, more), &quotas, delay);
        for (pool, requests, takes, time) in steps {
            let id = pool % u32::try_from(quotas.len()).expect("few");
            world.come(id, requests, ms(takes));
            for _ in 0..time / 25 {
                world.run(ms(25));
                for (id, quota) in numbered(&quotas, 0) {
                    prop_assert!(world.arbiter.cap(id) >= quota.minimum);
                    prop_assert!(world.pools[&id].alive >= quota.minimum);
                }
            }
        }
    }

    /// Needs that last have an answer that lasts: whatever came before, it is found soon, and uses all that there is.
    #[test]
    fn lasting_needs_have_a_lasting_answer(
        mut quotas in arb_quotas(),
        more in 0u32..20,
        delay in arb_delay(),
        before in prop::collection::vec((0u32..10, 1usize..60, 1u64..2000, 1u64..2000), 0..10),
        needs in prop::collection::vec(0usize..30, 10),
    ) {
        // Pools that take turns change with each.
        quotas.iter_mut().for_each(|quota| quota.minimum = quota.minimum.max(1));
        let most = ceiling(&quotas, more);
        let mut world = World::new(most, &quotas, delay);
        for (pool, requests, takes, time) in before {
            let id = pool % u32::try_from(quotas.len()).expect("few");
            world.come(id, requests, ms(takes));
            world.run(ms(time));
        }
        for (id, need) in (0..).zip(&needs).take(quotas.len()) {
            world.pool(id).queue.clear();
            world.come(id, *need, Duration::from_secs(10_000));
        }
        world.run(Duration::from_secs(20));
        let (changes, decisions, alive) = (world.changes, world.decisions, world.alive());
        world.run(Duration::from_secs(100));
        prop_assert_eq!((world.changes, world.decisions), (changes, decisions));
        prop_assert_eq!(&world.alive(), &alive);
        let used: u32 = alive.iter().sum();
        for (quota, (alive, need)) in quotas.iter().zip(alive.iter().zip(&needs)) {
            let wanted = u32::try_from(*need).expect("few").min(quota.maximum);
            prop_assert!(*alive >= wanted || used == most, "{} of {}", used, most);
        }
    }
}
