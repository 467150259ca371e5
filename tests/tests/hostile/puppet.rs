//! A child that does as it is ordered.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use prefork_tests::PATIENCE;

/// A connection to a child, which is at nobody else's service as long as this lives.
#[derive(Debug)]
pub(crate) struct Puppet {
    connection: BufReader<TcpStream>,
    pub(crate) pid: u32,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    /// When it began its main loop, by `CLOCK_MONOTONIC`.
    pub(crate) born: Duration,
}

/// What came of an attack: each system call, and what it gave.
#[derive(Debug)]
pub(crate) struct Outcome(Vec<(String, String)>);

impl Puppet {
    /// Takes the next child that is idle.
    pub(crate) fn take(address: SocketAddr) -> io::Result<Self> {
        let connection = TcpStream::connect_timeout(&address, PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        let connection = BufReader::new(connection);
        let mut puppet = Self { connection, pid: 0, slot: 0, generation: 0, born: Duration::ZERO };
        let answer = puppet.ask("/who")?;
        let who: Vec<u64> =
            answer.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [pid, slot, generation, born] = who[..] else {
            return Err(io::Error::other(format!("a broken answer: {answer:?}")));
        };
        let small = |number| u32::try_from(number).map_err(io::Error::other);
        (puppet.pid, puppet.slot, puppet.generation) =
            (small(pid)?, small(slot)?, small(generation)?);
        puppet.born = Duration::from_nanos(born);
        Ok(puppet)
    }

    /// Makes it carry out an order, and returns what came of that.
    ///
    /// # Panics
    ///
    /// Panics if it does not answer.
    #[track_caller]
    pub(crate) fn order(&mut self, order: &str) -> Outcome {
        let answer = self.ask(&format!("/do/{order}"));
        let answer = answer.unwrap_or_else(|error| panic!("no answer to {order}: {error}"));
        let lines = answer.lines().skip(1).filter_map(|line| line.rsplit_once(": "));
        Outcome(lines.map(|(call, gave)| (call.to_owned(), gave.to_owned())).collect())
    }

    /// Waits until it has ended, which closes the connection.
    ///
    /// # Panics
    ///
    /// Panics if it does not.
    #[track_caller]
    pub(crate) fn wait_for_end(mut self) {
        let mut rest = Vec::new();
        self.connection.read_to_end(&mut rest).expect("the child ends");
    }

    fn ask(&mut self, path: &str) -> io::Result<String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
        self.connection.get_mut().write_all(request.as_bytes())?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            if self.connection.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.connection.read_exact(&mut body)?;
        String::from_utf8(body).map_err(io::Error::other)
    }
}

impl Outcome {
    /// Returns what the calls gave whose description begins so.
    ///
    /// # Panics
    ///
    /// Panics if there was no such call.
    #[track_caller]
    pub(crate) fn of(&self, call: &str) -> Vec<&str> {
        let found: Vec<&str> = self
            .0
            .iter()
            .filter(|(name, _)| name.starts_with(call))
            .map(|(_, gave)| gave.as_str())
            .collect();
        assert!(!found.is_empty(), "nobody has tried {call}: {self:?}");
        found
    }

    /// Returns all calls, with what they gave.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(call, gave)| (call.as_str(), gave.as_str()))
    }
}
