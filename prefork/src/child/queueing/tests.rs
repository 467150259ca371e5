use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::{UnixListener, UnixStream},
    thread,
    time::Instant,
};

use super::*;
use crate::{
    TryAccept,
    channels::both_sides,
    child::accept::tests::{bound, child, connect},
};

/// The longest that a jiffy can be.
const JIFFY: Duration = Duration::from_millis(10);

const LIMIT: QueueLimit =
    QueueLimit { target: Duration::from_millis(250), interval: Duration::from_millis(50) };

/// A child that looks for how long clients have waited.
fn looking(measures: bool, limit: Option<QueueLimit>) -> Child {
    let (mut child, _) = child();
    child.queueing = Queueing::new(measures, limit);
    child
}

fn wait_too_long() {
    thread::sleep(LIMIT.target + LIMIT.interval + JIFFY);
}

#[test]
fn a_child_knows_how_long_the_client_in_hand_has_waited() {
    let listener = bound();
    let mut child = looking(true, None);
    assert_eq!(child.queued(), None);
    let before = Instant::now();
    let mut client = connect(&listener);
    client.write_all(b"GET").expect("sent");
    let after = Instant::now();
    thread::sleep(Duration::from_millis(100));
    let least = after.elapsed();
    child.accept(&listener).expect("accepted").expect("one waits");
    let most = before.elapsed();
    let queued = child.queued().expect("it was measured");
    assert!(queued + JIFFY >= least && queued <= most + JIFFY, "{queued:?}");
}

/// What the parent reads is what has become of the clients, and at a UNIX socket only of those who have gone.
#[test]
fn what_has_become_of_clients_is_counted_for_the_parent() {
    let listener = bound();
    let (pages, slot, own, reporter) = both_sides();
    drop(own.enter());
    let mut child = looking(true, Some(LIMIT));
    child.reporter = Some(reporter);
    let _late = connect(&listener);
    drop(connect(&listener));
    wait_too_long();
    let _in_time = connect(&listener);
    child.accept(&listener).expect("accepted").expect("one is in time");
    let times = pages.queue_times(slot).expect("there is such a slot");
    assert_eq!((times.served(), times.refused, times.abandoned), (1, 1, 1), "{times:?}");
    assert!(times.waited_ms <= 250, "{times:?}");
}

#[test]
fn nothing_is_measured_unless_that_was_asked_for() {
    let listener = bound();
    let mut child = looking(false, None);
    let _client = connect(&listener);
    child.accept(&listener).expect("accepted").expect("one waits");
    assert_eq!(child.queued(), None);
}

#[test]
fn clients_that_have_waited_too_long_are_left_to_the_program() {
    let listener = bound();
    let mut child = looking(true, Some(LIMIT));
    let mut late: Vec<TcpStream> = (0..3).map(|_| connect(&listener)).collect();
    wait_too_long();
    let in_time = connect(&listener);
    let mut refused = 0;
    let served = child.accept_or_refuse(&listener, |_, (mut connection, _)| {
        refused += 1;
        connection.write_all(b"busy").expect("written");
    });
    let (_, peer) = served.expect("accepted").expect("one is in time");
    assert_eq!((refused, Some(peer)), (3, in_time.local_addr().ok()));
    assert!(child.queued().is_some_and(|queued| queued <= LIMIT.target), "{:?}", child.queued());
    for client in &mut late {
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("answered");
        assert_eq!(answer, "busy");
    }
}

#[test]
fn who_says_nothing_to_them_closes_their_connections() {
    let listener = bound();
    let mut child = looking(true, Some(LIMIT));
    let mut late = [connect(&listener), connect(&listener)];
    wait_too_long();
    // Of these the one that has waited is closed, whichever way connections are accepted.
    let _in_time = connect(&listener);
    child.accept(&listener).expect("accepted").expect("one is in time");
    for client in &mut late {
        assert_eq!(client.read(&mut [0]).expect("closed in order"), 0);
    }
    let mut late = connect(&listener);
    wait_too_long();
    let found = child.try_accept(&listener).expect("possible");
    assert!(matches!(found, TryAccept::Nothing), "{found:?}");
    assert_eq!(late.read(&mut [0]).expect("closed in order"), 0);
}

#[test]
fn clients_that_have_gone_are_nobodys() {
    let listener = bound();
    let mut child = looking(true, Some(LIMIT));
    drop(connect(&listener));
    thread::sleep(LIMIT.target + JIFFY);
    let client = connect(&listener);
    let served = child.accept_or_refuse(&listener, |_, _| panic!("nobody is there"));
    let (_, peer) = served.expect("accepted").expect("one is there");
    assert_eq!(Some(peer), client.local_addr().ok());
}

#[test]
fn at_a_unix_socket_those_who_have_gone_are_passed_over_and_the_others_served() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).expect("bound");
    let mut child = looking(true, Some(LIMIT));
    drop(UnixStream::connect(&path).expect("room"));
    let mut client = UnixStream::connect(&path).expect("room");
    wait_too_long();
    let served = child.accept_or_refuse(&listener, |_, _| panic!("nobody knows how long"));
    let (mut connection, _) = served.expect("accepted").expect("one is there");
    assert_eq!(child.queued(), None);
    connection.write_all(b"!").expect("the client is there");
    client.read_exact(&mut [0]).expect("it is this one");
}
