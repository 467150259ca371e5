//! Clients: one connection a question, by HTTP or FastCGI.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use crate::case::{PROGRAMS, Runtime};

/// The longest that any client waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// What asks a program of this kind at this address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    pub(crate) runtime: Runtime,
}

impl Door {
    /// Asks once; the answer is the pid of who has answered.
    ///
    /// # Errors
    ///
    /// Any answer but a right one.
    pub(crate) fn ask(self, path: &str) -> io::Result<u32> {
        let mut connection = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        let (_, query) = path.split_once('?').unwrap_or((path, ""));
        let request = match self.runtime {
            Runtime::Php => fast_cgi(query),
            _ => format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                .into_bytes(),
        };
        connection.write_all(&request)?;
        let mut answer = Vec::with_capacity(512);
        connection.read_to_end(&mut answer)?;
        let text = match self.runtime {
            Runtime::Php => standard_output(&answer).ok_or(io::ErrorKind::UnexpectedEof)?,
            _ if answer.starts_with(b"HTTP/1.1 200 ") => answer,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        let text = String::from_utf8_lossy(&text);
        let (_, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let pid = body.trim_end().parse();
        pid.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Asks `each` times from each of so many threads; returns how many of them failed.
    pub(crate) fn load(self, clients: usize, each: usize) -> usize {
        thread::scope(|scope| {
            let asking = || (0..each).filter(|_| self.ask("/").is_err()).count();
            let threads: Vec<_> = (0..clients).map(|_| scope.spawn(asking)).collect();
            threads.into_iter().map(|thread| thread.join().expect("a client")).sum()
        })
    }

    /// Asks all the time while something is done, which sees how many have asked; returns how many did, and what went wrong.
    pub(crate) fn meanwhile(
        self,
        clients: usize,
        work: impl FnOnce(&AtomicUsize),
    ) -> (usize, Vec<String>) {
        let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
        thread::scope(|scope| {
            let asking = || {
                let mut failures = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    if let Err(error) = self.ask("/") {
                        failures.push(error.to_string());
                        // Where nobody listens, failing is fast.
                        thread::sleep(Duration::from_millis(1));
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                failures
            };
            let threads: Vec<_> = (0..clients).map(|_| scope.spawn(asking)).collect();
            let at_end = AtEnd(&done);
            work(&asked);
            drop(at_end);
            let failures = threads.into_iter().flat_map(|it| it.join().expect("a client"));
            let failures = failures.collect();
            (asked.load(Ordering::Relaxed), failures)
        })
    }
}

/// Lets the clients end, also when the work panics.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A request for the script, as a web server makes it.
fn fast_cgi(query: &str) -> Vec<u8> {
    let script = format!("{}/index.php", *PROGRAMS);
    let pairs = [
        ("SCRIPT_FILENAME", &*script),
        ("REQUEST_METHOD", "GET"),
        ("QUERY_STRING", query),
        ("REDIRECT_STATUS", "200"),
    ];
    let short = |text: &str| u8::try_from(text.len().min(127)).expect("it is short");
    let mut params = Vec::new();
    for (name, value) in pairs {
        // Lengths above 127 take four bytes.
        params.push(short(name));
        params.extend((u32::try_from(value.len()).expect("short") | 1 << 31).to_be_bytes());
        params.extend([name.as_bytes(), value.as_bytes()].concat());
    }
    let record = |kind: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).expect("it is short").to_be_bytes();
        [&[1, kind, 0, 1, length[0], length[1], 0, 0][..], content].concat()
    };
    // Begin as a responder, without keeping the connection.
    let begin = record(1, &[0, 1, 0, 0, 0, 0, 0, 0]);
    [begin, record(4, &params), record(4, &[]), record(5, &[])].concat()
}

/// What is in the records of standard output, if the last record is there.
fn standard_output(mut records: &[u8]) -> Option<Vec<u8>> {
    let mut output = Vec::new();
    while let Some((head, rest)) = records.split_first_chunk::<8>() {
        let length = usize::from(u16::from_be_bytes([head[4], head[5]]));
        match head[1] {
            3 => return Some(output),
            6 => output.extend(rest.get(..length)?),
            _ => {}
        }
        records = rest.get(length + usize::from(head[6])..)?;
    }
    None
}
