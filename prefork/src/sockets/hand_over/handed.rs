//! A connection that a child of another pool has handed over.

use std::{
    fmt::{self, Display},
    io::{self, IoSlice, Read, Write},
    os::fd::{AsFd, BorrowedFd},
};

use prefork_sockets::{AnyAddr, AnyStream};

/// A connection that a child of another pool has handed over, with the bytes that it had read of it.
///
/// It reads these bytes first, and then on from the connection: code that reads requests from a stream need not know that
/// somebody has read some of it. The connection is blocking, and closing it waits for nothing (`SO_LINGER` is off). All else
/// that can be set of a socket is as the other child has left it, as are the times that reads and writes may take.
///
/// # Examples
///
/// ```
/// use prefork::Handed;
/// use std::io::{self, BufRead, BufReader, Write};
///
/// fn answer(mut handed: Handed) -> io::Result<()> {
///     let mut first = String::new();
///     BufReader::new(&mut handed).read_line(&mut first)?;
///     write!(handed, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto {first}")
/// }
/// ```
#[derive(Debug)]
pub struct Handed {
    connection: AnyStream,
    peer: AnyAddr,
    bytes: Vec<u8>,
    /// How many of these have been read here.
    read: usize,
}

/// What has come, where both listening sockets and what other pools hand over are accepted from.
#[derive(Debug)]
pub enum Came<C> {
    /// A client has connected.
    Accepted(C),
    /// A child of another pool has handed over the connection of one.
    Handed(Handed),
}

impl Handed {
    pub(super) const fn new(connection: AnyStream, peer: AnyAddr, bytes: Vec<u8>) -> Self {
        Self { connection, peer, bytes, read: 0 }
    }

    /// Returns the address of the client.
    #[must_use]
    pub const fn peer(&self) -> &AnyAddr {
        &self.peer
    }

    /// Returns what the other child had read and has not been read here yet.
    #[must_use]
    pub fn bytes_read(&self) -> &[u8] {
        &self.bytes[self.read..]
    }

    /// Returns the connection, to set something of it.
    #[must_use]
    pub const fn connection(&self) -> &AnyStream {
        &self.connection
    }

    /// Takes it apart: the connection, and the bytes that come before what it reads.
    #[must_use]
    pub fn into_parts(mut self) -> (AnyStream, Vec<u8>) {
        (self.connection, self.bytes.split_off(self.read))
    }
}

impl Read for Handed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = &self.bytes[self.read..];
        if left.is_empty() {
            return self.connection.read(buffer);
        }
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.read += count;
        Ok(count)
    }
}

impl Write for Handed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.connection.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.connection.write_vectored(slices)
    }

    /// Nothing is kept back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Handed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

/// Shows one or the other.
pub(crate) enum Either<A, B> {
    One(A),
    Other(B),
}

impl<A: Display, B: Display> Display for Either<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(one) => one.fmt(f),
            Self::Other(other) => other.fmt(f),
        }
    }
}
