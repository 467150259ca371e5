//! What keeps a service up: reloading, recycling, draining, rotating logs, ending hung children.

use std::{fs, thread, time::Duration};

use prefork_tests::{Daemon, Load, PATIENCE, Scene, find_process, kill, scene, wait_until};
use rustix::process::Signal;

/// How often the error log of a scene has a line with `text`.
fn said(scene: &Scene, text: &str) -> usize {
    scene.lines_with("error.log", text).len()
}

fn wait_for_generation(scene: &Scene, generation: u32) {
    let text = format!("all children are of generation {generation} now");
    wait_until(PATIENCE, &text, || said(scene, &text) > 0);
}

/// L1: any number of reloads loses no request.
#[test]
fn reloads_under_load_lose_no_request() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "4"]).daemon();
    let first = daemon.living();
    let load = Load::start(6, scene.address(), "/");
    for _ in 0..30 {
        daemon.signal(Signal::HUP);
        thread::sleep(Duration::from_millis(10));
    }
    wait_until(PATIENCE, "no first child is left", || {
        !first.iter().any(|pid| daemon.living().contains(pid))
    });
    let tally = load.stop();
    assert_eq!(tally.failures, [""; 0], "of {} requests", tally.answered);
    assert!(tally.answered > 0);
    daemon.stop_in_order();
}

/// A request in hand is finished by the old child, and the pool is whole all the time.
#[test]
fn a_reload_leaves_the_request_in_hand_alone() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "2"]).daemon();
    let load = Load::bounded(1, 1, scene.address(), "/sleep?ms=1500");
    thread::sleep(Duration::from_millis(200));
    daemon.signal(Signal::HUP);
    wait_for_generation(&scene, 2);
    assert!(daemon.living().len() >= 2);
    let tally = load.finish();
    assert_eq!((tally.answered, tally.failures), (1, vec![]));
    daemon.wait_for_children(PATIENCE, 2, &[]);
    daemon.stop_in_order();
}

/// F6: children that are replaced after ten requests lose none of thousands.
#[test]
fn children_are_replaced_after_their_requests() {
    let scene = scene!();
    let daemon = scene.hello().args(["--max-requests", "10"]).daemon();
    let first = daemon.living();
    let tally = Load::bounded(4, 500, scene.address(), "/").finish();
    assert_eq!((tally.answered, tally.failures), (2000, vec![]));
    let now = daemon.living();
    assert!(!first.iter().any(|pid| now.contains(pid)), "{first:?} and {now:?}");
    daemon.wait_for_children(PATIENCE, 3, &[]);
    daemon.stop_in_order();
}

#[test]
fn children_are_replaced_when_they_are_old_or_large() {
    for limit in [["--max-lifetime", "1"], ["--max-memory", "1"]] {
        let scene = scene!();
        let daemon = scene.hello().args(limit).daemon();
        let first = daemon.living();
        let load = Load::start(2, scene.address(), "/");
        wait_until(PATIENCE, &format!("{limit:?} has replaced every child"), || {
            !first.iter().any(|pid| daemon.living().contains(pid))
        });
        assert_eq!(load.stop().failures, [""; 0], "{limit:?}");
        daemon.stop_in_order();
    }
}

/// R3: a storm of signals is survived, and a stop among them is obeyed.
#[test]
fn a_storm_of_signals_ends_in_an_orderly_stop() {
    let scene = scene!();
    let daemon = scene.hello().board().args(["--graceful-timeout", "5"]).daemon();
    let storm =
        [Signal::HUP, Signal::USR1, Signal::CHILD, Signal::WINCH, Signal::TTIN, Signal::TTOU];
    for signal in storm.into_iter().cycle().take(1200) {
        daemon.signal(signal);
    }
    daemon.stop_in_order();
    assert!(said(&scene, "replacing all children") < 400, "reloads coalesce");
}

/// R4: a child that is frozen with a request in hand is ended after its time, and only that one.
#[test]
fn a_child_that_hangs_is_ended_and_replaced() {
    let scene = scene!();
    let daemon = scene.hello().board().args(["--request-timeout", "1"]).daemon();
    let first = daemon.living();
    let load = Load::bounded(1, 1, scene.address(), "/sleep?ms=60000");
    let label = || said(&scene, "was doing: GET /sleep?ms=60000");
    wait_until(PATIENCE, "the child is found hung", || label() == 1);
    wait_until(PATIENCE, "one is gone and replaced", || {
        let now = daemon.living();
        now.len() == 3 && first.iter().filter(|pid| now.contains(pid)).count() == 2
    });
    assert_eq!(load.finish().answered, 0);
    assert_eq!(said(&scene, "has been at one request for 1"), 1);
    assert_eq!(daemon.get("/").expect("the others serve").status, 200);
    daemon.stop_in_order();
}

