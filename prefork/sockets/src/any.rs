//! Sockets that are either TCP or UNIX ones, each in one type.

use std::{
    fmt::{self, Display},
    io::{self, IoSlice, IoSliceMut, Read, Write},
    net::{self, Shutdown, TcpListener, TcpStream},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::net::{self as unix, UnixListener, UnixStream},
    },
    time::Duration,
};

use rustix::net::{AddressFamily, sockopt::socket_domain};

use crate::{UnixPeer, bound};

/// A listening socket, of TCP or of UNIX.
///
/// So that one list, or one loop, has both kinds.
///
/// # Examples
///
/// ```
/// use prefork_sockets::AnyListener;
/// use std::{net::TcpListener, os::unix::net::UnixListener};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("exampled.sock");
/// let listeners: [AnyListener; 2] =
///     [TcpListener::bind("127.0.0.1:0")?.into(), UnixListener::bind(&path)?.into()];
/// for listener in &listeners {
///     println!("listening on {}", listener.local_addr()?);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum AnyListener {
    /// One of TCP.
    Tcp(TcpListener),
    /// One of UNIX.
    Unix(UnixListener),
}

/// A connection over TCP or a UNIX socket, as accepted from an [`AnyListener`].
///
/// What only one kind has, such as `TCP_NODELAY`, is set at what it holds.
#[derive(Debug)]
#[non_exhaustive]
pub enum AnyStream {
    /// One over TCP.
    Tcp(TcpStream),
    /// One over a UNIX socket.
    Unix(UnixStream),
}

/// The address of one end of an [`AnyStream`], or of an [`AnyListener`].
///
/// Shown, it is `192.0.2.1:80`, `[2001:db8::1]:80`, `unix:/run/hello/socket`, `unix:@name` for one in the
/// abstract name space, or `unix:` for an end without a name, as clients mostly are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AnyAddr {
    /// One of TCP.
    Tcp(net::SocketAddr),
    /// One of UNIX.
    Unix(unix::SocketAddr),
}

/// Does the same with whatever it is.
macro_rules! either {
    ($any:expr, $socket:ident => $deed:expr) => {
        match $any {
            Self::Tcp($socket) => $deed,
            Self::Unix($socket) => $deed,
        }
    };
}

impl AnyListener {
    /// Accepts a connection.
    ///
    /// # Errors
    ///
    /// Those of `accept(2)`.
    pub fn accept(&self) -> io::Result<(AnyStream, AnyAddr)> {
        Ok(either!(self, listener => {
            let (stream, address) = listener.accept()?;
            (stream.into(), address.into())
        }))
    }

    /// Returns the address that it listens at.
    ///
    /// # Errors
    ///
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<AnyAddr> {
        Ok(either!(self, listener => listener.local_addr()?.into()))
    }

    /// Makes another one of the same open socket.
    ///
    /// # Errors
    ///
    /// Fails if the process can have no more descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(either!(self, listener => listener.try_clone()?.into()))
    }
}

impl AnyStream {
    /// Connects to where a socket listens, as [`AnyListener::local_addr`] returns it.
    ///
    /// # Errors
    ///
    /// Those of `connect(2)`.
    pub fn connect(address: &AnyAddr) -> io::Result<Self> {
        Ok(match address {
            AnyAddr::Tcp(address) => TcpStream::connect(address)?.into(),
            AnyAddr::Unix(address) => UnixStream::connect_addr(address)?.into(),
        })
    }

    /// Returns the address of the other end.
    ///
    /// # Errors
    ///
    /// Those of `getpeername(2)`: the client may have gone.
    pub fn peer_addr(&self) -> io::Result<AnyAddr> {
        Ok(either!(self, stream => stream.peer_addr()?.into()))
    }

    /// Returns the address of this end.
    ///
    /// # Errors
    ///
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<AnyAddr> {
        Ok(either!(self, stream => stream.local_addr()?.into()))
    }

    /// Makes another one of the same connection.
    ///
    /// # Errors
    ///
    /// Fails if the process can have no more descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(either!(self, stream => stream.try_clone()?.into()))
    }

    /// Sets how long a read may wait; `None`, the default, is for ever.
    ///
    /// # Errors
    ///
    /// Fails if the limit is 0.
    pub fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        either!(self, stream => stream.set_read_timeout(limit))
    }

    /// Sets how long a write may wait; `None`, the default, is for ever.
    ///
    /// # Errors
    ///
    /// Fails if the limit is 0.
    pub fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        either!(self, stream => stream.set_write_timeout(limit))
    }

    /// Returns how long a read may wait.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        either!(self, stream => stream.read_timeout())
    }

    /// Returns how long a write may wait.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        either!(self, stream => stream.write_timeout())
    }

    /// Sets whether reads and writes return at once with [`WouldBlock`](io::ErrorKind::WouldBlock) instead of
    /// waiting. Default `false`.
    ///
    /// # Errors
    ///
    /// Those of `ioctl(2)`.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        either!(self, stream => stream.set_nonblocking(nonblocking))
    }

    /// Ends one direction of the connection, or both.
    ///
    /// # Errors
    ///
    /// Those of `shutdown(2)`: the client may have gone.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        either!(self, stream => stream.shutdown(how))
    }
}

impl Read for &AnyStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            AnyStream::Tcp(stream) => Read::read(&mut { stream }, buffer),
            AnyStream::Unix(stream) => Read::read(&mut { stream }, buffer),
        }
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match self {
            AnyStream::Tcp(stream) => Read::read_vectored(&mut { stream }, buffers),
            AnyStream::Unix(stream) => Read::read_vectored(&mut { stream }, buffers),
        }
    }
}

