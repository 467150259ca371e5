//! Children that accept, in this process.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fmt::Display,
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd, RawFd},
    thread,
    time::Duration,
};

use prefork_core::{Generation, SlotId};
use prefork_sockets::close_to_newcomers;
use rustix::net::sockopt;

use super::*;
use crate::child::Clients;
use crate::{
    AccessLog, AnyListener, AnyStream,
    child::{
        By, ChildParts, Limits, Queueing, Stop, Work,
        listener::sealed::{Inside, Sockets},
        stops,
    },
    logs::log::{Log, Role},
    sockets::hand_over::Outlets,
    system::os::Poller,
};

/// After how long a child that waits for what does not come is asked to leave, so that its test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A child of nobody, with the way to ask it to leave.
pub(in crate::child) fn child() -> (Child, Stop) {
    child_beside(&[])
}

/// The same, where these sockets outlive the daemon.
pub(in crate::child) fn child_beside(outliving: &[&TcpListener]) -> (Child, Stop) {
    let cookie = |socket: &&TcpListener| sockopt::socket_cookie(socket).expect("Linux has them");
    let stop = Stop::new(By::Thread, None).expect("an event descriptor");
    let child = Child::new(ChildParts {
        slot: SlotId(0),
        generation: Generation(1),
        stop: stop.clone(),
        work: Work::new(None, None, Limits::default()),
        tether: None,
        reporter: None,
        poller: Poller::new(stops(&stop, None)).expect("an epoll descriptor"),
        outliving: outliving.iter().map(cookie).collect(),
        outlets: Outlets::default(),
        concurrency: 1,
        clients: Clients::Any,
        queueing: Queueing::new(false, None),
        own: Vec::new(),
        cells: None,
        access_log: AccessLog::nowhere(),
        log: Log::new("test", Role::Child),
    });
    let in_the_end = stop.clone();
    thread::spawn(move || {
        thread::sleep(PATIENCE);
        in_the_end.ask();
    });
    (child, stop)
}

pub(in crate::child) fn bound() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("bound")
}

pub(in crate::child) fn connect(listener: &TcpListener) -> TcpStream {
    TcpStream::connect(listener.local_addr().expect("bound")).expect("connected")
}

/// Returns the client of a connection.
fn from(accepted: Option<(TcpStream, SocketAddr)>) -> Option<SocketAddr> {
    accepted.map(|(_, peer)| peer)
}

fn own(client: &TcpStream) -> Option<SocketAddr> {
    client.local_addr().ok()
}

/// A listener that fails so often before it accepts.
pub(in crate::child) struct Failing {
    pub(in crate::child) listener: TcpListener,
    pub(in crate::child) errors: RefCell<Vec<Errno>>,
}

impl Failing {
    /// The last one comes first.
    pub(in crate::child) fn new(errors: &[Errno]) -> Self {
        Self { listener: bound(), errors: RefCell::new(errors.to_vec()) }
    }
}

impl Listener for Failing {
    type Connection = (TcpStream, SocketAddr);
}

impl Sockets for Failing {
    type Accepted = (TcpStream, SocketAddr);

    fn peer(_: Inside, (_, address): &Self::Accepted) -> impl Display {
        address
    }

    fn socket(inside: Inside, accepted: &Self::Accepted) -> (BorrowedFd<'_>, Option<SocketAddr>) {
        TcpListener::socket(inside, accepted)
    }

    fn each(
        &self,
        inside: Inside,
        visit: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.listener.each(inside, visit)
    }

    fn accept_from(&self, inside: Inside, fd: RawFd) -> Option<io::Result<Self::Accepted>> {
        match self.errors.borrow_mut().pop() {
            Some(error) => Some(Err(error.into())),
            None => self.listener.accept_from(inside, fd),
        }
    }
}

#[test]
fn errors_of_accept_are_sorted() {
    let sorted = |errno: Errno| accept_failure(&errno.into());
    assert_eq!(sorted(Errno::AGAIN), AcceptFailure::Again);
    assert_eq!(sorted(Errno::CONNABORTED), AcceptFailure::Again);
    assert_eq!(sorted(Errno::MFILE), AcceptFailure::Pause);
    assert_eq!(sorted(Errno::NOMEM), AcceptFailure::Pause);
    assert_eq!(sorted(Errno::BADF), AcceptFailure::Fail);
    assert_eq!(sorted(Errno::INVAL), AcceptFailure::Deaf);
    assert_eq!(accept_failure(&io::Error::other("?")), AcceptFailure::Fail);
}

