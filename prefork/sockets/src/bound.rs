//! What the kernel reports of a socket: where it is bound, and whether it listens.

use std::{
    ffi::OsStr,
    net::SocketAddr,
    os::{
        fd::AsFd,
        linux::net::SocketAddrExt,
        unix::{ffi::OsStrExt, net},
    },
};

use prefork_core::one_line;
use rustix::net::{SocketAddrUnix, SocketType, getsockname, sockopt};

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
    match (tcp_address(&socket), unix_address(&socket)) {
        (Some(address), _) => address.to_string(),
        (None, Some(address)) => match (address.as_pathname(), address.as_abstract_name()) {
            (Some(path), _) => one_line(path).to_string(),
            (None, Some(name)) => format!("@{}", name.escape_ascii()),
            (None, None) => "without a name".to_owned(),
        },
        (None, None) => "without a name".to_owned(),
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
