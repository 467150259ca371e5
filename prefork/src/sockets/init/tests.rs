//! What is found and what is made.

use std::net::{Ipv4Addr, TcpStream, UdpSocket};

use super::*;
use crate::{logs::log::Log, sockets::listeners::waiting_at, sockets::unix_socket::tests::alone};

fn init() -> Init {
    Init::new("test".to_owned(), false, std::env::current_dir().ok())
}

fn log() -> Log {
    Log::new("test", crate::logs::log::Role::Parent)
}

#[test]
fn waiting_connections_are_counted() {
    let mut init = init();
    let listener = init.listen("127.0.0.1:0").expect("bound");
    let listeners = init.into_listeners().0;
    assert_eq!(waiting_at(&listeners.places()), Some(0));
    let address = listener.local_addr().expect("bound");
    let clients: Vec<_> = (0..5).map(|_| TcpStream::connect(address).expect("connected")).collect();
    assert_eq!(waiting_at(&listeners.places()), Some(5));
    drop(listener.accept().expect("accepted"));
    assert_eq!(waiting_at(&listeners.places()), Some(4));
    drop(clients);
}

#[test]
fn closed_doors_keep_those_who_are_inside() {
    let mut init = init();
    let listener = init.listen("127.0.0.1:0").expect("bound");
    let mut listeners = init.into_listeners().0;
    let address = listener.local_addr().expect("bound");
    let client = TcpStream::connect(address).expect("connected");
    listeners.close_doors(&log());
    let late = TcpStream::connect(address).expect_err("it is closed");
    assert_eq!(late.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(waiting_at(&listeners.places()), Some(1));
    drop(listener.accept().expect("it still waits"));
    drop(client);
}

#[test]
fn a_taken_address_is_named() {
    let mut init = init();
    let listener = init.listen("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    let error = init.listen(address).expect_err("taken");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

fn activated(name: &str, socket: impl Into<OwnedFd>) -> Activated {
    Activated { name: name.to_owned(), socket: socket.into() }
}

#[test]
fn sockets_that_were_passed_are_found_by_address_path_or_name() {
    let folder = std::env::temp_dir().join(format!("prefork-init-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("made");
    let path = folder.join("socket");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = tcp.local_addr().expect("bound");
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").expect("bound");
    let mut init = init();
    init.activate(vec![
        activated("tcp", tcp),
        activated("unix", UnixListener::bind(&path).expect("bound")),
        activated("udp", datagrams),
    ]);
    assert_eq!(init.listen(address).expect("found").local_addr().expect("bound"), address);
    init.listen_unix(&path).expect("found");
    assert!(init.activated("tcp").expect("asked").is_none(), "it has been found already");
    assert!(init.activated("udp").expect("asked").is_some());
    assert!(init.activated("udp").expect("asked").is_none());
    std::fs::remove_dir_all(folder).expect("removed");
}

/// The address of the program is open to less than the manager's, or another.
#[test]
fn an_error_names_the_sockets_that_were_passed_too() {
    let passed = TcpListener::bind("0.0.0.0:0").expect("bound");
    let port = passed.local_addr().expect("bound").port();
    let mut init = init();
    init.activate(vec![
        activated("web", passed),
        activated("dns", UdpSocket::bind("127.0.0.1:0").expect("bound")),
    ]);
    let error = init.listen(("127.0.0.1", port)).expect_err("it is taken");
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot listen on (\"127.0.0.1\", {port}): ")), "{text}");
    let named = format!("the service manager has passed 0.0.0.0:{port} (FileDescriptorName=web):");
    assert!(text.contains(&named) && !text.contains("dns"), "{text}");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    let error = init.listen_unix("/no/such/folder/socket").expect_err("there is no folder");
    assert!(error.to_string().contains(&named), "{error}");
    init.listen(("0.0.0.0", port)).expect("that is the one");
    let error = init.listen(("0.0.0.0", port)).expect_err("it is taken");
    assert!(!error.to_string().contains("service manager"), "{error}");
}

#[test]
fn sockets_that_were_made_go_and_those_that_were_passed_stay() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a directory");
    let [made, passed] = ["made", "passed"].map(|name| folder.path().join(name));
    let mut init = init();
    init.activate(vec![activated("unix", UnixListener::bind(&passed).expect("bound"))]);
    init.listen_unix(&made).expect("bound");
    init.listen_unix(&passed).expect("found");
    let taken = init.listen_unix(&made).expect_err("taken");
    assert!(taken.to_string().ends_with("/made\": a process listens there"), "{taken}");
    let (listeners, files) = init.into_listeners();
    let mine: Vec<_> = listeners.iter().map(|listening| listening.file).collect();
    assert_eq!(mine, [Some(files[0].id()), None]);
    drop((listeners, files));
    assert!(!made.exists() && passed.exists());
}

#[test]
fn relative_paths_are_taken_from_where_the_program_was_started() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a directory");
    let mut init = Init::new("test".to_owned(), true, Some(folder.path().to_owned()));
    init.listen_unix("socket").expect("bound");
    assert!(folder.path().join("socket").exists());
    init.listen_unix("").expect_err("no path");
    let mut lost = Init::new("test".to_owned(), true, None);
    let error = lost.listen_unix("socket").expect_err("nobody knows where");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_mode_has_permissions_and_no_more() {
    let error = init().listen_unix_with_mode("/nowhere/x", 0o4660).expect_err("too many");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("mode 4660"), "{error}");
}

#[test]
fn one_text_says_which_kind_of_socket() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a directory");
    let mut init = Init::new("test".to_owned(), false, Some(folder.path().to_owned()));
    for (address, expected) in [
        ("127.0.0.1:0".to_owned(), "127.0.0.1:"),
        ("localhost:0".to_owned(), ""),
        ("./a".to_owned(), "unix:/"),
        ("unix:b".to_owned(), "unix:/"),
        (format!("unix:{}/c", folder.path().display()), "unix:/"),
    ] {
        let socket = init.listen_any(&address).expect("bound");
        let bound = socket.local_addr().expect("bound").to_string();
        assert!(bound.starts_with(expected), "{address}: {bound}");
    }
    for name in ["a", "b", "c"] {
        assert!(folder.path().join(name).exists(), "{name}");
    }
    for nonsense in ["", "unix:", "nonsense", "80", "/no/such/folder/x"] {
        let error = init.listen_any(nonsense).expect_err(nonsense);
        assert!(error.to_string().starts_with("cannot listen on \""), "{error}");
    }
    let error = init.listen_any("nonsense").expect_err("nonsense");
    let advice =
        "it is no address; write 127.0.0.1:8080, localhost:8080, :8080, [::1]:8080 or /run/x.sock";
    assert_eq!(error.to_string(), format!("cannot listen on \"nonsense\": {advice}"));
    let everywhere = init.listen_any(":0").expect("bound").local_addr().expect("bound").to_string();
    assert!(everywhere.starts_with("[::]:") || everywhere.starts_with("0.0.0.0:"), "{everywhere}");
}