/// A connection at a listener of an earlier call is left to a child that still accepts there.
#[test]
fn only_the_listeners_of_this_call_are_waited_for() {
    let (mut child, _stop) = child();
    let (a, b) = (bound(), bound());
    let clients = [connect(&a), connect(&a), connect(&b)];
    assert_eq!(from(child.accept(&a).expect("accepted")), own(&clients[0]));
    assert_eq!(from(child.accept(&b).expect("accepted")), own(&clients[2]));
    let poller = &child.poller;
    assert!(poller.waits_at(|visit| b.each(INSIDE, visit)).expect("known"));
    assert!(!poller.waits_at(|visit| [&a, &b].each(INSIDE, visit)).expect("known"));
    assert_eq!(from(child.accept(&a).expect("accepted")), own(&clients[1]));
}

/// The socket is still open elsewhere, so the kernel goes on reporting what happens there, and its number
/// does not lead to it any more.
#[test]
fn a_listener_that_was_closed_is_let_go() {
    let (mut child, _stop) = child();
    let (a, b) = (bound(), bound());
    let elsewhere = a.try_clone().expect("duplicated");
    let first = connect(&a);
    assert_eq!(from(child.accept(&a).expect("accepted")), own(&first));
    drop(a);
    let (_waits, client) = (connect(&elsewhere), connect(&b));
    assert_eq!(from(child.accept(&b).expect("accepted")), own(&client));
    let poller = &child.poller;
    let next = connect(&b);
    assert_eq!(poller.wait().expect("waited"), Source::Listener(b.as_raw_fd()));
    drop(next);
}

#[test]
fn nobody_waits_for_no_listeners() {
    let (mut child, _stop) = child();
    let listener = bound();
    let _client = connect(&listener);
    child.accept(&listener).expect("accepted");
    for none in [&[][..], &[vec![], vec![]]] {
        let error = child.accept::<[Vec<TcpListener>]>(none).expect_err("there are none");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "no listeners to accept from");
    }
    let _client = connect(&listener);
    child.accept(&listener).expect("it goes on");
}

#[test]
fn the_same_listener_twice_is_one() {
    let (mut child, _stop) = child();
    let listener = bound();
    for _ in 0..2 {
        let client = connect(&listener);
        let accepted = child.accept(&[&listener, &listener]).expect("accepted");
        assert_eq!(from(accepted), own(&client));
    }
}

#[test]
fn tcp_and_unix_are_accepted_from_at_once() {
    let (mut child, _stop) = child();
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("socket");
    let unix = std::os::unix::net::UnixListener::bind(&path).expect("bound");
    let tcp = bound();
    let address = tcp.local_addr().expect("bound");
    let listeners = [AnyListener::from(tcp), unix.into()];
    let client = TcpStream::connect(address).expect("connected");
    let (_, peer) = child.accept(&listeners).expect("accepted").expect("it is not to leave");
    assert_eq!(peer.to_string(), own(&client).expect("bound").to_string());
    let _client = std::os::unix::net::UnixStream::connect(&path).expect("connected");
    let (_, peer) = child.accept(&listeners).expect("accepted").expect("it is not to leave");
    assert_eq!(peer.to_string(), "unix:");
}

/// However busy one of them is.
#[test]
fn listeners_are_served_in_turn() {
    for count in [2_usize, 16] {
        let (mut child, _stop) = child();
        let folder = tempfile::tempdir().expect("a directory");
        let path = |number| folder.path().join(format!("{number}"));
        let listener = |number| match number % 2 {
            0 => AnyListener::from(bound()),
            _ => std::os::unix::net::UnixListener::bind(path(number)).expect("bound").into(),
        };
        let listeners: Vec<_> = (0..count).map(listener).collect();
        let address = |listener: &AnyListener| listener.local_addr().expect("bound").to_string();
        let all: BTreeSet<_> = listeners.iter().map(address).collect();
        let connect = |listener: &AnyListener| {
            AnyStream::connect(&listener.local_addr().expect("bound")).expect("connected")
        };
        let mut clients: Vec<_> =
            listeners.iter().flat_map(|listener| [listener; 10].map(connect)).collect();
        for round in 0..10 {
            // More come to one of them than are served.
            clients.extend([&listeners[0]; 5].map(connect));
            let mut serve = || {
                let accepted = child.accept(&listeners).expect("accepted");
                let (connection, _) = accepted.expect("it is not to leave");
                connection.local_addr().expect("bound").to_string()
            };
            let served: BTreeSet<_> = (0..count).map(|_| serve()).collect();
            assert_eq!(served, all, "in round {round} each of {count} has its turn");
        }
    }
}

