//! Closing a listening socket to newcomers, while clients that wait at it stay.
//!
//! No call is made for that. `close(2)`, and `shutdown(2)` of a TCP socket, end the connections that wait; `listen(2)` with
//! a queue of 0 lets newcomers in one after another; a filter that drops them needs `CAP_NET_ADMIN`. So a TCP socket is
//! bound to an interface that does not exist: the kernel refuses newcomers as at a port where nobody listens, and still
//! finishes handshakes that have begun. A UNIX socket is shut down for reading: newcomers are refused, clients that wait are
//! accepted. Both need no capability (Linux 5.7), hold for all processes that share the socket, and cannot be undone by a
//! daemon without capabilities. So they are for sockets that end with it.

use std::{io, os::fd::AsFd};

use rustix::net::{AddressFamily, Shutdown, shutdown, sockopt};

use crate::{is_deaf, sys};

/// An interface that does not exist: the kernel numbers them from 1.
const NOWHERE: i32 = i32::MAX;

/// Has newcomers refused from now on, by all processes that share the socket. Clients that wait stay, and can be accepted.
///
/// It cannot be undone by a process without capabilities, so it is for sockets that end with the service.
///
/// # Errors
///
/// Fails if the socket is bound to an interface already, as one at a link-local address of IPv6 is, and the process has no
/// `CAP_NET_RAW`.
pub fn close_to_newcomers(socket: impl AsFd) -> io::Result<()> {
    let socket = socket.as_fd();
    if sockopt::socket_domain(socket)? == AddressFamily::UNIX {
        return Ok(shutdown(socket, Shutdown::Read)?);
    }
    let found = sys::bound_interface(socket)?;
    if found == NOWHERE { Ok(()) } else { sys::bind_to_interface(socket, NOWHERE) }
}

/// Returns whether newcomers are refused.
#[must_use]
pub fn is_closed(socket: impl AsFd) -> bool {
    let socket = socket.as_fd();
    let is_nowhere = sys::bound_interface(socket).is_ok_and(|index| index == NOWHERE);
    is_nowhere || is_deaf(socket).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{ErrorKind, Read, Write},
        net::{SocketAddr, TcpListener, TcpStream},
        os::{
            linux::net::SocketAddrExt,
            unix::net::{self as unix, UnixListener, UnixStream},
        },
        process,
    };

    use super::*;

    /// Asserts that clients that wait are served after the door was closed, and none that come after.
    #[track_caller]
    fn assert_closes<C: Read + Write, A>(
        listener: &impl AsFd,
        connect: impl Fn() -> io::Result<C>,
        accept: impl Fn() -> io::Result<(C, A)>,
    ) {
        let mut waiting = connect().expect("it is open");
        assert!(!is_closed(listener));
        close_to_newcomers(listener).expect("everybody may");
        assert!(is_closed(listener));
        let refused = connect().err().map(|error| error.kind());
        assert_eq!(refused, Some(ErrorKind::ConnectionRefused));
        let (mut accepted, _) = accept().expect("it still waits");
        accepted.write_all(b"served").expect("sent");
        drop(accepted);
        let mut answer = String::new();
        waiting.read_to_string(&mut answer).expect("answered");
        assert_eq!(answer, "served");
        let nobody = accept().err().map(|error| error.kind());
        assert_eq!(nobody, Some(ErrorKind::WouldBlock));
    }

    #[test]
    fn newcomers_are_refused_and_those_who_wait_are_served() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                assert!(address.starts_with('['), "{address} can be bound");
                eprintln!("SKIPPED: there is no IPv6 for {address}");
                continue;
            };
            listener.set_nonblocking(true).expect("set");
            let bound = listener.local_addr().expect("bound");
            assert_closes(&listener, || TcpStream::connect(bound), || listener.accept());
        }
    }

    /// One socket for both protocols is closed to both.
    #[test]
    fn a_socket_for_ipv6_is_closed_to_ipv4_too() {
        let Ok(listener) = TcpListener::bind("[::]:0") else {
            eprintln!("SKIPPED: there is no IPv6");
            return;
        };
        let port = listener.local_addr().expect("bound").port();
        let mapped = SocketAddr::from(([127, 0, 0, 1], port));
        listener.set_nonblocking(true).expect("set");
        assert_closes(&listener, || TcpStream::connect(mapped), || listener.accept());
    }

    #[test]
    fn a_unix_socket_is_closed_under_its_path_and_in_the_abstract_name_space() {
        let directory = tempfile::tempdir().expect("made");
        let name = format!("prefork-sockets-door-{}", process::id());
        for address in [
            unix::SocketAddr::from_pathname(directory.path().join("socket")),
            unix::SocketAddr::from_abstract_name(name),
        ] {
            let address = address.expect("an address");
            let listener = UnixListener::bind_addr(&address).expect("bound");
            listener.set_nonblocking(true).expect("set");
            assert_closes(&listener, || UnixStream::connect_addr(&address), || listener.accept());
        }
    }

    /// Binding a socket to an interface needs no capability the first time, and `CAP_NET_RAW` after (see `socket(7)`).
    #[test]
    fn a_socket_at_an_interface_is_closed_by_those_who_may() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        sys::bind_to_interface(listener.as_fd(), 1).expect("everybody may");
        match close_to_newcomers(&listener) {
            Ok(()) => assert!(is_closed(&listener)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::PermissionDenied);
                assert!(!is_closed(&listener));
            }
        }
    }
}