impl Write for &AnyStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            AnyStream::Tcp(stream) => Write::write(&mut { stream }, bytes),
            AnyStream::Unix(stream) => Write::write(&mut { stream }, bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            AnyStream::Tcp(stream) => Write::write_vectored(&mut { stream }, slices),
            AnyStream::Unix(stream) => Write::write_vectored(&mut { stream }, slices),
        }
    }

    /// Nothing is kept back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for AnyStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut &*self, buffer)
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        Read::read_vectored(&mut &*self, buffers)
    }
}

impl Write for AnyStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut &*self, bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Write::write_vectored(&mut &*self, slices)
    }

    /// Nothing is kept back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AnyAddr {
    /// Returns the address, if it is one of TCP.
    #[must_use]
    pub const fn as_tcp(&self) -> Option<net::SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl Display for AnyAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(address) => UnixPeer(address).fmt(f),
        }
    }
}

/// Implements the conversions into `$any` from what it may be.
macro_rules! made_of {
    ($any:ident, $tcp:ty, $unix:ty) => {
        impl From<$tcp> for $any {
            fn from(tcp: $tcp) -> Self {
                Self::Tcp(tcp)
            }
        }

        impl From<$unix> for $any {
            fn from(unix: $unix) -> Self {
                Self::Unix(unix)
            }
        }
    };
}

made_of!(AnyListener, TcpListener, UnixListener);
made_of!(AnyStream, TcpStream, UnixStream);
made_of!(AnyAddr, net::SocketAddr, unix::SocketAddr);

/// Lets the descriptor be seen and had.
macro_rules! holds_a_descriptor {
    ($any:ident) => {
        impl AsFd for $any {
            fn as_fd(&self) -> BorrowedFd<'_> {
                either!(self, socket => socket.as_fd())
            }
        }

        impl AsRawFd for $any {
            fn as_raw_fd(&self) -> RawFd {
                self.as_fd().as_raw_fd()
            }
        }

        impl From<$any> for OwnedFd {
            fn from(any: $any) -> Self {
                match any {
                    $any::Tcp(socket) => socket.into(),
                    $any::Unix(socket) => socket.into(),
                }
            }
        }
    };
}

holds_a_descriptor!(AnyListener);
holds_a_descriptor!(AnyStream);

/// Takes a descriptor for what it is, such as a service manager passes.
///
/// # Errors
///
/// Fails if it is not of a socket of TCP or UNIX that listens.
impl TryFrom<OwnedFd> for AnyListener {
    type Error = io::Error;

    fn try_from(socket: OwnedFd) -> io::Result<Self> {
        let domain = if bound::listens(&socket) { socket_domain(&socket).ok() } else { None };
        match domain {
            Some(AddressFamily::INET | AddressFamily::INET6) => Ok(Self::Tcp(socket.into())),
            Some(AddressFamily::UNIX) => Ok(Self::Unix(socket.into())),
            Some(_) | None => {
                let problem = "not a socket of TCP or UNIX that listens";
                Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, os::linux::net::SocketAddrExt};

    use super::*;

    /// One of each kind, in a place of the test's own.
    fn listeners(test: &str) -> [AnyListener; 2] {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("bound");
        let name = format!("prefork-sockets-{test}-{}", std::process::id());
        let address = unix::SocketAddr::from_abstract_name(name).expect("an address");
        [tcp.into(), UnixListener::bind_addr(&address).expect("bound").into()]
    }

    fn connect(listener: &AnyListener) -> AnyStream {
        AnyStream::connect(&listener.local_addr().expect("bound")).expect("connected")
    }

    #[test]
    fn both_kinds_behave_alike() {
        for listener in listeners("alike") {
            let mut client = connect(&listener);
            let (server, peer) = listener.accept().expect("accepted");
            assert_eq!(peer.to_string(), client.local_addr().expect("named").to_string());
            client.write_all(b"hello").expect("sent");
            client.shutdown(Shutdown::Write).expect("half closed");
            let limit = Some(Duration::from_secs(10));
            server.set_read_timeout(limit).expect("set");
            server.set_write_timeout(limit).expect("set");
            assert_eq!(
                (server.read_timeout().ok(), server.write_timeout().ok()),
                (Some(limit), Some(limit))
            );
            let mut text = String::new();
            (&server).read_to_string(&mut text).expect("received");
            assert_eq!(text, "hello");
            let slices = [IoSlice::new(b"good"), IoSlice::new(b"bye")];
            let mut copy = server.try_clone().expect("duplicated");
            assert_eq!(copy.write_vectored(&slices).expect("sent"), 7);
            drop((server, copy));
            client.read_to_string(&mut text).expect("received");
            assert_eq!(text, "hellogoodbye");
        }
    }

    #[test]
    fn a_descriptor_is_taken_for_what_it_is() {
        for listener in listeners("taken") {
            let address = listener.local_addr().expect("bound").to_string();
            let same = AnyListener::try_from(OwnedFd::from(listener)).expect("it listens");
            assert_eq!(same.local_addr().expect("bound").to_string(), address);
            let connection = connect(&same);
            AnyListener::try_from(OwnedFd::from(connection)).expect_err("it does not listen");
        }
        let datagrams = UdpSocket::bind("127.0.0.1:0").expect("bound");
        AnyListener::try_from(OwnedFd::from(datagrams)).expect_err("it cannot listen");
    }

    #[test]
    fn addresses_are_shown_as_they_are_written() {
        let [tcp, unix] = listeners("shown").map(|listener| listener.local_addr().expect("bound"));
        assert!(tcp.to_string().starts_with("127.0.0.1:"), "{tcp}");
        assert!(unix.to_string().starts_with("unix:@prefork-sockets-shown-"), "{unix}");
    }
}
