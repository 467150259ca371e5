//! Connections as a child accepts them, and as tokio has them.

use std::{
    fmt, io,
    net::SocketAddr,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net as unix,
    },
    pin::Pin,
    task::{Context, Poll},
};

use prefork::AnyAddr;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// What a [`Listener`](prefork::Listener) yields, as tokio has it. It cannot be implemented elsewhere.
pub trait Accepted: sealed::IntoTokio {
    /// The connection.
    type Stream: AsyncRead + AsyncWrite + AsFd + Unpin + Send + 'static;
    /// Who is at the other end.
    type Peer: fmt::Debug + Send + 'static;
}

mod sealed {
    use super::io;

    pub trait IntoTokio: Sized {
        /// Puts the connection into the runtime.
        fn into_tokio(
            self,
        ) -> io::Result<(<Self as super::Accepted>::Stream, <Self as super::Accepted>::Peer)>
        where
            Self: super::Accepted;

        /// Sends what is written at once, where a socket would wait for more (`TCP_NODELAY` in `tcp(7)`).
        fn send_at_once(stream: &<Self as super::Accepted>::Stream) -> io::Result<()>
        where
            Self: super::Accepted;
    }
}
pub(crate) use sealed::IntoTokio;

impl Accepted for (std::net::TcpStream, SocketAddr) {
    type Stream = TcpStream;
    type Peer = SocketAddr;
}

impl IntoTokio for (std::net::TcpStream, SocketAddr) {
    fn into_tokio(self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self;
        stream.set_nonblocking(true)?;
        Ok((TcpStream::from_std(stream)?, peer))
    }

    fn send_at_once(stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)
    }
}

impl Accepted for (unix::UnixStream, unix::SocketAddr) {
    type Stream = UnixStream;
    type Peer = unix::SocketAddr;
}

impl IntoTokio for (unix::UnixStream, unix::SocketAddr) {
    fn into_tokio(self) -> io::Result<(UnixStream, unix::SocketAddr)> {
        let (stream, peer) = self;
        stream.set_nonblocking(true)?;
        Ok((UnixStream::from_std(stream)?, peer))
    }

    fn send_at_once(_: &UnixStream) -> io::Result<()> {
        Ok(())
    }
}

/// A connection over TCP or a UNIX socket, as [`prefork::AnyStream`] is.
#[derive(Debug)]
#[non_exhaustive]
pub enum AnyStream {
    /// One over TCP.
    Tcp(TcpStream),
    /// One over a UNIX socket.
    Unix(UnixStream),
}

impl Accepted for (prefork::AnyStream, AnyAddr) {
    type Stream = AnyStream;
    type Peer = AnyAddr;
}

impl IntoTokio for (prefork::AnyStream, AnyAddr) {
    fn into_tokio(self) -> io::Result<(AnyStream, AnyAddr)> {
        let (stream, peer) = self;
        stream.set_nonblocking(true)?;
        let stream = match stream {
            prefork::AnyStream::Tcp(stream) => AnyStream::Tcp(TcpStream::from_std(stream)?),
            prefork::AnyStream::Unix(stream) => AnyStream::Unix(UnixStream::from_std(stream)?),
            other => {
                return Err(io::Error::other(format!(
                    "{other:?} is of a kind that is not known here"
                )));
            }
        };
        Ok((stream, peer))
    }

    fn send_at_once(stream: &AnyStream) -> io::Result<()> {
        match stream {
            AnyStream::Tcp(stream) => stream.set_nodelay(true),
            AnyStream::Unix(_) => Ok(()),
        }
    }
}

/// Does the same with whatever it is.
macro_rules! either {
    ($any:expr, $stream:ident => $deed:expr) => {
        match $any {
            AnyStream::Tcp($stream) => $deed,
            AnyStream::Unix($stream) => $deed,
        }
    };
}

impl AsFd for AnyStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        either!(self, stream => stream.as_fd())
    }
}

impl AsyncRead for AnyStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for AnyStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(context, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        either!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(context))
    }
}
