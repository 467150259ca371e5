//! A pid file that goes while the daemon serves.

use std::{fs, time::Duration};

use prefork::daemonize::{StopOptions, Stopped, stop};
use prefork_tests::{
    Daemon, PATIENCE, Scene, holds_for, require_root, require_tool, scene, wait_until,
};
use rustix::process::Signal;

fn is_back(scene: &Scene, daemon: &Daemon<'_>) -> bool {
    scene.read("pid") == format!("{}\n", daemon.pid())
}

#[track_caller]
fn wait_until_it_is_back(scene: &Scene, daemon: &Daemon<'_>) {
    wait_until(PATIENCE, "the pid file is back", || is_back(scene, daemon));
}

fn reload(daemon: &Daemon<'_>) {
    let before = daemon.living();
    daemon.signal(Signal::HUP);
    daemon.wait_for_children(PATIENCE, before.len(), &before);
}

/// P9: nobody needs to reload for it, and the daemon that has it is still the only one.
#[test]
fn a_pid_file_that_is_removed_or_replaced_is_made_again() {
    for children in ["2", "0"] {
        let scene = scene!();
        let daemon = scene.hello().args(["--prefork", children]).daemon();
        let path = scene.path("pid");
        for round in 0..4 {
            match round {
                0 => fs::remove_file(&path).expect("removed"),
                1 => fs::rename(&path, scene.path("moved")).expect("moved"),
                2 => fs::write(&path, "1\n").expect("written"),
                _ => {
                    fs::write(scene.path("other"), "1\n").expect("written");
                    fs::rename(scene.path("other"), &path).expect("replaced");
                }
            }
            wait_until_it_is_back(&scene, &daemon);
            assert_eq!(Daemon::of_pid_file(&scene).pid(), daemon.pid(), "in round {round}");
            scene.hello().args(["--daemonize"]).paths().finish().assert_refused("already running");
        }
        // It stands there before the line does.
        let said = |text| scene.lines_with("error.log", text).len();
        wait_until(PATIENCE, "the last is logged", || {
            said("made it again") + said("the pid is in it again") == 4
        });
        assert_eq!(said("the pid is in it again"), 1, "{}", scene.read("error.log"));
        let stopped = stop(&path, &StopOptions::new()).expect("stopped");
        assert!(matches!(stopped, Stopped::Terminated { .. }), "{stopped:?}");
        daemon.assert_ends_in_order(PATIENCE);
        assert!(!path.exists(), "the new one goes with the daemon");
    }
}

/// P9: a daemon that has the path by then keeps it; the first one serves on, and has it again when that ends.
#[test]
fn the_pid_file_of_another_daemon_is_not_taken() {
    let (scene, elsewhere) = (scene!(), scene!());
    let first = scene.hello().daemon();
    first.signal(Signal::STOP);
    fs::remove_file(scene.path("pid")).expect("removed");
    // It listens elsewhere, and logs elsewhere.
    let second = elsewhere.hello().args(["--daemonize", "--pid-path"]);
    let second = second.args([scene.path("pid")]).path("--error-log-path", "error.log");
    let second = second.path("--access-log-path", "access.log").finish();
    assert!(second.end.is_success(), "{second:?}");
    let second = scene.read("pid");
    first.signal(Signal::CONT);
    wait_until(PATIENCE, "the first daemon notices", || {
        !scene.lines_with("error.log", "the pid file is lost: already running (pid").is_empty()
    });
    reload(&first);
    assert_eq!(scene.read("pid"), second, "it belongs to the second daemon");
    assert_eq!(scene.lines_with("error.log", "the pid file is lost").len(), 1, "said once");
    first.get("/").expect("the first daemon serves");
    let stopped = stop(scene.path("pid"), &StopOptions::new()).expect("stopped");
    assert!(matches!(stopped, Stopped::Terminated { .. }), "{stopped:?}");
    elsewhere.wait_until_deserted(PATIENCE);
    wait_until_it_is_back(&scene, &first);
    first.stop_in_order();
}

/// P9: a parent that has given up its rights logs once that it cannot, and serves.
#[test]
fn a_parent_without_the_right_to_make_it_again_logs_that() {
    if !require_root() || !require_tool("setpriv") {
        return;
    }
    let scene = scene!();
    let daemon =
        scene.probe().args(["--user", "54321", "--group", "54321", "--drop-parent"]).daemon();
    fs::remove_file(scene.path("pid")).expect("removed");
    let said = || scene.lines_with("error.log", "the pid file is lost: cannot open pid file").len();
    wait_until(PATIENCE, "it says so", || said() == 1);
    reload(&daemon);
    holds_for(Duration::from_millis(1500), "it is said once", || said() == 1);
    daemon.get("/").expect("it serves");
    daemon.stop_in_order();
}
