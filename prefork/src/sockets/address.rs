//! The address to listen at, as people write it.

use std::path::Path;

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
