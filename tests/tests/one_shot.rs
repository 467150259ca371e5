//! Children that serve one client each.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use prefork_tests::{Launch, PATIENCE, Scene, find_process, get, scene, wait_until};
use rustix::process::Signal;

fn loner(scene: &Scene) -> Launch<'_> {
    let program = env!("CARGO_BIN_EXE_loner");
    scene.tool(program).args(["--listen", &scene.address().to_string()])
}

/// Asks for `path`; returns the pid of the child that has answered, and what it has added.
#[track_caller]
fn ask(scene: &Scene, path: &str) -> (u32, String) {
    let body = get(scene.address(), path).expect("an answer").body;
    let (pid, rest) = body.split_once(' ').unwrap_or((&body, ""));
    (pid.parse().expect("a pid"), rest.to_owned())
}

/// How many of so many clients, one after the other, find what another one has left; and who has served them.
fn find_secrets(scene: &Scene, clients: u32) -> (u32, BTreeSet<u32>) {
    let (mut found, mut children) = (0, BTreeSet::new());
    for client in 0..clients {
        let (pid, before) = ask(scene, &format!("/secret/of-{client}"));
        found += u32::from(before != "nothing");
        children.insert(pid);
    }
    (found, children)
}

#[test]
fn nobody_meets_what_another_client_has_left() {
    let scene = scene!();
    let daemon = loner(&scene).args(["--one-shot"]).daemon();
    let (found, children) = find_secrets(&scene, 300);
    assert_eq!((found, children.len()), (0, 300), "a child for each");
    daemon.stop_in_order();
    assert_eq!(scene.logged("warning:") + scene.logged("error:"), 0, "{}", scene.read("error.log"));
    assert!(scene.read("error.log").lines().count() < 12, "{}", scene.read("error.log"));
    // The same program whose children serve on: else nothing would have been shown.
    let scene = scene!();
    let daemon = loner(&scene).daemon();
    let (found, children) = find_secrets(&scene, 50);
    assert!(found > 40 && children.len() <= 3, "{found} found, by {children:?}");
    daemon.stop_in_order();
}

#[test]
fn a_child_that_has_its_client_can_take_no_other() {
    let scene = scene!();
    let daemon = loner(&scene).args(["--one-shot"]).daemon();
    let others: Vec<_> = (0..8)
        .map(|_| {
            let address = scene.address();
            thread::spawn(move || get(address, "/sleep/100"))
        })
        .collect();
    let (_, accepted) = ask(&scene, "/accept");
    assert!(accepted.contains("os error 88"), "behind the number is no socket: {accepted}");
    for other in others {
        other.join().expect("no panic").expect("an answer");
    }
    daemon.stop_in_order();
}

#[test]
fn what_a_client_has_started_ends_with_its_child() {
    let scene = scene!();
    let daemon = loner(&scene).args(["--one-shot"]).daemon();
    let mut started = Vec::new();
    for _ in 0..50 {
        let (_, pids) = ask(&scene, "/start");
        started.extend(pids.split(' ').map(|pid| pid.parse::<u32>().expect("a pid")));
    }
    assert_eq!(started.len(), 100);
    let is_alive = |pid: u32| find_process(pid).is_some_and(|process| !process.is_zombie());
    wait_until(PATIENCE, "all that was started is gone", || {
        !started.iter().any(|pid| is_alive(*pid))
    });
    daemon.stop_in_order();
}

/// 60 clients at once where two children wait, and 20 may be there.
#[test]
fn a_burst_beyond_those_that_wait_is_queued_and_served() {
    let scene = scene!();
    let daemon =
        loner(&scene).args(["--one-shot", "--prefork", "2", "--max-children", "20"]).daemon();
    let began = Instant::now();
    let clients: Vec<_> = (0..60)
        .map(|_| {
            let address = scene.address();
            thread::spawn(move || get(address, "/sleep/100"))
        })
        .collect();
    let mut children = BTreeSet::new();
    let mut most = 0;
    while !clients.iter().all(thread::JoinHandle::is_finished) {
        most = most.max(daemon.living().len());
        thread::sleep(Duration::from_millis(5));
    }
    for client in clients {
        let body = client.join().expect("no panic").expect("an answer").body;
        children.insert(body.trim().to_owned());
    }
    assert_eq!(children.len(), 60, "a child for each");
    // Beside them there is the process that is about to be a child, or has just been one.
    assert!(most <= 22, "at most 20 children, but {most}");
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    // Those that have come at once are expected for ten seconds; then they are not waited for any more.
    daemon.wait_for_children(Duration::from_secs(40), 2, &[]);
    daemon.stop_in_order();
}

#[test]
fn a_reload_loses_no_client() {
    let scene = scene!();
    let daemon = loner(&scene).args(["--one-shot", "--prefork", "4"]).daemon();
    let address = scene.address();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || (0..100).filter(|_| get(address, "/sleep/2").is_err()).count())
        })
        .collect();
    for _ in 0..3 {
        let before = scene.logged("all children are of generation");
        daemon.signal(Signal::HUP);
        wait_until(PATIENCE, "all children are new", || {
            scene.logged("all children are of generation") > before
        });
    }
    for client in clients {
        assert_eq!(client.join().expect("no panic"), 0);
    }
    daemon.stop_in_order();
}

#[test]
fn clients_that_crash_their_children_cost_nobody_else_anything() {
    let scene = scene!();
    let daemon = loner(&scene).args(["--one-shot"]).daemon();
    for _ in 0..40 {
        assert!(get(scene.address(), "/crash").is_err());
    }
    let began = Instant::now();
    let (found, children) = find_secrets(&scene, 40);
    assert_eq!((found, children.len()), (0, 40));
    assert!(began.elapsed() < Duration::from_secs(5), "nothing is delayed: {:?}", began.elapsed());
    assert_eq!(scene.logged("the next one starts in"), 0);
    daemon.stop_in_order();
}

#[test]
fn a_client_that_takes_too_long_is_ended_alone() {
    let scene = scene!();
    let daemon = loner(&scene).args(["--one-shot", "--request-timeout", "300"]).daemon();
    let began = Instant::now();
    assert!(get(scene.address(), "/sleep/60000").is_err());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    ask(&scene, "/");
    daemon.stop_in_order();
}

#[test]
fn a_socket_that_cannot_be_kept_to_one_client_is_not_lent() {
    let scene = scene!();
    let finished = loner(&scene).args(["--one-shot", "--by", "lend"]).paths().finish();
    assert!(!finished.end.is_success(), "{finished:?}");
    let reason = "with one_shot no socket can be lent";
    assert!(scene.logged(reason) > 0, "{}", scene.read("error.log"));
}
