//! Clients that hang up: how soon that is noticed, and what looking costs.

use std::{
    io::Write,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use prefork_bench::proc::schedstat;
use rustix::net::sockopt::set_socket_linger;

use crate::{
    measure::{GLANCE, report},
    process::Started,
};

const ROUNDS: u32 = 9;
const BUSY: usize = 50;

pub(crate) fn measure() {
    for (interval, label) in [("2", "2 s"), ("0.05", "50 ms")] {
        for resets in [false, true] {
            latency(interval, label, resets);
        }
    }
    cost();
}

/// From the client's close or reset to the fork of the successor of the child that worked for it.
fn latency(interval: &str, label: &str, resets: bool) {
    let watching = ["--cancel-on-disconnect", "--netwatch-interval", interval];
    let server = Started::server_with("hello", 4, &watching);
    let mut times = Vec::new();
    for round in 1..=ROUNDS {
        thread::sleep(Duration::from_millis(1200));
        let client = ask(&server);
        // At another moment of the interval each time.
        thread::sleep(Duration::from_millis(150 + 217 * u64::from(round)));
        let before = server.children();
        if resets {
            set_socket_linger(&client, Some(Duration::ZERO)).expect("set");
        }
        let began = Instant::now();
        drop(client);
        while server.children().iter().all(|pid| before.contains(pid)) {
            thread::sleep(GLANCE);
            assert!(began.elapsed() < Duration::from_secs(30), "it was never noticed");
        }
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    let how = if resets { "reset" } else { "closed" };
    report(&format!("client {how} to its child's successor, interval {label}"), &mut times);
}

/// CPU time of a parent that looks every second at 50 children at work.
fn cost() {
    let watching = ["--cancel-on-disconnect", "--netwatch-interval", "1"];
    let server = Started::server_with("hello", BUSY, &watching);
    let clients: Vec<_> = (0..BUSY).map(|_| ask(&server)).collect();
    thread::sleep(Duration::from_secs(2));
    let before = schedstat(server.pid()).0;
    thread::sleep(Duration::from_secs(10));
    let spent = schedstat(server.pid()).0 - before;
    println!("parent looking every 1 s at {BUSY} busy children: {:.3} % CPU", spent as f64 / 1e8);
    drop(clients);
}

fn ask(server: &Started) -> TcpStream {
    let mut client = TcpStream::connect(&server.address).expect("it listens");
    client.write_all(b"GET /sleep?ms=60000 HTTP/1.1\r\n\r\n").expect("sent");
    client
}
