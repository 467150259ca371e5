//! Sockets that the service manager has bound.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
};

use prefork_tests::{Daemon, Launch, Load, Mailbox, PATIENCE, get, scene, wait_until};
use rustix::process::Signal;

/// Starts it with sockets, by name.
fn with_sockets<'a>(
    launch: Launch<'a>,
    options: &[&str],
    sockets: &[(&str, SocketAddr)],
) -> Launch<'a> {
    let sockets = sockets.iter().map(|(name, address)| format!("{name}={address}"));
    let words = [env!("CARGO_BIN_EXE_activator")].into_iter().chain(options.iter().copied());
    let words = words.map(str::to_owned).chain(sockets).chain(["--".to_owned()]);
    launch.under(words.collect::<Vec<_>>())
}

#[track_caller]
fn wait_for_version(daemon: &Daemon<'_>, version: &str) {
    wait_until(PATIENCE, &format!("version {version} answers"), || {
        (0..4).all(|_| daemon.get("/version").is_ok_and(|reply| reply.body == version))
    });
    // The probe may need a moment to end.
    let is_probe = |pid: u32| {
        let block = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&block).contains("PREFORK_HANDOVER=probe")
    };
    wait_until(PATIENCE, "the probe has gone", || {
        !daemon.children().iter().any(|child| is_probe(child.pid))
    });
}

/// Nobody else could bind the address, so a daemon that serves there has found the socket.
#[test]
fn the_socket_for_an_address_is_found() {
    for in_background in [true, false] {
        let scene = scene!();
        let launch = with_sockets(scene.probe(), &[], &[("web", scene.address())]);
        let daemon = if in_background { launch.daemon() } else { launch.foreground() };
        let names = daemon.get("/environment").expect("it serves").body;
        assert!(!names.contains("LISTEN_"), "{names}");
        daemon.stop_in_order();
    }
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let scene = scene!();
    let launch = with_sockets(scene.hello(), &["--pid", "1"], &[("web", scene.address())]);
    launch.finish().assert_refused("cannot listen on");
}

/// It may be a typing error in the unit: clients get no answer there, as the manager holds the socket.
#[test]
fn a_socket_that_nobody_asks_for_is_named() {
    let scene = scene!();
    let other = scene.other_address();
    let launch = with_sockets(scene.probe(), &[], &[("web", scene.address()), ("admin", other)]);
    let daemon = launch.daemon();
    let warnings = scene.lines_with("error.log", "warning:");
    let [warning] = &warnings[..] else { panic!("one line each: {warnings:?}") };
    let address = scene.address();
    for text in [
        &format!("socket {other} (FileDescriptorName=admin) of the service manager is not used"),
        &format!("the program has asked for {address}"),
    ] {
        assert!(warning.contains(text), "{warning}");
    }
    daemon.stop_in_order();
}

/// The manager's is open to more than the program asks for, or bound elsewhere.
#[test]
fn a_socket_for_another_address_is_named_with_the_one_that_was_asked_for() {
    let scene = scene!();
    // A port that is free at all addresses, as those of scenes are not.
    let free = TcpListener::bind("0.0.0.0:0").expect("bound");
    let everywhere = free.local_addr().expect("bound");
    drop(free);
    let loopback = SocketAddr::from(([127, 0, 0, 1], everywhere.port())).to_string();
    let launch = with_sockets(scene.probe(), &[], &[("web", everywhere)]);
    let refused = launch.args(["--listen", &loopback]).paths().finish();
    assert!(!refused.end.is_success(), "{refused:?}");
    let log = scene.read("error.log");
    for text in [
        format!("cannot listen on {loopback}: "),
        format!("the service manager has passed {everywhere} (FileDescriptorName=web)"),
    ] {
        assert!(log.contains(&text), "{log}");
    }
    let launch = with_sockets(scene.probe(), &[], &[("web", scene.other_address())]);
    let daemon = launch.daemon();
    let (address, other) = (scene.address(), scene.other_address());
    let warnings = scene.lines_with("error.log", &format!("socket {other} "));
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].ends_with(&format!("asked for {address}")), "{warnings:?}");
    daemon.stop_in_order();
}

/// One found by its name stays found; one that nobody asks for is closed.
#[test]
fn a_socket_is_found_by_its_name_and_the_rest_is_closed() {
    let scene = scene!();
    let program = scene.program();
    let other: SocketAddr = scene.other_address();
    let sockets = [("other", other), ("web", scene.address())];
    let launch = with_sockets(program.launch(), &[], &sockets);
    let daemon = launch.args(["--activated", "web"]).daemon();
    assert!(TcpStream::connect(other).is_err(), "the socket that nobody wants is open");
    for version in ["2", "3"] {
        program.install(&format!("--version {version}"));
        daemon.signal(Signal::USR2);
        wait_for_version(&daemon, version);
    }
    daemon.stop_in_order();
}