/// What an earlier program may have noted of a datagram socket.
fn left(name: &str, known_by: KnownBy, socket: impl Into<OwnedFd>) -> InheritedListener {
    let activated = Some(name.to_owned());
    InheritedListener { known_by, activated, file: None, socket: socket.into() }
}

#[test]
fn who_wants_to_listen_is_not_given_datagrams() {
    // At an address where nobody else has a port of TCP.
    let host = Ipv4Addr::from(0x7f80_0000 | (std::process::id() & 0x7f_ffff));
    let datagrams = UdpSocket::bind((host, 0)).expect("bound");
    let address = datagrams.local_addr().expect("bound");
    let mut init = init();
    init.activate(vec![activated("dns", datagrams.try_clone().expect("duplicated"))]);
    assert!(init.activated("dns").expect("asked").is_some());
    let known_by: Vec<_> =
        init.into_listeners().0.iter().map(|listening| listening.known_by.clone()).collect();
    assert_eq!(known_by, [KnownBy::Name]);
    for known_by in [KnownBy::Name, KnownBy::Tcp(vec![address])] {
        let mut next = self::init();
        let socket = datagrams.try_clone().expect("duplicated");
        next.inherit(Role::Successor, vec![left("dns", known_by, socket)]);
        let listener = next.listen(address).expect("the port of TCP is free");
        TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        assert!(next.activated("dns").expect("asked").is_some(), "it is still there");
    }
}

