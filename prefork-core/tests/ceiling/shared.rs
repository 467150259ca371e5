//! Pools with their real supervisors under one ceiling that an arbiter shares.

use prefork_core::{Arbiter, Need, Quota, pools::PoolId};

use crate::crowd::{Crowd, by_load};

/// Pools, and what each may have: told a millisecond later.
struct House {
    arbiter: Arbiter,
    pools: Vec<Crowd>,
    reported: Vec<Need>,
    told: Vec<(PoolId, u32)>,
    ceiling: u32,
}

impl House {
    fn new(ceiling: u32, minimums: &[u32]) -> Self {
        let quota = |minimum| Quota { minimum, maximum: ceiling, weight: 1, child_memory: 0 };
        let quotas: Vec<_> =
            (0..).map(PoolId).zip(minimums).map(|(id, least)| (id, quota(*least))).collect();
        let mut arbiter = Arbiter::new(ceiling, quotas).expect("valid");
        let pools: Vec<_> = (0..)
            .map(PoolId)
            .zip(minimums)
            .map(|(id, least)| {
                arbiter.started(id);
                Crowd::new(by_load(*least, ceiling), Some(arbiter.cap(id)))
            })
            .collect();
        let reported = vec![Need::default(); pools.len()];
        Self { arbiter, pools, reported, told: Vec::new(), ceiling }
    }

    /// Lets a millisecond pass.
    fn step(&mut self) {
        for (id, cap) in std::mem::take(&mut self.told) {
            self.pools[id.0 as usize].allow(cap);
        }
        self.pools.iter_mut().for_each(|pool| pool.run(1));
        let alive: usize = self.pools.iter().map(Crowd::alive).sum();
        assert!(alive <= self.ceiling as usize, "{alive} of {}", self.ceiling);
        let now = self.pools[0].now;
        let mut is_news = self.arbiter.deadline().is_some_and(|due| now >= due);
        for ((id, pool), reported) in (0..).map(PoolId).zip(&self.pools).zip(&mut self.reported) {
            let need = pool.need();
            if need != *reported {
                *reported = need;
                self.arbiter.report(now, id, need);
                is_news = true;
            }
        }
        if is_news {
            self.told = self.arbiter.decide(now);
        }
    }

    fn served(&self) -> usize {
        self.pools.iter().map(|pool| pool.served).sum()
    }
}

/// Keeps so many requests waiting at a pool.
fn saturate(pool: &mut Crowd, takes: u64) {
    let missing = 64_usize.saturating_sub(pool.waiting.len());
    pool.come(missing, takes);
}

/// How many are served in 20 s by pools whose bursts take turns, each as long as that in ms.
fn alternating(house: &mut House, burst: u64, takes: u64) -> usize {
    let before = house.served();
    for ms in 0..20_000 {
        let turn = usize::try_from(ms / burst).expect("few") % house.pools.len();
        for (number, pool) in house.pools.iter_mut().enumerate() {
            if number == turn {
                saturate(pool, takes);
            } else {
                // Who has not been served has gone.
                pool.waiting.clear();
            }
        }
        house.step();
    }
    house.served() - before
}

#[test]
fn two_pools_with_alternating_bursts_do_what_one_large_one_does() {
    for takes in [5, 50, 200] {
        let one = alternating(&mut House::new(32, &[32]), 20_000, takes);
        for burst in [1000, 2000, 5000] {
            let two = alternating(&mut House::new(32, &[1, 1]), burst, takes);
            println!("bursts of {burst} ms, requests of {takes} ms: {two}, and one pool {one}");
            assert!(two * 10 >= one * 9, "{two} of {one}");
        }
    }
}

#[test]
fn two_saturated_pools_have_half_each_and_keep_it() {
    let mut house = House::new(32, &[2, 5]);
    let mut retired = Vec::new();
    for ms in 0..30_000 {
        house.pools.iter_mut().for_each(|pool| saturate(pool, 40));
        house.step();
        if ms > 2000 {
            let alive: Vec<usize> = house.pools.iter().map(Crowd::alive).collect();
            assert_eq!(alive, [16, 16]);
        }
        retired.push(house.pools.iter().map(|pool| pool.supervisor.stats().retired).sum::<u64>());
    }
    assert_eq!(retired.last(), retired.get(2000), "nobody is replaced for it");
    assert!(house.pools.iter().all(|pool| pool.forced == 0));
}

/// One has more to do than there is, and the other something now and then.
#[test]
fn children_are_not_moved_to_and_fro_for_every_moment_of_rest() {
    let mut house = House::new(32, &[2, 2]);
    let mut seed = 11_u64;
    for _ in 0..20_000 {
        saturate(&mut house.pools[0], 40);
        // 10 at a time on an average, as chance has it.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if (seed >> 33).is_multiple_of(4) {
            house.pools[1].come(1, 40);
        }
        house.step();
    }
    let retired: u64 = house.pools.iter().map(|pool| pool.supervisor.stats().retired).sum();
    let served: Vec<usize> = house.pools.iter().map(|pool| pool.served).collect();
    println!("{retired} children moved in 20 s, {served:?} requests");
    assert!(retired < 300, "{retired} children moved in 20 s");
}
