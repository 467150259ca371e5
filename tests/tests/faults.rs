//! What is scarce, and programs that cannot run.

use std::{
    fs,
    time::{Duration, Instant},
};

use prefork_tests::{
    Load, PATIENCE, Scene, find_process, get, holds_for, kill, require_tool, scene, wait_until,
};
use rustix::process::Signal;

/// F1: forks that fail are tried again, with pauses, until they succeed.
#[test]
fn failing_forks_are_survived_at_rest() {
    if !require_tool("strace") {
        return;
    }
    let scene = scene!();
    // The first three forks are for the first children, the next twenty fail.
    let running = scene.hello().paths().under(failing_forks(&scene, "4..23")).start();
    let daemon = running.ready();
    let before = daemon.living();
    assert!(kill(before[0], Signal::KILL));
    let (begun, cpu) = (Instant::now(), daemon.cpu());
    wait_until(PATIENCE, "a fork has failed", || {
        scene.read("error.log").contains("cannot fork a child")
    });
    daemon.get("/").expect("the other children serve");
    daemon.wait_for_children(Duration::from_secs(40), 3, &before[..1]);
    let (took, used) = (begun.elapsed(), daemon.cpu() - cpu);
    wait_until(PATIENCE, "it says that forks succeed", || {
        scene.lines_with("error.log", "can be started again").len() == 1
    });
    assert_eq!(scene.lines_with("strace", "(INJECTED)").len(), 20, "forks that failed");
    assert!(used * 20 < took, "the parent used {used:?} of CPU in {took:?}");
    let lines = scene.read("error.log").lines().count();
    assert!(lines < 40, "{lines} lines in the log");
    daemon.signal(Signal::TERM);
    assert!(running.finish().end.is_success());
    assert!(!scene.path("pid").exists(), "the pid file is left");
}

/// F1: forks that fail at the start delay it, and no more.
#[test]
fn failing_forks_delay_the_start() {
    if !require_tool("strace") {
        return;
    }
    let scene = scene!();
    let running = scene.hello().paths().under(failing_forks(&scene, "2..5")).start();
    let daemon = running.ready();
    assert_eq!(daemon.living().len(), 3);
    assert_eq!(scene.lines_with("strace", "(INJECTED)").len(), 4, "forks that failed");
    daemon.signal(Signal::TERM);
    assert!(running.finish().end.is_success());
}

/// F7: a kernel or a sandbox without pidfds is refused before anything is started, by the names of the calls.
#[test]
fn a_kernel_that_cannot_signal_by_descriptors_is_refused() {
    if !require_tool("strace") {
        return;
    }
    for (call, error) in [("pidfd_open", "ENOSYS"), ("pidfd_send_signal", "EPERM")] {
        let scene = scene!();
        let rule = format!("inject={call}:error={error}");
        let launch =
            scene.hello().paths().under(["strace", "-f", "-qq", "-o", "/dev/null", "-e", &rule]);
        launch.finish().assert_refused("pidfd_open(2) and pidfd_send_signal(2)");
        scene.assert_nothing_is_left();
    }
}

/// F3: a child out of descriptors waits, without spinning, and goes on when it has some again.
#[test]
fn a_child_out_of_descriptors_does_not_spin() {
    let scene = scene!();
    let daemon = scene.probe().args(["--prefork", "1"]).daemon();
    let child = daemon.get("/starve/3000").expect("an answer").number();
    let cpu = |pid| find_process(pid).expect("it lives").cpu;
    let before = cpu(child);
    let begun = Instant::now();
    let reply = get(scene.address(), "/pid").expect("it is answered in the end");
    let (took, used) = (begun.elapsed(), cpu(child) - before);
    assert_eq!(reply.number(), child, "by the same child");
    assert!(used < Duration::from_millis(300), "{used:?} of CPU in {took:?}");
    assert_eq!(scene.lines_with("error.log", "cannot accept a connection").len(), 1);
    daemon.stop_in_order();
}

/// F3: while it waits it can be asked to leave.
#[test]
fn a_child_out_of_descriptors_still_leaves() {
    let scene = scene!();
    let daemon = scene.probe().args(["--prefork", "1"]).daemon();
    daemon.get("/starve/60000").expect("an answer");
    let load = Load::bounded(1, 1, scene.address(), "/pid");
    wait_until(PATIENCE, "it is out of descriptors", || {
        scene.read("error.log").contains("cannot accept a connection")
    });
    daemon.stop_in_order();
    assert_eq!(load.finish().failures.len(), 1);
}

