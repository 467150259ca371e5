//! Whether a message is a connection, and parting with what came by one that is none.
//!
//! Whoever has taken over a child of another pool can send anything that it can open. Nothing of it may make the receiver
//! wait, neither here nor later:
//!
//! - Sockets are set not to linger before anything else is done: closing one with `SO_LINGER` and unsent data sleeps for as
//!   long as its sender likes (`socket(7)`).
//! - Nothing is asked of what is no socket, not even by `fstat(2)`, and it is closed elsewhere.
//! - There is room for all descriptors that a message can have, so that the kernel has none to close that were not looked at.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
};

use prefork_sockets::{AnyStream, listens};
use rustix::{
    io::{Errno, ioctl_fionbio},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
        SocketType, recvmsg, sockopt,
    },
};

use super::{HEADER, Handed, MOST_BYTES, elsewhere};

/// `SCM_MAX_FD`: more descriptors than that no message has (see `unix(7)`).
const MOST_DESCRIPTORS: usize = 253;

/// What is received at most; one byte more than there should be, to see that there are more.
pub(super) const LONGEST: usize = HEADER.len() + MOST_BYTES + 1;

/// Why a message is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("it has {0} descriptors and not one")]
    Descriptors(usize),
    #[error("not all of its descriptors could be received")]
    CutOff,
    #[error("its descriptor is no socket")]
    NoSocket,
    #[error("its descriptor is no connection over TCP or a UNIX socket")]
    NoConnection,
    #[error("it does not begin as such messages do")]
    Unknown,
    #[error("it has more than {MOST_BYTES} bytes")]
    TooLong,
}

impl From<Unfit> for io::Error {
    fn from(unfit: Unfit) -> Self {
        Self::new(io::ErrorKind::InvalidData, unfit)
    }
}

impl Unfit {
    /// Returns what an error has come from.
    pub(crate) fn behind(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Self>().copied()
    }
}

/// What was received.
pub(super) enum Received {
    Connection(Handed),
    /// Neither bytes nor a descriptor.
    Nothing,
}

/// Receives a message.
///
/// # Errors
///
/// Fails if it is no connection, or the connection has ended meanwhile (`ECONNABORTED`), or as `recvmsg(2)` does.
pub(super) fn receive(socket: impl AsFd, space: &mut [u8]) -> io::Result<Received> {
    let mut control = [MaybeUninit::uninit();
        rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS), ScmCredentials(1))];
    let mut control = RecvAncillaryBuffer::new(&mut control);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let message = recvmsg(socket, &mut [IoSliceMut::new(space)], &mut control, flags)?;
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            descriptors.extend(rights);
        }
    }
    // Before any of them may be closed.
    for descriptor in &descriptors {
        let _ = sockopt::set_socket_linger(descriptor, None);
    }
    if message.bytes == 0 && descriptors.is_empty() {
        return Ok(Received::Nothing);
    }
    let bytes = space.get(..message.bytes).unwrap_or_default();
    match content(bytes, message.flags, &descriptors) {
        Ok(bytes) => {
            let bytes = bytes.to_vec();
            let only = descriptors.pop().ok_or(Unfit::Descriptors(0))?;
            connection(only, bytes).map(Received::Connection)
        }
        Err(unfit) => {
            descriptors.into_iter().for_each(part_with);
            Err(unfit.into())
        }
    }
}

/// Returns what was read of the connection.
fn content<'a>(
    bytes: &'a [u8],
    flags: ReturnFlags,
    descriptors: &[OwnedFd],
) -> Result<&'a [u8], Unfit> {
    if flags.contains(ReturnFlags::CTRUNC) {
        return Err(Unfit::CutOff);
    }
    if flags.contains(ReturnFlags::TRUNC) || bytes.len() >= LONGEST {
        return Err(Unfit::TooLong);
    }
    match (bytes.strip_prefix(&HEADER[..]), descriptors.len()) {
        (None, _) => Err(Unfit::Unknown),
        (Some(bytes), 1) => Ok(bytes),
        (Some(_), count) => Err(Unfit::Descriptors(count)),
    }
}

/// Makes a connection of a descriptor, if it is one.
fn connection(descriptor: OwnedFd, bytes: Vec<u8>) -> io::Result<Handed> {
    let domain = match sockopt::socket_domain(&descriptor) {
        Ok(domain) => domain,
        Err(error) => {
            elsewhere::close(descriptor);
            return Err(match error {
                Errno::NOTSOCK => Unfit::NoSocket.into(),
                error => error.into(),
            });
        }
    };
    if sockopt::socket_type(&descriptor) != Ok(SocketType::STREAM) || listens(&descriptor) {
        return Err(Unfit::NoConnection.into());
    }
    ioctl_fionbio(&descriptor, false)?;
    let connection: AnyStream = match domain {
        AddressFamily::INET | AddressFamily::INET6 => std::net::TcpStream::from(descriptor).into(),
        AddressFamily::UNIX => std::os::unix::net::UnixStream::from(descriptor).into(),
        _ => return Err(Unfit::NoConnection.into()),
    };
    match connection.peer_addr() {
        Ok(peer) => Ok(Handed::new(connection, peer, bytes)),
        // It was never connected, or its client has gone while it was under way.
        Err(_) => Err(Errno::CONNABORTED.into()),
    }
}

/// Closes what is not wanted; what is a socket does not linger any more.
fn part_with(descriptor: OwnedFd) {
    if sockopt::socket_type(&descriptor).is_ok() {
        drop(descriptor);
    } else {
        elsewhere::close(descriptor);
    }
}
