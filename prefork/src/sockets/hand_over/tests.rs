use std::{
    io::{self, Read},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    time::Duration,
};

use prefork_sockets::AnyAddr;
use rustix::{
    io::Errno,
    net::{SocketFlags, socketpair, sockopt},
};

use super::*;

/// The way to a pool that is called `other`, and its other end.
fn way() -> (Outlets, HandOvers) {
    let (domain, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    let (sends, takes) = socketpair(domain, kind, SocketFlags::CLOEXEC, None).expect("a pair");
    let outlet = Outlet { pool: "other".to_owned(), socket: sends };
    ([outlet].into_iter().collect(), HandOvers::new(takes).expect("one end"))
}

/// A connection, and the address of its client, who stays.
fn connection() -> (TcpStream, SocketAddr, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let (connection, peer) = listener.accept().expect("accepted");
    (connection, peer, client)
}

#[test]
fn what_is_handed_over_comes_with_what_was_read() {
    for length in [0, 1, 1000, MOST_BYTES] {
        let ((outlets, takes), (connection, peer, client)) = (way(), connection());
        let bytes = vec![b'x'; length];
        outlets.hand_over("other", connection.as_fd(), &bytes).expect("there is room");
        drop(connection);
        let mut handed = takes.take().expect("it waits");
        assert!(matches!(handed.peer(), AnyAddr::Tcp(address) if *address == peer));
        assert_eq!(handed.bytes_read(), bytes);
        io::Write::write_all(&mut { &client }, b"more").expect("sent");
        drop(client);
        let mut all = Vec::new();
        handed.read_to_end(&mut all).expect("read");
        assert_eq!(all, [&bytes[..], b"more"].concat());
        assert!(handed.bytes_read().is_empty());
    }
}

#[test]
fn what_was_not_read_yet_comes_before_the_connection() {
    let ((outlets, takes), (connection, ..)) = (way(), connection());
    outlets.hand_over("other", connection.as_fd(), b"GET / HTTP").expect("there is room");
    let mut handed = takes.take().expect("it waits");
    handed.read_exact(&mut [0; 4]).expect("read");
    let (_, rest) = handed.into_parts();
    assert_eq!(rest, b"/ HTTP");
}

#[test]
fn a_connection_over_a_unix_socket_is_one_too() {
    let (outlets, takes) = way();
    let (near, _far) = UnixStream::pair().expect("a pair");
    outlets.hand_over("other", near.as_fd(), b"").expect("there is room");
    assert!(matches!(takes.take().expect("it waits").peer(), AnyAddr::Unix(_)));
}

/// Whatever the sender has set: reads wait, and closing does not.
#[test]
fn it_blocks_and_does_not_linger() {
    let ((outlets, takes), (connection, ..)) = (way(), connection());
    connection.set_nonblocking(true).expect("set");
    sockopt::set_socket_linger(&connection, Some(Duration::from_secs(100))).expect("set");
    outlets.hand_over("other", connection.as_fd(), b"").expect("there is room");
    let handed = takes.take().expect("it waits");
    let flags = rustix::fs::fcntl_getfl(&handed).expect("a socket");
    assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
    assert_eq!(sockopt::socket_linger(&handed), Ok(None));
}

#[test]
fn nothing_is_taken_where_nothing_waits() {
    let (_outlets, takes) = way();
    let error = takes.take().expect_err("nothing waits");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(takes.socket().is_some());
}

#[test]
fn the_end_of_all_senders_is_known() {
    let (outlets, takes) = way();
    let (connection, ..) = connection();
    outlets.hand_over("other", connection.as_fd(), b"").expect("there is room");
    drop(outlets);
    takes.take().expect("what was sent before comes first");
    let error = takes.take().expect_err("nothing can come");
    assert!(Ended::is_behind(&error), "{error}");
    assert!(takes.socket().is_none());
}

#[test]
fn what_cannot_be_handed_over_is_named() {
    let ((outlets, takes), (connection, ..)) = (way(), connection());
    let refused = |pool: &str, bytes: &[u8]| {
        let error = outlets.hand_over(pool, connection.as_fd(), bytes).expect_err("refused");
        (error.to_string(), error)
    };
    let (text, error) = refused("else", b"");
    assert!(matches!(error, HandOverError::Unknown { .. }));
    assert_eq!(text, "cannot hand a connection to pool else: it is not named in hands_to");
    let (text, error) = refused("other", &[0; MOST_BYTES + 1]);
    assert!(matches!(error, HandOverError::TooLong { .. }));
    assert_eq!(
        text,
        "cannot hand a connection to pool other with 65537 bytes of it: at most 65536 can go with one"
    );
    let mut waiting = 0;
    while outlets.hand_over("other", connection.as_fd(), b"").is_ok() {
        waiting += 1;
        assert!(waiting < 100_000, "the kernel knows no limit");
    }
    assert!(waiting > 50, "only {waiting} can wait");
    assert!(matches!(refused("other", b"").1, HandOverError::Full { .. }));
    drop(takes);
    assert!(matches!(refused("other", b"").1, HandOverError::Gone { .. }));
}

/// So nobody can send descriptors to those who send, and who would have to close them.
#[test]
fn nothing_goes_the_other_way() {
    let (domain, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    for closes_sender in [true, false] {
        let (sends, takes) = socketpair(domain, kind, SocketFlags::CLOEXEC, None).expect("a pair");
        let back = takes.try_clone().expect("a descriptor");
        let _takes = if closes_sender {
            Outlet::close_for_reading(&sends).expect("closed");
            None
        } else {
            Some(HandOvers::new(takes).expect("one end"))
        };
        let sent = rustix::net::send(&back, b"x", rustix::net::SendFlags::NOSIGNAL);
        assert_eq!(sent, Err(Errno::PIPE));
        rustix::net::send(&sends, b"x", rustix::net::SendFlags::NOSIGNAL).expect("this way");
    }
}

#[test]
fn an_end_is_known_by_its_name_and_by_what_it_is() {
    let (domain, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
    let pair = |kind| socketpair(domain, kind, flags, None).expect("a pair").0;
    let (way, stream) = (pair(SocketType::SEQPACKET), pair(SocketType::STREAM));
    let listener: OwnedFd = TcpListener::bind("127.0.0.1:0").expect("bound").into();
    assert_eq!(End::of(Some("hand-over"), &way), Some(End::Takes));
    assert_eq!(End::of(Some("hand-over-to=a"), &way), Some(End::LeadsTo("a")));
    assert_eq!(End::of(Some("hand-over-to"), &way), None);
    assert_eq!(End::of(Some("http"), &way), None);
    assert_eq!(End::of(None, &way), None);
    for other in [stream, listener] {
        assert_eq!(End::of(Some("hand-over"), &other), None);
    }
}
