//! A child that waits elsewhere, in this process.

use std::{
    net::{SocketAddr, TcpStream},
    os::fd::AsFd,
};

use prefork_sockets::close_to_newcomers;
use rustix::{
    event::{
        PollFd, PollFlags, Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
        poll,
    },
    io::Errno,
};

use super::*;
use crate::child::accept::tests::{Failing, bound, child, child_beside, connect};

/// Whether the descriptor is readable now.
fn is_ready(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::default())).expect("polled") > 0
}

fn client(accepted: TryAccept<(TcpStream, SocketAddr)>) -> SocketAddr {
    match accepted {
        TryAccept::Connection((_, peer)) => peer,
        other => panic!("no connection but {other:?}"),
    }
}

fn own(client: &TcpStream) -> SocketAddr {
    client.local_addr().expect("bound")
}

#[test]
fn the_descriptor_is_readable_while_a_connection_waits() {
    let (mut child, stop) = child();
    let listener = bound();
    assert!(!is_ready(child.accept_fd(&listener).expect("set up")));
    assert!(matches!(child.try_accept(&listener), Ok(TryAccept::Nothing)));
    let clients = [connect(&listener), connect(&listener)];
    for waiting in &clients {
        assert!(is_ready(child.accept_fd(&listener).expect("set up")));
        assert_eq!(client(child.try_accept(&listener).expect("accepted")), own(waiting));
    }
    assert!(matches!(child.try_accept(&listener), Ok(TryAccept::Nothing)));
    assert!(!is_ready(child.accept_fd(&listener).expect("set up")));
    stop.ask();
    assert!(is_ready(child.accept_fd(&listener).expect("set up")));
    assert!(matches!(child.try_accept(&listener), Ok(TryAccept::Stop)));
}

/// As mio and tokio wait: edge-triggered, at a copy of the descriptor that was made once.
#[test]
fn each_connection_is_an_edge_for_those_who_wait_at_the_descriptor() {
    let (mut child, stop) = child();
    let listener = bound();
    let ready = child.accept_fd(&listener).expect("set up").try_clone_to_owned().expect("a copy");
    let outer = epoll::create(CreateFlags::CLOEXEC).expect("made");
    let edges = EventFlags::IN | EventFlags::ET;
    epoll::add(&outer, &ready, EventData::new_u64(0), edges).expect("added");
    let woken = |is_expected: bool| {
        let mut space = [epoll::Event { flags: EventFlags::IN, data: EventData::new_u64(0) }; 1];
        let (found, _) = epoll::wait(&outer, &mut space[..], Some(&Timespec::default()))
            .map(|count| (count, ()))
            .expect("waited");
        assert_eq!(found > 0, is_expected);
    };
    woken(false);
    for _ in 0..3 {
        let _client = connect(&listener);
        woken(true);
        client(child.try_accept(&listener).expect("accepted"));
        assert!(matches!(child.try_accept(&listener), Ok(TryAccept::Nothing)));
        woken(false);
    }
    // While it takes none, none wakes it; then those that came meanwhile do.
    child.pause_accepting().expect("paused");
    let _waits = connect(&listener);
    woken(false);
    assert!(matches!(child.try_accept(&listener), Ok(TryAccept::Connection(_))));
    child.pause_accepting().expect("paused");
    stop.ask();
    woken(true);
    assert!(child.should_stop());
}

#[test]
fn a_child_that_takes_no_more_leaves_connections_to_others() {
    let (mut first, _stop) = child();
    let (mut second, _stop) = child();
    let listener = bound();
    assert!(matches!(first.try_accept(&listener), Ok(TryAccept::Nothing)));
    first.pause_accepting().expect("paused");
    let waiting = connect(&listener);
    assert!(!is_ready(first.poller.descriptor().expect("open")));
    assert!(is_ready(second.accept_fd(&listener).expect("set up")));
    assert_eq!(client(second.try_accept(&listener).expect("accepted")), own(&waiting));
}

/// What cannot be accepted must not have the loop spin.
#[test]
fn a_child_without_descriptors_pauses() {
    let (mut child, stop) = child();
    let failing = Failing::new(&[Errno::CONNABORTED, Errno::MFILE, Errno::NETDOWN]);
    let waiting = connect(&failing.listener);
    match child.try_accept(&failing).expect("it goes on") {
        TryAccept::Pause(time) => assert_eq!(time, PAUSE),
        other => panic!("no pause but {other:?}"),
    }
    assert!(!is_ready(child.poller.descriptor().expect("open")), "it would be woken at once");
    assert_eq!(client(child.try_accept(&failing).expect("accepted")), own(&waiting));
    let _waits = connect(&failing.listener);
    failing.errors.borrow_mut().push(Errno::MFILE);
    close_to_newcomers(&failing.listener).expect("everybody may");
    stop.ask();
    assert!(matches!(child.try_accept(&failing), Ok(TryAccept::Pause(_))));
    assert!(matches!(child.try_accept(&failing), Ok(TryAccept::Connection(_))));
    assert!(matches!(child.try_accept(&failing), Ok(TryAccept::Stop)));
    let (mut child, _stop) = self::child();
    let failing = Failing::new(&[Errno::BADF]);
    let _waits = connect(&failing.listener);
    child.try_accept(&failing).expect_err("nothing will ever be accepted");
}

#[test]
fn who_waits_when_the_daemon_stops_is_served_without_waiting() {
    let outlives = bound();
    let (mut child, stop) = child_beside(&[&outlives]);
    let ends = bound();
    let (_left, served) = (connect(&outlives), connect(&ends));
    let listeners = [outlives.try_clone().expect("duplicated"), ends];
    assert!(is_ready(child.accept_fd(&listeners).expect("set up").as_fd()));
    stop.ask();
    assert_eq!(client(child.try_accept(&listeners).expect("accepted")), own(&served));
    assert!(matches!(child.try_accept(&listeners), Ok(TryAccept::Stop)));
    assert!(matches!(child.try_accept(&listeners), Ok(TryAccept::Stop)));
}