/// A socket that listens is found by its address too, though the old program asked for it by its name.
#[test]
fn a_program_may_ask_in_another_way_than_the_old_one() {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = tcp.local_addr().expect("bound");
    let mut before = init();
    before.activate(vec![activated("web", tcp.try_clone().expect("duplicated"))]);
    assert!(before.activated("web").expect("asked").is_some());
    let known_by = before.into_listeners().0.iter().next().map(|it| it.known_by.clone());
    let mut next = init();
    next.inherit(Role::Successor, vec![left("web", known_by.expect("one"), tcp)]);
    next.listen(address).expect("it is the same socket");
}

#[test]
fn the_queue_is_that_of_sockets_that_have_one() {
    let datagrams = || UdpSocket::bind("127.0.0.1:0").expect("bound");
    let mut init = init();
    init.activate(vec![activated("udp", datagrams())]);
    drop(init.activated("udp").expect("asked"));
    let listeners = init.into_listeners().0;
    assert_eq!((waiting_at(&listeners.places()), listeners.queue()), (None, None));
    let mut init = self::init();
    init.activate(vec![activated("udp", datagrams())]);
    drop(init.activated("udp").expect("asked"));
    init.listen("127.0.0.1:0").expect("bound");
    let listeners = init.into_listeners().0;
    assert_eq!(waiting_at(&listeners.places()), Some(0));
    assert!(listeners.queue().expect("there is one").limit > 0);
    assert_eq!(waiting_at(&self::init().into_listeners().0.places()), None);
}

/// The service manager gives the same socket to the next daemon.
#[test]
fn doors_of_the_service_manager_stay_open() {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = tcp.local_addr().expect("bound");
    let mut init = init();
    init.activate(vec![activated("tcp", tcp.try_clone().expect("duplicated"))]);
    drop(init.activated("tcp").expect("asked"));
    let mut listeners = init.into_listeners().0;
    assert_eq!(listeners.outliving().len(), 1);
    listeners.close_doors(&log());
    TcpStream::connect_timeout(&address, std::time::Duration::from_secs(5)).expect("let in");
    assert_eq!(waiting_at(&listeners.places()), Some(1));
}

/// An arbiter's sockets end with its daemon: the door stays closed when the pool's parent has gone, so that nobody comes in
/// between that and the end of the arbiter.
#[test]
fn doors_of_an_arbiter_are_closed_and_stay_so() {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = tcp.local_addr().expect("bound");
    let mut init = init();
    let name = crate::sockets::listeners::ARBITERS;
    init.activate(vec![activated(name, tcp.try_clone().expect("duplicated"))]);
    drop(init.activated(name).expect("asked"));
    let mut listeners = init.into_listeners().0;
    listeners.settle_terms();
    // One pool alone has ended: its next parent serves.
    listeners.disarm();
    drop(TcpStream::connect(address).expect("it is open"));
    assert_eq!(listeners.outliving().len(), 0);
    listeners.close_doors(&log());
    listeners.disarm();
    drop(listeners);
    let late = TcpStream::connect(address).expect_err("it is closed");
    assert_eq!(late.kind(), io::ErrorKind::ConnectionRefused);
}
