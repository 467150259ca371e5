//! Stops, deaths and other wishes in the middle of upgrades.

use std::{thread, time::Duration};

use prefork_tests::{Load, PATIENCE, kill, scene, wait_until};
use rustix::process::Signal;

use super::{wait_for_lines, wait_for_version};

/// H4: a stop wins: at whatever moment of an upgrade it comes, all ends in order.
#[test]
fn a_stop_at_any_moment_of_an_upgrade_is_an_orderly_stop() {
    for delay in [0, 200, 500, 1000, 2000, 3000, 4000, 5000, 7000, 10_000, 15_000, 30_000] {
        let scene = scene!();
        let program = scene.program();
        let daemon = program.launch().board().daemon();
        program.install("--version 2");
        daemon.signal(Signal::USR2);
        thread::sleep(Duration::from_micros(delay));
        daemon.stop_in_order();
    }
}

/// H4: nor does a stop wait for a program that is being tried.
#[test]
fn a_probe_that_hangs_does_not_delay_a_stop() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().daemon();
    program.install("--manner hangs");
    daemon.signal(Signal::USR2);
    wait_until(PATIENCE, "there is a probe", || daemon.living().len() == 4);
    daemon.signal(Signal::TERM);
    daemon.assert_ends_in_order(Duration::from_secs(5));
}

/// R6: a parent that is killed leaves nobody behind, not even a probe.
#[test]
fn a_killed_parent_leaves_no_probe() {
    for delay in [0, 1, 2, 5, 20] {
        let scene = scene!();
        let program = scene.program();
        let daemon = program.launch().daemon();
        program.install("--manner hangs");
        daemon.signal(Signal::USR2);
        thread::sleep(Duration::from_millis(delay));
        daemon.signal(Signal::KILL);
        scene.wait_until_deserted(Duration::from_secs(5));
    }
}

/// R3: upgrades, reloads and all other wishes at once, under load, with children killed.
#[test]
fn upgrades_in_a_storm_of_signals_lose_nothing() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().board().args(["--prefork", "3"]).daemon();
    let load = Load::start(4, scene.address(), "/");
    let storm = [Signal::USR2, Signal::HUP, Signal::TTIN, Signal::USR2, Signal::USR1, Signal::TTOU];
    for (round, signal) in storm.into_iter().cycle().take(120).enumerate() {
        if round % 10 == 0 {
            program.install(&format!("--version {}", round + 2));
        }
        daemon.signal(signal);
        thread::sleep(Duration::from_millis(15));
    }
    daemon.signal(Signal::USR2);
    wait_for_version(&daemon, 112);
    let tally = load.stop();
    assert_eq!(tally.failures, [""; 0], "of {} requests", tally.answered);
    daemon.stop_in_order();
}

/// R1: children that die while a program takes over are reaped and replaced by the new one.
#[test]
fn children_killed_during_an_upgrade_are_replaced() {
    let mut killed = 0;
    for delay in [0, 1, 2, 3, 5, 8] {
        let scene = scene!();
        let program = scene.program();
        let daemon = program.launch().board().args(["--prefork", "4"]).daemon();
        let before = daemon.living();
        program.install("--version 2");
        daemon.signal(Signal::USR2);
        thread::sleep(Duration::from_millis(delay));
        // One that has been replaced already is not there.
        killed += before[..3].iter().filter(|child| kill(**child, Signal::KILL)).count();
        wait_for_version(&daemon, 2);
        daemon.wait_for_children(PATIENCE, 4, &before);
        daemon.stop_in_order();
    }
    assert!(killed > 0, "every upgrade was faster than the end of a child");
}

/// H4: an upgrade that is asked for before the daemon serves comes when it does.
#[test]
fn an_upgrade_during_the_start_waits_for_it() {
    let scene = scene!();
    let program = scene.program();
    let running = program.launch().args(["--init-delay", "300"]).paths().start();
    wait_until(PATIENCE, "the pid file is there", || !scene.read("pid").is_empty());
    program.install("--version 2");
    running.signal(Signal::USR2);
    let daemon = running.ready();
    wait_for_version(&daemon, 2);
    wait_for_lines(&scene, "generation 2 now", 1);
    daemon.signal(Signal::TERM);
    assert!(running.finish().end.is_success());
}
