//! Addresses as people write them, and as they are shown.

use std::{
    fmt::{self, Display},
    io,
    os::{linux::net::SocketAddrExt, unix::net},
    path::Path,
};

use prefork_core::one_line;

/// What addresses look like, for those who have written something else.
pub(crate) const EXAMPLES: &str =
    "write 127.0.0.1:8080, localhost:8080, :8080, [::1]:8080 or /run/x.sock";

/// The address of a TCP port, or the path of a UNIX socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written<'a> {
    /// `ADDRESS:PORT` or `NAME:PORT`.
    Tcp(&'a str),
    /// `:PORT`, without an address.
    Port(u16),
    /// What has a slash in it, or `unix:` before it.
    Unix(&'a Path),
    /// None of these.
    Nonsense(&'a str),
}

/// Returns which of them a text is.
pub(crate) fn read(text: &str) -> Written<'_> {
    match text.strip_prefix("unix:") {
        Some(path) => Written::Unix(Path::new(path)),
        None if text.contains('/') => Written::Unix(Path::new(text)),
        None => match text.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
            Some(("", Ok(port))) => Written::Port(port),
            Some((_, Ok::<u16, _>(_))) => Written::Tcp(text),
            Some((_, Err(_))) | None => Written::Nonsense(text),
        },
    }
}

/// Why nothing can listen where a text says that is [`Written::Nonsense`].
pub(super) fn no_address(text: &str) -> io::Error {
    let problem = format!("cannot listen on {text:?}: it is no address; {EXAMPLES}");
    io::Error::new(io::ErrorKind::InvalidInput, problem)
}

/// The peer of a UNIX socket: its name if it has one, which clients rarely do.
pub(crate) struct UnixPeer<'a>(pub(crate) &'a net::SocketAddr);

impl Display for UnixPeer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.as_pathname(), self.0.as_abstract_name()) {
            (Some(path), _) => write!(f, "unix:{}", one_line(path)),
            (None, Some(name)) => write!(f, "unix:@{}", name.escape_ascii()),
            (None, None) => f.write_str("unix:"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_not_taken_for_addresses() {
        let unix = |path| Written::Unix(Path::new(path));
        let table = [
            ("127.0.0.1:80", Written::Tcp("127.0.0.1:80")),
            ("[::1%2]:80", Written::Tcp("[::1%2]:80")),
            ("localhost:80", Written::Tcp("localhost:80")),
            (":80", Written::Port(80)),
            ("nonsense", Written::Nonsense("nonsense")),
            ("8080", Written::Nonsense("8080")),
            ("localhost:http", Written::Nonsense("localhost:http")),
            ("127.0.0.1:65536", Written::Nonsense("127.0.0.1:65536")),
            ("", Written::Nonsense("")),
            ("/run/x", unix("/run/x")),
            ("./x", unix("./x")),
            ("/run/a:80", unix("/run/a:80")),
            ("unix:/run/x", unix("/run/x")),
            ("unix:x", unix("x")),
            ("unix:", unix("")),
            ("/run/unix:x", unix("/run/unix:x")),
        ];
        for (text, expected) in table {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }
}
