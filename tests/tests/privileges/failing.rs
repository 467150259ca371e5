//! Changes that the kernel refuses, or only seems to make.

use std::time::Duration;

use prefork_tests::{PATIENCE, holds_for, kill, require_root, require_tool, scene, wait_until};
use rustix::process::Signal;

use crate::{NUMBERS, status};

/// X2: a child for which a call fails, or for which one lies, ends before it serves, and a daemon
/// that never had another does not start.
#[test]
fn a_child_that_cannot_change_never_serves() {
    if !require_root() || !require_tool("strace") {
        return;
    }
    for (rule, words) in [
        (
            "setgroups:error=EPERM",
            "cannot change the supplementary groups: Operation not permitted",
        ),
        ("setresgid:error=EPERM", "cannot change to group id 54322: Operation not permitted"),
        ("setresuid:error=EAGAIN", "cannot change to user id 54321: Resource temporarily"),
        ("setgroups:retval=0", "changed the supplementary groups without an error, but"),
        ("setresgid:retval=0", "changed the group ids without an error, but"),
        ("setresuid:retval=0", "changed the user ids without an error, but"),
        ("setuid:retval=0", "could become root again after the change to user id 54321"),
        ("prctl:error=EINVAL", "cannot rule out new privileges"),
    ] {
        let scene = scene!();
        let log = scene.path("strace").display().to_string();
        let rule = format!("inject={rule}");
        let end = scene
            .probe()
            .args(NUMBERS)
            .args(["--no-new-privs"])
            .path("--witness", "witness")
            .paths()
            .under(["strace", "-f", "-o", &log, "-e", &rule])
            .finish()
            .end;
        assert!(!end.is_success(), "with {rule} the daemon started");
        let logged = scene.lines_with("error.log", "child error: cannot start: ");
        assert!(logged.iter().any(|line| line.contains(words)), "with {rule}: {logged:?}");
        assert_eq!(scene.lines_with("witness", "main_loop").len(), 0, "with {rule} a child served");
        let tried = logged.len();
        assert!(tried <= 20, "with {rule}: {tried} children for a start with three");
        assert!(!scene.path("pid").exists(), "with {rule} a pid file is left");
    }
}

/// X2: a change of user that leaves the way back open is found out, not believed.
#[test]
fn a_child_that_can_become_root_again_never_serves() {
    if !require_root() || !require_tool("setpriv") {
        return;
    }
    let scene = scene!();
    let wrapper = ["setpriv", "--securebits", "+no_setuid_fixup"];
    let launch = scene.probe().args(NUMBERS).path("--witness", "witness").paths();
    let end = launch.under(wrapper).finish().end;
    assert!(!end.is_success(), "the daemon started");
    let logged = scene.lines_with("error.log", "could become root again");
    assert!(!logged.is_empty(), "the log does not name the reason");
    assert_eq!(scene.lines_with("witness", "main_loop").len(), 0, "a child served");
}

/// X2: when it begins to fail later on, new children are tried ever more slowly, none of them
/// serves, and the pool is whole again soon after the reason is gone.
#[test]
fn failing_changes_later_on_are_throttled_and_heal() {
    if !require_root() || !require_tool("strace") {
        return;
    }
    let scene = scene!();
    let daemon = scene.probe().args(NUMBERS).path("--witness", "witness").daemon();
    let parent = daemon.pid();
    let before = daemon.living();
    let strace = scene
        .tool("strace")
        .args(["-f", "-p", &parent.to_string(), "-e", "inject=setgroups:error=EPERM"])
        .path("-o", "strace")
        .start();
    wait_until(PATIENCE, "strace is there", || status(parent, "TracerPid") != "0");
    before.iter().for_each(|child| assert!(kill(*child, Signal::KILL), "child {child} was there"));
    let tried = || scene.lines_with("error.log", "cannot change the supplementary groups").len();
    wait_until(PATIENCE, "one was tried", || tried() > 0);
    // Those that were started before the first had failed are more on a busy machine; without the
    // pauses, which double from 10 ms on, there would be hundreds.
    holds_for(Duration::from_secs(4), "bounded", || tried() <= 30);
    assert!(tried() >= 4, "only {} were tried", tried());
    assert_eq!(scene.lines_with("witness", "main_loop").len(), 3, "a child served");
    strace.signal(Signal::TERM);
    let _ = strace.finish();
    daemon.wait_for_children(Duration::from_secs(20), 3, &before);
    for child in daemon.living() {
        wait_until(PATIENCE, "it has changed", || {
            status(child, "Uid") == "54321 54321 54321 54321"
        });
    }
    daemon.get("/").expect("it serves again");
    daemon.stop_in_order();
}
