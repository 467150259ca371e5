//! Pools under simulated load: the supervisor beside the algorithms of Apache's prefork and of uWSGI's cheaper.
//!
//! All see the same arrivals. `cargo test -p prefork-core --test load -- --nocapture` prints what they achieve.

use std::time::{Duration, Instant};

use prefork_core::{
    ScalingPolicy,
    simulate::{Apache, Cheaper, Fault, Report, Traffic, World, run},
};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn ours(prefork: u32, max_children: u32, traffic: &Traffic) -> Report {
    run(&ScalingPolicy::new(prefork, max_children), traffic)
}

fn apache(prefork: u32, max_children: u32, traffic: &Traffic) -> Report {
    World::new(traffic).run_model(Apache::new(prefork, max_children))
}

fn wakeups_a_second(report: &Report, length: Duration) -> u64 {
    report.wakeups / length.as_secs()
}

/// 100 clients at once, a second of work each, on a pool of 3.
#[test]
fn a_burst_is_served_at_once() {
    let traffic = Traffic::burst(100, SECOND).later(SECOND);
    let (ours, apache) = (ours(3, 150, &traffic), apache(3, 150, &traffic));
    println!("burst of 100 on 3 children: ours {ours}\n                        Apache {apache}");
    assert_eq!((ours.served, apache.served), (100, 100));
    assert!(ours.waits.longest() < ms(100), "{ours}");
    assert!(ours.waits.longest() < apache.waits.longest() / 20, "{ours} and {apache}");
    assert_eq!(ours.at_end, 3);
    assert!(ours.spare < apache.spare, "{ours} and {apache}");
}

#[test]
fn ten_thousand_children_come_and_go() {
    let crowds = (0..100).map(|n| Traffic::burst(100, 5 * SECOND).later(SECOND + ms(10 * n)));
    let traffic = crowds.fold(Traffic::default(), Traffic::and).until(120 * SECOND);
    let ours = ours(10, 10_000, &traffic);
    println!("burst of 10,000 on 10 children: {ours}");
    assert_eq!((ours.served, ours.at_end), (10_000, 10));
    assert_eq!(ours.largest, 10_000);
    assert!(ours.waits.longest() < 3 * SECOND, "{ours}");
}

/// Everybody leaves, and comes back at once: nobody waits much the second time either.
#[test]
fn a_thundering_return_is_met_as_the_first_one_was() {
    let returns = [1, 4, 13, 16, 41].map(|at| Traffic::burst(80, ms(500)).later(at * SECOND));
    let traffic = returns.into_iter().fold(Traffic::default(), Traffic::and);
    let ours = ours(3, 150, &traffic.until(200 * SECOND));
    println!("returns of 80: {ours}");
    assert!(ours.waits.longest() < ms(300), "{ours}");
    assert_eq!(ours.at_end, 3);
}

#[test]
fn forks_that_fail_delay_a_burst_and_lose_nothing() {
    let traffic = Traffic::burst(50, ms(100)).later(SECOND);
    let mut world = World::new(&traffic);
    world.fault(ms(500), Fault::FailForks(60));
    let policy = ScalingPolicy::new(3, 150);
    let (ours, undisturbed) = (world.run(&policy), run(&policy, &traffic));
    assert_eq!((ours.served, ours.at_end), (50, 3), "{ours}");
    assert!(ours.waits.total() > undisturbed.waits.total(), "{ours} and {undisturbed}");
}

#[test]
fn a_constant_load_finds_its_size_and_keeps_it() {
    let ours = ours(3, 150, &Traffic::constant(ms(50), ms(480), HOUR));
    println!("an hour of about 10 at a time: {ours}");
    assert!(ours.largest <= 14, "{ours}");
    assert!(ours.forks <= 14, "no flapping: {ours}");
    assert!(wakeups_a_second(&ours, HOUR) <= 20, "{ours}");
}

#[test]
fn full_load_wakes_the_parent_at_most_twenty_times_a_second() {
    let length = 300 * SECOND;
    let ours = ours(3, 150, &Traffic::constant(ms(2), ms(30), length));
    println!("500 requests a second: {ours}");
    assert!(wakeups_a_second(&ours, length) <= 20, "{ours}");
}

