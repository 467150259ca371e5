//! Pools that grow by how long clients wait, under simulated load.
//!
//! `cargo test -p prefork-core --test queue_target -- --nocapture` prints what they achieve.

use std::time::Duration;

use prefork_core::{
    ScalingPolicy,
    simulate::{Report, Traffic, World},
};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Serves the traffic with a target, and as ever.
fn both(policy: &ScalingPolicy, traffic: &Traffic, target: Duration) -> [Report; 2] {
    let reports =
        [World::new(traffic).queue_target(target).run(policy), World::new(traffic).run(policy)];
    println!("target {target:?}: {}\nspares:        {}", reports[0], reports[1]);
    reports
}

#[test]
fn a_burst_of_short_requests_needs_few_children_and_one_of_long_requests_many() {
    let policy = ScalingPolicy::new(2, 150);
    let short = Traffic::burst(100, ms(5)).later(SECOND).until(60 * SECOND);
    let [target, spares] = both(&policy, &short, ms(200));
    assert!(target.largest <= 4 && spares.largest > 60, "{target} and {spares}");
    assert!(target.waits.longest() < ms(300), "{target}");
    let long = Traffic::burst(100, SECOND).later(SECOND).until(60 * SECOND);
    let [target, _] = both(&policy, &long, ms(200));
    assert!(target.largest >= 100 && target.waits.longest() < ms(500), "{target}");
    assert_eq!((target.served, target.at_end), (100, 2), "{target}");
}

/// Ten children are at work on average: how many there are, and how long one in a hundred waits.
#[test]
fn a_steady_load_has_little_more_than_it_takes_and_that_stays() {
    let policy = ScalingPolicy::new(2, 150);
    let traffic = Traffic::random(200.0, ms(50), 600 * SECOND, 7).later(SECOND);
    let [target, spares] = both(&policy, &traffic, ms(200));
    assert!(target.waits.quantile(0.99) <= ms(220), "{target}");
    assert!(target.largest < spares.largest, "{target} and {spares}");
    assert!(target.forks <= 60, "it flaps: {target}");
    assert_eq!((target.lost, target.at_end), (0, 2), "{target}");
}

#[test]
fn after_a_busy_time_the_pool_shrinks_to_what_the_quiet_one_takes() {
    let policy = ScalingPolicy::new(1, 150);
    let busy = Traffic::random(400.0, ms(50), 60 * SECOND, 3).later(SECOND);
    let quiet = Traffic::random(60.0, ms(50), 300 * SECOND, 5).later(61 * SECOND);
    let traffic = busy.and(quiet);
    let mut world = World::new(&traffic);
    let report = world.queue_target(ms(200)).sample_every(SECOND).run(&policy);
    println!("{report}");
    let size = |second: usize| report.samples.get(second).map(|sample| sample.children);
    assert!(size(55).is_some_and(|size| (20..40).contains(&size)), "{:?}", size(55));
    assert!(size(200).is_some_and(|size| (3..10).contains(&size)), "{:?}", size(200));
    assert!(report.waits.quantile(0.99) <= ms(250), "{report}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// A load that stays: nobody is lost, hardly anybody waits much longer than the target, and the pool finds its size.
    #[test]
    fn a_load_that_stays_is_served_within_the_target_and_without_flapping(
        (rate, work, target) in (5u32..300, 1u64..200, 20u64..1000), seed: u64,
    ) {
        let traffic = Traffic::random(f64::from(rate), ms(work), 120 * SECOND, seed).later(SECOND);
        // With the time that it takes to come back to rest.
        let traffic = traffic.until(300 * SECOND);
        let report = World::new(&traffic).queue_target(ms(target)).run(&ScalingPolicy::new(1, 300));
        prop_assert_eq!((report.lost, report.at_end), (0, 1), "{}", report);
        // To find out how long a request takes, some are needed; then it takes a look.
        let longest = ms(2 * target + 2 * work + 300);
        prop_assert!(report.waits.quantile(0.98) <= longest, "{}", report);
        prop_assert!(report.forks <= 3 * report.largest + 20, "it flaps: {}", report);
    }

    /// Whatever comes, all are served, and the pool comes back to rest.
    #[test]
    fn whatever_comes_is_served(
        crowds in prop::collection::vec((0..20_000u64, 1..100u32, 1..3000u64), 1..6), target in 1..2000u64,
    ) {
        let bursts = crowds.iter().map(|(at, clients, work)| Traffic::burst(*clients, ms(*work)).later(ms(*at)));
        let traffic = bursts.fold(Traffic::default(), Traffic::and).until(400 * SECOND);
        let report = World::new(&traffic).queue_target(ms(target)).run(&ScalingPolicy::new(2, 100));
        let clients: usize = crowds.iter().map(|(_, clients, _)| *clients as usize).sum();
        prop_assert_eq!((report.served, report.at_end), (clients, 2), "{}", report);
    }
}
