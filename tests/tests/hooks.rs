//! The hooks: each in its process, in its order, and what its failure does.

use prefork_tests::{Launch, PATIENCE, Scene, scene, wait_until};

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
        assert_eq!(seen(&scene, *child), ["child_init", "main_loop", "child_exit"]);
    }
    let mut parent = seen(&scene, daemon.pid());
    assert_eq!(parent.drain(..2).collect::<Vec<_>>(), ["ready", "before_shutdown"]);
    parent.sort();
    let mut ends: Vec<_> =
        children.iter().map(|child| format!("on_child_exit of {child} ()")).collect();
    ends.sort();
    assert_eq!(parent, ends);
}

#[test]
fn a_child_init_that_fails_makes_the_start_fail() {
    let scene = scene!();
    let finished = steward(&scene, "fail-init").args(["--daemonize"]).paths().finish();
    finished.assert_refused("children ended before the daemon was ready");
    assert!(!scene.lines_with("error.log", "child_init failed: nothing to serve with").is_empty());
    assert!(scene.lines_with("witness", "main_loop").is_empty());
    scene.assert_nothing_is_left();
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
    assert!(line.ends_with(&format!(" {}", daemon.pid())), "not in the parent: {line}");
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

/// Children would lack the thread, and a lock that it held would stay locked in them.
#[test]
fn a_thread_that_after_init_leaves_makes_the_start_fail() {
    let scene = scene!();
    let finished = steward(&scene, "thread").args(["--daemonize"]).paths().finish();
    finished.assert_refused("after_init");
    finished.assert_refused("threads are left running besides the main one (1)");
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
