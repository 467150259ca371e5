//! The address to listen at, as people write it.

use std::path::Path;

/// The address of a TCP port, or the path of a UNIX socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written<'a> {
    /// `ADDRESS:PORT`, if it makes sense.
    Tcp(&'a str),
    /// What has a slash in it, or `unix:` before it.
    Unix(&'a Path),
}

/// Returns which of them a text is.
pub(crate) fn read(text: &str) -> Written<'_> {
    match text.strip_prefix("unix:") {
        Some(path) => Written::Unix(Path::new(path)),
        None if text.contains('/') => Written::Unix(Path::new(text)),
        None => Written::Tcp(text),
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
            ("nonsense", Written::Tcp("nonsense")),
            ("", Written::Tcp("")),
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
