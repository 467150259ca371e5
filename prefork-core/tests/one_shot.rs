//! Pools whose children serve one client each, under simulated load.
//!
//! `cargo test -p prefork-core --test one_shot -- --nocapture` prints what they achieve.

use std::time::Duration;

use prefork_core::{
    ScalingPolicy,
    simulate::{Fault, Report, Traffic, World},
};
use proptest::prelude::*;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn us(us: u64) -> Duration {
    Duration::from_micros(us)
}

const SECOND: Duration = Duration::from_secs(1);

fn run(start: Duration, policy: &ScalingPolicy, traffic: &Traffic) -> Report {
    World::new(traffic).start_time(start).one_shot().run(policy)
}

#[test]
fn each_client_has_a_child_of_its_own() {
    let traffic = Traffic::random(50.0, ms(100), 60 * SECOND, 3).later(SECOND);
    let report = run(ms(5), &ScalingPolicy::new(3, 150), &traffic);
    println!("50 clients a second: {report}");
    assert_eq!((report.lost, report.at_end), (0, 3), "{report}");
    let (used, clients) = ((report.forks - report.at_end) as usize, traffic.requests());
    assert!((clients..=clients + clients / 100).contains(&used), "{used} children: {report}");
}

#[test]
fn a_constant_load_is_met_by_children_that_are_there() {
    for (rate, start) in
        [(10.0, ms(2)), (100.0, ms(20)), (500.0, ms(2)), (2000.0, us(1500)), (20.0, ms(400))]
    {
        let traffic = Traffic::random(rate, ms(10), 120 * SECOND, 11).later(SECOND);
        let report = run(start, &ScalingPolicy::new(3, 150), &traffic);
        println!("{rate} a second, a start of {start:?}: {report}");
        assert_eq!((report.lost, report.at_end), (0, 3), "{report}");
        let late = report.waits.quantile(0.999);
        assert!(late < start, "{rate} a second, a start of {start:?}: {report}");
        assert!(report.waits.quantile(0.99) < start / 10, "{report}");
    }
}

#[test]
fn a_burst_beyond_those_that_wait_queues_and_finds_children_at_once() {
    let traffic = Traffic::burst(100, SECOND).later(SECOND);
    let report = run(ms(2), &ScalingPolicy::new(3, 150), &traffic);
    println!("100 at once on 3: {report}");
    assert_eq!((report.lost, report.at_end), (0, 3), "{report}");
    assert!(report.waits.longest() < ms(50), "{report}");
}

/// Two bursts within the calm time: the second one finds who waits.
#[test]
fn what_has_come_once_is_expected_for_a_while() {
    let burst = || Traffic::burst(50, ms(20));
    let traffic = burst().later(SECOND).and(burst().later(6 * SECOND)).until(60 * SECOND);
    let report = run(ms(100), &ScalingPolicy::new(3, 150), &traffic);
    println!("50 at once, twice: {report}");
    assert_eq!((report.lost, report.at_end), (0, 3), "{report}");
    let waited = report.waits.total();
    assert!(waited < 50 * ms(250), "only the first ones wait: {report}");
}

#[test]
fn more_clients_than_children_may_be_wait_for_those_that_end() {
    let traffic = Traffic::burst(60, ms(100)).later(SECOND);
    let report = run(ms(2), &ScalingPolicy::new(3, 20), &traffic);
    println!("60 at once on 20 at the most: {report}");
    assert_eq!((report.lost, report.at_end, report.largest), (0, 3, 20), "{report}");
    assert!(report.waits.longest() < ms(450), "{report}");
}

#[test]
fn failing_forks_and_kills_lose_no_client_but_those_in_hand() {
    let traffic = Traffic::random(100.0, ms(5), 60 * SECOND, 5).later(SECOND);
    let mut world = World::new(&traffic);
    world.fault(5 * SECOND, Fault::FailForks(20)).fault(20 * SECOND, Fault::Kill(3));
    let report = world.start_time(ms(5)).one_shot().run(&ScalingPolicy::new(3, 50));
    println!("faults: {report}");
    assert!(report.lost <= 3, "{report}");
    assert_eq!(report.at_end, 3, "{report}");
}

fn arb_traffic() -> impl Strategy<Value = Traffic> {
    let crowd = (0u64..60_000, 1u32..60, 1u64..2000);
    let crowd =
        crowd.prop_map(|(at, clients, work)| Traffic::burst(clients, ms(work)).later(ms(at)));
    let steady = (1u32..300, 1u64..100, any::<u32>()).prop_map(|(rate, work, seed)| {
        Traffic::random(f64::from(rate), ms(work), 20 * SECOND, u64::from(seed))
    });
    prop::collection::vec(prop_oneof![crowd, steady], 1..4).prop_map(|parts| {
        parts.into_iter().fold(Traffic::default(), Traffic::and).later(SECOND).until(300 * SECOND)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes, within the bounds: no client is lost, each has a child of its own, there are never more than may
    /// be, and the pool comes back to rest.
    #[test]
    fn whatever_comes_is_served_within_the_bounds(
        (prefork, more, start) in (1u32..20, 0u32..200, 1u64..200), traffic in arb_traffic(),
    ) {
        let report = run(ms(start), &ScalingPolicy::new(prefork, prefork + more), &traffic);
        prop_assert!(report.largest <= prefork + more, "{}", report);
        if more > 20 {
            prop_assert_eq!((report.lost, report.at_end), (0, prefork), "{}", report);
        }
        prop_assert!(report.forks as usize >= report.served);
    }

    /// A load that stays the same, and for which there is room: the queue does not grow, whatever the rate and the time
    /// of a start.
    #[test]
    fn at_a_constant_load_the_queue_does_not_grow(
        (rate, start, work) in (1u32..1000, 1u64..50, 1u64..20), seed: u64,
    ) {
        let traffic = Traffic::random(f64::from(rate), ms(work), 40 * SECOND, seed).later(SECOND);
        let report = run(ms(start), &ScalingPolicy::new(2, 300), &traffic);
        prop_assert_eq!(report.lost, 0, "{}", report);
        // The first ones find the two that wait at rest.
        prop_assert!(report.waits.quantile(0.98) <= ms(start), "{}", report);
        prop_assert!(report.waits.longest() <= 4 * ms(start) + ms(200), "{}", report);
        // Little's law: those at work, those that start, those that wait, and what chance adds.
        let at_work = u64::from(rate) * (work + 5 * start) / 1000;
        prop_assert!(u64::from(report.largest) <= 30 + 4 * at_work, "{}", report);
    }
}
