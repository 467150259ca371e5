//! Clients of HTTP/1.1 whose connections stay.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use prefork_tests::PATIENCE;

/// A connection that stays.
#[derive(Debug)]
pub(crate) struct Kept(BufReader<TcpStream>);

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// Whether it says that it is the last over this connection.
    pub(crate) is_last: bool,
}

impl Kept {
    pub(crate) fn to(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        self.0.get_mut()
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, path: &str) -> io::Result<Answer> {
        self.send(path)?;
        self.answer()
    }

    /// Asks.
    pub(crate) fn send(&mut self, path: &str) -> io::Result<()> {
        write!(self.0.get_mut(), "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
    }

    /// Reads the head of an answer.
    pub(crate) fn head(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                let read = lines.len();
                return Err(io::Error::other(format!("it was closed after {read} lines")));
            }
            match line.trim_end() {
                "" => return Ok(lines),
                line => lines.push(line.to_owned()),
            }
        }
    }

    /// Reads an answer.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let head = self.head()?;
        let field = |name: &str| {
            let mut fields = head.iter().filter_map(|line| line.split_once(": "));
            fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        let status = head[0].split(' ').nth(1).and_then(|status| status.parse().ok());
        let is_last = field("connection") == Some("close");
        let mut body = Vec::new();
        match field("content-length").and_then(|length| length.parse().ok()) {
            Some(length) => {
                body.resize(length, 0);
                self.0.read_exact(&mut body)?;
            }
            None => self.chunks(&mut body)?,
        }
        let body = String::from_utf8_lossy(&body).trim().to_owned();
        let status = status.ok_or_else(|| io::Error::other(format!("not HTTP: {head:?}")))?;
        Ok(Answer { status, body, is_last })
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            let length = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
            let start = body.len();
            body.resize(start + length + 2, 0);
            self.0.read_exact(&mut body[start..])?;
            body.truncate(start + length);
            if length == 0 {
                return Ok(());
            }
        }
    }

    /// Reads what comes until the connection is closed in order.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest)?;
        Ok(rest)
    }
}
