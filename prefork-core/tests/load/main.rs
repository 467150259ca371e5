//! Pools under simulated load: the supervisor beside Apache's prefork algorithm.
//!
//! Requests arrive, wait, are served and leave; children take time to start. Both algorithms see the
//! same arrivals. `cargo test -p prefork-core --test load -- --nocapture` prints what they achieve.

mod apache;
mod pool;
mod traffic;
mod world;

use std::time::Duration;

use apache::Apache;
use pool::Ours;
use traffic::Traffic;
use world::{Outcome, World};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const HOUR: Duration = Duration::from_secs(3600);

fn ours(prefork: u32, max_children: u32, traffic: Traffic) -> Outcome {
    World::new(Ours::new(prefork, max_children), traffic).run()
}

fn apache(prefork: u32, max_children: u32, traffic: Traffic) -> Outcome {
    World::new(Apache::new(prefork, max_children), traffic).run()
}

/// 100 clients at once, a second of work each, on a pool of 3.
#[test]
fn a_burst_is_served_at_once() {
    let traffic = || Traffic::burst(100, ms(1000), ms(2)).until(Duration::from_secs(60));
    let (ours, apache) = (ours(3, 150, traffic()), apache(3, 150, traffic()));
    println!("burst of 100 on 3 children: ours {ours}\n                        Apache {apache}");
    assert_eq!((ours.served, apache.served), (100, 100));
    assert!(ours.longest < ms(1100), "{ours}");
    assert!(ours.longest < apache.longest / 5, "{ours} and {apache}");
    assert_eq!(ours.size_at_end, 3);
    assert!(ours.wasted < apache.wasted, "{ours} and {apache}");
}

#[test]
fn ten_thousand_children_come_and_go() {
    let traffic = Traffic::burst(10_000, ms(5000), ms(1000)).until(Duration::from_secs(120));
    let ours = ours(10, 10_000, traffic);
    println!("burst of 10,000 on 10 children: {ours}");
    assert_eq!((ours.served, ours.size_at_end), (10_000, 10));
    assert_eq!(ours.largest, 10_000);
    assert!(ours.longest < ms(8000), "{ours}");
}

/// Everybody leaves, and comes back at once: nobody waits much the second time either.
#[test]
fn a_thundering_return_is_met_as_the_first_one_was() {
    let mut traffic = Traffic::burst(80, ms(500), ms(5));
    for second in [3, 12, 15, 40] {
        traffic = traffic.and(Traffic::burst(80, ms(500), ms(5)).later(ms(second * 1000)));
    }
    let ours = ours(3, 150, traffic.until(Duration::from_secs(200)));
    println!("returns of 80: {ours}");
    assert!(ours.longest < ms(800), "{ours}");
    assert_eq!(ours.size_at_end, 3);
}

#[test]
fn forks_that_fail_delay_a_burst_and_lose_nothing() {
    let traffic = Traffic::burst(50, ms(100), ms(5)).until(Duration::from_secs(60));
    let mut pool = Ours::new(3, 150);
    pool.fail_forks(7);
    let ours = World::new(pool, traffic).run();
    assert_eq!((ours.served, ours.size_at_end), (50, 3), "{ours}");
}

#[test]
fn a_constant_load_finds_its_size_and_keeps_it() {
    let traffic = Traffic::steady(ms(50), ms(480), ms(1)).until(HOUR);
    let ours = ours(3, 150, traffic);
    println!("an hour of about 10 at a time: {ours}");
    assert!(ours.largest <= 14, "{ours}");
    assert!(ours.spawned <= 14, "no flapping: {ours}");
    assert!(ours.wakeups_a_second <= 20.0, "{ours}");
}

#[test]
fn full_load_wakes_the_parent_at_most_twenty_times_a_second() {
    let traffic = Traffic::steady(ms(2), ms(30), ms(1)).until(Duration::from_secs(300));
    let ours = ours(3, 150, traffic);
    println!("500 requests a second: {ours}");
    assert!(ours.wakeups_a_second <= 20.0, "{ours}");
}

/// A week of days and nights with bursts in between, the same for both.
#[test]
fn a_week_of_days_and_nights() {
    let days = if cfg!(debug_assertions) { 1 } else { 7 };
    let traffic = || Traffic::days(days, 42);
    let (ours, apache) = (ours(3, 150, traffic()), apache(3, 150, traffic()));
    println!("{days} days: ours {ours}\n      Apache {apache}");
    assert_eq!(ours.served, apache.served);
    assert!(ours.waited < apache.waited / 2, "{ours} and {apache}");
    assert!(ours.wasted < apache.wasted * 2, "{ours} and {apache}");
    assert!(ours.largest <= 150);
}