/// F5: a program whose children end at once fails to start, and the launcher says how they ended.
#[test]
fn children_that_end_at_once_fail_the_start() {
    for (how, words) in [
        ("return", "exited with status 0"),
        ("fail", "exited with status 1"),
        ("panic", "exited with status 101 (a panic)"),
    ] {
        for children in ["1", "3", "10"] {
            let scene = scene!();
            let begun = Instant::now();
            let start = scene
                .probe()
                .args(["--daemonize", "--main-loop", how, "--prefork", children])
                .path("--witness", "witness")
                .paths()
                .finish();
            start.assert_refused("children ended before the daemon was ready");
            start.assert_refused(words);
            assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
            scene.wait_until_deserted(PATIENCE);
            assert!(!scene.path("pid").exists(), "the pid file is left");
            let forks = scene.lines_with("witness", "main_loop").len();
            assert!(forks <= 20, "{forks} forks to start {children} children");
            assert_eq!(scene.lines_with("witness", "before_shutdown").len(), 1);
        }
    }
}

/// F5: children that end at once later on cost a bounded number of forks and of lines, and the pool
/// is whole again soon after the reason is gone.
#[test]
fn a_crash_loop_is_bounded_and_heals() {
    let scene = scene!();
    let daemon =
        scene.probe().path("--spoiled-by", "spoiled").path("--witness", "witness").daemon();
    daemon.get("/").expect("it serves");
    fs::write(scene.path("spoiled"), "").expect("written");
    let (forks, lines) = (
        || scene.lines_with("witness", "main_loop").len(),
        || scene.read("error.log").lines().count(),
    );
    let (forks_before, lines_before) = (forks(), lines());
    for child in daemon.living() {
        assert!(kill(child, Signal::KILL));
    }
    // The pauses are 10 ms, 20 ms, 40 ms ...: nine of them make five seconds. Three children may be
    // started at once at first.
    let parent = daemon.pid();
    holds_for(Duration::from_secs(5), "alive", || find_process(parent).is_some());
    let (forks_now, lines_now) = (forks() - forks_before, lines() - lines_before);
    assert!((5..=14).contains(&forks_now), "{forks_now} forks in 5 s");
    assert!(lines_now <= 4 * forks_now + 10, "{lines_now} lines for {forks_now} forks");
    fs::remove_file(scene.path("spoiled")).expect("removed");
    daemon.wait_for_children(Duration::from_secs(20), 3, &[]);
    wait_until(PATIENCE, "it says so", || scene.read("error.log").contains("children work again"));
    daemon.get("/").expect("it serves again");
    daemon.stop_in_order();
}

/// F5: a child that panics is logged, has the status of a panic, and is replaced.
#[test]
fn a_panic_is_logged_and_the_child_replaced() {
    let scene = scene!();
    let daemon = scene.probe().args(["--prefork", "1"]).daemon();
    let before = daemon.living();
    daemon.get("/panic").expect_err("no answer");
    daemon.wait_for_children(PATIENCE, 1, &before);
    let log = scene.read("error.log");
    assert!(log.contains("main_loop panicked: panicking as asked"), "{log}");
    assert!(log.contains("exited with status 101 (a panic)"), "{log}");
    assert!(log.contains("serve.rs"), "where it panicked is missing: {log}");
    daemon.get("/").expect("it serves");
    daemon.stop_in_order();
}

/// A start that takes too long fails, and says for how long it was waited.
#[test]
fn a_start_that_takes_too_long_fails() {
    let scene = scene!();
    let start = scene
        .probe()
        .args(["--daemonize", "--init-delay", "3000", "--start-timeout", "500"])
        .paths()
        .finish();
    start.assert_refused("not ready within");
    scene.wait_until_deserted(PATIENCE);
    assert!(!scene.path("pid").exists(), "the pid file is left");
}

/// The command that runs another with its forks of these numbers failing.
///
/// strace takes one rule a system call, and which of them the C library uses is its own affair.
fn failing_forks(scene: &Scene, which: &str) -> Vec<String> {
    let log = scene.path("strace").display().to_string();
    let rule = |call| ["-e".to_owned(), format!("inject={call}:error=EAGAIN:when={which}")];
    let rules = ["clone", "clone3", "fork", "vfork"].into_iter().flat_map(rule);
    ["strace".to_owned(), "-f".to_owned(), "-o".to_owned(), log].into_iter().chain(rules).collect()
}
