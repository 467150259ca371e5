//! As much of HTTP as it takes to be sent a program and to answer.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

use crate::snippet::Ended;

/// What a client wants to be run.
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
}

/// The longest head, and the longest program.
const HEAD: usize = 8 << 10;
const BODY: usize = 64 << 10;

/// Reads a request.
pub(crate) fn read(connection: &mut TcpStream) -> io::Result<Request> {
    let mut bytes = Vec::new();
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        if let httparse::Status::Complete(head) = request.parse(&bytes).map_err(invalid)? {
            if request.method != Some("POST") {
                return Err(invalid("a program is sent by POST"));
            }
            let path = request.path.unwrap_or("/").to_owned();
            let length =
                request.headers.iter().find(|it| it.name.eq_ignore_ascii_case("content-length"));
            let length = length.and_then(|it| std::str::from_utf8(it.value).ok()?.parse().ok());
            let Some(length) = length.filter(|length| *length <= BODY) else {
                return Err(invalid("the Content-Length is missing, or above 64 KiB"));
            };
            let mut body = bytes.split_off(head);
            body.truncate(length);
            let left = length - body.len();
            connection.take(left as u64).read_to_end(&mut body)?;
            if body.len() < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            return Ok(Request { path, body });
        }
        if bytes.len() > HEAD {
            return Err(invalid("the head is longer than 8 KiB"));
        }
        let mut more = [0; 4096];
        match connection.read(&mut more)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&more[..count]),
        }
    }
}

/// Answers with what a program has printed, and how it has ended.
pub(crate) fn send(connection: &mut TcpStream, ended: &Ended) -> io::Result<()> {
    let limit = ended.limit.map(|limit| format!("Limit: {limit}\r\n")).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nExit-Status: {}\r\n{limit}\
         Connection: close\r\n\r\n",
        ended.output.len(),
        ended.status
    );
    connection.write_all(&[head.as_bytes(), &ended.output].concat())
}

/// Answers with what is wrong.
pub(crate) fn refuse(connection: &mut TcpStream, status: &str, problem: &str) -> io::Result<()> {
    let length = problem.len() + 1;
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{problem}\n"
    )
}

fn invalid(problem: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