/// The pid is still the one that was meant, and the numbers mean something else by then.
#[test]
fn an_upgrade_does_not_take_other_descriptors_for_sockets() {
    for in_background in [true, false] {
        let scene = scene!();
        let program = scene.program();
        let other: SocketAddr = scene.other_address();
        let sockets = [("web", scene.address()), ("other", other)];
        let launch = with_sockets(program.launch().board(), &[], &sockets);
        let daemon = if in_background { launch.daemon() } else { launch.foreground() };
        let load = Load::start(2, scene.address(), "/");
        for version in ["2", "3", "4"] {
            program.install(&format!("--version {version}"));
            daemon.signal(Signal::USR2);
            wait_for_version(&daemon, version);
            let block = fs::read(format!("/proc/{}/environ", daemon.pid())).expect("it lives");
            let block = String::from_utf8_lossy(&block).into_owned();
            assert!(!block.contains("LISTEN_"), "{block:?}");
        }
        assert_eq!(load.stop().failures, [""; 0]);
        assert_eq!(scene.lines_with("error.log", "error:"), [""; 0]);
        daemon.stop_in_order();
    }
}

/// The manager keeps the socket: clients that come between two daemons are served by the second.
#[test]
fn nobody_is_lost_between_two_daemons() {
    let scene = scene!();
    let launch = with_sockets(scene.hello(), &["--rounds", "3"], &[("web", scene.address())]);
    let manager = launch.paths().start();
    let mut daemon = manager.ready();
    let load = Load::start(4, scene.address(), "/");
    for round in 2..4 {
        daemon.signal(Signal::TERM);
        wait_until(PATIENCE, &format!("daemon {round} is ready"), || {
            scene.lines_with("error.log", "parent info: ready").len() == round
        });
        daemon = Daemon::of_pid_file(&scene);
    }
    let tally = load.stop();
    assert_eq!(tally.failures, [""; 0], "of {} requests", tally.answered);
    get(scene.address(), "/").expect("the last one serves");
    daemon.signal(Signal::TERM);
    assert!(manager.finish().end.is_success());
}

#[test]
fn variables_that_make_no_sense_are_no_trouble() {
    for (count, warnings) in [("x", 1), ("-1", 1), ("2147483647", 1), ("2147483000", 0), ("0", 0)] {
        let scene = scene!();
        let hello = scene.hello().variable("LISTEN_FDS", count);
        let hello = hello.after_shell("export LISTEN_PID=$$ LISTEN_FDNAMES=:::");
        let launcher = hello.args(["--daemonize"]).paths().finish();
        assert!(launcher.end.is_success(), "{count:?}: {launcher:?}");
        assert_eq!(launcher.stderr.matches("LISTEN_FDS").count(), warnings, "{count:?}");
        let daemon = Daemon::of_pid_file(&scene);
        daemon.get("/").expect("it serves");
        daemon.stop_in_order();
    }
}

/// The socket that a killed daemon has had kept is the daemon's own again, and one at which it does not listen any more is
/// given up.
#[test]
fn a_socket_that_was_kept_is_the_daemons_own_again() {
    let scene = scene!();
    let other = scene.other_address();
    let mailbox = Mailbox::new();
    let sockets = [("web", scene.address()), ("old", other)];
    let launch = with_sockets(scene.probe(), &["--kept"], &sockets);
    let launch = launch.variable("NOTIFY_SOCKET", mailbox.path()).variable("FDSTORE", "8");
    let daemon = launch.foreground();
    let names = daemon.get("/environment").expect("it serves").body;
    assert!(!names.contains("LISTEN_") && !names.contains("FDSTORE"), "{names}");
    mailbox.expect(&[
        "MAINPID=",
        "FDSTOREREMOVE=1 FDNAME=prefork-listener-",
        "FDSTORE=1 FDNAME=prefork-listener-",
        "READY=1",
    ]);
    TcpStream::connect(other).expect_err("nobody listens there any more");
    assert_eq!((scene.logged("ready"), scene.logged("not used")), (1, 0), "it is no socket unit's");
    daemon.stop_in_order();
    let said = mailbox.drain();
    assert!(said[0].starts_with("STOPPING=1"), "{said:?}");
    assert!(said[1].starts_with("FDSTOREREMOVE=1 FDNAME=prefork-listener-"), "{said:?}");
}

/// What comes under such a name and is none, or was spoilt, is given up, and the start goes on.
#[test]
fn a_kept_descriptor_that_is_no_good_breaks_no_start() {
    let scene = scene!();
    let mailbox = Mailbox::new();
    // As after a loss of the store's order: the name is another socket's.
    let sockets = [("prefork-listener-1", scene.other_address())];
    let launch = with_sockets(scene.probe(), &[], &sockets);
    let launch = launch.variable("NOTIFY_SOCKET", mailbox.path()).variable("FDSTORE", "8");
    let daemon = launch.foreground();
    mailbox.expect(&["FDSTOREREMOVE=1 FDNAME=prefork-listener-1", "BARRIER=1", "MAINPID="]);
    daemon.get("/").expect("it serves");
    // The error log was not open yet.
    let said = scene.read("1.stderr");
    let line = "prefork-listener-1, kept by the service manager, cannot be listened at again";
    assert!(said.contains(line), "{said}");
    daemon.stop_in_order();
}
