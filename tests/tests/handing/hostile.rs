//! Whatever a child sends that was taken over, the children of the other pool serve on.

use std::{
    fs::File,
    io::{IoSlice, Write},
    mem::MaybeUninit,
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

use prefork_tests::{PATIENCE, scene, wait_until};
use rustix::{
    event::epoll,
    io::Errno,
    net::{
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, sendmsg, shutdown, sockopt,
    },
    pipe::pipe,
};

use super::{Way, answered_by, heavy, light};

/// What messages begin with.
const HEADER: &[u8] = b"handed-1";

/// How many wait at most of a kind, so that the way has room.
const TIMES: usize = 20;

/// Sends what a child of the first pool could.
fn send(way: &Way, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    wait_until(PATIENCE, "there is room", || {
        match sendmsg(&way.sends, &[IoSlice::new(bytes)], &mut control, flags) {
            Ok(_) => true,
            Err(Errno::AGAIN | Errno::TOOMANYREFS) => false,
            Err(error) => panic!("{error}"),
        }
    });
}

/// A connection that closes only after 100 s, as it lingers, with bytes that nobody reads.
fn lingering() -> (OwnedFd, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let far = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let (mut near, _) = listener.accept().expect("accepted");
    near.set_nonblocking(true).expect("set");
    while near.write(&[0; 65_536]).is_ok() {}
    sockopt::set_socket_linger(&near, Some(Duration::from_secs(100))).expect("set");
    (near.into(), far)
}

#[test]
fn what_is_no_connection_is_dropped_and_serving_goes_on() {
    let (scenes, way) = ((scene!(), scene!()), Way::new());
    let front = light(&scenes.0, &way).daemon();
    let size = ["--prefork", "1", "--max-children", "1"];
    let back = heavy(&scenes.1, &way).args(size).daemon();
    let child = back.living();
    let (reader, writer) = pipe().expect("a pipe");
    let file = File::open("/proc/self/exe").expect("opened");
    let null = File::open("/dev/null").expect("opened");
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("made");
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let (lonely, other) = UnixStream::pair().expect("a pair");
    let (lingers, _far) = lingering();
    let never = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    let many: Vec<BorrowedFd<'_>> = vec![lingers.as_fd(); 253];
    let huge = [HEADER, &vec![b'x'; 70_000][..]].concat();
    let kinds: [(&str, &[u8], Vec<BorrowedFd<'_>>); 15] = [
        ("no descriptor", HEADER, vec![]),
        ("nothing", b"", vec![]),
        ("no bytes", b"", vec![never.as_fd()]),
        ("another beginning", b"handed-9", vec![never.as_fd()]),
        ("a pipe", HEADER, vec![reader.as_fd()]),
        ("its other end", HEADER, vec![writer.as_fd()]),
        ("a file", HEADER, vec![file.as_fd()]),
        ("a device", HEADER, vec![null.as_fd()]),
        ("an epoll descriptor", HEADER, vec![epoll.as_fd()]),
        ("a listener", HEADER, vec![listener.as_fd()]),
        ("datagrams", HEADER, vec![datagrams.as_fd()]),
        ("the way itself", HEADER, vec![way.takes.as_fd()]),
        ("two connections", HEADER, vec![lonely.as_fd(), other.as_fd()]),
        ("253 that linger", b"handed-1", many),
        ("too much", &huge, vec![never.as_fd()]),
    ];
    for (kind, bytes, descriptors) in kinds {
        for _ in 0..TIMES {
            send(&way, bytes, &descriptors);
        }
        let begun = Instant::now();
        assert_eq!(answered_by(&scenes.0), child[0], "{kind}");
        assert!(begun.elapsed() < PATIENCE, "{kind}");
    }
    assert_eq!(back.living(), child, "the same child");
    // Three, and further ones once in a minute.
    let lines = scenes.1.lines_with("error.log", "what was handed over is no connection");
    assert!((3..=5).contains(&lines.len()), "{lines:#?}");
    // All that came is closed.
    let open = || std::fs::read_dir(format!("/proc/{}/fd", child[0])).expect("alive").count();
    wait_until(PATIENCE, "all that came is closed", || open() < 20);
    front.stop_in_order();
    back.stop_in_order();
}

/// One that lingers is closed at once, whether it was refused or served.
#[test]
fn closing_what_came_waits_for_nothing() {
    let (scenes, way) = ((scene!(), scene!()), Way::new());
    let front = light(&scenes.0, &way).daemon();
    let size = ["--prefork", "1", "--max-children", "1"];
    let back = heavy(&scenes.1, &way).args(size).daemon();
    let (child, begun) = (back.living(), Instant::now());
    for round in 0..10 {
        // The receiver has the last one by then.
        let (near, far) = lingering();
        let twice = [near.as_fd(), near.as_fd()];
        send(&way, HEADER, if round % 2 == 0 { &twice } else { &twice[..1] });
        drop(near_into_flight(near));
        // Of those that are served the client hangs up.
        drop(far);
        assert_eq!(answered_by(&scenes.0), child[0], "round {round}");
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(50), "{took:?}");
    assert_eq!(back.living(), child);
    front.stop_in_order();
    back.stop_in_order();
}

/// Closes this process's own without waiting: what lingers is the descriptor that is under way.
fn near_into_flight(near: OwnedFd) -> OwnedFd {
    near
}

/// A client that has gone on the way is nobody's fault.
#[test]
fn a_client_that_has_gone_on_the_way_is_passed_over_in_silence() {
    let (scenes, way) = ((scene!(), scene!()), Way::new());
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    for _ in 0..TIMES {
        let far = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (near, _) = listener.accept().expect("accepted");
        sockopt::set_socket_linger(&far, Some(Duration::ZERO)).expect("set");
        send(&way, HEADER, &[near.as_fd()]);
    }
    let (front, back) = (light(&scenes.0, &way).daemon(), heavy(&scenes.1, &way).daemon());
    assert!(back.living().contains(&answered_by(&scenes.0)));
    assert_eq!(scenes.1.logged("what was handed over is no connection"), 0);
    front.stop_in_order();
    back.stop_in_order();
}

/// A way that was shut down for good ends no child that has something else to do, and makes nobody spin.
#[test]
fn a_way_that_is_shut_down_stops_nobody_from_listening() {
    let (scenes, way) = ((scene!(), scene!()), Way::new());
    let listen = scenes.1.address().to_string();
    let size = ["--prefork", "2", "--max-children", "4"];
    let back = heavy(&scenes.1, &way).args(["--listen", &listen]).args(size).daemon();
    let children = back.living();
    let front = light(&scenes.0, &way).daemon();
    assert!(back.living().contains(&answered_by(&scenes.0)));
    shutdown(&way.sends, Shutdown::Write).expect("it is connected");
    scenes.1.wait_for_line("no connection can be handed over to this pool any more");
    for _ in 0..10 {
        assert!(back.living().contains(&back.get("/").expect("it serves").number()));
    }
    assert_eq!(back.living(), children, "nobody has ended");
    // The sender has its connections back.
    let reply = front.get("/to-heavy/").expect("an answer");
    assert!(reply.status == 503 && front.living().contains(&reply.number()), "{reply:?}");
    wait_until(PATIENCE, "each child has found out", || {
        scenes.1.logged("no connection can be handed over to this pool any more") == 2
    });
    back.wait_for_rest();
    front.stop_in_order();
    back.stop_in_order();
}