/// So many days and nights, with a crowd of 40 every two hours.
fn days(days: u32) -> Traffic {
    let crowds = (0..12 * days).map(|n| Traffic::burst(40, ms(500)).later(2 * HOUR * n));
    crowds.fold(Traffic::diurnal(days, 8.0, ms(500), 42), Traffic::and)
}

/// A week of days and nights with bursts in between, the same for all; a day of it where the build is slow.
#[test]
fn a_week_of_days_and_nights() {
    let days_simulated = if cfg!(debug_assertions) { 1 } else { 7 };
    let traffic = days(days_simulated);
    let (ours, apache) = (ours(3, 150, &traffic), apache(3, 150, &traffic));
    let cheaper = World::new(&traffic).run_model(Cheaper::new(3, 150));
    println!(
        "{days_simulated} days:  ours {ours}\n       Apache {apache}\n        uWSGI {cheaper}"
    );
    assert_eq!([ours.served, apache.served, cheaper.served], [traffic.requests(); 3]);
    assert!(ours.waits.total() < apache.waits.total() / 2, "{ours} and {apache}");
    assert!(ours.waits.total() < cheaper.waits.total() / 2, "{ours} and {cheaper}");
    assert!(ours.spare < apache.spare * 2, "{ours} and {apache}");
    assert!(ours.largest <= 150);
}

/// Nothing happens in those 30 s that would have the parent look: how long they were needed it learns when it looks again.
#[test]
fn clients_that_stay_for_long_and_come_again_within_the_calm_time_find_their_children() {
    let crowd = || Traffic::burst(20, 30 * SECOND);
    let traffic = crowd().later(SECOND).and(crowd().later(39 * SECOND));
    let ours = ours(3, 150, &traffic);
    println!("20 for 30 s, and again after 8 s: {ours}");
    assert_eq!((ours.regrets, ours.at_end), (0, 3), "{ours}");
    assert!(ours.forks <= 25, "{ours}");
}

/// 40 children at noon, and hardly one too early to go.
#[test]
fn children_are_retired_that_are_not_needed_a_moment_later() {
    let traffic = Traffic::diurnal(1, 40.0, SECOND, 7);
    let ours = ours(3, 150, &traffic);
    println!("a day of 40 children: {ours}");
    assert_eq!(ours.served, traffic.requests());
    assert!(ours.regrets <= ours.forks / 5, "{ours}");
}

#[test]
fn equal_arguments_make_equal_reports() {
    let traffic = |seed| Traffic::random(50.0, ms(200), 600 * SECOND, seed);
    assert_eq!(ours(3, 150, &traffic(1)), ours(3, 150, &traffic(1)));
    assert_ne!(traffic(1), traffic(2));
}

#[test]
fn a_day_of_150_children_is_over_in_a_moment() {
    let traffic = Traffic::diurnal(1, 12.0, 10 * SECOND, 1);
    let began = Instant::now();
    let ours = ours(3, 150, &traffic);
    println!("a day of 150 children in {:?}: {ours}", began.elapsed());
    assert_eq!((ours.largest, ours.lost), (150, 0), "{ours}");
}

#[test]
fn what_hangs_is_lost_and_stood_in_for() {
    let traffic = Traffic::constant(ms(20), ms(100), 60 * SECOND);
    let mut world = World::new(&traffic);
    world.fault(SECOND, Fault::Hang(10));
    let ours = world.run(&ScalingPolicy::new(3, 50));
    assert_eq!(ours.lost, 10, "{ours}");
    assert!(ours.largest >= 15, "{ours}");
    assert!(ours.waits.longest() < ms(200), "{ours}");
}

#[test]
fn what_a_killed_child_had_in_hand_is_lost_and_nothing_else() {
    let traffic = Traffic::constant(ms(20), ms(100), 60 * SECOND);
    let mut world = World::new(&traffic);
    world.fault(30 * SECOND, Fault::Kill(50));
    let ours = world.run(&ScalingPolicy::new(3, 50));
    assert!((4..=6).contains(&ours.lost), "{ours}");
    assert_eq!(ours.at_end, 3, "{ours}");
}

