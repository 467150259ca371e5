//! What a child can accept connections from.

use std::{
    fmt::{self, Display},
    io,
    net::{self, TcpListener, TcpStream},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
        unix::net::{self as unix, UnixListener, UnixStream},
    },
};

/// One or several listening sockets, for [`Child::accept`](crate::Child::accept).
///
/// Implemented for the listeners of the standard library and for slices, arrays and vectors of
/// them. It cannot be implemented elsewhere.
pub trait Listener: sealed::Sealed {
    /// What accepting yields: the connection and the peer's address.
    type Connection;

    /// Shows whom a connection is from.
    #[doc(hidden)]
    fn peer(connection: &Self::Connection) -> impl Display;

    /// Calls `visit` with each socket.
    #[doc(hidden)]
    fn each(&self, visit: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<()>) -> io::Result<()>;

    /// Accepts from the socket with this descriptor; `None` if it is not one of these.
    #[doc(hidden)]
    fn accept_from(&self, fd: RawFd) -> Option<io::Result<Self::Connection>>;
}

impl Listener for TcpListener {
    type Connection = (TcpStream, net::SocketAddr);

    fn peer((_, address): &Self::Connection) -> impl Display {
        address
    }

    fn each(&self, visit: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<()>) -> io::Result<()> {
        visit(self.as_fd())
    }

    fn accept_from(&self, fd: RawFd) -> Option<io::Result<Self::Connection>> {
        (self.as_raw_fd() == fd).then(|| self.accept())
    }
}

impl Listener for UnixListener {
    type Connection = (UnixStream, unix::SocketAddr);

    fn peer((_, address): &Self::Connection) -> impl Display {
        UnixPeer(address)
    }

    fn each(&self, visit: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<()>) -> io::Result<()> {
        visit(self.as_fd())
    }

    fn accept_from(&self, fd: RawFd) -> Option<io::Result<Self::Connection>> {
        (self.as_raw_fd() == fd).then(|| self.accept())
    }
}

impl<L: Listener> Listener for [L] {
    type Connection = L::Connection;

    fn peer(connection: &Self::Connection) -> impl Display {
        L::peer(connection)
    }

    fn each(&self, visit: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<()>) -> io::Result<()> {
        self.iter().try_for_each(|listener| listener.each(visit))
    }

    fn accept_from(&self, fd: RawFd) -> Option<io::Result<Self::Connection>> {
        self.iter().find_map(|listener| listener.accept_from(fd))
    }
}

impl<L: Listener, const N: usize> Listener for [L; N] {
    type Connection = L::Connection;

    fn peer(connection: &Self::Connection) -> impl Display {
        L::peer(connection)
    }

    fn each(&self, visit: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<()>) -> io::Result<()> {
        self.as_slice().each(visit)
    }

    fn accept_from(&self, fd: RawFd) -> Option<io::Result<Self::Connection>> {
        self.as_slice().accept_from(fd)
    }
}

impl<L: Listener> Listener for Vec<L> {
    type Connection = L::Connection;

    fn peer(connection: &Self::Connection) -> impl Display {
        L::peer(connection)
    }

    fn each(&self, visit: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<()>) -> io::Result<()> {
        self.as_slice().each(visit)
    }

    fn accept_from(&self, fd: RawFd) -> Option<io::Result<Self::Connection>> {
        self.as_slice().accept_from(fd)
    }
}

/// The peer of a UNIX socket: its path if it has one, which clients rarely do.
struct UnixPeer<'a>(&'a unix::SocketAddr);

impl Display for UnixPeer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_pathname() {
            Some(path) => write!(f, "unix:{}", path.display()),
            None => f.write_str("unix:"),
        }
    }
}

mod sealed {
    use super::{TcpListener, UnixListener};

    pub trait Sealed {}

    impl Sealed for TcpListener {}
    impl Sealed for UnixListener {}
    impl<L: Sealed> Sealed for [L] {}
    impl<L: Sealed, const N: usize> Sealed for [L; N] {}
    impl<L: Sealed> Sealed for Vec<L> {}
}