/// R4: a parent that was stopped itself ends nobody on waking.
#[test]
fn a_parent_that_was_stopped_judges_nobody() {
    let scene = scene!();
    let daemon = scene.hello().board().args(["--request-timeout", "2"]).daemon();
    let load = Load::bounded(1, 1, scene.address(), "/sleep?ms=5200");
    thread::sleep(Duration::from_millis(1200));
    daemon.signal(Signal::STOP);
    let stopped = || find_process(daemon.pid()).is_some_and(|parent| parent.state == 'T');
    wait_until(PATIENCE, "the parent is stopped", stopped);
    thread::sleep(Duration::from_millis(2600));
    daemon.signal(Signal::CONT);
    let tally = load.finish();
    assert_eq!((tally.answered, tally.failures), (1, vec![]));
    assert_eq!(said(&scene, "at one request"), 0);
    daemon.stop_in_order();
}

/// H1: connections that wait in the queue when the stop comes are answered too.
#[test]
fn connections_that_wait_are_drained_before_the_last_close() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "1"]).daemon();
    let load = Load::bounded(20, 1, scene.address(), "/sleep?ms=300");
    // More than half of them at once, and long enough for anybody to see.
    wait_until(PATIENCE, "many wait", || connections(&daemon, &scene) > 10);
    thread::sleep(Duration::from_millis(100));
    daemon.stop_in_order();
    let tally = load.finish();
    assert_eq!((tally.answered, tally.failures), (20, vec![]));
}

/// How many connections the daemon's port has, those that wait included.
fn connections(daemon: &Daemon<'_>, scene: &Scene) -> usize {
    const ESTABLISHED: &str = "01";
    const CLOSE_WAIT: &str = "08";
    let address = scene.address();
    let std::net::IpAddr::V4(ip) = address.ip() else { panic!("an IPv4 address") };
    let local = format!("{:08X}:{:04X}", u32::from_le_bytes(ip.octets()), address.port());
    let table = fs::read_to_string(format!("/proc/{}/net/tcp", daemon.pid())).expect("read");
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.get(1) == Some(&local.as_str()))
        .filter(|row| row.get(3).is_some_and(|state| [ESTABLISHED, CLOSE_WAIT].contains(state)))
        .count()
}

/// G1: logs that are rotated by renaming have every line exactly once.
#[test]
fn rotated_logs_have_every_line_once() {
    let scene = scene!();
    let daemon = scene.hello().daemon();
    let load = Load::start(3, scene.address(), "/");
    for turn in 0..20 {
        fs::rename(scene.path("access.log"), scene.path(&format!("access.log.{turn}")))
            .expect("renamed");
        daemon.signal(Signal::USR1);
        wait_until(PATIENCE, "the log is there again", || scene.path("access.log").exists());
    }
    let tally = load.stop();
    assert_eq!(tally.failures, [""; 0]);
    daemon.stop_in_order();
    let mut lines = scene.lines_with("access.log", " 200 6").len();
    for turn in 0..20 {
        lines += scene.lines_with(&format!("access.log.{turn}"), " 200 6").len();
    }
    assert_eq!(lines, tally.answered);
}

/// Children that are killed while they are being replaced are replaced all the same.
#[test]
fn a_reload_survives_the_death_of_old_and_new_children() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "6"]).daemon();
    for generation in 2..12 {
        daemon.signal(Signal::HUP);
        if let Some(child) = daemon.living().last() {
            kill(*child, Signal::KILL);
        }
        // One that dies before it has worked may end the reload: then the next one is complete.
        wait_until(PATIENCE, "the reload is over", || {
            said(&scene, &format!("are of generation {generation} now"))
                + said(&scene, &format!("generation {generation} does not work"))
                > 0
        });
    }
    daemon.wait_for_children(PATIENCE, 6, &[]);
    assert_eq!(daemon.get("/").expect("it serves").status, 200);
    daemon.stop_in_order();
}

/// H4: a stop in the middle of growing and reloading is an orderly stop.
#[test]
fn a_term_while_growing_and_reloading_leaves_nothing() {
    for delay in [0, 1, 3, 6, 10, 20, 40, 80] {
        let scene = scene!();
        let daemon = scene.hello().board().args(["--max-children", "40"]).daemon();
        let load = Load::bounded(30, 1, scene.address(), "/sleep?ms=100");
        thread::sleep(Duration::from_millis(delay / 2));
        daemon.signal(Signal::HUP);
        thread::sleep(Duration::from_millis(delay));
        daemon.stop_in_order();
        // Who came before the stop was answered, and who came after was refused.
        let cut_off = |failure: &String| !failure.contains("refused");
        let failures = load.finish().failures;
        assert!(!failures.iter().any(cut_off), "{delay} ms: {failures:?}");
        assert!(!scene.path("pid").exists() && !scene.path("scoreboard").exists());
    }
}