#[test]
fn a_failed_accept_is_survived() {
    let (mut child, _stop) = child();
    let failing = Failing::new(&[Errno::CONNABORTED, Errno::MFILE, Errno::NETDOWN]);
    let client = connect(&failing.listener);
    assert_eq!(from(child.accept(&failing).expect("accepted")), own(&client));
    let failing = Failing::new(&[Errno::INVAL]);
    let _client = connect(&failing.listener);
    child.accept(&failing).expect_err("nothing will ever be accepted");
}

#[test]
fn who_waits_when_the_daemon_stops_is_served() {
    let (mut child, stop) = child();
    let listeners = [bound(), bound()];
    let clients = [connect(&listeners[1]), connect(&listeners[0]), connect(&listeners[1])];
    stop.ask();
    let mut served: Vec<_> =
        std::iter::from_fn(|| from(child.accept(&listeners).expect("accepted"))).collect();
    let mut expected: Vec<_> = clients.iter().filter_map(own).collect();
    served.sort_unstable();
    expected.sort_unstable();
    assert_eq!(served, expected);
    assert!(child.accept(&listeners).expect("nothing fails").is_none());
}

/// Neither is a client that has gone a reason to leave the others unanswered, nor a lack of descriptors.
#[test]
fn a_failed_accept_does_not_end_the_draining() {
    let (mut child, stop) = child();
    let failing = Failing::new(&[Errno::CONNABORTED, Errno::MFILE, Errno::CONNABORTED]);
    let clients = [connect(&failing.listener), connect(&failing.listener)];
    // As the parent closes it.
    close_to_newcomers(&failing.listener).expect("everybody may");
    stop.ask();
    assert_eq!(from(child.accept(&failing).expect("accepted")), own(&clients[0]));
    failing.errors.borrow_mut().push(Errno::NETUNREACH);
    assert_eq!(from(child.accept(&failing).expect("accepted")), own(&clients[1]));
    assert!(child.accept(&failing).expect("nothing fails").is_none());
    assert!(failing.errors.borrow().is_empty());
    failing.errors.borrow_mut().push(Errno::MFILE);
    assert!(child.accept(&failing).expect("nobody waits").is_none(), "nor does it, for nobody");
}

#[test]
fn clients_that_never_get_through_do_not_keep_a_child() {
    let (mut child, stop) = child();
    let failing = Failing::new(&[Errno::CONNABORTED; 1000]);
    let _client = connect(&failing.listener);
    stop.ask();
    assert!(child.accept(&failing).expect("nothing fails").is_none());
    assert!(failing.errors.borrow().len() > 900, "it gave up after as many as may wait");
}

/// They come in as fast as they are served.
#[test]
fn clients_that_keep_coming_to_an_open_socket_do_not_keep_a_child() {
    let (mut child, stop) = child();
    let listener = bound();
    let mut clients = vec![connect(&listener), connect(&listener)];
    stop.ask();
    while child.accept(&listener).expect("nothing fails").is_some() {
        clients.push(connect(&listener));
        assert!(clients.len() < 100, "it never leaves");
    }
    assert_eq!(clients.len(), 4, "clients that waited were served, and no others");
}

/// The next start has that socket.
#[test]
fn who_waits_at_a_socket_that_outlives_the_daemon_is_left_there() {
    let (outlives, ends) = (bound(), bound());
    let (mut child, stop) = child_beside(&[&outlives]);
    let (left, served) = (connect(&outlives), connect(&ends));
    let listeners = [outlives.try_clone().expect("duplicated"), ends];
    stop.ask();
    assert_eq!(from(child.accept(&listeners).expect("accepted")), own(&served));
    assert!(child.accept(&listeners).expect("nothing fails").is_none());
    assert_eq!(outlives.accept().expect("it still waits").1, own(&left).expect("bound"));
}
