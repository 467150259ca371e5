//! Clients: one connection a question.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// The longest that any client waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Asks once.
///
/// # Errors
///
/// Any answer but the right one.
pub(crate) fn ask(address: SocketAddr, path: &str) -> io::Result<()> {
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    // In one write: the bare loop reads but once.
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes())?;
    let mut answer = Vec::with_capacity(512);
    connection.read_to_end(&mut answer)?;
    let right = answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"hello\n");
    if right { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Asks `each` times from each of so many threads; returns how many of them failed.
pub(crate) fn load(address: SocketAddr, clients: usize, each: usize) -> usize {
    thread::scope(|scope| {
        let asking = || (0..each).filter(|_| ask(address, "/").is_err()).count();
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(asking)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a client")).sum()
    })
}

/// Asks all the time while something is done; returns that, how many asked, and how many failed.
pub(crate) fn meanwhile<T>(
    address: SocketAddr,
    clients: usize,
    work: impl FnOnce() -> T,
) -> (T, usize, usize) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let asking = || {
            let (mut asked, mut failed) = (0, 0);
            while !done.load(Ordering::Relaxed) {
                asked += 1;
                if ask(address, "/").is_err() {
                    failed += 1;
                    // Where nobody listens, failing is fast.
                    thread::sleep(Duration::from_millis(1));
                }
            }
            (asked, failed)
        };
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(asking)).collect();
        let at_end = AtEnd(&done);
        let result = work();
        drop(at_end);
        threads.into_iter().fold((result, 0, 0), |(result, asked, failed), thread| {
            let (more_asked, more_failed) = thread.join().expect("a client");
            (result, asked + more_asked, failed + more_failed)
        })
    })
}

/// Lets the clients end, also when the work panics.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// So many clients ask for a second's work at once; returns when all had it, and how many failed.
pub(crate) fn burst(address: SocketAddr, clients: usize) -> (Duration, usize) {
    let start = Barrier::new(clients + 1);
    thread::scope(|scope| {
        let asking = || {
            start.wait();
            ask(address, "/sleep").is_err()
        };
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(asking)).collect();
        start.wait();
        let began = Instant::now();
        let ended = threads.into_iter().map(|thread| thread.join().expect("a client"));
        let failed = ended.filter(|failed| *failed).count();
        (began.elapsed(), failed)
    })
}
