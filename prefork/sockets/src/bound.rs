//! What the kernel reports of a socket: where it is bound, and whether it listens.

use std::{
    ffi::OsStr,
    io,
    net::SocketAddr,
    os::{
        fd::AsFd,
        linux::net::SocketAddrExt,
        unix::{ffi::OsStrExt, net},
    },
    path::{Path, PathBuf},
};

use prefork_core::one_line;
use rustix::net::{SocketAddrAny, SocketAddrUnix, SocketType, getpeername, getsockname, sockopt};

/// Returns whether connections can be accepted from a descriptor: it is no datagram socket, no connection, no file.
#[must_use]
pub fn listens(socket: impl AsFd) -> bool {
    sockopt::socket_type(&socket) == Ok(SocketType::STREAM)
        && sockopt::socket_acceptconn(&socket) == Ok(true)
}

/// Returns the address that a socket is bound to, if that is one of TCP or UDP.
#[must_use]
pub fn tcp_address(socket: impl AsFd) -> Option<SocketAddr> {
    SocketAddr::try_from(getsockname(socket).ok()?).ok()
}

/// Returns where a socket is bound, to be shown: `127.0.0.1:80`, `/run/x.sock`, `@name`, or `without a name`.
#[must_use]
pub fn name(socket: impl AsFd) -> String {
    getsockname(socket).ok().and_then(shown).unwrap_or_else(|| "without a name".to_owned())
}

/// Returns what a socket is connected to, to be shown as by [`name`]; `None` if that has no name, as one of a pair
/// (see `socketpair(2)`).
///
/// # Errors
///
/// Fails if it is not connected, or no socket.
pub fn peer_name(socket: impl AsFd) -> io::Result<Option<String>> {
    Ok(getpeername(socket)?.and_then(shown))
}

fn shown(address: SocketAddrAny) -> Option<String> {
    if let Ok(address) = SocketAddr::try_from(address.clone()) {
        return Some(address.to_string());
    }
    let address = SocketAddrUnix::try_from(address).ok()?;
    match (address.path_bytes(), address.abstract_name()) {
        (Some(path), _) => Some(one_line(OsStr::from_bytes(path)).to_string()),
        (None, Some(name)) if !name.is_empty() => Some(format!("@{}", name.escape_ascii())),
        // As the kernel reports those that are bound to nothing.
        (None, _) => None,
    }
}

/// Returns the address that a socket is bound to, if that is one of `unix(7)`.
#[must_use]
pub fn unix_address(socket: impl AsFd) -> Option<net::SocketAddr> {
    let address = SocketAddrUnix::try_from(getsockname(socket).ok()?).ok()?;
    let made = match (address.path_bytes(), address.abstract_name()) {
        (Some(path), _) => net::SocketAddr::from_pathname(OsStr::from_bytes(path)),
        (None, Some(name)) => net::SocketAddr::from_abstract_name(name),
        (None, None) => return None,
    };
    made.ok()
}

/// Returns the path that a socket is bound to, if it has a file.
#[must_use]
pub fn unix_path(socket: impl AsFd) -> Option<PathBuf> {
    unix_address(socket)?.as_pathname().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        os::unix::net::{UnixListener, UnixStream},
    };

    use super::*;

    #[test]
    fn a_connection_has_the_name_of_its_peer() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let connection =
            TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        assert_eq!(peer_name(&connection).expect("connected"), Some(name(&listener)));
        peer_name(&listener).expect_err("it listens");

        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("a\nsocket");
        let listener = UnixListener::bind(&path).expect("bound");
        let connection = UnixStream::connect(&path).expect("connected");
        assert_eq!(peer_name(&connection).expect("connected"), Some(name(&listener)));
        assert!(name(&listener).ends_with("/a\\nsocket"), "{}", name(&listener));

        let (one, _other) = UnixStream::pair().expect("a pair");
        assert_eq!(peer_name(&one).expect("connected"), None);
    }
}
