//! A pool that refuses clients: it answers as many as it can under any load, and below its capacity refuses nobody.

use std::time::Duration;

use prefork_core::{
    QueueLimit, ScalingPolicy,
    simulate::{Report, Traffic, World},
};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Has so many children serve it, which refuse clients by this limit, if there is one.
fn serve(children: u32, limit: Option<QueueLimit>, traffic: &Traffic) -> Report {
    let mut world = World::new(traffic);
    world.patience(SECOND);
    if let Some(limit) = limit {
        world.queue_limit(limit);
    }
    world.run(&ScalingPolicy::new(children, children))
}

fn arb_limit() -> impl Strategy<Value = QueueLimit> {
    (100u64..=600, 200u64..=1000)
        .prop_map(|(target, interval)| QueueLimit { target: ms(target), interval: ms(interval) })
}

/// How many requests of that length these children can answer in that time.
fn capacity(children: u32, work: Duration, time: Duration) -> f64 {
    f64::from(children) * time.as_secs_f64() / work.as_secs_f64()
}

fn count(requests: usize) -> f64 {
    f64::from(u32::try_from(requests).expect("not so many"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Without a limit it is next to none.
    #[test]
    fn nine_tenths_of_what_a_pool_can_do_are_done_in_time_under_any_overload(
        (children, work, factor) in (2u32..=32, 10u64..=120, 1.3f64..6.0),
        limit in arb_limit(),
        seed: u64,
    ) {
        let (length, work) = (30 * SECOND, ms(work));
        let rate = factor * f64::from(children) / work.as_secs_f64();
        let step = Duration::from_secs_f64(1.0 / rate);
        let steady = Traffic::constant(step, work, length);
        // As random as it comes, but for the work itself.
        let random = Traffic::random(rate, work, length, seed);
        for (traffic, least, is_steady) in [(steady, 0.9, true), (random, 0.85, false)] {
            let report = serve(children, Some(limit), &traffic);
            let share = count(report.in_time) / capacity(children, work, length);
            prop_assert!(share >= least, "{} of capacity: {}", share, report);
            let longest = (limit.target + limit.interval).min(SECOND);
            prop_assert!(report.waits.longest() <= longest.max(limit.target), "{}", report);
            // The queue is held at the target, by children that see enough of it.
            if is_steady && work * 4 <= limit.interval.min(limit.target) {
                prop_assert!(report.waits.quantile(0.8) <= limit.target, "{}", report);
            }
        }
    }

    /// Whatever bursts come, as long as each is over within the interval.
    #[test]
    fn nobody_is_refused_where_the_queue_is_short_again_within_the_interval(
        children in 1u32..=8,
        bursts in prop::collection::vec((1u32..=60, 5u64..=200), 1..12),
        limit in arb_limit(),
    ) {
        let mut traffic = Traffic::default();
        let mut at = SECOND;
        for (clients, work) in bursts {
            // The last one waits for as long as the others take, and the target may be waited for besides.
            let most = limit.target + limit.interval - ms(1);
            let rounds = (most.as_millis() / u128::from(work)).min(1000);
            let fit = u32::try_from(rounds).expect("few").saturating_mul(children);
            let clients = clients.min(fit.max(1));
            traffic = traffic.and(Traffic::burst(clients, ms(work)).later(at));
            // Until it is over, and a quarter of the interval in which nobody waits.
            at += limit.target + limit.interval + limit.interval + ms(200);
        }
        let mut world = World::new(&traffic);
        let report = world.queue_limit(limit).run(&ScalingPolicy::new(children, children));
        prop_assert_eq!((report.refused, report.abandoned, report.lost), (0, 0, 0), "{}", report);
    }

    /// Clients come by chance, to four fifths of what the pool can do.
    #[test]
    fn nobody_is_refused_below_capacity((children, work, seed) in (4u32..=32, 10u64..=50, any::<u64>())) {
        let rate = 0.8 * f64::from(children) / ms(work).as_secs_f64();
        let traffic = Traffic::random(rate, ms(work), 60 * SECOND, seed);
        let limit = QueueLimit { target: ms(500), interval: SECOND };
        let report = serve(children, Some(limit), &traffic);
        prop_assert_eq!((report.refused, report.abandoned), (0, 0), "{}", report);
    }
}

#[test]
fn without_a_limit_all_work_for_those_who_have_gone() {
    let traffic = Traffic::constant(ms(25) / 2, ms(100), 30 * SECOND);
    let without = serve(4, None, &traffic);
    let with = serve(4, Some(QueueLimit { target: ms(500), interval: SECOND }), &traffic);
    let all = capacity(4, ms(100), 30 * SECOND);
    assert!(count(without.in_time) < all / 10.0, "{without}");
    assert!(count(with.in_time) > all * 0.95, "{with}");
    assert!(with.refused > 900 && with.abandoned < 100, "{with}");
}

/// Children that see one client in two seconds know of the queue only what that one proves.
#[test]
fn slow_requests_are_answered_too() {
    let traffic = Traffic::constant(ms(250), 2 * SECOND, 60 * SECOND);
    let mut world = World::new(&traffic);
    world.patience(5 * SECOND).queue_limit(QueueLimit { target: SECOND, interval: SECOND });
    let report = world.run(&ScalingPolicy::new(4, 4));
    let share = count(report.in_time) / capacity(4, 2 * SECOND, 60 * SECOND);
    assert!(share > 0.9, "{share}: {report}");
    assert!(report.waits.longest() < 3 * SECOND, "{report}");
}
