//! A pool that looks, before it has more children than processors, what those at work do.

use prefork_tests::{Census, Daemon, Load, PATIENCE, Scene, scene, wait_until};
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

fn daemon<'a>(scene: &'a Scene, args: &[&str]) -> Daemon<'a> {
    scene.probe().board().args(["--prefork", "1", "--max-children", "40"]).args(args).daemon()
}

/// Waits, while so many clients ask for this, until there are more children than so many.
fn wait_for_more_than(children: usize, daemon: &Daemon<'_>, scene: &Scene, path: &str) {
    let load = Load::start(CLIENTS, scene.address(), path);
    wait_until(PATIENCE, "there are as many", || daemon.living().len() > children);
    assert_eq!(load.stop().failures, [""; 0]);
}

#[test]
fn children_that_compute_are_hardly_more_than_processors() {
    one_processor();
    let scene = scene!();
    let daemon = daemon(&scene, &["--watch-processors"]);
    let census = Census::begin(daemon.pid());
    let tally = Load::bounded(CLIENTS, 2, scene.address(), "/compute/50").finish();
    let most = census.end().most;
    assert_eq!((tally.answered, &tally.failures[..]), (2 * CLIENTS, &[][..]));
    // One computes, one is spare, and where the machine is at work nobody may take anything for a second now and then.
    assert!(most < CLIENTS, "{most} children");
    daemon.stop_in_order();
}

#[test]
fn children_that_wait_are_as_many_as_clients() {
    one_processor();
    let scene = scene!();
    let daemon = daemon(&scene, &["--watch-processors"]);
    wait_for_more_than(CLIENTS, &daemon, &scene, "/sleep/1000");
    daemon.stop_in_order();
}

#[test]
fn nobody_looks_unless_that_was_asked_for() {
    one_processor();
    let scene = scene!();
    let daemon = daemon(&scene, &[]);
    wait_for_more_than(CLIENTS, &daemon, &scene, "/compute/50");
    daemon.stop_in_order();
}
