//! As much of HTTP/1.1 as the example needs: one request a connection, without a body.

use std::{
    fmt::{self, Display},
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use rustix::net::sockopt::{Timeout, set_socket_timeout};

/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most bytes a request may have, and the most header fields.
const LONGEST_REQUEST: usize = 8192;
const MOST_HEADERS: usize = 64;

/// The most bytes of a body that are read, for nothing.
const LONGEST_BODY: u64 = 1 << 20;

/// A request, as far as it could be understood.
pub(crate) struct Request {
    line: String,
    /// Whether the client may send more than was read.
    has_more: bool,
}

impl Request {
    fn new(method: &str, path: &str, has_more: bool) -> Self {
        Self { line: format!("{method} {path}"), has_more }
    }

    /// What is no HTTP.
    const fn nonsense() -> Self {
        Self { line: String::new(), has_more: true }
    }

    /// Returns the method and the path.
    pub(crate) fn line(&self) -> &str {
        &self.line
    }
}

/// Limits how long clients may be silent. Connections inherit it from their listener (on Linux), which
/// saves two system calls a request.
pub(crate) fn limit_patience(listener: &TcpListener) -> io::Result<()> {
    for direction in [Timeout::Recv, Timeout::Send] {
        set_socket_timeout(listener, direction, Some(PATIENCE))?;
    }
    Ok(())
}

/// Reads a request up to the end of its header.
pub(crate) fn read(connection: &mut TcpStream) -> io::Result<Request> {
    let mut buffer = [0; LONGEST_REQUEST];
    let mut length = 0;
    loop {
        match connection.read(&mut buffer[length..]) {
            Ok(0) if length == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(0) => return Ok(Request::nonsense()),
            Ok(count) => length += count,
            // A SIGTERM from outside interrupts what has a time limit.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&buffer[..length]) {
            Ok(httparse::Status::Complete(end)) => {
                let (method, path) = (request.method.unwrap_or(""), request.path.unwrap_or(""));
                return Ok(Request::new(method, path, end < length || method != "GET"));
            }
            Ok(httparse::Status::Partial) if length < buffer.len() => {}
            Ok(httparse::Status::Partial) | Err(_) => return Ok(Request::nonsense()),
        }
    }
}

/// What is answered.
pub(crate) struct Response {
    status: &'static str,
    body: String,
}

impl Response {
    fn new(status: &'static str, body: impl Into<String>) -> Self {
        Self { status, body: body.into() }
    }
}

impl Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", &self.status[..3], self.body.len())
    }
}

/// Does what the request asks for.
pub(crate) fn respond(request: &Request, pid: u32) -> Response {
    let (method, path) = request.line.split_once(' ').unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    match (method, path) {
        ("GET", "/") => Response::new("200 OK", "hello\n"),
        ("GET", "/pid") => Response::new("200 OK", format!("{pid}\n")),
        ("GET", "/sleep") => match milliseconds(query) {
            Some(ms) => {
                thread::sleep(Duration::from_millis(ms));
                Response::new("200 OK", "hello\n")
            }
            None => Response::new("400 Bad Request", "ask for /sleep?ms=N\n"),
        },
        ("GET", _) => Response::new("404 Not Found", "try /, /pid and /sleep\n"),
        ("", _) => Response::new("400 Bad Request", "bad request\n"),
        _ => Response::new("405 Method Not Allowed", "only GET\n"),
    }
}

/// Reads `ms=N`; a second if there is no query.
fn milliseconds(query: &str) -> Option<u64> {
    if query.is_empty() { Some(1000) } else { query.strip_prefix("ms=")?.parse().ok() }
}

/// Sends the answer and closes the connection.
pub(crate) fn send(
    mut connection: TcpStream,
    request: &Request,
    Response { status, body }: &Response,
) -> io::Result<()> {
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    connection.write_all(answer.as_bytes())?;
    if request.has_more {
        // Closing a socket with unread input resets the connection, and the client may lose the
        // answer that is on its way.
        connection.shutdown(Shutdown::Write)?;
        io::copy(&mut (&connection).take(LONGEST_BODY), &mut io::sink())?;
    }
    Ok(())
}