#[test]
fn a_child_that_lies_stops_no_growth_where_the_queue_is_known() {
    let traffic = Traffic::constant(ms(20), ms(200), 60 * SECOND).later(SECOND);
    let mut world = World::new(&traffic);
    world.fault(ms(500), Fault::Lie(1));
    let ours = world.run(&ScalingPolicy::new(3, 50));
    assert_eq!(ours.lost, 0, "{ours}");
    assert!(ours.waits.quantile(0.9) < ms(50), "{ours}");
}

#[test]
fn a_child_that_lies_stops_no_growth_where_the_queue_is_unknown() {
    let traffic = Traffic::constant(ms(20), ms(200), 60 * SECOND).later(SECOND);
    let mut world = World::new(&traffic);
    world.fault(ms(500), Fault::Lie(1)).unknown_queue();
    let ours = world.run(&ScalingPolicy::new(3, 50));
    println!("one that lies, unknown queue: {ours}");
    assert_eq!(ours.lost, 0, "{ours}");
    assert!(ours.waits.quantile(0.5) < ms(50), "{ours}");
}

/// Children that are free are not asked in turn, so one may rest while all others work.
#[test]
fn a_child_that_rests_makes_no_pool_grow_for_long_where_the_queue_is_unknown() {
    for percent in [50u32, 80, 95] {
        let rate = 0.2 * f64::from(percent);
        let traffic = Traffic::random(rate, ms(200), HOUR, 3);
        let known = World::new(&traffic).run(&ScalingPolicy::new(5, 50));
        let unknown = World::new(&traffic).unknown_queue().run(&ScalingPolicy::new(5, 50));
        println!("{percent} %: known {known}\n    unknown {unknown}");
        // Without knowing what waits the pool doubles, and may overshoot.
        assert!(unknown.largest <= known.largest + 4, "{unknown} and {known}");
        assert!(unknown.forks <= known.forks * 5 / 4, "{unknown} and {known}");
        assert!(unknown.spare <= known.spare * 5 / 4, "{unknown} and {known}");
    }
}

/// What a load fills, and one to be free: whatever a child can have in hand at once.
#[test]
fn a_pool_has_as_many_children_as_its_requests_fill() {
    for at_once in [1, 2, 8, 64, 1000] {
        // 200 at a time.
        let traffic = Traffic::constant(ms(5), SECOND, 120 * SECOND).later(SECOND);
        let traffic = traffic.until(240 * SECOND);
        let mut world = World::new(&traffic);
        let ours = world.concurrency(at_once).run(&ScalingPolicy::new(1, 500));
        println!("200 at a time, {at_once} in each child: {ours}");
        let fills = 200_u32.div_ceil(at_once);
        assert_eq!((ours.lost, ours.at_end), (0, 1), "{at_once}: {ours}");
        assert!((fills..=fills + 3).contains(&ours.largest), "{at_once}: {ours}");
        // Until the parent looks again.
        assert!(ours.waits.longest() < ms(200), "{at_once}: {ours}");
    }
}

#[test]
fn a_burst_of_a_thousand_is_served_at_once_by_few_children() {
    let traffic = Traffic::burst(1000, SECOND).later(SECOND);
    let mut world = World::new(&traffic);
    let ours = world.concurrency(64).run(&ScalingPolicy::new(3, 150));
    println!("burst of 1,000 on 3 children of 64: {ours}");
    assert_eq!((ours.served, ours.at_end), (1000, 3), "{ours}");
    // 16 are filled, and one is to be free.
    assert!((16..=20).contains(&ours.largest), "{ours}");
    assert!(ours.waits.longest() < ms(100), "{ours}");
}

