use std::{
    net::{TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;
use crate::testing::wait_until;

fn is_woken(arm: &Arm) -> bool {
    let fd = arm.fd();
    let no_time = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&no_time)).expect("polled") == 1
}

/// Both ways, of which a kernel may refuse the first.
fn ways(sockets: impl Fn() -> Vec<OwnedFd>) -> [Arm; 2] {
    let held = sockets();
    let way = Way::by_epoll(&held).expect("the kernel has epoll");
    [Arm::new(sockets()).expect("it waits"), Arm { sockets: held, way, is_armed: true }]
}

fn tcp() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("bound")
}

fn connect(to: &TcpListener) -> TcpStream {
    TcpStream::connect(to.local_addr().expect("it is bound")).expect("connected")
}

#[test]
fn a_connection_at_any_of_the_sockets_ends_the_wait() {
    let (first, second) = (tcp(), tcp());
    let copies = || {
        vec![first.try_clone().expect("copied").into(), second.try_clone().expect("copied").into()]
    };
    for mut arm in ways(copies) {
        for listener in [&first, &second, &first] {
            assert!(!is_woken(&arm));
            assert_eq!(arm.wait().expect("it waits"), Waits::Already);
            let client = connect(listener);
            assert!(is_woken(&arm));
            arm.stop_waiting().expect("stopped");
            listener.accept().expect("accepted");
            drop(client);
            assert_eq!(arm.wait().expect("it waits"), Waits::Since);
        }
    }
}

#[test]
fn a_connection_that_waits_already_ends_it_at_once() {
    let listener = tcp();
    let client = connect(&listener);
    for arm in ways(|| vec![listener.try_clone().expect("copied").into()]) {
        assert!(is_woken(&arm));
    }
    drop(client);
}

#[test]
fn one_that_was_accepted_at_once_ends_it_and_no_other_wakes() {
    let listener = tcp();
    let mut arm = Arm::new(vec![listener.try_clone().expect("copied").into()]).expect("it waits");
    let Way::Once(_) = &arm.way else {
        println!("SKIPPED: this kernel has no IOCB_CMD_POLL, or forbids it");
        return;
    };
    for _ in 0..3 {
        for _ in 0..3 {
            let client = connect(&listener);
            listener.accept().expect("accepted");
            drop(client);
        }
        assert!(is_woken(&arm), "although nothing waits any more");
        arm.stop_waiting().expect("stopped");
        let mut times = [0; 8];
        rustix::io::read(arm.fd(), &mut times).expect("it can be read");
        assert_eq!(u64::from_ne_bytes(times), 1, "the first one alone has woken");
        // As if nobody had read it.
        rustix::io::write(arm.fd(), &times).expect("written");
        arm.wait().expect("it waits");
        assert!(!is_woken(&arm));
    }
}

#[test]
fn what_has_come_to_unix_sockets_is_seen_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).expect("bound");
    for arm in ways(|| vec![listener.try_clone().expect("copied").into()]) {
        assert!(!is_woken(&arm));
        let client = UnixStream::connect(&path).expect("connected");
        assert!(is_woken(&arm));
        listener.accept().expect("accepted");
        drop(client);
    }
}

#[test]
fn what_waits_ends_with_its_arm() {
    let listener = tcp();
    let address = listener.local_addr().expect("it is bound");
    drop(Arm::new(vec![listener.into()]).expect("it waits"));
    // What other tests start has it for a moment, until its exec.
    wait_until("nobody holds the socket", || TcpStream::connect(address).is_err());
}
