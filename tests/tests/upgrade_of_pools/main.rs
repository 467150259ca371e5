//! Upgrades of a daemon of several pools: of one pool by its own parent, and of all of it.

mod pool;
mod reload;
mod watching;
mod whole;

use std::{fs, net::SocketAddr};

use prefork::daemonize::{Holder, running};
use prefork_tests::{
    Daemon, Load, PATIENCE, Program, Scene, Sent, get, kill, scene, wait_until, waiting_at,
};
use rustix::process::Signal;

/// Where the pools of a scene listen, from `web` on.
fn addresses(scene: &Scene) -> [SocketAddr; 3] {
    [scene.address(), scene.other_address(), scene.page()]
}

fn program(scene: &Scene) -> Program<'_> {
    scene.program_of(env!("CARGO_BIN_EXE_several"))
}

/// Starts it, with what it takes to spoil its upgrades.
#[track_caller]
fn daemon<'a>(program: &Program<'a>, further: &[&str]) -> Daemon<'a> {
    let launch = program.launch();
    let [_, jobs, asleep] = addresses(launch.scene()).map(|address| address.to_string());
    launch
        .args(["--jobs", &jobs, "--asleep", &asleep])
        .args(further)
        .path("--sabotage", "sabotage")
        .path("--witness", "witness")
        .daemon()
}

/// Returns the pid of a pool's parent, found by the lock of its pid file.
fn pool(scene: &Scene, name: &str) -> Option<u32> {
    match running(scene.path(&format!("pid.{name}"))) {
        Ok(Holder::Owner { pid }) => Some(pid.as_raw().unsigned_abs()),
        _ => None,
    }
}

/// Asks until this version answers here, and no other does any more.
#[track_caller]
fn wait_for_version(address: SocketAddr, version: u32) {
    wait_until(PATIENCE, &format!("version {version} answers at {address}"), || {
        let all = (0..4).map(|_| get(address, "/version"));
        all.into_iter().all(|reply| reply.is_ok_and(|reply| reply.body == version.to_string()))
    });
}

#[track_caller]
fn version(address: SocketAddr) -> String {
    get(address, "/version").expect("it answers").body
}

/// Waits until the log says something so many times.
#[track_caller]
fn wait_for_lines(scene: &Scene, text: &str, count: usize) {
    wait_until(PATIENCE, &format!("the log says {text:?} {count} times"), || {
        scene.logged(text) >= count
    });
}

fn sabotage(scene: &Scene, lines: &str) {
    fs::write(scene.path("sabotage"), lines).expect("written");
}

/// Asserts that no request was lost.
#[track_caller]
fn assert_none_lost(load: Load) {
    let tally = load.stop();
    assert_eq!(tally.failures, [""; 0], "of {} requests", tally.answered);
    assert!(tally.answered > 20, "only {} requests", tally.answered);
}

/// Ends it while a client waits at the sockets of `web`, whose children are all at work, and asserts that it is served:
/// the pool knows by its arbiter that nobody else will.
#[track_caller]
fn assert_those_who_wait_are_served(scene: &Scene, daemon: &Daemon<'_>, version: u32) {
    // More than two children and two of an earlier program can have in hand.
    let clients: Vec<_> = (0..6).map(|_| Sent::to(scene.address(), "/sleep/1000")).collect();
    wait_until(PATIENCE, "some wait", || waiting_at(scene.address()) > 0);
    daemon.signal(Signal::TERM);
    for client in clients {
        let reply = client.and_then(Sent::answer).expect("it is answered");
        assert_eq!(reply.body, version.to_string());
    }
    daemon.assert_ends_in_order(PATIENCE);
}

/// Asserts that two processes of the role were never there at once.
#[track_caller]
fn assert_one_at_a_time(scene: &Scene) {
    let witness = scene.read("witness");
    let mut alive: Option<&str> = None;
    for line in witness.lines() {
        let (what, whose) = line.split_once(' ').expect("a word, and whose");
        match what {
            "begin" => assert_eq!(alive.replace(whose), None, "{witness}"),
            _ => assert_eq!(alive.take(), Some(whose), "{witness}"),
        }
    }
}
