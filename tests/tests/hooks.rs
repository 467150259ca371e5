//! The hooks: each in its process, in its order, and what its failure does.

use prefork_tests::{Launch, PATIENCE, Scene, kill, require_root, scene, wait_until};
use rustix::process::Signal;

fn steward<'a>(scene: &'a Scene, does: &str) -> Launch<'a> {
    let program = env!("CARGO_BIN_EXE_steward");
    scene.tool(program).path("--witness", "witness").args(["--does", does])
}

/// What the witness saw in one process, in order.
fn seen(scene: &Scene, pid: u32) -> Vec<String> {
    let end = format!(" {pid}");
    let lines = scene.read("witness");
    lines.lines().filter_map(|line| line.strip_suffix(&end)).map(str::to_owned).collect()
}

#[test]
fn each_hook_runs_in_its_process_and_in_its_order() {
    let scene = scene!();
    let daemon = steward(&scene, "poll").daemon();
    daemon.wait_for_children(PATIENCE, 2, &[]);
    let children = daemon.living();
    daemon.stop_in_order();
    for child in &children {
        let order =
            ["after_fork_in_child", "child_init", "made", "main_loop", "dropped", "child_exit"];
        assert_eq!(seen(&scene, *child), order);
    }
    // Nothing of it in the parent, which is not for waiting.
    assert_eq!(seen(&scene, daemon.pid()), [""; 0]);
    let events: Vec<String> = ["ready", "before_shutdown", "on_child_exit"]
        .iter()
        .flat_map(|event| scene.lines_with("witness", event))
        .filter_map(|line| {
            let (event, pid) = line.rsplit_once(' ')?;
            // What was made before the fork knows of it before any hook runs, whose process it ever is.
            assert_eq!(seen(&scene, pid.parse().ok()?)[0], "after_fork_in_child", "{line}");
            Some(event.to_owned())
        })
        .collect();
    let mut ends: Vec<_> =
        children.iter().map(|child| format!("on_child_exit of {child} ()")).collect();
    ends.sort();
    let mut reported = events[2..].to_vec();
    reported.sort();
    assert_eq!(
        (&events[..2], reported),
        (&["ready".to_owned(), "before_shutdown".to_owned()][..], ends)
    );
}

/// What the main loop takes is made as a part of it.
#[test]
fn a_child_init_that_fails_makes_the_start_fail() {
    for (does, reason) in
        [("fail-init", "nothing to serve with"), ("fail-make", "nothing to serve by")]
    {
        let scene = scene!();
        let finished = steward(&scene, does).args(["--daemonize"]).paths().finish();
        let log = scene.path("error.log");
        finished.assert_refused(&format!(
            "children ended before the daemon was ready; the last one exited with status 1; see {}",
            log.display()
        ));
        assert!(!scene.lines_with("error.log", &format!("child_init failed: {reason}")).is_empty());
        assert!(scene.lines_with("witness", "main_loop").is_empty());
        scene.assert_nothing_is_left();
    }
}

/// Nothing of the program may run in a process where what it has made does not know of the fork.
#[test]
fn a_child_that_cannot_note_its_fork_makes_the_start_fail() {
    let cases = [
        ("fail-fork", "after_fork_in_child failed: cannot be two"),
        ("panic-fork", "after_fork_in_child panicked: cannot be two"),
    ];
    for (does, line) in cases {
        let scene = scene!();
        let finished = steward(&scene, does).args(["--daemonize"]).paths().finish();
        finished.assert_refused("children ended before the daemon was ready");
        assert!(!scene.lines_with("error.log", line).is_empty(), "{}", scene.read("error.log"));
        assert!(scene.lines_with("witness", "child_init").is_empty());
        scene.assert_nothing_is_left();
    }
}

#[test]
fn a_hook_process_that_cannot_note_its_fork_calls_no_hook() {
    let scene = scene!();
    let daemon = steward(&scene, "fail-later-forks").daemon();
    daemon.wait_for_children(PATIENCE, 2, &[]);
    assert_eq!(scene.logged("after_fork_in_child failed: cannot be three"), 1);
    assert_eq!(scene.logged("ready has ended its process before it returned; going on"), 1);
    assert_eq!(scene.lines_with("witness", "ready"), [""; 0]);
    daemon.stop_in_order();
}

