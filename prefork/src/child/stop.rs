//! How a child learns that it is to leave.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::event::{EventfdFlags, eventfd};
use signal_hook::consts::SIGTERM;

use crate::{channels::OwnPage, sys, system::os::Tether};

/// A flag to check and a descriptor to wait for, both set once when the child is to leave.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    asked: Arc<AtomicBool>,
    attended: Arc<AtomicBool>,
    wake: Arc<OwnedFd>,
    by: By,
    /// The page in which the parent asks.
    page: Option<OwnPage>,
}

/// The origin of a request to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The parent, in the page, and anybody by `SIGTERM`, which ends a process that does not attend.
    Signal,
    /// Another thread of the process, by [`Stop::ask`].
    Thread,
}

impl Stop {
    /// Makes an unset flag; to be called in the process that it concerns.
    pub(crate) fn new(by: By, page: Option<OwnPage>) -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        Ok(Self { asked: Arc::default(), attended: Arc::default(), wake, by, page })
    }

    /// Makes a flag that is set, for a process that is none of the pool's.
    pub(super) fn of_copy() -> io::Result<Self> {
        let stop = Self::new(By::Thread, None)?;
        stop.ask();
        Ok(stop)
    }

    /// Promises that the flag will be looked at, from the first call on.
    pub(crate) fn attend(&self) {
        if !self.attended.swap(true, Ordering::Relaxed) && self.by == By::Signal {
            sys::raise_on_signal(SIGTERM, self.asked.clone(), Arc::default(), self.wake.clone())
                .expect("SIGTERM can be handled");
        }
    }

    /// Returns whether the flag will be looked at.
    pub(crate) fn is_attended(&self) -> bool {
        self.attended.load(Ordering::Relaxed)
    }

    /// Asks, from another thread.
    pub(crate) fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        // It cannot fail but for being full, and then it is readable.
        let _ = rustix::io::write(self.wake.as_fd(), &1u64.to_ne_bytes());
    }

    pub(crate) fn is_asked(&self) -> bool {
        // Acquire: pairs with the release in `ask` and in the signal handler.
        self.asked.load(Ordering::Acquire) || self.page.is_some_and(OwnPage::is_asked)
    }

    /// Whether connections that wait are to be taken before leaving.
    pub(crate) fn is_draining(&self) -> bool {
        // Where there is no parent, nobody else will take them.
        self.page.is_none_or(OwnPage::is_draining)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// What becomes readable when a child is to leave, or its parent is gone.
pub(crate) fn stops<'a>(
    stop: &'a Stop,
    tether: Option<&'a Tether>,
) -> impl Iterator<Item = BorrowedFd<'a>> {
    let tether = tether.map(|tether| tether.parent.as_fd());
    [Some(stop.fd()), tether].into_iter().flatten()
}
