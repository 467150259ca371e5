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

use crate::{
    channels::{Called, OwnPage},
    sys,
};

/// A flag to check and a descriptor to wait for, both set once when the child is to leave.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    asked: Arc<AtomicBool>,
    attended: Arc<AtomicBool>,
    wake: Arc<OwnedFd>,
    by: By,
    parent: Option<Parent>,
}

/// How the parent asks.
#[derive(Clone, Debug)]
pub(crate) struct Parent {
    /// Where it says so.
    pub(crate) page: OwnPage,
    /// What wakes the child to look there.
    pub(crate) called: Called,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// The parent, by its word, and anybody by `SIGTERM`, which ends a process that does not attend.
    Signal,
    /// Another thread of the process, by [`Stop::ask`].
    Thread,
}

impl Stop {
    /// Makes an unset flag; to be called in the process that it concerns.
    pub(crate) fn new(by: By, parent: Option<Parent>) -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        Ok(Self { asked: Arc::default(), attended: Arc::default(), wake, by, parent })
    }

    /// Promises that the flag will be looked at, from the first call on.
    pub(crate) fn attend(&self) {
        if !self.attended.swap(true, Ordering::Relaxed) && self.by == By::Signal {
            sys::raise_on_signal(SIGTERM, self.asked.clone(), self.wake.clone())
                .expect("SIGTERM can be handled");
        }
    }

    /// Tells whether the flag will be looked at.
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
        self.asked.load(Ordering::Acquire)
            || self.parent.as_ref().is_some_and(|parent| parent.page.is_asked())
    }

    /// Whether connections that wait are to be taken before leaving.
    pub(crate) fn is_draining(&self) -> bool {
        // Where there is no parent, nobody else will take them.
        self.parent.as_ref().is_none_or(|parent| parent.page.is_draining())
    }

    /// What becomes readable, again and again, when the parent asks anybody.
    pub(crate) fn call(&self) -> Option<BorrowedFd<'_>> {
        self.parent.as_ref().map(|parent| parent.called.descriptor())
    }

    /// Takes in that the parent has asked somebody.
    pub(crate) fn take_call(&self) {
        if let Some(parent) = &self.parent {
            parent.called.take();
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