/// What is forked with a main loop is a child.
#[test]
fn a_main_loop_in_the_parent_notes_no_fork() {
    let scene = scene!();
    let daemon = steward(&scene, "alone").daemon();
    wait_until(PATIENCE, "it serves", || {
        seen(&scene, daemon.pid()).contains(&"main_loop".to_owned())
    });
    daemon.stop_in_order();
    assert_eq!(scene.lines_with("witness", "after_fork_in_child"), [""; 0]);
}

#[test]
fn a_child_that_overstays_is_shown_to_the_hook_and_ended() {
    let scene = scene!();
    let daemon = steward(&scene, "overstay").daemon();
    let shown = || !scene.lines_with("witness", "(a long job)").is_empty();
    wait_until(PATIENCE, "the hook has seen it", shown);
    let ended = || !scene.lines_with("witness", "on_child_exit").is_empty();
    wait_until(PATIENCE, "it has ended", ended);
    assert_eq!(scene.lines_with("witness", "survived").len(), 0);
    let line = &scene.lines_with("witness", "on_timeout")[0];
    assert!(!line.ends_with(&format!(" {}", daemon.pid())), "in the parent: {line}");
    daemon.stop_in_order();
}

#[test]
fn a_child_that_asks_for_more_time_gets_it() {
    let scene = scene!();
    let daemon = steward(&scene, "extend").daemon();
    let survived = || scene.lines_with("witness", "survived").len() >= 2;
    wait_until(PATIENCE, "both have finished", survived);
    assert_eq!(scene.lines_with("witness", "on_timeout").len(), 0);
    daemon.stop_in_order();
}

#[test]
fn waiting_for_the_next_request_of_a_connection_is_not_one() {
    let scene = scene!();
    let daemon = steward(&scene, "keep-alive").daemon();
    let survived = || scene.lines_with("witness", "survived with 2").len() >= 2;
    wait_until(PATIENCE, "both have finished", survived);
    assert_eq!(scene.lines_with("witness", "on_timeout").len(), 0);
    daemon.stop_in_order();
}

/// The parent could not do what it promises without its rights: a script that is ported has this there.
#[test]
fn a_user_that_after_init_changes_makes_the_start_fail() {
    if !require_root() {
        return;
    }
    let scene = scene!();
    let finished = steward(&scene, "setuid").args(["--daemonize"]).paths().finish();
    finished.assert_refused(
        "after_init failed: the parent's user and group were changed there, from 0 and 0 to 65534 and 0; set `user` and \
         `group` instead, which change those of the children, and `drop_parent` for the parent too",
    );
    assert!(scene.lines_with("witness", "main_loop").is_empty());
}

/// Children would lack the thread, and a lock that it held would stay locked in them.
#[test]
fn a_thread_that_after_init_leaves_makes_the_start_fail() {
    let scene = scene!();
    let finished = steward(&scene, "thread").args(["--daemonize"]).paths().finish();
    finished.assert_refused("after_init");
    finished.assert_refused("threads are left running besides the main one (a-thread)");
    assert!(scene.lines_with("witness", "main_loop").is_empty());
    scene.assert_nothing_is_left();
}

#[test]
fn counted_requests_end_when_a_successor_serves() {
    let scene = scene!();
    let daemon = steward(&scene, "requests").daemon();
    let first = daemon.living();
    wait_until(PATIENCE, "others have taken over", || {
        !first.iter().any(|pid| daemon.living().contains(pid))
    });
    let counts: Vec<u32> = scene
        .lines_with("witness", "served ")
        .iter()
        .filter_map(|line| line.split(' ').nth(1)?.parse().ok())
        .collect();
    // How many more there are until a successor serves is the machine's business.
    assert!(!counts.is_empty() && counts.iter().all(|count| *count >= 5), "{counts:?}");
    daemon.stop_in_order();
}

/// A probe one of whose hooks never returns.
fn with_hanging<'a>(scene: &'a Scene, hook: &str, limit: &str) -> Launch<'a> {
    let hooks = ["--hanging", hook, "--hook-timeout", limit];
    scene.probe().args(hooks).args(["--prefork", "2"])
}

/// The parent answers while it waits, and goes on at a signal.
#[test]
fn a_stop_that_waits_for_a_hook_answers_and_can_be_cut_short() {
    let scene = scene!();
    let daemon = with_hanging(&scene, "before-shutdown", "600000").daemon();
    daemon.signal(Signal::TERM);
    wait_until(PATIENCE, "it says what it waits for", || {
        scene.logged("waiting for before_shutdown, up to 59") == 1
    });
    // Still there, and at work.
    assert_eq!(daemon.get("/").expect("an answer").status, 200);
    daemon.signal(Signal::TERM);
    wait_until(PATIENCE, "it says so again", || scene.logged("waiting for before_shutdown") == 2);
    daemon.signal(Signal::INT);
    daemon.assert_ends_in_order(PATIENCE);
    assert_eq!(scene.logged("before_shutdown is cut short, as a signal asks to stop now"), 1);
}

