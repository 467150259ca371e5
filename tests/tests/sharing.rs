//! What children would share and should not is named before there are any.

use std::{collections::BTreeSet, os::unix::net::UnixListener};

use prefork_tests::{Launch, PATIENCE, Scene, kill, scene, wait_until};
use rustix::process::Signal;

fn sharer(scene: &Scene) -> Launch<'_> {
    scene.tool(env!("CARGO_BIN_EXE_sharer")).path("--folder", "").socket("--peer", "peer")
}

/// The warnings about it: how many descriptors each names, and the rest.
fn warnings(scene: &Scene) -> Vec<(usize, String)> {
    let lines = scene.lines_with("error.log", "opened before the fork");
    lines
        .iter()
        .map(|line| {
            let (_, text) = line
                .split_once(" parent warning: descriptor")
                .expect("it is a warning of the parent's");
            let (numbers, rest) = text.split_once(" (").expect("it says what it is");
            let numbers: BTreeSet<i32> = numbers
                .trim_start_matches('s')
                .split(',')
                .map(|it| it.trim().parse().expect("a number"))
                .collect();
            assert!(numbers.iter().all(|it| *it > 2), "{line}");
            (numbers.len(), rest.to_owned())
        })
        .collect()
}

fn expected(scene: &Scene) -> Vec<(usize, String)> {
    let path = |name: &str| scene.path(name).canonicalize().expect("there").display().to_string();
    let (peer, tcp) = (scene.socket("peer").display().to_string(), scene.read("address"));
    [
        (1, "timerfd".to_owned(), "each expiry reaches one child alone"),
        (1, format!("connection to {peer}"), "children read each other's answers"),
        (1, format!("connection to {tcp}"), "children read each other's answers"),
        (
            1,
            "one end of a pair of sockets".to_owned(),
            "children take from each other what is sent by it",
        ),
        (2, "epoll".to_owned(), "children take each other's events"),
        (1, "eventfd".to_owned(), "children take each other's wake-ups"),
        (1, "inotify or fanotify".to_owned(), "each change reaches one child alone"),
        (
            2,
            format!("SQLite database {}", path("app.db")),
            "children do not have its locks, and can damage it",
        ),
        (1, format!("{}, locked by fcntl(2)", path("locked")), "children do not have the lock"),
    ]
    .into_iter()
    .map(|(count, what, consequence)| {
        let end = "to be opened in main_loop instead (docs/fork_safety.md)";
        (count, format!("{what}), opened before the fork: {consequence}; {end}"))
    })
    .collect()
}

#[test]
fn what_children_should_not_share_is_named_once_at_a_start_and_by_each_new_program() {
    let scene = scene!();
    let _peer = UnixListener::bind(scene.socket("peer")).expect("bound");
    let daemon = sharer(&scene).daemon();
    assert_eq!(warnings(&scene), expected(&scene));

    // Neither another fork nor a reload looks again.
    let before = daemon.living();
    assert!(kill(before[0], Signal::KILL));
    daemon.wait_for_children(PATIENCE, 2, &before[..1]);
    daemon.signal(Signal::HUP);
    let reloaded = || scene.logged("all children are of generation 2 now") == 1;
    wait_until(PATIENCE, "it has reloaded", reloaded);
    assert_eq!(warnings(&scene).len(), expected(&scene).len());

    daemon.signal(Signal::USR2);
    let upgraded = || scene.logged("all children are of generation 3 now") == 1;
    wait_until(PATIENCE, "it has upgraded", upgraded);
    assert_eq!(warnings(&scene)[expected(&scene).len()..], expected(&scene));
    daemon.stop_in_order();
}

#[test]
fn what_children_may_share_is_not_named() {
    let scene = scene!();
    let daemon = sharer(&scene).args(["--harmless"]).daemon();
    daemon.signal(Signal::USR2);
    let upgraded = || scene.logged("all children are of generation 2 now") == 1;
    wait_until(PATIENCE, "it has upgraded", upgraded);
    assert_eq!(warnings(&scene), []);
    daemon.stop_in_order();
}

/// A log that nobody reads for its length helps nobody.
#[test]
fn of_many_connections_the_first_are_named() {
    let scene = scene!();
    let _peer = UnixListener::bind(scene.socket("peer")).expect("bound");
    let daemon = sharer(&scene).args(["--connections", "20"]).daemon();
    assert_eq!(scene.lines_with("error.log", "), opened before the fork: ").len(), 16);
    let more = "parent warning: 12 more connections, databases and others that were opened before the fork are not named";
    assert_eq!(scene.logged(more), 1, "{}", scene.read("error.log"));
    daemon.stop_in_order();
}
