//! A pool that looks, before it has more children than processors, what those at work do.

use prefork_tests::{Census, Load, Scene, scene};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

const CLIENTS: usize = 16;

/// Lets what this test starts use one processor only, as its first does.
fn one_processor() {
    let all = sched_getaffinity(None).expect("the kernel says");
    let first = (0..CpuSet::MAX_CPU).find(|number| all.is_set(*number)).expect("there is one");
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).expect("it is one of ours");
}

/// Returns how many children there were at the most while so many clients each asked for this twice.
fn most_children(scene: &Scene, args: &[&str], path: &str) -> usize {
    let daemon =
        scene.probe().board().args(["--prefork", "1", "--max-children", "40"]).args(args).daemon();
    let census = Census::begin(daemon.pid());
    let tally = Load::bounded(CLIENTS, 2, scene.address(), path).finish();
    let most = census.end().most;
    assert_eq!((tally.answered, &tally.failures[..]), (2 * CLIENTS, &[][..]));
    daemon.stop_in_order();
    most
}

#[test]
fn children_that_compute_are_hardly_more_than_processors() {
    one_processor();
    let scene = scene!();
    // One computes, one is spare, and where the machine is at work nobody may take anything for a second now and then.
    let most = most_children(&scene, &["--watch-processors"], "/compute/50");
    println!("{most} children");
    assert!(most <= CLIENTS / 2, "{most} children");
}

#[test]
fn children_that_wait_are_as_many_as_clients() {
    one_processor();
    let scene = scene!();
    let most = most_children(&scene, &["--watch-processors"], "/sleep/1000");
    assert!(most > CLIENTS, "{most} children");
}

#[test]
fn nobody_looks_unless_that_was_asked_for() {
    one_processor();
    let scene = scene!();
    let most = most_children(&scene, &[], "/compute/50");
    assert!(most > CLIENTS / 2, "{most} children");
}
