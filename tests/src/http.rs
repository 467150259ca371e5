//! As much of an HTTP client as the tests need.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use rustix::net::sockopt::set_socket_linger;

use crate::PATIENCE;

/// The field in which a request says which it is, and the answer to it says the same.
const REQUEST: &str = "X-Request-Id";

/// The field in which an answer says who gives it: `PID SLOT GENERATION`.
const WORKER: &str = "X-Child";

/// How many requests this test program has sent.
static REQUESTS: AtomicU32 = AtomicU32::new(0);

/// The child that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worker {
    /// The pid of the child; of the daemon, if it has no children.
    pub pid: u32,
    /// Its slot.
    pub slot: u32,
    /// Its generation.
    pub generation: u32,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status, such as 200.
    pub status: u16,
    /// The body, without white space around it.
    pub body: String,
    worker: Option<Worker>,
}

impl Reply {
    /// Returns the body as a number, for `/pid`.
    ///
    /// # Panics
    ///
    /// Panics if it is none.
    #[must_use]
    #[track_caller]
    pub fn number(&self) -> u32 {
        self.body.parse().unwrap_or_else(|_| panic!("the answer is not a number: {self:?}"))
    }

    /// Returns the child that gave it.
    ///
    /// # Panics
    ///
    /// Panics if the answer does not say so.
    #[must_use]
    #[track_caller]
    pub fn worker(&self) -> Worker {
        self.worker.unwrap_or_else(|| panic!("the answer does not say who gives it: {self:?}"))
    }
}

/// A request that was sent. Whether anybody has taken it is not known.
#[derive(Debug)]
#[must_use]
pub struct Sent<S = TcpStream> {
    connection: S,
    id: String,
}

impl Sent {
    /// Asks for `path` over a connection of its own.
    ///
    /// # Errors
    ///
    /// Fails if the connection is refused or reset.
    pub fn to(address: SocketAddr, path: &str) -> io::Result<Self> {
        let connection = TcpStream::connect_timeout(&address, PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        Self::over(connection, path)
    }
}

impl Sent {
    /// Returns the first line of the answer, if that begins within this time; the answer is not whole any more then.
    ///
    /// # Panics
    ///
    /// Panics if the connection is reset.
    #[must_use]
    #[track_caller]
    pub fn answered_within(&mut self, limit: Duration) -> Option<String> {
        self.connection.set_read_timeout(Some(limit)).expect("it is a socket");
        let mut bytes = [0; 1024];
        let read = self.connection.read(&mut bytes);
        self.connection.set_read_timeout(Some(PATIENCE)).expect("it is a socket");
        match read {
            Ok(count) => {
                let text = String::from_utf8_lossy(&bytes[..count]);
                Some(text.lines().next().unwrap_or_default().to_owned())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("the request is not answered: {error}"),
        }
    }
}

impl<S: Read + Write> Sent<S> {
    /// Asks for `path` over a connection.
    ///
    /// # Errors
    ///
    /// Fails if the connection is reset.
    pub fn over(mut connection: S, path: &str) -> io::Result<Self> {
        let number = REQUESTS.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-{number}", std::process::id());
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{REQUEST}: {id}\r\n\r\n"
        );
        connection.write_all(request.as_bytes())?;
        Ok(Self { connection, id })
    }

    /// Waits for the whole answer.
    ///
    /// # Errors
    ///
    /// Fails if the connection is reset, or what comes is not the whole answer to this request.
    pub fn answer(self) -> io::Result<Reply> {
        let Self { mut connection, id } = self;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Head::read(&answer, &id)?.reply(&answer)
    }

    /// Waits until a child works on it, and has sent which: the programs under test send the head of an
    /// answer before they begin what takes its time.
    ///
    /// # Panics
    ///
    /// Panics if nobody does within [`PATIENCE`].
    #[must_use]
    #[track_caller]
    pub fn taken(self) -> InHand<S> {
        let Self { mut connection, id } = self;
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            let read = connection.read_exact(&mut byte);
            read.unwrap_or_else(|error| panic!("nobody works on request {id}: {error}"));
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let parsed = Head::read(&head, &id).unwrap_or_else(|error| panic!("{error}"));
        let worker = parsed.worker;
        let worker = worker.unwrap_or_else(|| panic!("nobody says who works on {id}: {head:?}"));
        InHand { connection, id, head, worker }
    }
}

/// A request that a child works on. Dropping it hangs up, in order.
#[derive(Debug)]
pub struct InHand<S = TcpStream> {
    connection: S,
    id: String,
    head: String,
    worker: Worker,
}

impl InHand {
    /// Asks for `path`, and waits until a child works on it.
    ///
    /// # Panics
    ///
    /// Panics if none does within [`PATIENCE`].
    #[must_use]
    #[track_caller]
    pub fn at(address: SocketAddr, path: &str) -> Self {
        let sent = Sent::to(address, path);
        sent.unwrap_or_else(|error| panic!("{address} takes no request for {path}: {error}"))
            .taken()
    }

