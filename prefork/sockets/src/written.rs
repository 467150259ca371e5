//! Addresses as people write them, and as they are shown.

use std::{
    fmt::{self, Display},
    os::{linux::net::SocketAddrExt, unix::net},
    path::Path,
};

use prefork_core::one_line;

/// What addresses look like, to be shown to those who have written something else.
pub const EXAMPLES: &str = "write 127.0.0.1:8080, localhost:8080, :8080, [::1]:8080 or /run/x.sock";

/// An address as people write it: of a TCP port, or the path of a UNIX socket.
///
/// # Examples
///
/// ```
/// use prefork_sockets::Written;
/// use std::path::Path;
///
/// assert_eq!(Written::read("localhost:80"), Some(Written::Tcp("localhost:80")));
/// assert_eq!(Written::read(":80"), Some(Written::Port(80)));
/// assert_eq!(Written::read("/run/x.sock"), Some(Written::Unix(Path::new("/run/x.sock"))));
/// assert_eq!(Written::read("8080"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written<'a> {
    /// `ADDRESS:PORT` or `NAME:PORT`.
    Tcp(&'a str),
    /// `:PORT`, without an address.
    Port(u16),
    /// What has a slash in it, or `unix:` before it.
    Unix(&'a Path),
}

impl<'a> Written<'a> {
    /// Reads a text; `None` if it is none of these.
    #[must_use]
    pub fn read(text: &'a str) -> Option<Self> {
        match text.strip_prefix("unix:") {
            Some(path) => Some(Self::Unix(Path::new(path))),
            None if text.contains('/') => Some(Self::Unix(Path::new(text))),
            None => match text.rsplit_once(':').map(|(host, port)| (host, port.parse()))? {
                ("", Ok(port)) => Some(Self::Port(port)),
                (_, Ok::<u16, _>(_)) => Some(Self::Tcp(text)),
                (_, Err(_)) => None,
            },
        }
    }
}

/// The address of one end of a UNIX socket, to be shown: `unix:/run/x.sock`, `unix:@name` in the abstract name space, or
/// `unix:` for one without a name, as clients mostly are.
#[derive(Clone, Copy, Debug)]
pub struct UnixPeer<'a>(pub &'a net::SocketAddr);

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
        let unix = |path| Some(Written::Unix(Path::new(path)));
        let table = [
            ("127.0.0.1:80", Some(Written::Tcp("127.0.0.1:80"))),
            ("[::1%2]:80", Some(Written::Tcp("[::1%2]:80"))),
            ("localhost:80", Some(Written::Tcp("localhost:80"))),
            (":80", Some(Written::Port(80))),
            ("nonsense", None),
            ("8080", None),
            ("localhost:http", None),
            ("127.0.0.1:65536", None),
            ("", None),
            ("/run/x", unix("/run/x")),
            ("./x", unix("./x")),
            ("/run/a:80", unix("/run/a:80")),
            ("unix:/run/x", unix("/run/x")),
            ("unix:x", unix("x")),
            ("unix:", unix("")),
            ("/run/unix:x", unix("/run/unix:x")),
        ];
        for (text, expected) in table {
            assert_eq!(Written::read(text), expected, "{text:?}");
        }
    }
}
