//! Clients that come while a daemon stops, and clients that have come just before.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use prefork_tests::{
    Daemon, InHand, Lack, PATIENCE, Scene, Sent, get, kill, scene, skip, wait_until,
};
use rustix::process::Signal;

/// Stops a daemon that has `children`, all of them busy, or none and a loop in the parent that is busy; somebody else
/// waits. Asserts that newcomers are refused meanwhile, and all others are answered.
#[track_caller]
fn assert_door_closes<S: Read + Write>(
    scene: &Scene,
    daemon: &Daemon<'_>,
    children: usize,
    connect: impl Fn() -> io::Result<S>,
) {
    let ask = || Sent::over(connect().expect("it is open"), "/hold").expect("sent");
    let requests: Vec<_> = (0..children.max(1)).map(|_| ask().taken()).collect();
    let waiting: Vec<_> = (0..3).map(|_| ask()).collect();
    daemon.signal(Signal::TERM);
    wait_until(PATIENCE, "newcomers are refused", || {
        connect().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
    for request in requests {
        request.release().expect("who was in hand is answered");
    }
    for request in waiting {
        request.taken().release().expect("who waited is answered");
    }
    daemon.assert_ends_in_order(PATIENCE);
    assert_eq!(scene.lines_with("error.log", "warning"), [""; 0]);
    assert_eq!(scene.lines_with("error.log", "error:"), [""; 0]);
}

/// H1: over IPv4, IPv6 and UNIX, whatever the daemon may do otherwise.
#[test]
fn newcomers_are_refused_while_a_daemon_stops() {
    let folder = tempfile::Builder::new().prefix("prefork-").tempdir_in("/tmp").expect("made");
    let path = folder.path().join("socket");
    for children in [0, 3] {
        let count = children.to_string();
        let scene = scene!();
        let daemon = scene.probe().args(["--prefork", &count]).daemon();
        assert_door_closes(&scene, &daemon, children, || connect(scene.address()));

        let scene = scene!();
        let launch = scene.probe().args(["--prefork", &count]);
        let daemon = launch.args(["--listen-unix".as_ref(), path.as_os_str()]).daemon();
        let connect_unix = || {
            let connection = UnixStream::connect(&path)?;
            connection.set_read_timeout(Some(PATIENCE))?;
            Ok(connection)
        };
        assert_door_closes(&scene, &daemon, children, connect_unix);

        let Ok(free) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
            skip(Lack::Platform("there is no IPv6"));
            continue;
        };
        let address = free.local_addr().expect("bound");
        drop(free);
        let scene = scene!();
        let listen = ["--prefork", &count, "--listen", &address.to_string()].map(str::to_owned);
        let daemon = scene.probe().args(listen).daemon();
        assert_door_closes(&scene, &daemon, children, || connect(address));
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    Ok(connection)
}

/// H1: a stop does not last for as long as clients keep coming, and none of those who were let in is lost.
#[test]
fn clients_that_keep_coming_do_not_keep_a_daemon() {
    for (children, by_hand) in [("0", false), ("4", false), ("16", false), ("4", true)] {
        let scene = scene!();
        let launch = scene.probe().args(["--prefork", children]);
        let daemon = if by_hand { launch.args(["--by-hand"]) } else { launch }.daemon();
        let (address, answered) = (scene.address(), Arc::new(AtomicUsize::new(0)));
        let client = || {
            let answered = answered.clone();
            thread::spawn(move || keep_coming(address, &answered))
        };
        let clients: Vec<_> = (0..16).map(|_| client()).collect();
        wait_until(PATIENCE, "all clients ask", || answered.load(Ordering::Relaxed) > 16);
        let begun = Instant::now();
        daemon.signal(Signal::TERM);
        // Each request takes 100 ms. A child that took as many as might come would take 6 s and more.
        daemon.assert_ends_in_order(Duration::from_secs(5));
        let took = begun.elapsed();
        let lost: usize = clients.into_iter().map(|client| client.join().expect("no panic")).sum();
        println!("with {children} children it took {took:?}, {lost} were lost");
        // A client that comes in the end to a socket that the library does not know is let in for nothing.
        assert!(lost == 0 || by_hand, "with {children} children {lost} were lost");
    }
}

/// Asks for what takes 100 ms until it is refused; returns how many requests had no answer.
fn keep_coming(address: SocketAddr, answered: &AtomicUsize) -> usize {
    let mut lost = 0;
    while let Ok(connection) = connect(address) {
        match Sent::over(connection, "/sleep/100").and_then(Sent::answer) {
            Ok(_) => _ = answered.fetch_add(1, Ordering::Relaxed),
            Err(_) => lost += 1,
        }
    }
    lost
}

/// The socket of a service manager is as it was for the next daemon, whether this one has ended in order or was killed
/// in the middle of its stop.
#[test]
fn a_service_managers_socket_is_as_it_was_however_a_stop_ends() {
    let scene = scene!();
    let sockets = format!("web={}", scene.address());
    let manager = [env!("CARGO_BIN_EXE_activator"), "--rounds", "3", &sockets, "--"];
    let launch = scene.probe().args(["--prefork", "1"]).under(manager);
    let manager = launch.paths().start();
    let mut daemon = manager.ready();
    for (round, is_killed) in [(2, false), (3, true)] {
        let request = InHand::at(scene.address(), "/hold");
        let waiting = Sent::to(scene.address(), "/pid").expect("it is open");
        daemon.signal(Signal::TERM);
        wait_until(PATIENCE, "it stops", || {
            scene.lines_with("error.log", "info: stopping").len() == round - 1
        });
        let newcomer = Sent::to(scene.address(), "/pid").expect("it is open");
        if is_killed {
            assert!(kill(daemon.pid(), Signal::KILL));
            request.answer().expect_err("its child was killed");
        } else {
            request.release().expect("who was in hand is answered");
        }
        wait_until(PATIENCE, &format!("daemon {round} is ready"), || {
            scene.lines_with("error.log", "info: ready").len() == round
        });
        let old = daemon.pid();
        daemon = Daemon::of_pid_file(&scene);
        assert_ne!(daemon.pid(), old);
        for client in [waiting, newcomer] {
            client.answer().expect("the next one answers, if this one has not");
        }
    }
    get(scene.address(), "/").expect("the last one serves");
    daemon.signal(Signal::TERM);
    assert!(manager.finish().end.is_success());
}
