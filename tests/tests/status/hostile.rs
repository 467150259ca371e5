//! Clients of the page that mean no good.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use prefork_tests::{Daemon, PATIENCE, kill, scene, wait_until};
use rustix::process::Signal;

use crate::{connect, get, status_process, status_processes, wait_for_workers, workers};

/// The parent does its work: a child that is killed is replaced soon.
#[track_caller]
fn assert_supervised(daemon: &Daemon<'_>) {
    let before = workers(daemon);
    assert!(kill(before[0], Signal::KILL));
    wait_until(Duration::from_secs(4), "it is replaced", || {
        let now = workers(daemon);
        now.len() == before.len() && !now.contains(&before[0])
    });
}

/// Clients that connect and send nothing, or read a byte at a time, keep nobody waiting but themselves.
#[test]
fn slow_clients_wait_for_themselves_alone() {
    let scene = scene!();
    let page = scene.page().to_string();
    let daemon = scene.hello().board().args(["--status-listen", &page]).daemon();
    let process = status_process(&daemon).pid;
    let silent: Vec<TcpStream> = (0..20).map(|_| connect(&scene)).collect();
    let mut slow = connect(&scene);
    rustix::net::sockopt::set_socket_recv_buffer_size(&slow, 2048).expect("set");
    slow.write_all(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let begun = Instant::now();
    assert_eq!(get(&scene, "/status").status, 200);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_supervised(&daemon);
    slow.read_exact(&mut [0]).expect("the answer has begun");
    // They are given up after 5 s.
    for mut client in silent {
        assert_eq!(client.read(&mut [0; 10]).expect("closed in order"), 0);
    }
    assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(
        status_processes(&daemon).iter().map(|process| process.pid).collect::<Vec<_>>(),
        [process]
    );
    daemon.stop_in_order();
}

/// More clients than are served at a time wait for each other, and all get their answers.
#[test]
fn a_hundred_clients_at_once_are_all_answered() {
    let scene = scene!();
    let page = scene.page().to_string();
    let daemon = scene.hello().board().args(["--status-listen", &page]).daemon();
    let process = status_process(&daemon).pid;
    let mut clients: Vec<TcpStream> = (0..100).map(|_| connect(&scene)).collect();
    for client in &mut clients {
        client.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text\r\n\r\n").expect("sent");
    }
    for mut client in clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("answered");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("# EOF\n"), "{answer:?}");
    }
    assert_eq!(
        status_processes(&daemon).iter().map(|process| process.pid).collect::<Vec<_>>(),
        [process]
    );
    assert_supervised(&daemon);
    daemon.stop_in_order();
}

/// Garbage, in any amount, is refused, and the same status process serves on.
#[test]
fn garbage_and_huge_requests_are_refused() {
    let scene = scene!();
    let page = scene.page().to_string();
    let daemon = scene.hello().board().args(["--status-listen", &page]).daemon();
    let process = status_process(&daemon).pid;
    let zeros = vec![0; 100_000];
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(500_000)).into_bytes();
    let fields = format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(50_000)).into_bytes();
    for (bytes, status) in [(&zeros, "400"), (&long, "431"), (&fields, "431")] {
        let mut client = connect(&scene);
        let mut reader = client.try_clone().expect("duplicated");
        let answer = thread::spawn(move || {
            let mut answer = String::new();
            let _ = reader.read_to_string(&mut answer);
            answer
        });
        let _ = client.write_all(bytes);
        let _ = client.shutdown(std::net::Shutdown::Write);
        let answer = answer.join().expect("no panic");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer:?}");
    }
    // Endless: cut off at some point, whatever it is that is sent.
    let mut client = connect(&scene);
    client.set_write_timeout(Some(PATIENCE)).expect("set");
    let begun = Instant::now();
    while client.write(&[b'x'; 65_536]).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it is read without end");
    }
    assert_eq!(get(&scene, "/status").status, 200);
    assert_eq!(
        status_processes(&daemon).iter().map(|process| process.pid).collect::<Vec<_>>(),
        [process]
    );
    daemon.stop_in_order();
}

/// A stop does not wait for clients of the page.
#[test]
fn a_stop_does_not_wait_for_readers() {
    let scene = scene!();
    let page = scene.page().to_string();
    let daemon = scene.hello().board().args(["--status-listen", &page]).daemon();
    status_process(&daemon);
    let silent: Vec<TcpStream> = (0..40).map(|_| connect(&scene)).collect();
    wait_for_workers(&daemon, 3, &[]);
    let begun = Instant::now();
    daemon.stop_in_order();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    drop(silent);
}
