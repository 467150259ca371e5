//! As much of an HTTP client as the tests need.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::PATIENCE;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status, such as 200.
    pub status: u16,
    /// The body, without white space around it.
    pub body: String,
}

impl Reply {
    /// Returns the body as a number, for `/pid`.
    ///
    /// # Panics
    ///
    /// Panics if it is none.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.body.parse().unwrap_or_else(|_| panic!("the answer is not a number: {self:?}"))
    }
}

/// Asks for `path` over a connection of its own.
///
/// # Errors
///
/// Fails if the connection is refused or reset, or the answer is not whole.
pub fn get(address: SocketAddr, path: &str) -> io::Result<Reply> {
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::other(format!("a broken answer: {answer:?}")))
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

fn parse(answer: &str) -> Option<Reply> {
    let (header, body) = answer.split_once("\r\n\r\n")?;
    let status = header.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let mut fields = header.lines().filter_map(|line| line.split_once(": "));
    let (_, length) = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    let is_whole = length.parse() == Ok(body.len());
    is_whole.then(|| Reply { status, body: body.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_cut_short_is_none() {
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab\n";
        assert_eq!(parse(whole), Some(Reply { status: 200, body: "ab".into() }));
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "the first {length} bytes");
        }
    }
}
