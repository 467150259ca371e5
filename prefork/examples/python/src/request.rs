//! As much of HTTP as this program needs: one request a connection.

use std::{
    io::{self, Read},
    iter,
};

/// The longest head and the longest body that are taken, in bytes.
const MOST_HEAD: usize = 64 << 10;
const MOST_BODY: usize = 8 << 20;

/// How many headers a request may have.
const MOST_HEADERS: usize = 100;

/// A request.
pub(crate) struct Request {
    method: String,
    /// With the query.
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request {
    /// Reads one; `None` if what comes is none.
    ///
    /// # Errors
    ///
    /// Fails if the client is gone, or too slow.
    pub(crate) fn read(mut connection: impl Read) -> io::Result<Option<Self>> {
        let mut read = Vec::new();
        let (mut request, end) = loop {
            let mut piece = [0; 4096];
            let length = connection.read(&mut piece)?;
            read.extend_from_slice(&piece[..length]);
            match Self::parse(&read) {
                Ok(Some(parsed)) => break parsed,
                Ok(None) if length > 0 && read.len() <= MOST_HEAD => {}
                Ok(None) | Err(_) => return Ok(None),
            }
        };
        let Some(length @ ..=MOST_BODY) = request.length() else { return Ok(None) };
        request.body = read.split_off(end);
        request.body.truncate(length);
        let missing = length.saturating_sub(request.body.len());
        connection.take(missing as u64).read_to_end(&mut request.body)?;
        Ok((request.body.len() == length).then_some(request))
    }

    /// Parses the head, and returns where it ends; `None` if there is more of it to come.
    fn parse(read: &[u8]) -> Result<Option<(Self, usize)>, httparse::Error> {
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(end) = parsed.parse(read)? else { return Ok(None) };
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let (method, target) = (text(parsed.method), text(parsed.path));
        let headers = parsed.headers.iter().map(|it| (it.name.to_owned(), it.value.to_vec()));
        let headers = headers.collect();
        Ok(Some((Self { method, target, headers, body: Vec::new() }, end)))
    }

    /// How long the body is to be; `None` if it comes in pieces, or in a length that is none.
    fn length(&self) -> Option<usize> {
        let header = |name| self.headers.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
        match (header("content-length"), header("transfer-encoding")) {
            (None, None) => Some(0),
            (Some((_, value)), None) => number(value, 10).and_then(|it| it.try_into().ok()),
            (_, Some(_)) => None,
        }
    }

    /// The line by which the daemon's log calls it.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// What WSGI calls it, but for what is known of the connection.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (String, Vec<u8>)> {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let variables = [
            ("REQUEST_METHOD", self.method.clone().into_bytes()),
            ("SCRIPT_NAME", Vec::new()),
            ("PATH_INFO", decode(path.as_bytes())),
            ("QUERY_STRING", query.as_bytes().to_vec()),
            ("SERVER_PROTOCOL", b"HTTP/1.1".to_vec()),
        ];
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value));
        // A name with an underscore could stand for another one with a hyphen.
        let headers = self.headers.iter().filter(|(name, _)| !name.contains('_'));
        variables.chain(headers.map(|(name, value)| (variable(name), value.clone())))
    }
}

/// What a header is called in WSGI.
fn variable(header: &str) -> String {
    let name = header.to_ascii_uppercase().replace('-', "_");
    match &*name {
        "CONTENT_TYPE" | "CONTENT_LENGTH" => name,
        _ => format!("HTTP_{name}"),
    }
}

/// Decodes `%20` and its kin; what is none stays as it is.
fn decode(mut path: &[u8]) -> Vec<u8> {
    let next = || {
        let (&first, rest) = path.split_first()?;
        let digits = rest.get(..2).filter(|_| first == b'%');
        let decoded = digits.and_then(|digits| number(digits, 16)?.try_into().ok());
        path = if decoded.is_some() { &rest[2..] } else { rest };
        Some(decoded.unwrap_or(first))
    };
    iter::from_fn(next).collect()
}

/// Reads a number that has digits and no sign.
fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let is_digit = |it: &u8| char::from(*it).is_digit(radix);
    let digits =
        str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|it| is_digit(&it)));
    u64::from_str_radix(digits?, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Request> {
        Request::read(text.as_bytes()).expect("nothing fails")
    }

    #[test]
    fn a_request_is_read_as_wsgi_has_it() {
        let request = read(
            "POST /a%20b%?c=%20 HTTP/1.1\r\nContent-Length: 3\r\nX-A-B: 1\r\nX_A_B: 2\r\n\r\nabcd",
        );
        let request = request.expect("it is one");
        assert_eq!((&*request.line(), request.body()), ("POST /a%20b%?c=%20", &b"abc"[..]));
        let variables: Vec<_> = request
            .variables()
            .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(&value)))
            .collect();
        assert_eq!(
            variables,
            [
                "REQUEST_METHOD=POST",
                "SCRIPT_NAME=",
                "PATH_INFO=/a b%",
                "QUERY_STRING=c=%20",
                "SERVER_PROTOCOL=HTTP/1.1",
                "CONTENT_LENGTH=3",
                "HTTP_X_A_B=1",
            ]
        );
    }

    #[test]
    fn what_is_no_whole_request_is_none() {
        for text in [
            "",
            "GET / HTTP/1.1\r\n",
            "nonsense\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabc",
            "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc",
            "POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ] {
            assert!(read(text).is_none(), "{text:?}");
        }
    }
}