/// One that hangs, or is killed, costs its own requests, and the others are served.
#[test]
fn a_fault_in_one_of_many_loses_what_that_one_had() {
    let traffic = Traffic::constant(ms(5), SECOND, 60 * SECOND).later(SECOND);
    for (fault, lost) in
        [(Fault::Hang(3), 3..=3), (Fault::Kill(3), 1..=3 * 64), (Fault::FailForks(20), 0..=0)]
    {
        let mut world = World::new(&traffic);
        world.concurrency(64).fault(30 * SECOND, fault);
        let ours = world.run(&ScalingPolicy::new(1, 150));
        println!("{fault:?}: {ours}");
        assert!(lost.contains(&ours.lost), "{fault:?}: {ours}");
        assert!(ours.largest <= 10, "{fault:?}: {ours}");
    }
}

/// Jobs in a queue of which only the program knows, and a child that counts as idle and takes none: the pool has what the jobs
/// need with the next report.
#[test]
fn jobs_find_their_children_by_what_the_program_reports() {
    let policy = ScalingPolicy::new(3, 150);
    let crowd = Traffic::burst(40, 5 * SECOND).later(ms(5350));
    let mut world = World::new(&crowd);
    world.fault(ms(500), Fault::Lie(1));
    let known = world.run(&policy);
    for every in [ms(100), SECOND, 10 * SECOND] {
        let reported = world.reported_queue(every).run(&policy);
        println!("40 jobs, reported every {every:?}: {reported}\n    known: {known}");
        assert_eq!((reported.served, reported.at_end), (40, 3), "{reported}");
        assert!(reported.largest <= known.largest + 1, "{reported} and {known}");
        assert!(reported.waits.longest() <= every + ms(20), "{reported}");
    }
}

/// What was reported is not counted again while children take it: with quick jobs the pool stays small, however seldom the
/// program is asked.
#[test]
fn a_report_is_not_counted_once_more_when_its_jobs_are_done() {
    let crowds = (1..60).map(|at| Traffic::burst(6, ms(40)).later(at * SECOND + ms(13) * at));
    let traffic = crowds.fold(Traffic::default(), Traffic::and).until(200 * SECOND);
    let policy = ScalingPolicy::new(2, 150);
    let known = World::new(&traffic).run(&policy);
    for every in [ms(50), SECOND, 7 * SECOND] {
        let reported = World::new(&traffic).reported_queue(every).run(&policy);
        println!("6 jobs a second, reported every {every:?}: {reported}\n    known: {known}");
        assert_eq!((reported.lost, reported.at_end), (0, 2), "{reported}");
        assert!(reported.largest <= known.largest + 2, "{reported} and {known}");
    }
}

/// A load that lasts finds its size by reports too, and keeps it.
#[test]
fn a_constant_load_of_jobs_finds_its_size_and_keeps_it() {
    let traffic = Traffic::constant(ms(50), ms(480), HOUR);
    for every in [ms(100), SECOND] {
        let reported = World::new(&traffic).reported_queue(every).run(&ScalingPolicy::new(3, 150));
        println!("an hour of about 10 jobs at a time, reported every {every:?}: {reported}");
        assert!(reported.largest <= 16, "{reported}");
        assert!(reported.forks <= 16, "no flapping: {reported}");
    }
}

/// Chance makes a queue long or empty at the moment of a report.
#[test]
fn reports_of_a_queue_that_moves_make_no_pool_grow_for_long() {
    for percent in [50u32, 80, 95] {
        let rate = 0.2 * f64::from(percent);
        let traffic = Traffic::random(rate, ms(200), HOUR, 3);
        let policy = ScalingPolicy::new(5, 50);
        let known = World::new(&traffic).run(&policy);
        for every in [ms(200), SECOND, 5 * SECOND] {
            let reported = World::new(&traffic).reported_queue(every).run(&policy);
            println!("{percent} %: known {known}\n every {every:?} {reported}");
            assert!(reported.largest <= known.largest + 4, "{reported} and {known}");
            assert!(reported.forks <= known.forks * 5 / 4, "{reported} and {known}");
            assert!(reported.spare <= known.spare * 5 / 4, "{reported} and {known}");
        }
    }
}
