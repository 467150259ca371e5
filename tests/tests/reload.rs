//! Replacing children that have requests in hand, that are killed, and where there is no room.

use std::time::{Duration, Instant};

use prefork_tests::{
    ControlGroup, Controller, Daemon, InHand, PATIENCE, holds_for, kill, scene, wait_until,
};
use rustix::process::Signal;

const RELOADED: &str = "all children are of generation 2 now";

/// Waits for a child that is none of these, and returns its pid as soon as it is there.
#[track_caller]
fn new_child(daemon: &Daemon<'_>, old: &[u32]) -> u32 {
    let mut found = None;
    wait_until(PATIENCE, "a new child is started", || {
        found = daemon.living().into_iter().find(|pid| !old.contains(pid));
        found.is_some()
    });
    found.expect("it was found")
}

/// L6: one long request holds nobody up, whichever child has it, and is answered, with as few as one process more.
#[test]
fn one_long_request_holds_no_other_child_up() {
    let scene = scene!();
    let size = ["--prefork", "4", "--max-children", "4", "--max-surge", "1"];
    let daemon = scene.probe().board().args(size).args(["--graceful-timeout", "200"]).daemon();
    for generation in 2..6 {
        let before = daemon.living();
        let request = InHand::at(scene.address(), "/hold");
        let busy = request.worker().pid;
        let begun = Instant::now();
        daemon.signal(Signal::HUP);
        wait_until(PATIENCE, "the idle ones are new", || {
            let now = daemon.living();
            now.len() == 5 && now.iter().all(|pid| *pid == busy || !before.contains(pid))
        });
        println!("idle children replaced after {:?}", begun.elapsed());
        let reloaded = format!("all children are of generation {generation} now");
        scene.wait_for_line(&reloaded);
        let line = &scene.lines_with("error.log", &reloaded)[0];
        assert!(line.contains("; an old one finishes what it has in hand"), "{line}");
        // Longer than a stop would let it.
        holds_for(Duration::from_millis(400), "at work", || daemon.living().contains(&busy));
        assert_eq!(request.release().expect("it is answered").worker().pid, busy);
        daemon.wait_for_children(PATIENCE, 4, &before);
        wait_until(PATIENCE, "it is logged that it has left", || {
            scene.logged("the last old child has left") == generation - 1
        });
    }
    assert_eq!(scene.logged("was asked to leave"), 0);
    daemon.stop_in_order();
}

/// L6: a second reload does not wait for the request that the first one has left in hand.
#[test]
fn reloads_beside_a_long_request_follow_each_other() {
    let scene = scene!();
    let size = ["--prefork", "2", "--max-children", "2", "--max-surge", "1"];
    let daemon = scene.probe().board().args(size).daemon();
    let request = InHand::at(scene.address(), "/hold");
    let busy = request.worker().pid;
    for generation in 2..5 {
        daemon.signal(Signal::HUP);
        scene.wait_for_line(&format!("all children are of generation {generation} now"));
        assert!(daemon.living().len() <= 3, "{:?}", daemon.living());
        assert_eq!(daemon.get("/pid").expect("it serves").worker().generation, generation);
    }
    assert_eq!(request.release().expect("it is answered").worker().pid, busy);
    daemon.stop_in_order();
}

/// L6: a child that is at work when an upgrade comes finishes that under the new program.
#[test]
fn an_upgrade_leaves_long_requests_in_hand_alone() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().board().args(["--graceful-timeout", "200"]).daemon();
    let request = InHand::at(scene.address(), "/hold");
    let busy = request.worker().pid;
    program.install("--version 2 --graceful-timeout 200");
    daemon.signal(Signal::USR2);
    scene.wait_for_line(RELOADED);
    holds_for(Duration::from_millis(500), "at work", || daemon.living().contains(&busy));
    assert_eq!(daemon.get("/version").expect("it serves").body, "2");
    assert_eq!(request.release().expect("it is answered").worker().pid, busy);
    daemon.stop_in_order();
}

/// L6: with `reload_timeout` a child that takes longer is ended, and the log names it, its request and its client.
#[test]
fn who_is_cut_short_by_reload_timeout_is_named() {
    let scene = scene!();
    let limit = ["--reload-timeout", "0.5", "--max-lifetime", "3600"];
    let daemon = scene.hello().board().args(limit).daemon();
    let request = InHand::at(scene.address(), "/sleep?ms=60000");
    let (busy, client) = (request.worker().pid, request.client());
    daemon.signal(Signal::HUP);
    scene.wait_for_line("was asked to leave");
    request.answer().expect_err("it was cut short");
    let lines = scene.lines_with("error.log", "was asked to leave");
    let named = format!("child {busy} (slot ");
    let detail = format!(": GET /sleep?ms=60000, of {client}");
    assert!(lines.len() == 1 && lines[0].contains(&named), "{lines:?}");
    assert!(lines[0].contains("warning") && lines[0].contains("(reload_timeout)"), "{lines:?}");
    assert!(lines[0].ends_with(&detail), "{lines:?} {detail}");
    daemon.wait_for_children(PATIENCE, 3, &[busy]);
    daemon.stop_in_order();
}