#[test]
fn a_hook_that_hangs_delays_the_stop_by_no_more_than_its_time() {
    for hook in ["before-shutdown", "on-child-exit"] {
        let scene = scene!();
        let daemon = with_hanging(&scene, hook, "700").daemon();
        daemon.stop_in_order();
        let name = hook.replace('-', "_");
        assert_eq!(scene.logged(&format!("{name} has not returned in 700 ms")), 1);
    }
}

/// Without children, the hook has a thread beside the loop.
#[test]
fn a_hook_that_hangs_delays_the_stop_of_a_loop_in_the_parent_no_longer() {
    let scene = scene!();
    let hooks = ["--hanging", "before-shutdown", "--hook-timeout", "700"];
    let daemon = scene.probe().args(hooks).args(["--prefork", "0"]).daemon();
    daemon.stop_in_order();
    assert_eq!(scene.logged("before_shutdown has not returned in 700 ms"), 1);
    let daemon =
        with_hanging(&scene, "before-shutdown", "600000").args(["--prefork", "0"]).daemon();
    daemon.signal(Signal::TERM);
    wait_until(PATIENCE, "it waits", || scene.logged("waiting for before_shutdown") == 1);
    daemon.signal(Signal::INT);
    daemon.assert_ends_in_order(PATIENCE);
}

#[test]
fn a_start_does_not_wait_for_ever_for_its_hook() {
    let scene = scene!();
    let daemon = with_hanging(&scene, "ready", "700").daemon();
    assert_eq!(scene.logged("ready has not returned in 700 ms"), 1);
    daemon.stop_in_order();
}

/// Children that end one after the other while the hook hangs: all are replaced at once, and the hook is called for
/// each, however long it takes.
#[test]
fn the_parent_reaps_and_replaces_while_a_hook_hangs() {
    let scene = scene!();
    let daemon = with_hanging(&scene, "on-child-exit", "300").daemon();
    for _ in 0..5 {
        let before = daemon.living();
        assert!(kill(before[0], Signal::KILL));
        wait_until(PATIENCE, "it is replaced", || {
            let now = daemon.living();
            now.iter().filter(|pid| !before.contains(pid)).count() >= 1
        });
    }
    wait_until(PATIENCE, "every call has had its time", || {
        scene.logged("on_child_exit has not returned") == 5
    });
    daemon.signal(Signal::TERM);
    daemon.assert_ends_in_order(PATIENCE);
}

/// A child that hangs lives until the program has looked at it, and no longer than that may take.
#[test]
fn a_child_that_hangs_is_ended_though_the_hook_about_it_hangs_too() {
    let scene = scene!();
    let hooks = ["--hanging", "on-timeout", "--hook-timeout", "500", "--request-timeout", "300"];
    let daemon = scene.probe().board().args(hooks).args(["--prefork", "1"]).daemon();
    let before = daemon.living();
    daemon.get("/sleep/60000").expect_err("no answer");
    wait_until(PATIENCE, "it is replaced", || {
        let now = daemon.living();
        !now.contains(&before[0]) && !now.is_empty()
    });
    assert_eq!(scene.logged("on_timeout has not returned in 500 ms"), 1);
    daemon.stop_in_order();
}

/// What runs a program in a child is to show how that has ended, in the log, to hooks, and to those who reap it.
#[test]
fn a_child_ends_as_another_process_has_ended() {
    let scene = scene!();
    let daemon = steward(&scene, "ends-as-others").daemon();
    let ended = || scene.lines_with("witness", "on_child_exit").len() >= 2;
    wait_until(PATIENCE, "both have ended", ended);
    assert_eq!(scene.logged("child error: worker exited with status 42 at last"), 1);
    assert_eq!(scene.logged("child error: worker was ended by SIGSEGV (a crash) at last"), 1);
    assert_eq!(scene.logged(") exited with status 42 after"), 1);
    assert_eq!(scene.logged(") was ended by SIGSEGV (a crash) after"), 1);
    assert_eq!(scene.logged("child warning: about\\nto end"), 2);
    assert_eq!(scene.logged("steward[4242] program: printed by\\u{1b} another"), 2);
    daemon.wait_for_children(PATIENCE, 2, &[]);
    daemon.stop_in_order();
}