    /// Returns the address of the client.
    ///
    /// # Panics
    ///
    /// Panics if it has none.
    #[must_use]
    pub fn client(&self) -> SocketAddr {
        self.connection.local_addr().expect("it is bound")
    }

    /// Hangs up by a reset.
    ///
    /// # Panics
    ///
    /// Panics if the system refuses.
    pub fn reset(self) {
        set_socket_linger(&self.connection, Some(Duration::ZERO)).expect("it is a socket");
    }

    /// Returns the connection, to do to it what is done to connections.
    #[must_use]
    pub fn connection(&self) -> &TcpStream {
        &self.connection
    }
}

impl<S: Read + Write> InHand<S> {
    /// Returns the child that works on it.
    #[must_use]
    pub fn worker(&self) -> Worker {
        self.worker
    }

    /// Lets a child end that works on `/hold`, and waits for the rest of the answer.
    ///
    /// # Errors
    ///
    /// Those of [`InHand::answer`].
    pub fn release(mut self) -> io::Result<Reply> {
        self.connection.write_all(b".")?;
        self.answer()
    }

    /// Waits for the rest of the answer.
    ///
    /// # Errors
    ///
    /// Fails if the connection is reset, or the answer is not whole.
    pub fn answer(mut self) -> io::Result<Reply> {
        let mut answer = self.head;
        self.connection.read_to_string(&mut answer)?;
        Head::read(&answer, &self.id)?.reply(&answer)
    }
}

/// Asks for `path` over a connection of its own.
///
/// # Errors
///
/// Fails if the connection is refused or reset, or the answer is not whole, or to another request.
pub fn get(address: SocketAddr, path: &str) -> io::Result<Reply> {
    let reply = prefork_testing::get(address, path, PATIENCE)?;
    let worker = reply.field(WORKER).and_then(worker);
    Ok(Reply { status: reply.status, body: reply.body.trim().to_owned(), worker })
}

/// Asks until there is an answer, for a daemon that may just be starting.
///
/// # Panics
///
/// Panics if there is none after [`PATIENCE`].
#[must_use]
#[track_caller]
pub fn get_patiently(address: SocketAddr, path: &str) -> Reply {
    let begun = Instant::now();
    loop {
        match get(address, path) {
            Ok(reply) => return reply,
            Err(error) if begun.elapsed() > PATIENCE => {
                panic!("{address} does not answer GET {path}: {error}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// What the head of an answer says.
#[derive(Debug)]
struct Head {
    status: u16,
    length: usize,
    worker: Option<Worker>,
}

impl Head {
    /// Reads it from an answer to the request `id`.
    fn read(answer: &str, id: &str) -> io::Result<Self> {
        let (head, _) = answer.split_once("\r\n\r\n").ok_or_else(|| broken(answer))?;
        let field = |wanted: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(": "));
            fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
        };
        // Not all programs under test say this, but those that do have to be right.
        if let Some(other) = field(REQUEST).filter(|found| *found != id) {
            return Err(io::Error::other(format!("an answer to request {other}, not {id}")));
        }
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let length = field("Content-Length").and_then(|length| length.parse().ok());
        let (Some(status), Some(length)) = (status, length) else { return Err(broken(answer)) };
        Ok(Self { status, length, worker: field(WORKER).and_then(worker) })
    }

    /// Makes an answer of it that is whole.
    fn reply(self, answer: &str) -> io::Result<Reply> {
        let Self { status, length, worker } = self;
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
        let body = body.filter(|body| body.len() == length).ok_or_else(|| broken(answer))?;
        Ok(Reply { status, body: body.trim().to_owned(), worker })
    }
}

fn broken(answer: impl fmt::Debug) -> io::Error {
    io::Error::other(format!("a broken answer: {answer:?}"))
}

fn worker(field: &str) -> Option<Worker> {
    let mut numbers = field.split(' ').map(|number| number.parse().ok());
    let (pid, slot, generation) = (numbers.next()??, numbers.next()??, numbers.next()??);
    numbers.next().is_none().then_some(Worker { pid, slot, generation })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(answer: &str) -> io::Result<Reply> {
        Head::read(answer, "1-2")?.reply(answer)
    }

    #[test]
    fn an_answer_that_is_cut_short_is_none() {
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Child: 7 0 1\r\n\r\nab\n";
        let reply = parse(whole).expect("it is whole");
        assert_eq!((reply.status, &*reply.body), (200, "ab"));
        assert_eq!(reply.worker(), Worker { pid: 7, slot: 0, generation: 1 });
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "the first {length} bytes");
        }
    }

    #[test]
    fn an_answer_to_another_request_is_none() {
        let answer =
            |id| format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nx-request-id: {id}\r\n\r\n");
        assert!(parse(&answer("1-2")).is_ok());
        let error = parse(&answer("1-3")).expect_err("it is another's");
        assert_eq!(error.to_string(), "an answer to request 1-3, not 1-2");
    }
}
