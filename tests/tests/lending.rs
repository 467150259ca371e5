//! Servers that listen by themselves, in children: `tiny_http`.

use std::{
    fmt,
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use prefork_tests::{Load, PATIENCE, Running, Scene, Sent, get, get_patiently, scene, wait_until};
use rustix::process::Signal;

/// The two ways of a server to have requests: in the main loop, and in threads of its own.
const WAYS: [&[&str]; 2] = [&[], &["threads"]];

fn start<'a>(scene: &'a Scene, way: &[&str]) -> Running<'a> {
    let address = scene.address().to_string();
    let running = scene.tool(env!("CARGO_BIN_EXE_lending")).args([&*address]).args(way).start();
    assert_eq!(get_patiently(scene.address(), "/").body, "hello");
    running
}

/// Sends a SIGTERM, and returns how long the end took; it is in order.
#[track_caller]
fn stop(running: &Running<'_>, scene: &Scene) -> Duration {
    let begun = Instant::now();
    running.signal(Signal::TERM);
    let finished = running.finish();
    let took = begun.elapsed();
    assert!(finished.end.is_success(), "{finished:?}");
    let last = "every child has left by itself";
    assert_eq!(scene.lines_with("1.stderr", last).len(), 1, "{}", finished.stderr);
    took
}

/// Asserts that a stop waits for no time limit, of which none is shorter than a second; it takes 15 ms, on a busy machine
/// longer now and then.
#[track_caller]
fn assert_at_once(way: impl fmt::Debug, stop: impl Fn() -> Duration) {
    let mut took = Vec::new();
    let is_quick = (0..5).any(|_| {
        took.push(stop());
        took.last() < Some(&Duration::from_secs(1))
    });
    assert!(is_quick, "{way:?}: {took:?}");
}

/// H1: a server that has nothing to do leaves at once, and not after a time limit.
#[test]
fn a_server_that_accepts_by_itself_stops_at_once() {
    for way in WAYS {
        assert_at_once(way, || {
            let scene = scene!();
            let running = start(&scene, way);
            let took = stop(&running, &scene);
            scene.wait_until_deserted(PATIENCE);
            took
        });
    }
}

/// H1: what is in hand at a stop is answered, and so are clients that wait.
#[test]
fn requests_at_a_stop_are_answered() {
    for way in WAYS {
        let scene = scene!();
        let running = start(&scene, way);
        let ask = |_| Sent::to(scene.address(), "/sleep?ms=300").expect("it listens");
        let requests: Vec<_> = (0..6).map(ask).collect();
        stop(&running, &scene);
        for request in requests {
            assert_eq!(request.answer().expect("it is answered").body, "hello", "{way:?}");
        }
    }
}

/// L1: reloads under load cost no request.
#[test]
fn reloads_cost_a_server_that_accepts_by_itself_no_request() {
    for way in WAYS {
        let scene = scene!();
        let running = start(&scene, way);
        let load = Load::expecting(6, scene.address(), "/sleep?ms=2", "hello");
        for _ in 0..5 {
            let before = running.living();
            running.signal(Signal::HUP);
            wait_until(PATIENCE, "all children are replaced", || {
                let now = running.living();
                now.len() >= 2 && before.iter().all(|pid| !now.contains(pid))
            });
        }
        let tally = load.stop();
        assert_eq!(tally.failures, [""; 0], "{way:?}, {} answered", tally.answered);
        stop(&running, &scene);
    }
}

/// L1: a client that was accepted, and asks only after its child was asked to leave, is answered.
#[test]
fn a_client_that_asks_late_is_answered() {
    for way in WAYS {
        let scene = scene!();
        let running = start(&scene, way);
        let before = running.living();
        let mut late = TcpStream::connect(scene.address()).expect("it listens");
        // Whether it was accepted nobody outside can see: who connects after it is.
        (0..4).for_each(|_| drop(get(scene.address(), "/").expect("answered")));
        running.signal(Signal::HUP);
        wait_until(PATIENCE, "children are replaced, but for one", || {
            let now = running.living();
            before.iter().filter(|pid| now.contains(pid)).count() <= 1
        });
        thread::sleep(Duration::from_millis(100));
        late.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("sent");
        late.set_read_timeout(Some(PATIENCE)).expect("set");
        let mut answer = String::new();
        late.read_to_string(&mut answer).expect("it is answered");
        assert!(answer.ends_with("\r\n\r\nhello"), "{way:?}: {answer}");
        stop(&running, &scene);
    }
}

/// L1: a connection that is kept, and used now and then, holds nobody up.
#[test]
fn a_connection_that_is_kept_holds_up_no_stop() {
    for way in WAYS {
        assert_at_once(way, || {
            let scene = scene!();
            let running = start(&scene, way);
            let mut kept = TcpStream::connect(scene.address()).expect("it listens");
            kept.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").expect("sent");
            kept.set_read_timeout(Some(PATIENCE)).expect("set");
            let mut answer = Vec::new();
            while !answer.ends_with(b"hello") {
                let mut byte = [0];
                kept.read_exact(&mut byte).expect("it is answered");
                answer.extend(byte);
            }
            let took = stop(&running, &scene);
            assert_eq!(kept.read(&mut [0]).expect("closed in order"), 0);
            took
        });
    }
}
