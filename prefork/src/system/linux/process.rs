//! A process that this one has forked and not reaped, signalled by a descriptor alone.
//!
//! A number says whose process it is only until that was reaped (see `wait(2)`), and a number that comes from
//! a message, a file or memory says nothing at all. So a [`Process`] is made by forking alone, and is given
//! up before it is reaped: see `parent/reap.rs`. While it exists, its number is certainly its own; it is made
//! a descriptor by `pidfd_open(2)`, and that is signalled.
//!
//! The descriptor is opened for the moment and not kept: kept ones would be copied by each fork, and closed
//! again in each child.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal},
};

use crate::sys;

/// Returns whether this kernel can signal processes by descriptors, and no sandbox forbids it.
pub(crate) fn pidfds_work() -> io::Result<()> {
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    // No signal has the number 0: it is a question alone (see `kill(2)`).
    sys::send_nothing(own.as_fd())
}

/// One process.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
}

impl Process {
    /// Takes note of one that this process has just forked, or that the old program in this process has, and
    /// that was not reaped.
    pub(crate) const fn of_our_own(pid: Pid) -> Self {
        Self { pid }
    }

    /// Opens it.
    pub(crate) fn open(&self, reserve: &mut Reserve) -> io::Result<OwnedFd> {
        match pidfd_open(self.pid, PidfdFlags::empty()) {
            Err(Errno::MFILE) => {
                let opened = reserve.lend(|| pidfd_open(self.pid, PidfdFlags::empty()));
                Ok(opened?)
            }
            opened => Ok(opened?),
        }
    }

    /// Sends a signal. To one that has ended it does nothing.
    pub(crate) fn signal(&self, signal: Signal, reserve: &mut Reserve) -> io::Result<()> {
        match pidfd_send_signal(self.open(reserve)?, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// A descriptor that is kept to be there when no other can be had: a process without free descriptors must
/// still be able to end another.
#[derive(Debug)]
pub(crate) struct Reserve(Option<OwnedFd>);

impl Reserve {
    /// Takes one.
    pub(crate) fn new() -> io::Result<Self> {
        // Anything that needs nothing else.
        Ok(Self(Some(Self::any()?)))
    }

    fn any() -> rustix::io::Result<OwnedFd> {
        rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)
    }

    /// Gives it away for the time of a call. What that opens has its place; it is taken back when there is
    /// room again.
    fn lend<T>(&mut self, code: impl FnOnce() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
        drop(self.0.take());
        code()
    }

    /// Takes it back, if it was lent.
    pub(crate) fn restore(&mut self) {
        if self.0.is_none() {
            self.0 = Self::any().ok();
        }
    }
}
