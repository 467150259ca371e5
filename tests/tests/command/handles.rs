//! A daemon is found by whatever an operator has of it.

use std::fs;

use prefork_tests::{End, Finished, PATIENCE, Scene, scene, wait_until};
use rustix::process::Signal;

use crate::{command, run};

/// Runs the command where only the directory of the scene is looked into.
#[track_caller]
fn run_here(scene: &Scene, words: &str, status: i32) -> Finished {
    let here = scene.path("");
    let finished = command(scene, words).variable("PREFORK_PATH", here).finish();
    assert_eq!(finished.end, End::Exited(status), "prefork {words}: {finished:?}");
    finished
}

/// Every command takes the board, the pid file, the name, and nothing where one daemon runs.
#[test]
fn every_command_takes_any_handle() {
    let scene = scene!();
    // As in the directory of many a program, which has one of its name.
    fs::create_dir(scene.path("hello")).expect("made");
    let daemon = scene.hello().board().daemon();
    let pid = daemon.pid();
    wait_until(PATIENCE, "all children wait", || {
        run(&scene, "status @scoreboard", 0).stdout.contains("3 idle")
    });
    for handle in ["@scoreboard", "@pid", "hello", ""] {
        let first = |words: &str| {
            let text = run_here(&scene, &format!("{words} {handle}"), 0).stdout;
            text.lines().next().unwrap_or_default().to_owned()
        };
        let whose = format!("hello 0.1.0, pid {pid}, up ");
        assert!(first("status").starts_with(&whose), "{handle:?}");
        assert!(first("metrics").starts_with("# HELP prefork_build_info "), "{handle:?}");
        assert_eq!(first("running"), pid.to_string(), "{handle:?}");
        assert_eq!(first("reload -v"), format!("asked process {pid} to replace its children"));
        let reloaded = first("reload -v --wait");
        // The one before may go on, so that there is one child more for a moment.
        let begins = format!("process {pid} has replaced its children: ");
        let is_as_said =
            reloaded.starts_with(&begins) && reloaded.contains(" children of generation ");
        assert!(is_as_said, "{handle:?}: {reloaded}");
        let reopened = first("reopen -v --wait");
        let begins = format!("process {pid} has opened its logs again: no line of ");
        assert!(reopened.starts_with(&begins), "{handle:?}: {reopened}");
        assert_eq!(first("signal -v cont"), format!("sent SIGCONT to process {pid}"), "{handle:?}");
        // What no terminal shows is not printed, as cron would mail it.
        for quiet in ["reload", "reload --wait", "reopen --wait", "signal CONT"] {
            let done = run_here(&scene, &format!("{quiet} {handle}"), 0);
            assert_eq!(
                (done.stdout.as_str(), done.stderr.as_str()),
                ("", ""),
                "{quiet} {handle:?}"
            );
        }
    }
    let checked = run_here(&scene, "check", 0).stdout;
    let board = scene.path("scoreboard").display().to_string();
    assert!(
        checked.starts_with(&format!("{board}: all is well: hello 0.1.0, pid {pid}")),
        "{checked}"
    );
    assert_eq!(run_here(&scene, "check hello", 0).stdout.lines().count(), 1);
    let stopped = run_here(&scene, "stop -v hello", 0).stdout;
    assert_eq!(stopped, format!("stopped process {pid}\n"));
    let _ = daemon.wait_for_end(PATIENCE);
    for words in ["stop hello", "status hello", "running hello"] {
        run_here(&scene, words, 3).assert_refused(
            "prefork: hello is no file here, and no daemon is found that is called so; found: none",
        );
    }
    for words in ["stop", "status", "check", "list"] {
        run_here(&scene, words, 3).assert_refused("prefork: no daemon is found in ");
    }
}

