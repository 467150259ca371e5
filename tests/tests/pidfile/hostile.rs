//! Locks on the pid file in the hands of those who can read it.

use std::fs;

use prefork_tests::{
    Daemon, PATIENCE, Scene, require_open_to_others, require_root, require_tool, scene, wait_until,
};
use rustix::process::Signal;

/// A user that exists nowhere.
const STRANGER: &str = "54321";

/// A second start finds the first daemon, by its pid.
#[track_caller]
fn assert_it_runs(scene: &Scene, daemon: &Daemon<'_>) {
    let second = scene.hello().args(["--daemonize"]).paths().finish();
    second.assert_refused(&format!("already running (pid {})", daemon.pid()));
    assert_eq!(Daemon::of_pid_file(scene).pid(), daemon.pid());
}

/// A7: a child and a stranger release and take what locks they can on the pid file, before a start, while
/// the daemon serves and over an upgrade: there is always one daemon, and never a second one.
#[test]
fn the_lock_is_nobodys_to_take_or_release() {
    if !require_root() || !require_tool("setpriv") || !require_tool("flock") {
        return;
    }
    let (scene, elsewhere) = (scene!(), scene!());
    let path = scene.path("pid");
    if !require_open_to_others(&scene.path("")) {
        return;
    }
    let text = path.to_str().expect("text");
    // As after a crash. The stranger has it before anybody else.
    fs::write(&path, "1\n").expect("written");
    let lock = elsewhere.tool("flock").args(["-x", text, "sleep", "1000"]);
    let lock = lock.under(["setpriv", "--reuid", STRANGER, "--clear-groups"]);
    let stranger = lock.start();
    wait_until(PATIENCE, "the stranger has the lock", || {
        let is_refused = scene.tool("flock").args(["-n", "-x", text, "true"]).finish();
        assert!(stranger.end().is_none(), "the stranger has failed");
        !is_refused.end.is_success()
    });
    let program = scene.program();
    let daemon = program.launch().args(["--user", STRANGER, "--group", STRANGER]).daemon();
    assert_it_runs(&scene, &daemon);
    for child in daemon.living() {
        let open = fs::read_dir(format!("/proc/{child}/fd")).expect("it lives").flatten();
        let open = open.filter_map(|entry| fs::read_link(entry.path()).ok());
        assert_eq!(open.filter(|to| *to == path).count(), 0, "child {child} has it open");
    }
    let child = daemon.get(&format!("/grab{text}")).expect("an answer").body;
    assert_eq!(child, "flock true read false write false");
    assert_it_runs(&scene, &daemon);
    program.install("--version 2");
    daemon.signal(Signal::USR2);
    wait_until(PATIENCE, "version 2 answers", || {
        daemon.get("/version").is_ok_and(|reply| reply.body == "2")
    });
    assert_it_runs(&scene, &daemon);
    let child = daemon.get(&format!("/grab{text}")).expect("an answer").body;
    assert_eq!(child, "flock true read false write false", "after an upgrade");
    assert_it_runs(&scene, &daemon);
    daemon.stop_in_order();
    assert!(!path.exists());
    stranger.signal(Signal::KILL);
}