/// L6: a stop in the middle of a rollout has its own time for all, and names the children that it cuts short.
#[test]
fn a_stop_in_a_rollout_has_the_time_of_a_stop() {
    let scene = scene!();
    let daemon = scene.hello().board().args(["--graceful-timeout", "0.5"]).daemon();
    let old = InHand::at(scene.address(), "/sleep?ms=60000");
    daemon.signal(Signal::HUP);
    scene.wait_for_line(RELOADED);
    let new = InHand::at(scene.address(), "/sleep?ms=60001");
    let begun = Instant::now();
    daemon.signal(Signal::TERM);
    for (request, path) in [(old, "/sleep?ms=60000"), (new, "/sleep?ms=60001")] {
        let busy = request.worker().pid;
        request.answer().expect_err("it was cut short");
        let line = scene.lines_with("error.log", &format!("child {busy} (slot "));
        assert!(line.iter().any(|line| line.contains("(graceful_timeout)")), "{line:?}");
        assert!(line.iter().any(|line| line.contains(&format!(": GET {path}, of "))), "{line:?}");
    }
    assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
    daemon.assert_ends_in_order(PATIENCE);
}

/// L6: an old child that is at one request for longer than it may is ended, though nobody waits for it.
#[test]
fn request_timeout_holds_for_old_children_too() {
    let scene = scene!();
    let daemon = scene.hello().board().args(["--request-timeout", "1"]).daemon();
    let request = InHand::at(scene.address(), "/sleep?ms=60000");
    let hung = request.worker().pid;
    daemon.signal(Signal::HUP);
    scene.wait_for_line(RELOADED);
    request.answer().expect_err("it was ended");
    daemon.wait_for_children(PATIENCE, 3, &[hung]);
    let line = scene.lines_with("error.log", "at one request for");
    assert!(line.len() == 1 && line[0].contains(&format!("child {hung} ")), "{line:?}");
    daemon.stop_in_order();
}

/// L8: a new child that is killed in its first moments is started again, and the reload comes about.
#[test]
fn a_new_child_that_is_killed_does_not_end_the_reload() {
    let scene = scene!();
    let slow = ["--prefork", "3", "--max-surge", "1", "--child-delay", "300"];
    let daemon = scene.probe().board().args(slow).daemon();
    for generation in 2..5 {
        let mut before = daemon.living();
        let old = before.clone();
        daemon.signal(Signal::HUP);
        for _ in 0..2 {
            let victim = new_child(&daemon, &before);
            assert!(kill(victim, Signal::KILL), "it was there");
            before.push(victim);
        }
        scene.wait_for_line(&format!("all children are of generation {generation} now"));
        daemon.wait_for_children(PATIENCE, 3, &old);
    }
    assert_eq!(scene.logged("reload failed"), 0);
    daemon.stop_in_order();
}

/// L9: where not one process more can be had, old children leave before new ones are started; that and the limit are
/// logged once, and it is over when there is room.
#[test]
fn a_reload_comes_about_without_room_for_another_process() {
    let scene = scene!();
    let Some(limit) = ControlGroup::make(&scene, Controller::Pids) else { return };
    let size = ["--prefork", "4", "--max-children", "8"];
    let daemon = scene.probe().board().args(size).after_shell(&limit.entrance()).daemon();
    let before = daemon.living();
    let request = InHand::at(scene.address(), "/hold");
    let busy = request.worker().pid;
    limit.set(limit.current());
    let lines = || scene.read("error.log").lines().count();
    let lines_before = lines();
    daemon.signal(Signal::HUP);
    scene.wait_for_line(RELOADED);
    assert_eq!(scene.logged("an old child leaves before a new one is started"), 1);
    let refused = scene.lines_with("error.log", "cannot fork");
    assert!(
        // The first refusal, and the eighth.
        refused.len() == 2 && refused.iter().all(|it| it.contains("; pids.max of control group")),
        "{refused:?}"
    );
    assert!(lines() - lines_before < 15, "{}", scene.read("error.log"));
    assert_eq!(request.release().expect("it is answered").worker().pid, busy);
    daemon.wait_for_children(PATIENCE, 4, &before);
    // With room, all is as it was.
    limit.set(limit.current() + 10);
    daemon.signal(Signal::HUP);
    scene.wait_for_line("all children are of generation 3 now");
    assert_eq!(scene.logged("cannot fork"), 2);
    daemon.stop_in_order();
}