/// All that is found is listed, what was killed too; and of several nobody guesses which is meant.
#[test]
fn list_shows_what_there_is_and_nobody_guesses_which_is_meant() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    wait_until(PATIENCE, "all children wait", || {
        run(&scene, "status @scoreboard", 0).stdout.contains("3 idle")
    });
    let words = |text: &str| -> Vec<Vec<String>> {
        text.lines()
            .map(|line| line.split_ascii_whitespace().map(str::to_owned).collect())
            .collect()
    };
    let pid = daemon.pid().to_string();
    let board = scene.path("scoreboard").display().to_string();
    let listed = words(&run_here(&scene, "list", 0).stdout);
    assert_eq!(listed[0], ["NAME", "PID", "STATE", "UP", "CHILDREN", "BUSY", "FILE"]);
    let up = &listed[1][3];
    assert_eq!(listed[1], ["hello", &pid, "running", up, "3", "of", "150", "0", &board]);

    fs::create_dir(scene.path("second")).expect("made");
    let other = scene.tool(env!("CARGO_BIN_EXE_halted")).args(["oversleeps"]);
    let other = other.args([scene.path("second/board")]).start();
    wait_until(PATIENCE, "there are two", || words(&run_here(&scene, "list", 0).stdout).len() == 3);
    let second = scene.path("second/board").display().to_string();
    let refused = run_here(&scene, "status", 2);
    assert_eq!(
        refused.stderr,
        format!(
            "prefork: more than one daemon is found: hello ({board}), halted ({second}); name one of them by its board or pid \
             file\n"
        )
    );
    assert!(run_here(&scene, "status hello", 0).stdout.starts_with("hello 0.1.0, pid "));
    // A daemon that is dead does not stand in the way of one that runs, but it is shown.
    other.signal(Signal::KILL);
    let other_pid = other.pid().to_string();
    let _ = other.finish();
    let listed = words(&run_here(&scene, "list", 0).stdout);
    assert_eq!(listed[2], ["halted", &other_pid, "dead", "-", "0", "of", "1", "0", &second]);
    assert!(run_here(&scene, "status", 0).stdout.starts_with("hello 0.1.0, pid "));
    daemon.stop_in_order();
}

/// Without a board, the pid file leads to what the kernel shows; a board without a pid file leads to nobody.
#[test]
fn a_daemon_without_a_board_can_be_waited_for() {
    let scene = scene!();
    let daemon = scene.hello().daemon();
    let before = daemon.living();
    let reloaded = run(&scene, "reload -v --wait @pid", 0).stdout;
    assert_eq!(
        reloaded,
        format!(
            "process {} has replaced its children: none of the 3 children are left that there were\n",
            daemon.pid()
        )
    );
    assert!(!daemon.living().iter().any(|pid| before.contains(pid)));
    let path = scene.path("pid").display().to_string();
    assert_eq!(
        run(&scene, "status @pid", 1).stderr,
        format!(
            "prefork: the daemon of pid file {path} has no scoreboard; `prefork check {path}` reports whether it runs\n"
        )
    );
    assert_eq!(
        run(&scene, "reopen --wait @pid", 1).stderr,
        format!(
            "prefork: the daemon of pid file {path} has no scoreboard, which alone shows to which logs its children write; \
             nothing was sent; leave out --wait\n"
        )
    );
    daemon.stop_in_order();
    let halted = scene.tool(env!("CARGO_BIN_EXE_halted")).args(["oversleeps"]);
    let halted = halted.args([scene.path("board")]).start();
    wait_until(PATIENCE, "it has a board", || {
        command(&scene, "status @board").finish().stdout.contains("1 idle")
    });
    let board = scene.path("board").display().to_string();
    assert_eq!(
        run(&scene, "stop @board", 1).stderr,
        format!(
            "prefork: board {board} names no pid file that belongs to the same user, by which its daemon could be signalled \
             for certain; name the pid file, or signal process {} yourself\n",
            halted.pid()
        )
    );
    halted.signal(Signal::KILL);
    let _ = halted.finish();
    assert!(run(&scene, "stop @board", 3).stderr.starts_with("prefork: NOT RUNNING: halted, pid "));
}
