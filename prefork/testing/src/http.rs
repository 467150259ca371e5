//! As much of an HTTP/1.1 client as tests need.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use rustix::net::sockopt::{set_socket_linger, set_socket_recv_buffer_size};

/// The field in which a request says which it is; a server may say the same in its answer, and has to be right then.
const REQUEST: &str = "X-Request-Id";

/// The longest answer that is read, in bytes.
const LONGEST: usize = 1 << 28;

/// How many requests this test program has sent.
static REQUESTS: AtomicU32 = AtomicU32::new(0);

/// An answer, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// The status, such as 200.
    pub status: u16,
    /// The fields of its head, as `(name, value)`.
    pub fields: Vec<(String, String)>,
    /// The body; what is not UTF-8 is replaced.
    pub body: String,
}

impl Reply {
    /// Returns the value of a field of the head, whatever the case of its name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        find(&self.fields, name)
    }
}

/// Asks for `path` over a connection of its own, and waits no longer than `limit` for the whole answer.
///
/// # Errors
///
/// [`ErrorKind::ConnectionRefused`](io::ErrorKind::ConnectionRefused) where nobody listens,
/// [`ConnectionReset`](io::ErrorKind::ConnectionReset) where the connection is reset, and not closed in order,
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where it is closed before that, [`TimedOut`](io::ErrorKind::TimedOut)
/// after `limit`, and [`InvalidData`](io::ErrorKind::InvalidData) where the answer is no HTTP, or one to another request.
///
/// # Examples
///
/// ```
/// use std::{io::ErrorKind, time::Duration};
///
/// let nobody = "127.0.0.1:1".parse().expect("an address");
/// let error = prefork_testing::get(nobody, "/", Duration::from_secs(1)).expect_err("nobody listens");
/// assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
/// ```
pub fn get(address: SocketAddr, path: &str, limit: Duration) -> io::Result<Reply> {
    get_and_report(address, path, limit, || ())
}

/// The same, and calls `sent` once the request was sent.
pub(crate) fn get_and_report(
    address: SocketAddr,
    path: &str,
    limit: Duration,
    sent: impl FnOnce(),
) -> io::Result<Reply> {
    let begun = Instant::now();
    let connection = TcpStream::connect_timeout(&address, limit).map_err(timed_out)?;
    let id = send(&connection, address, path)?;
    sent();
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    let mut reply = None;
    // The server closes first, as it was asked to: one that finds the client gone has a reason to end its work.
    loop {
        let rest = limit.saturating_sub(begun.elapsed());
        if rest.is_zero() {
            return reply.ok_or_else(|| io::ErrorKind::TimedOut.into());
        }
        connection.set_read_timeout(Some(rest))?;
        let has_ended = match (&connection).read(&mut buffer) {
            Ok(0) => true,
            Ok(count) => {
                answer.extend_from_slice(&buffer[..count]);
                false
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        };
        if reply.is_none() {
            reply = whole(&answer, has_ended)?;
            let other = reply.as_ref().and_then(|reply: &Reply| reply.field(REQUEST));
            if let Some(other) = other.filter(|other| *other != id) {
                return Err(broken(&format!("an answer to request {other}, not {id}")));
            }
        }
        if has_ended {
            return reply.ok_or_else(|| io::ErrorKind::UnexpectedEof.into());
        }
        if answer.len() > LONGEST {
            return Err(broken("an answer without an end"));
        }
    }
}

/// Sends a request, and returns what it is called.
fn send(mut connection: &TcpStream, address: SocketAddr, path: &str) -> io::Result<String> {
    let number = REQUESTS.fetch_add(1, Ordering::Relaxed);
    let id = format!("{}-{number}", std::process::id());
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{REQUEST}: {id}\r\n\r\n"
    );
    connection.write_all(request.as_bytes())?;
    Ok(id)
}

/// Asks for `path` over a connection with the smallest room for what comes, to read nothing of it.
pub(crate) fn ask_and_ignore(
    address: SocketAddr,
    path: &str,
    limit: Duration,
) -> io::Result<TcpStream> {
    let connection = TcpStream::connect_timeout(&address, limit)?;
    set_socket_recv_buffer_size(&connection, 1)?;
    send(&connection, address, path)?;
    Ok(connection)
}

