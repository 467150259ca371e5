//! The end at which connections are taken.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::fcntl_dupfd_cloexec,
    net::{Shutdown, shutdown},
};

use super::{
    Handed,
    judge::{LONGEST, Received, receive},
};

/// What children of other pools hand over to this one, for [`Child::accept`](crate::Child::accept): made by
/// [`Init::hand_overs`](crate::Init::hand_overs).
///
/// It is accepted from alone, or beside listening sockets as `(listener, hand_overs)`, which yields [`Came`](crate::Came).
#[derive(Debug)]
pub struct HandOvers {
    socket: OwnedFd,
    /// Where a message is received, made when it is first needed.
    space: Mutex<Vec<u8>>,
    /// Whether nothing can come any more.
    is_over: AtomicBool,
}

impl HandOvers {
    /// Makes it of the end that was passed.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        // The other way is nobody's: descriptors that were sent there would be closed by whoever is the last.
        shutdown(&socket, Shutdown::Write)?;
        Ok(Self { socket, space: Mutex::default(), is_over: AtomicBool::new(false) })
    }

    /// The socket, as long as anything can come.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        // Each thread that reads it too early finds out by itself.
        (!self.is_over.load(Ordering::Relaxed)).then(|| self.socket.as_fd())
    }

    pub(crate) fn has(&self, fd: RawFd) -> bool {
        self.socket.as_raw_fd() == fd
    }

    /// Takes a connection that waits.
    ///
    /// # Errors
    ///
    /// Fails as `accept(2)` does where none waits, or it has ended (`ECONNABORTED`), or there is no descriptor free, and then
    /// it still waits; and with an [`Unfit`](super::Unfit) if what waited is no connection; and with
    /// [`Ended`] if none can come any more.
    pub(crate) fn take(&self) -> io::Result<Handed> {
        // What cannot be given a number is lost with the message. So there is to be room for it.
        drop(fcntl_dupfd_cloexec(&self.socket, 0)?);
        let mut space = self.space.lock().unwrap_or_else(PoisonError::into_inner);
        space.resize(LONGEST, 0);
        match receive(&self.socket, &mut space)? {
            Received::Connection(handed) => Ok(handed),
            Received::Nothing if has_hung_up(self.socket.as_fd()) => {
                self.is_over.store(true, Ordering::Relaxed);
                Err(io::Error::new(io::ErrorKind::BrokenPipe, Ended))
            }
            Received::Nothing => Err(super::Unfit::Descriptors(0).into()),
        }
    }
}

/// No connection can be handed over any more.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "no connection can be handed over to this pool any more: the other end was closed or shut down; restart the daemon"
)]
pub(crate) struct Ended;

impl Ended {
    /// Whether an error has come from that.
    pub(crate) fn is_behind(error: &io::Error) -> bool {
        error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()).is_some()
    }
}

/// Whether nothing more can come from there.
pub(crate) fn has_hung_up(socket: BorrowedFd<'_>) -> bool {
    let end = PollFlags::RDHUP;
    let mut fds = [PollFd::from_borrowed_fd(socket, end)];
    let looked = poll(&mut fds, Some(&Timespec::default()));
    looked.is_ok() && fds[0].revents().intersects(end | PollFlags::HUP)
}
