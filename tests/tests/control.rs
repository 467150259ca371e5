//! Control from outside: the library's own stop, and launchers that do not come to an end.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use prefork::daemonize::{StopOptions, Stopped, stop};
use prefork_tests::{Daemon, End, InHand, PATIENCE, scene, wait_until};
use rustix::process::Signal;

/// H1: a stop by the pid file waits for requests in hand.
#[test]
fn a_stop_waits_for_requests_in_hand() {
    let scene = scene!();
    let daemon = scene.probe().daemon();
    let requests: Vec<_> = (0..3).map(|_| InHand::at(scene.address(), "/hold")).collect();
    let stopped = thread::scope(|scope| {
        let stopping = scope.spawn(|| stop(scene.path("pid"), &StopOptions::new()));
        wait_until(PATIENCE, "it begins to stop", || scene.read("error.log").contains("stopping"));
        assert!(!stopping.is_finished(), "it has waited for nobody");
        for request in requests {
            request.release().expect("it is answered");
        }
        stopping.join().expect("no panic").expect("stopped")
    });
    let Stopped::Terminated { pid } = stopped else { panic!("{stopped:?}") };
    assert_eq!(pid.as_raw().unsigned_abs(), daemon.pid());
    daemon.assert_ends_in_order(PATIENCE);
}

/// H1: clients that have connected before the stop are answered, accepted or not.
#[test]
fn a_stop_answers_clients_that_wait_in_the_queue() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "1"]).daemon();
    let connect = |_| {
        let mut client = TcpStream::connect(scene.address()).expect("it listens");
        client.set_read_timeout(Some(PATIENCE)).expect("set");
        client.write_all(b"GET /sleep?ms=100 HTTP/1.1\r\n\r\n").expect("there is room");
        client
    };
    let clients: Vec<TcpStream> = (0..10).map(connect).collect();
    daemon.stop_in_order();
    for (number, mut client) in clients.into_iter().enumerate() {
        let mut answer = String::new();
        let read = client.read_to_string(&mut answer);
        assert!(answer.ends_with("hello\n"), "client {number} got {answer:?}, {read:?}");
    }
}

/// H2: a stop that loses its patience kills the parent, and the children go with it, deaf as they
/// are; then another daemon can start.
#[test]
fn an_impatient_stop_leaves_nothing() {
    let scene = scene!();
    let launch = || {
        scene
            .probe()
            .args(["--main-loop", "deaf", "--graceful-timeout", "60000"])
            .path("--witness", "witness")
            .daemon()
    };
    let daemon = launch();
    wait_until(PATIENCE, "all are deaf", || scene.lines_with("witness", "deaf").len() == 3);
    let options = StopOptions::new().grace(Duration::from_millis(500));
    let stopped = stop(scene.path("pid"), &options).expect("stopped");
    let Stopped::Killed { pid } = stopped else { panic!("{stopped:?}") };
    assert_eq!(pid.as_raw().unsigned_abs(), daemon.pid());
    assert_eq!(daemon.wait_for_end(PATIENCE), End::Killed(9));
    scene.wait_until_deserted(Duration::from_secs(5));
    let next = launch();
    assert_ne!(next.pid(), daemon.pid());
}

/// H2: a daemon whose parent is stopped can be stopped for good.
#[test]
fn a_parent_that_is_stopped_can_be_ended() {
    let scene = scene!();
    let daemon = scene.hello().daemon();
    daemon.signal(Signal::STOP);
    let stopped = stop(scene.path("pid"), &StopOptions::new()).expect("stopped");
    assert!(matches!(stopped, Stopped::Terminated { .. }), "{stopped:?}");
    daemon.assert_ends_in_order(PATIENCE);
}

/// H4: what a launcher was starting does not live on when the launcher is killed, as then nobody
/// knows of it.
#[test]
fn a_killed_launcher_leaves_no_daemon() {
    let scene = scene!();
    let mut killed = 0;
    for (signal, delay) in [(Signal::KILL, 0), (Signal::KILL, 20), (Signal::TERM, 40)] {
        for children in ["3", "0"] {
            let args = ["--daemonize", "--prefork", children, "--init-delay", "1000"];
            let launcher = scene.probe().args(args).paths().start();
            wait_until(PATIENCE, "the daemon is there", || !scene.read("pid").is_empty());
            thread::sleep(Duration::from_millis(delay));
            launcher.signal(signal);
            let begun = Instant::now();
            let end = launcher.finish();
            if end.end.is_success() {
                // On a very busy machine the signal came too late, and the daemon serves by right.
                Daemon::of_pid_file(&scene).stop_in_order();
                continue;
            }
            killed += 1;
            scene.wait_until_deserted(PATIENCE);
            println!("gone after {:?}", begun.elapsed());
            assert!(!scene.path("pid").exists(), "the pid file is left");
        }
    }
    assert!(killed > 0, "every launcher was faster than its end");
}
