//! Clients: some that come again at once, and some that come when it is time.
//!
//! Each closes its connection after the answer. Loopback only.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

/// Asks for `path`, and returns the answer.
pub fn ask(address: &str, path: &str) -> io::Result<Vec<u8>> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(Duration::from_secs(20)))?;
    // In one write: the bare loop reads but once.
    connection.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let mut answer = Vec::with_capacity(256);
    connection.read_to_end(&mut answer)?;
    Ok(answer)
}

/// So many clients ask as often as they can, for so long; returns how many a second were answered, and how many not.
pub fn as_fast_as_can_be(address: &str, clients: usize, time: Duration) -> (f64, usize) {
    let begun = Instant::now();
    let counts = each(clients, |_| {
        let (mut answered, mut failed) = (0, 0);
        while begun.elapsed() < time {
            match ask(address, "/") {
                Ok(answer) if answer.ends_with(b"hello\n") => answered += 1,
                Ok(_) | Err(_) => failed += 1,
            }
        }
        (answered, failed)
    });
    let answered: usize = counts.iter().map(|(answered, _)| answered).sum();
    let failed = counts.iter().map(|(_, failed)| failed).sum();
    (answered as f64 / begun.elapsed().as_secs_f64(), failed)
}

/// So many clients ask `times` times each, one after the other; returns the answers.
pub fn in_turn(address: &str, clients: usize, times: usize, path: &str) -> Vec<Vec<u8>> {
    let answers = each(clients, |_| {
        (0..times).map(|_| ask(address, path).unwrap_or_default()).collect::<Vec<_>>()
    });
    answers.into_iter().flatten().collect()
}

/// `rate` clients a second come for so long, at times of chance; returns how long each has waited for its answer since
/// it was to come, the shortest first, and how many were not answered.
pub fn at_times(address: &str, rate: f64, time: Duration) -> (Vec<Duration>, usize) {
    const SENDERS: usize = 64;
    let begun = Instant::now();
    let waits = each(SENDERS, |sender| {
        let mut dice = sender as u64 + 1;
        let mut waits = Vec::new();
        let (mut due, mut failed) = (0.0, 0);
        loop {
            due += exponential(&mut dice) * SENDERS as f64 / rate;
            let due = Duration::from_secs_f64(due);
            if due >= time {
                return (waits, failed);
            }
            thread::sleep(due.saturating_sub(begun.elapsed()));
            match ask(address, "/") {
                Ok(answer) if answer.ends_with(b"hello\n") => waits.push(begun.elapsed() - due),
                Ok(_) | Err(_) => failed += 1,
            }
        }
    });
    let failed = waits.iter().map(|(_, failed)| failed).sum();
    let mut waits: Vec<_> = waits.into_iter().flat_map(|(waits, _)| waits).collect();
    waits.sort_unstable();
    (waits, failed)
}

/// Lets so many clients do something at once, and returns what has come of each.
pub fn each<T: Send>(clients: usize, client: impl Fn(usize) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let client = &client;
        let threads: Vec<_> = (0..clients).map(|n| scope.spawn(move || client(n))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a client")).collect()
    })
}

/// Exponentially distributed with mean 1 (xorshift64*), so that clients come as a Poisson process has them.
fn exponential(dice: &mut u64) -> f64 {
    *dice ^= *dice >> 12;
    *dice ^= *dice << 25;
    *dice ^= *dice >> 27;
    let bits = dice.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40;
    -(1.0 - bits as f64 / f64::from(1 << 24)).ln()
}
