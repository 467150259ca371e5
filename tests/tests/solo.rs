//! `prefork = 0`: the main loop runs in the parent.

use std::{thread, time::Duration};

use prefork::daemonize::{StopOptions, Stopped, stop};
use prefork_tests::{InHand, PATIENCE, children, scene, wait_until};
use rustix::process::{Signal, geteuid};

/// H1: it serves by itself, finishes what it has in hand, and goes in order.
#[test]
fn a_daemon_without_children_stops_in_order() {
    let scene = scene!();
    for is_daemon in [true, false] {
        let launch = scene.probe().args(["--prefork", "0"]).path("--witness", "witness");
        let daemon = if is_daemon { launch.daemon() } else { launch.foreground() };
        assert_eq!(daemon.get("/pid").expect("it serves").number(), daemon.pid());
        assert_eq!(children(daemon.pid()), [], "it has children");
        let request = InHand::at(scene.address(), "/hold");
        daemon.signal(Signal::TERM);
        wait_until(PATIENCE, "it begins to stop", || scene.read("error.log").contains("stopping"));
        request.release().expect("it is answered");
        daemon.assert_ends_in_order(PATIENCE);
        assert_eq!(scene.lines_with("error.log", "not gone yet"), [""; 0], "it left by itself");
        for event in ["before_shutdown", "drop"] {
            let expected = [format!("{event} {}", daemon.pid())];
            assert_eq!(scene.lines_with("witness", event), expected);
        }
        for file in ["witness", "error.log"] {
            std::fs::remove_file(scene.path(file)).expect("removed");
        }
    }
}

/// R3: what there is nothing to do about is logged, and changes nothing.
#[test]
fn signals_about_children_change_nothing() {
    let scene = scene!();
    let daemon = scene.probe().args(["--prefork", "0"]).daemon();
    for (signal, said) in [
        (Signal::HUP, "there are no children to replace"),
        (Signal::TTIN, "there are no children of which"),
        (Signal::TTOU, "there are no children of which"),
        (Signal::USR2, "a daemon without children does not upgrade"),
    ] {
        let before = scene.lines_with("error.log", said).len();
        daemon.signal(signal);
        wait_until(PATIENCE, said, || scene.lines_with("error.log", said).len() > before);
        assert_eq!(daemon.get("/pid").expect("it serves").number(), daemon.pid(), "{signal:?}");
    }
    daemon.stop_in_order();
}

/// H2: a loop that cannot be asked is ended around it, files and exit status in order.
#[test]
fn a_loop_that_never_asks_ends_in_order() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let scene = scene!();
        let daemon = scene
            .probe()
            .args(["--prefork", "0", "--main-loop", "sleep"])
            .path("--witness", "witness")
            .daemon();
        daemon.signal(signal);
        daemon.assert_ends_in_order(PATIENCE);
        let expected = [format!("before_shutdown {}", daemon.pid())];
        assert_eq!(scene.lines_with("witness", "before_shutdown"), expected);
    }
}

/// H2: and so is one that was asked and does not come to an end.
#[test]
fn a_loop_that_does_not_leave_ends_within_the_ladder() {
    let scene = scene!();
    let daemon = scene.probe().args(["--prefork", "0", "--graceful-timeout", "500"]).daemon();
    let request = InHand::at(scene.address(), "/hold");
    daemon.signal(Signal::TERM);
    daemon.assert_ends_in_order(Duration::from_secs(8));
    request.answer().expect_err("it was abandoned");
    assert_eq!(scene.lines_with("error.log", "not gone yet: the main loop").len(), 1);
}

/// H3: a second signal does not wait.
#[test]
fn a_second_term_is_fast() {
    let scene = scene!();
    let daemon = scene.probe().args(["--prefork", "0"]).daemon();
    let request = InHand::at(scene.address(), "/hold");
    daemon.signal(Signal::TERM);
    wait_until(PATIENCE, "it begins to stop", || scene.read("error.log").contains("stopping"));
    // Sooner, it would be the same wish.
    thread::sleep(Duration::from_millis(1100));
    daemon.signal(Signal::TERM);
    daemon.assert_ends_in_order(Duration::from_secs(8));
    request.answer().expect_err("it was abandoned");
}

/// F5: a loop that ends by itself ends the daemon, and its failure is the daemon's.
#[test]
fn a_loop_that_ends_ends_the_daemon() {
    for (how, success) in [("return", true), ("fail", false), ("panic", false)] {
        let scene = scene!();
        let args = ["--prefork", "0", "--main-loop", how];
        let end = scene.probe().args(args).paths().finish().end;
        assert_eq!(end.is_success(), success, "a loop that does {how}: {end}");
        assert!(!scene.path("pid").exists(), "{how}: the pid file is left");
    }
}

/// R8: a child that somebody else started for it is left to code that waits for it, and nothing ends.
#[test]
fn a_stranger_that_ends_changes_nothing() {
    let scene = scene!();
    // It lives until somebody opens the gate and closes it again.
    let gate = scene.path("gate");
    let waits = format!("mkfifo '{0}'; cat '{0}' &", gate.display());
    let daemon = scene.hello().args(["--prefork", "0"]).after_shell(&waits).foreground();
    assert_eq!(children(daemon.pid()).len(), 1, "there is a stranger");
    drop(std::fs::File::options().write(true).open(gate).expect("somebody reads"));
    wait_until(PATIENCE, "the stranger has ended", || {
        children(daemon.pid()).iter().all(prefork_tests::Process::is_zombie)
    });
    daemon.get("/").expect("it serves");
    daemon.stop_in_order();
}

/// P1, P2: the pid file means the same as with children.
#[test]
fn it_is_found_and_stopped_by_its_pid_file() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "0"]).daemon();
    let second = scene.hello().args(["--prefork", "0", "--daemonize"]).paths().finish();
    second.assert_refused("already running");
    second.assert_refused(&daemon.pid().to_string());
    let stopped = stop(scene.path("pid"), &StopOptions::new()).expect("stopped");
    assert!(matches!(stopped, Stopped::Terminated { .. }), "{stopped:?}");
    daemon.assert_ends_in_order(PATIENCE);
}

/// Who has sent a signal is logged as of a daemon with children: with the signal, before what it leads to.
#[test]
fn the_sender_of_each_signal_is_logged() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "0"]).daemon();
    let own = format!("from pid {} (", std::process::id());
    for (signal, name) in
        [(Signal::HUP, "SIGHUP"), (Signal::USR1, "SIGUSR1"), (Signal::TERM, "SIGTERM")]
    {
        daemon.signal(signal);
        let line = format!("parent info: {name} {own}");
        wait_until(PATIENCE, "it is logged", || scene.logged(&line) == 1);
    }
    let uid = geteuid().as_raw();
    daemon.assert_ends_in_order(PATIENCE);
    for line in scene.lines_with("error.log", &format!(" {own}")) {
        assert!(line.ends_with(&format!(", uid {uid})")), "{line}");
    }
}