/// Closes a connection by a reset.
pub(crate) fn reset(connection: TcpStream) {
    // Else it is closed in order, which ends it too.
    let _ = set_socket_linger(&connection, Some(Duration::ZERO));
    drop(connection);
}

/// A read with a time limit reports it as "not now".
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

/// Returns the answer if it is whole.
fn whole(answer: &[u8], has_ended: bool) -> io::Result<Option<Reply>> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&answer[..end]);
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
    let Some(status) = status else { return Err(broken(&head)) };
    let fields: Vec<_> = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    let rest = &answer[end + 4..];
    let is_chunked = find(&fields, "Transfer-Encoding")
        .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    let length = find(&fields, "Content-Length").map(str::parse::<usize>);
    let body = match length {
        _ if is_chunked => unchunk(rest)?,
        Some(Ok(length)) => rest.get(..length).map(<[u8]>::to_vec),
        Some(Err(_)) => return Err(broken(&head)),
        None if status == 204 || status == 304 => Some(Vec::new()),
        // The end of the connection is that of the answer, as far as anybody can know.
        None => has_ended.then(|| rest.to_vec()),
    };
    let body = body.map(|body| String::from_utf8_lossy(&body).into_owned());
    Ok(body.map(|body| Reply { status, fields, body }))
}

/// Puts the chunks of a body together (RFC 9112, 7.1); `None` if the last one has not come.
fn unchunk(mut rest: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else {
            return Ok(None);
        };
        let line = String::from_utf8_lossy(&rest[..end]);
        let length = line.split(';').next().map(str::trim).unwrap_or_default();
        let Ok(length) = usize::from_str_radix(length, 16) else { return Err(broken(&line)) };
        let after = &rest[end + 2..];
        if length == 0 {
            // Fields may follow, up to an empty line.
            let trailer =
                after.starts_with(b"\r\n") || after.windows(4).any(|it| it == b"\r\n\r\n");
            return Ok(trailer.then_some(body));
        }
        let Some(end) = length.checked_add(2).filter(|end| *end <= after.len()) else {
            return Ok(None);
        };
        body.extend_from_slice(&after[..length]);
        rest = &after[end..];
    }
}

fn find<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut named = fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
    named.next().map(|(_, value)| value.as_str())
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a broken answer: {what:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(answer: &str, has_ended: bool) -> Option<String> {
        whole(answer.as_bytes(), has_ended).expect("it is HTTP").map(|reply| reply.body)
    }

    #[test]
    fn an_answer_that_is_cut_short_is_none() {
        for whole in [
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n2;x=y\r\nab\r\n1\r\n\n\r\n0\r\n\r\n",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab\n\r\n0\r\nA: b\r\n\r\n",
        ] {
            assert_eq!(body(whole, false).as_deref(), Some("ab\n"), "{whole:?}");
            for length in 0..whole.len() {
                assert_eq!(body(&whole[..length], true), None, "the first {length} of {whole:?}");
            }
        }
    }

    #[test]
    fn an_answer_without_a_length_ends_with_the_connection() {
        let answer = "HTTP/1.0 200 OK\r\n\r\nhello\n";
        assert_eq!(body(answer, false), None);
        assert_eq!(body(answer, true).as_deref(), Some("hello\n"));
        assert_eq!(body("HTTP/1.1 204 No Content\r\n\r\n", false).as_deref(), Some(""));
    }

    #[test]
    fn what_is_no_http_is_an_error() {
        for answer in [
            "220 mail\r\n\r\n",
            "HTTP/1.1 abc\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        ] {
            let error = whole(answer.as_bytes(), false).expect_err(answer);
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn fields_are_found_whatever_their_case() {
        let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\nX-A:b\r\n\r\n";
        let reply = whole(answer, false).expect("HTTP").expect("whole");
        assert_eq!((reply.status, reply.field("x-a"), reply.field("X-B")), (201, Some("b"), None));
    }
}
