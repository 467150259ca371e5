//! The ends that lead to other pools.

use std::{
    error::Error,
    fmt::{self, Display},
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::{BorrowedFd, OwnedFd},
};

use prefork_core::one_line;
use rustix::{
    io::Errno,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, sendmsg, shutdown},
};

use super::{HEADER, MOST_BYTES};

/// A connection that could not be handed over, and why: it is the caller's as before.
#[non_exhaustive]
pub struct NotHanded<C> {
    /// The connection, as it was given.
    pub connection: C,
    /// Why.
    pub error: HandOverError,
}

/// Why a connection cannot be handed to another pool.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandOverError {
    /// The pool is not among those to which this one hands connections.
    #[error("cannot hand a connection to pool {}: it is not named in hands_to", one_line(pool))]
    #[non_exhaustive]
    Unknown {
        /// The name that was given.
        pool: String,
    },
    /// As many connections are under way to the pool as the kernel takes.
    #[error("cannot hand a connection to pool {}: too many wait there", one_line(pool))]
    #[non_exhaustive]
    Full {
        /// The name of the pool.
        pool: String,
    },
    /// The pool takes no connections any more.
    #[error("cannot hand a connection to pool {}: it takes none any more", one_line(pool))]
    #[non_exhaustive]
    Gone {
        /// The name of the pool.
        pool: String,
    },
    /// More was read of the connection than can go with it.
    #[error(
        "cannot hand a connection to pool {} with {bytes} bytes of it: at most {MOST_BYTES} can go with one",
        one_line(pool)
    )]
    #[non_exhaustive]
    TooLong {
        /// The name of the pool.
        pool: String,
        /// How many bytes were given.
        bytes: usize,
    },
    /// The system refuses.
    #[error("cannot hand a connection to pool {}", one_line(pool))]
    #[non_exhaustive]
    System {
        /// The name of the pool.
        pool: String,
        /// What the system reported.
        source: io::Error,
    },
}

impl<C> fmt::Debug for NotHanded<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotHanded").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<C> Display for NotHanded<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<C> Error for NotHanded<C> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// The ends that lead to other pools.
#[derive(Debug, Default)]
pub(crate) struct Outlets(Vec<Outlet>);

/// One of them.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) pool: String,
    pub(crate) socket: OwnedFd,
}

impl FromIterator<Outlet> for Outlets {
    fn from_iter<I: IntoIterator<Item = Outlet>>(outlets: I) -> Self {
        Self(outlets.into_iter().collect())
    }
}

impl Outlet {
    /// Sees to it that nothing can come by it: it leads one way.
    pub(crate) fn close_for_reading(socket: &OwnedFd) -> io::Result<()> {
        Ok(shutdown(socket, Shutdown::Read)?)
    }

    /// Sends a connection with what was read of it, without waiting.
    fn send(&self, connection: BorrowedFd<'_>, bytes: &[u8]) -> Result<(), Errno> {
        let rights = [connection];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&rights)) {
            return Err(Errno::NOMEM);
        }
        let message = [IoSlice::new(&HEADER), IoSlice::new(bytes)];
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        loop {
            match sendmsg(&self.socket, &message, &mut control, flags) {
                Err(Errno::INTR) => {}
                sent => return sent.map(drop),
            }
        }
    }
}

impl Outlets {
    /// Hands a connection over, with what was read of it.
    pub(crate) fn hand_over(
        &self,
        pool: &str,
        connection: BorrowedFd<'_>,
        bytes: &[u8],
    ) -> Result<(), HandOverError> {
        let Some(outlet) = self.0.iter().find(|outlet| outlet.pool == pool) else {
            return Err(HandOverError::Unknown { pool: pool.to_owned() });
        };
        let pool = pool.to_owned();
        if bytes.len() > MOST_BYTES {
            return Err(HandOverError::TooLong { pool, bytes: bytes.len() });
        }
        outlet.send(connection, bytes).map_err(|error| match error {
            Errno::AGAIN | Errno::NOBUFS | Errno::TOOMANYREFS => HandOverError::Full { pool },
            Errno::PIPE | Errno::CONNRESET | Errno::CONNREFUSED | Errno::NOTCONN => {
                HandOverError::Gone { pool }
            }
            error => HandOverError::System { pool, source: error.into() },
        })
    }
}
