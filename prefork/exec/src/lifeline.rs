//! Ends a program with the daemon, however that ends.
//!
//! The kernel kills a child of the library when its parent ends, and the first process of a program when the child does. What that
//! process has started would stay, and keep the listening socket from the next start: the worker of a server that has a
//! master, what a shell has started. So this child is not killed at once, but lives a moment longer and takes all of them with it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::process::{Pid, PidfdFlags, getppid, pidfd_open, set_parent_process_death_signal};

/// The tie to the daemon.
#[derive(Debug)]
pub(crate) struct Lifeline {
    parent: Option<Pid>,
    /// Becomes readable when the daemon ends.
    pidfd: OwnedFd,
}

impl Lifeline {
    /// Ties this child to its parent, in the place of the signal that it would get.
    ///
    /// # Errors
    ///
    /// If the parent has gone already, or no descriptor is left.
    pub(crate) fn tie() -> io::Result<Self> {
        let parent = getppid();
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the parent has gone");
        let pidfd = pidfd_open(parent.ok_or_else(gone)?, PidfdFlags::empty())?;
        let lifeline = Self { parent, pidfd };
        // Else it is another process's that has got the number since.
        if lifeline.is_cut() {
            return Err(gone());
        }
        set_parent_process_death_signal(None)?;
        Ok(lifeline)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Returns whether the daemon has ended.
    pub(crate) fn is_cut(&self) -> bool {
        getppid() != self.parent
    }
}
