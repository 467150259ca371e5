//! What probes and load balancers are answered.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use prefork_tests::{Daemon, InHand, PATIENCE, Scene, scene, wait_until};
use rustix::process::Signal;

use crate::{Answer, exchange, get, status_process};

/// Asks for one path at an address, as a probe does that knows no name of the host; nothing if nobody answers.
fn probe(address: SocketAddr, path: &str) -> Option<Answer> {
    let connection = TcpStream::connect(address).ok()?;
    connection.set_read_timeout(Some(PATIENCE)).expect("set");
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: kube-probe/1.31\r\n\r\n");
    exchange(connection, &request).ok()
}

/// What an agent of HAProxy is answered.
#[track_caller]
fn agent(address: SocketAddr) -> String {
    let mut connection = TcpStream::connect(address).expect("it listens");
    connection.set_read_timeout(Some(PATIENCE)).expect("set");
    connection.write_all(b"agent\n").expect("sent");
    let mut line = String::new();
    connection.read_to_string(&mut line).expect("answered, and closed");
    line
}

/// Waits until `/ready` has this status and a line that begins so, and the agent is answered by this.
#[track_caller]
fn wait_for_state(scene: &Scene, status: u16, line: &str, expected: &str) {
    let address = scene.page();
    wait_until(PATIENCE, &format!("it is {line}"), || {
        let found = probe(address, "/ready");
        found.is_some_and(|found| found.status == status && found.body.starts_with(line))
            && agent(address) == expected
    });
}

fn start<'a>(scene: &'a Scene, args: &[&str]) -> Daemon<'a> {
    let page = scene.page().to_string();
    let launch = scene.probe().board().args(["--status-listen", &page, "--prefork", "2"]);
    launch.args(args).daemon()
}

/// Ready with children to spare, not while all that there may be are at work, and ready again.
#[test]
fn a_full_daemon_is_not_ready_and_its_balancer_sends_it_least() {
    let scene = scene!();
    let daemon = start(&scene, &["--max-children", "2"]);
    wait_for_state(&scene, 200, "ready: 100 % is free\n", "up 100%\n");
    let first = InHand::at(scene.address(), "/hold");
    wait_for_state(&scene, 200, "ready: 50 % is free\n", "up 50%\n");
    let second = InHand::at(scene.address(), "/hold");
    wait_for_state(&scene, 503, "full: all 2 children", "up 5%\n");
    assert_eq!(get(&scene, "/live").status, 200, "full is not broken");
    let even_full = get(&scene, "/ready?full");
    assert_eq!(even_full.status, 200, "{even_full:?}");
    assert!(even_full.body.starts_with("full: "), "{even_full:?}");
    for request in [first, second] {
        assert_eq!(request.release().expect("it is answered").status, 200);
    }
    wait_for_state(&scene, 200, "ready: 100 % is free\n", "up 100%\n");
    daemon.stop_in_order();
}

/// A daemon whose children have not begun is not ready, though its socket takes connections.
#[test]
fn a_daemon_is_not_ready_before_its_first_children_are() {
    let scene = scene!();
    let page = scene.page().to_string();
    let slow = scene.probe().board().paths().args(["--status-listen", &page, "--prefork", "1"]);
    let running = slow.args(["--child-delay", "3000"]).start();
    let mut seen = Vec::new();
    wait_until(PATIENCE, "it is ready", || {
        let found = probe(scene.page(), "/ready").map(|found| (found.status, found.body));
        if let Some(found) = found.filter(|found| seen.last() != Some(found)) {
            seen.push(found);
        }
        seen.last().is_some_and(|(status, _)| *status == 200)
    });
    let starting = "starting: not all of the first children have begun\n";
    assert_eq!(seen[0], (503, starting.to_owned()), "{seen:?}");
    assert_eq!(seen.len(), 2, "{seen:?}");
    running.ready().stop_in_order();
}

/// While a daemon stops it answers probes until it has gone, and wants nobody.
#[test]
fn a_daemon_that_stops_wants_nobody() {
    let scene = scene!();
    let daemon = start(&scene, &["--graceful-timeout", "60000"]);
    wait_for_state(&scene, 200, "ready", "up 100%\n");
    let request = InHand::at(scene.address(), "/hold");
    daemon.signal(Signal::TERM);
    wait_for_state(&scene, 503, "stopping\n", "up 0%\n");
    let live = get(&scene, "/live");
    assert_eq!((live.status, &*live.body), (200, "live\n"), "nobody is to kill it");
    assert_eq!(request.release().expect("it is answered").status, 200);
    daemon.assert_ends_in_order(PATIENCE);
}

/// One that was stopped by a signal is to be replaced by those who watch it.
#[test]
fn a_parent_that_decides_nothing_is_not_live() {
    let scene = scene!();
    let daemon = start(&scene, &[]);
    wait_for_state(&scene, 200, "ready", "up 100%\n");
    status_process(&daemon);
    daemon.signal(Signal::STOP);
    daemon.wait_until_stopped();
    let trouble = format!("process {} was stopped by a signal", daemon.pid());
    for path in ["/live", "/ready"] {
        let found = get(&scene, path);
        assert_eq!(found.status, 503, "{found:?}");
        assert!(found.body.starts_with(&trouble), "{found:?}");
    }
    let line = agent(scene.page());
    assert!(line.starts_with(&format!("down #{trouble}")) && line.ends_with('\n'), "{line}");
    daemon.signal(Signal::CONT);
    wait_for_state(&scene, 200, "ready", "up 100%\n");
    daemon.stop_in_order();
}

/// Without a scoreboard nobody knows what is free, and the rest is answered all the same.
#[test]
fn without_a_scoreboard_probes_are_answered() {
    let scene = scene!();
    let page = scene.page().to_string();
    let daemon = scene.hello().args(["--status-listen", &page]).daemon();
    wait_for_state(&scene, 200, "ready\n", "up 100%\n");
    assert_eq!(get(&scene, "/live").status, 200);
    daemon.stop_in_order();
}
