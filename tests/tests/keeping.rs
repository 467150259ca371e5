//! Children that wait for the next request on a connection that is kept.

use std::{
    collections::BTreeSet,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use prefork_tests::{
    Daemon, Launch, PATIENCE, Scene, find_process, kill, scene, status_of, wait_until,
};
use rustix::process::Signal;

fn keeping(scene: &Scene) -> Launch<'_> {
    let program = env!("CARGO_BIN_EXE_keeping");
    scene.tool(program).args(["--listen", &scene.address().to_string()])
}

/// A connection that is kept.
struct Kept {
    connection: BufReader<TcpStream>,
    /// The child that has it.
    child: u32,
}

impl Kept {
    /// Asks once.
    fn at(address: SocketAddr) -> io::Result<Self> {
        let connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        let mut kept = Self { connection: BufReader::new(connection), child: 0 };
        kept.send("again")?;
        kept.child = kept.answer()?.parse().map_err(io::Error::other)?;
        Ok(kept)
    }

    fn send(&mut self, request: &str) -> io::Result<()> {
        self.connection.get_mut().write_all(format!("{request}\n").as_bytes())
    }

    fn answer(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.connection.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// Waits until the other side closes, without another word.
    #[track_caller]
    fn assert_closed(mut self) {
        let mut rest = Vec::new();
        let closed = self.connection.read_to_end(&mut rest);
        assert!(closed.is_ok() && rest.is_empty(), "{closed:?}: {rest:?}");
    }
}

/// So many connections, each kept by another child.
fn all_kept(scene: &Scene, children: usize) -> Vec<Kept> {
    let kept: Vec<_> = (0..children).map(|_| Kept::at(scene.address()).expect("kept")).collect();
    let by: BTreeSet<u32> = kept.iter().map(|kept| kept.child).collect();
    assert_eq!(by.len(), children);
    kept
}

fn wait_for_successors(daemon: &Daemon<'_>, kept: &[Kept]) {
    let old: Vec<u32> = kept.iter().map(|kept| kept.child).collect();
    daemon.wait_for_children(PATIENCE, old.len(), &old);
}

/// Connections are kept for an hour, and a child may take 30 s to leave: neither is waited for.
#[test]
fn children_with_connections_that_are_only_kept_leave_at_once() {
    let scene = scene!();
    let daemon = keeping(&scene).args(["--prefork", "4"]).daemon();
    let kept = all_kept(&scene, 4);
    daemon.signal(Signal::HUP);
    wait_for_successors(&daemon, &kept);
    kept.into_iter().for_each(Kept::assert_closed);
    let kept = all_kept(&scene, 4);
    daemon.stop_in_order();
    kept.into_iter().for_each(Kept::assert_closed);
}

/// What has come by then is answered, and it is said that no more will be.
#[test]
fn a_request_that_has_come_is_answered_before_a_child_leaves() {
    let scene = scene!();
    let daemon = keeping(&scene).args(["--prefork", "1"]).daemon();
    let mut kept = all_kept(&scene, 1);
    let child = kept[0].child;
    // It finds both before it waits.
    kept[0].send("freeze").expect("sent");
    assert_eq!(kept[0].answer().expect("answered"), child.to_string());
    wait_until(PATIENCE, "it is stopped", || {
        find_process(child).is_some_and(|process| process.state == 'T')
    });
    daemon.signal(Signal::HUP);
    scene.wait_for_line("replacing all children");
    // Its successor serves, so it has been asked, or will be before its parent rests.
    assert_ne!(Kept::at(scene.address()).expect("served").child, child);
    daemon.wait_for_rest();
    kept[0].send("again").expect("sent");
    assert!(kill(child, Signal::CONT));
    assert_eq!(kept[0].answer().expect("answered"), format!("{child} last"));
    wait_for_successors(&daemon, &kept);
    daemon.stop_in_order();
}

#[test]
fn a_connection_is_kept_no_longer_than_it_may() {
    let scene = scene!();
    let daemon = keeping(&scene).args(["--prefork", "1", "--kept-for", "50"]).daemon();
    let kept = Kept::at(scene.address()).expect("kept");
    let child = kept.child;
    kept.assert_closed();
    assert_eq!(Kept::at(scene.address()).expect("served").child, child);
    daemon.stop_in_order();
}

/// The kernel wakes one child for a connection: one that waits for somebody else is left alone.
#[test]
fn a_child_that_waits_for_its_client_is_not_woken_for_others() {
    let scene = scene!();
    let daemon = keeping(&scene).args(["--prefork", "2"]).daemon();
    let kept = Kept::at(scene.address()).expect("kept");
    let sleeps = || find_process(kept.child).is_some_and(|process| process.state == 'S');
    wait_until(PATIENCE, "it waits", sleeps);
    let slept = || status_of(kept.child, "voluntary_ctxt_switches");
    let before = slept();
    for _ in 0..50 {
        let other = Kept::at(scene.address()).expect("answered by the other one");
        assert_ne!(other.child, kept.child);
    }
    assert_eq!(slept(), before);
    daemon.stop_in_order();
}

/// Children that have waited for clients accept as before.
#[test]
fn a_child_whose_client_has_gone_serves_the_next() {
    let scene = scene!();
    let daemon = keeping(&scene).args(["--prefork", "1"]).daemon();
    let children: BTreeSet<u32> =
        (0..20).map(|_| Kept::at(scene.address()).expect("answered").child).collect();
    assert_eq!(children.len(), 1);
    daemon.stop_in_order();
}

#[test]
fn alone_it_leaves_at_once_too() {
    let scene = scene!();
    let daemon = keeping(&scene).args(["--prefork", "0"]).daemon();
    let kept = Kept::at(scene.address()).expect("kept");
    daemon.signal(Signal::TERM);
    daemon.wait_for_end(PATIENCE);
    kept.assert_closed();
}
