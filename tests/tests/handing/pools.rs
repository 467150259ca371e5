//! Connections that pools of one daemon hand to each other.

use std::{os::fd::OwnedFd, time::Duration};

use prefork_tests::{
    Daemon, Load, PATIENCE, Process, Scene, children, find_process, get, holds_for, kill, scene,
    wait_until,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{Shutdown, SocketType, shutdown, sockopt},
    process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_open},
};

use super::answered_by;

/// Starts a daemon whose pool `heavy` has so many children at rest.
fn start<'a>(scene: &'a Scene, heavy: &str) -> Daemon<'a> {
    let listen = scene.address().to_string();
    let launch = scene.tool(env!("CARGO_BIN_EXE_handing"));
    launch.args(["--listen", &listen, "--pools", heavy]).daemon()
}

/// Returns the parent of a pool, if it has one.
fn parent_of(daemon: &Daemon<'_>, pool: &str) -> Option<u32> {
    let is_its =
        |process: &Process| process.command_line().contains(&format!("handing/{pool} [parent]"));
    children(daemon.pid()).into_iter().find(is_its).map(|process| process.pid)
}

/// Returns the name of the pool whose child that is.
fn pool_of(pid: u32) -> String {
    find_process(pid).map(|process| process.command_line()).unwrap_or_default()
}

#[test]
fn a_pool_hands_connections_to_another_of_its_daemon() {
    let scene = scene!();
    let daemon = start(&scene, "2");
    for _ in 0..10 {
        assert!(pool_of(answered_by(&scene)).contains("handing/heavy [child]"));
        let own = get(scene.address(), "/").expect("an answer").number();
        assert!(pool_of(own).contains("handing/front [child]"));
    }
    let tally = Load::bounded(10, 50, scene.address(), "/to-heavy/").finish();
    assert_eq!((tally.answered, tally.failures), (500, vec![]));
    daemon.signal(Signal::HUP);
    let tally = Load::bounded(4, 100, scene.address(), "/to-heavy/sleep/1").finish();
    assert_eq!((tally.answered, tally.failures), (400, vec![]), "during a reload of both");
    for line in ["error:", "warning:"] {
        let lines = scene.lines_with("error.log", line);
        let lines: Vec<_> = lines.iter().filter(|it| !it.contains("max_children")).collect();
        assert_eq!(lines, [""; 0]);
    }
    daemon.stop_in_order();
}

/// The parent of either pool may end at any time: the way is the daemon's.
#[test]
fn the_way_outlives_the_parents_of_both_pools() {
    let scene = scene!();
    let daemon = start(&scene, "2");
    for pool in ["heavy", "front"] {
        assert!(pool_of(answered_by(&scene)).contains("handing/heavy [child]"));
        let parent = parent_of(&daemon, pool).expect("it is awake");
        assert!(kill(parent, Signal::KILL), "it was there");
        wait_until(PATIENCE, "it is started again", || {
            parent_of(&daemon, pool).is_some_and(|now| now != parent)
        });
        wait_until(PATIENCE, "it serves", || {
            get(scene.address(), "/to-heavy/").is_ok_and(|reply| reply.status == 200)
        });
    }
    daemon.stop_in_order();
}

/// One that sleeps has no process until the first connection is handed to it, and then again.
#[test]
fn a_pool_that_sleeps_is_woken_by_what_is_handed_to_it() {
    let scene = scene!();
    let daemon = start(&scene, "0");
    for round in 0..2 {
        assert_eq!(parent_of(&daemon, "heavy"), None, "asleep before round {round}");
        let pid = answered_by(&scene);
        assert!(parent_of(&daemon, "heavy").is_some());
        assert!(!pool_of(pid).contains("front"));
        wait_until(PATIENCE, "it sleeps again", || parent_of(&daemon, "heavy").is_none());
    }
    daemon.stop_in_order();
}

/// What is handed over while the daemon stops is answered there, or comes back: nobody is left without an answer.
#[test]
fn a_stop_of_both_loses_nothing() {
    for _ in 0..5 {
        let scene = scene!();
        let daemon = start(&scene, "2");
        let load = Load::start(4, scene.address(), "/to-heavy/sleep/5");
        wait_until(PATIENCE, "it serves", || load.answered() > 20);
        daemon.signal(Signal::TERM);
        daemon.assert_ends_in_order(PATIENCE);
        let tally = load.stop();
        let is_refused = |failure: &&String| {
            failure.contains("refused") || failure.contains("reset") || failure.contains("503")
        };
        let lost: Vec<_> = tally.failures.iter().filter(|failure| !is_refused(failure)).collect();
        assert_eq!(lost, [""; 0]);
    }
}

/// A child that was taken over can shut the way down for good, but wakes nobody by that.
#[test]
fn a_way_that_is_shut_down_wakes_nobody() {
    let scene = scene!();
    let daemon = start(&scene, "0");
    let front = get(scene.address(), "/").expect("an answer").number();
    shut_down_ways_of(front);
    daemon.wait_for_rest();
    let cpu = daemon.cpu();
    holds_for(Duration::from_secs(2), "it sleeps", || parent_of(&daemon, "heavy").is_none());
    assert!(daemon.cpu() - cpu < Duration::from_millis(500), "the arbiter spins");
    let reply = get(scene.address(), "/to-heavy/").expect("an answer");
    assert_eq!(reply.status, 503, "the connection has come back");
    daemon.stop_in_order();
}

/// Shuts down for good what leads from a process to other pools.
#[track_caller]
fn shut_down_ways_of(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
    let process = pidfd_open(pid, PidfdFlags::empty()).expect("it is there");
    // Nothing can come by these.
    let leads_away = |socket: &OwnedFd| {
        let mut fds = [PollFd::new(socket, PollFlags::RDHUP)];
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    };
    let sockets = (3..64).filter_map(|number| {
        let socket = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok()?;
        (sockopt::socket_type(&socket) == Ok(SocketType::SEQPACKET)).then_some(socket)
    });
    let ways: Vec<_> = sockets.filter(leads_away).collect();
    assert_eq!(ways.len(), 1, "the way to the other pool");
    shutdown(&ways[0], Shutdown::Write).expect("it is connected");
}
