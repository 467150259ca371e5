//! As much of HTTP/1.1 as the example needs: one request a connection, without a body.

use std::{
    fmt::{self, Display},
    io::{self, Read, Write},
    net::Shutdown,
    thread,
    time::Duration,
};

use prefork::{AnyListener, AnyStream, Child};
use rustix::{
    io::Errno,
    net::{
        RecvFlags, recv,
        sockopt::{Timeout, set_socket_timeout},
    },
};

/// How long a client may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long while others wait and no child is free.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);

/// The most bytes a request may have, and the most header fields.
const LONGEST_REQUEST: usize = 8192;
const MOST_HEADERS: usize = 64;

/// What nearly all fit into: each child keeps the memory that it has touched.
const USUAL_REQUEST: usize = 1024;

/// The most bytes of a body that are read, for nothing.
const LONGEST_BODY: u64 = 1 << 20;

/// The field by which a client says which request this is, and finds it in the answer.
const ID: &str = "X-Request-Id";

/// A request, as far as it could be understood.
pub(crate) struct Request {
    line: String,
    /// The second number of its version.
    minor: u8,
    id: Option<String>,
    /// Whether the client may send more than was read.
    has_more: bool,
}

impl Request {
    fn new(parsed: &httparse::Request<'_, '_>, was_all: bool) -> Self {
        let (method, path) = (parsed.method.unwrap_or(""), parsed.path.unwrap_or(""));
        let id = parsed.headers.iter().find(|field| field.name.eq_ignore_ascii_case(ID));
        let id = id.and_then(|field| str::from_utf8(field.value).ok()).map(str::to_owned);
        let (line, minor) = (format!("{method} {path}"), parsed.version.unwrap_or(0));
        Self { line, minor, id, has_more: !was_all || method != "GET" }
    }

    /// What is no HTTP.
    const fn nonsense() -> Self {
        Self { line: String::new(), minor: 0, id: None, has_more: true }
    }

    /// Returns the method and the path.
    pub(crate) fn line(&self) -> &str {
        &self.line
    }
}

/// As the client has sent it: `GET / HTTP/1.1`.
impl Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, minor, .. } = self;
        if line.is_empty() { f.write_str("-") } else { write!(f, "{line} HTTP/1.{minor}") }
    }
}

/// Limits how long clients may be silent. Connections inherit it from their listener (on Linux), which
/// saves two system calls a request.
pub(crate) fn limit_patience(listener: &AnyListener) -> io::Result<()> {
    for direction in [Timeout::Recv, Timeout::Send] {
        set_socket_timeout(listener, direction, Some(PATIENCE))?;
    }
    Ok(())
}

/// Limits more narrowly how long the client of this connection may be silent.
pub(crate) fn shorten_patience(connection: &AnyStream) -> io::Result<()> {
    for direction in [Timeout::Recv, Timeout::Send] {
        set_socket_timeout(connection, direction, Some(SHORT_PATIENCE))?;
    }
    Ok(())
}

/// Reads a request up to the end of its header.
pub(crate) fn read(connection: &mut AnyStream) -> io::Result<Request> {
    let mut buffer = vec![0; USUAL_REQUEST];
    let mut length = 0;
    loop {
        if length == buffer.len() {
            buffer.resize(LONGEST_REQUEST, 0);
        }
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
                return Ok(Request::new(&request, end == length));
            }
            Ok(httparse::Status::Partial) if length < LONGEST_REQUEST => {}
            Ok(httparse::Status::Partial) | Err(_) => return Ok(Request::nonsense()),
        }
    }
}

/// What is answered.
pub(crate) struct Response {
    status: &'static str,
    body: String,
    /// How long the work takes of which this is the result.
    work: Duration,
}

impl Response {
    fn new(status: &'static str, body: impl Into<String>) -> Self {
        Self { status, body: body.into(), work: Duration::ZERO }
    }
}

impl Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", &self.status[..3], self.body.len())
    }
}

/// Says what is answered to the request.
pub(crate) fn respond(request: &Request, pid: u32) -> Response {
    let (method, path) = request.line.split_once(' ').unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    match (method, path) {
        ("GET", "/") => Response::new("200 OK", "hello\n"),
        ("GET", "/pid") => Response::new("200 OK", format!("{pid}\n")),
        ("GET", "/sleep") => match milliseconds(query) {
            Some(ms) => {
                let work = Duration::from_millis(ms);
                Response { work, ..Response::new("200 OK", "hello\n") }
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

/// What is answered to a client that has waited too long.
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 20\r\n\
    Retry-After: 1\r\nConnection: close\r\n\r\ntoo busy, try later\n";

/// Refuses a client, without waiting for it, and returns for the access log what was answered.
pub(crate) fn refuse(mut connection: AnyStream) -> io::Result<&'static str> {
    // Closing a socket with unread input resets the connection, and the client may lose the answer.
    let mut request = [0; LONGEST_REQUEST];
    match recv(&connection, &mut request, RecvFlags::DONTWAIT) {
        Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    connection.write_all(BUSY.as_bytes())?;
    connection.shutdown(Shutdown::Write)?;
    Ok("\"-\" 503 20")
}

/// Works, sends the answer, which names the child, and closes the connection.
///
/// A client that says which request this is gets the head before the work begins: so it learns which child
/// has its request in hand.
pub(crate) fn send(
    mut connection: AnyStream,
    child: &Child,
    request: &Request,
    Response { status, body, work }: &Response,
) -> io::Result<()> {
    let (pid, slot, generation) = (child.pid(), child.slot(), child.generation());
    let length = body.len();
    let mut answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\nX-Child: {pid} {slot} {generation}\r\n"
    );
    if let Some(id) = &request.id {
        answer.push_str(&format!("{ID}: {id}\r\n"));
    }
    answer.push_str("\r\n");
    if !work.is_zero() {
        if request.id.is_some() {
            connection.write_all(answer.as_bytes())?;
            answer.clear();
        }
        thread::sleep(*work);
    }
    answer.push_str(body);
    connection.write_all(answer.as_bytes())?;
    if request.has_more {
        // Closing a socket with unread input resets the connection, and the client may lose the
        // answer that is on its way.
        connection.shutdown(Shutdown::Write)?;
        io::copy(&mut (&mut connection).take(LONGEST_BODY), &mut io::sink())?;
    }
    Ok(())
}
