//! How a busy child wakes the parent, and only when the parent wants to be woken.
//!
//! The parent *arms* the nudge; the first child that turns busy then writes to an eventfd. While it is
//! not armed, turning busy costs a child one load from memory.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::{Ordering, fence},
};

use rustix::event::{EventfdFlags, eventfd};

use crate::sys::SharedWords;

/// The parent's side, and what children take of it.
#[derive(Debug)]
pub(crate) struct Nudge {
    /// Not zero while armed. Written by the parent alone.
    armed: SharedWords,
    /// The file in memory in which the word is.
    memory: OwnedFd,
    wake: OwnedFd,
}

impl Nudge {
    pub(crate) fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (armed, memory) = SharedWords::in_memory_file(1)?;
        Ok(Self { armed, memory, wake })
    }

    /// What another program in this process needs to go on with it.
    pub(crate) const fn descriptors(&self) -> [&OwnedFd; 2] {
        [&self.memory, &self.wake]
    }

    /// Goes on with what another program in this process has left.
    pub(crate) fn adopt([memory, wake]: [OwnedFd; 2]) -> io::Result<Self> {
        Ok(Self { armed: SharedWords::of_memory_file(&memory)?, memory, wake })
    }

    pub(crate) fn arm(&self) {
        self.armed.get(0).store(1, Ordering::Relaxed);
        // Arm first, look then. Pairs with the fence in `turned_busy`: either the look that follows
        // sees the child busy, or the child sees the nudge armed.
        fence(Ordering::SeqCst);
    }

    /// Disarms; tells whether a child had nudged.
    pub(crate) fn take(&self) -> bool {
        let nudged = rustix::io::read(&self.wake, &mut [0u8; 8]).is_ok();
        if nudged {
            self.armed.get(0).store(0, Ordering::Relaxed);
        }
        nudged
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Turns the inherited copy into the child's side, which can only read the word.
    pub(crate) fn into_nudger(self) -> io::Result<Nudger> {
        self.armed.make_read_only()?;
        Ok(Nudger { armed: self.armed, wake: self.wake })
    }
}

/// A child's side.
#[derive(Debug)]
pub(crate) struct Nudger {
    armed: SharedWords,
    wake: OwnedFd,
}

impl Nudger {
    /// Wakes the parent, after the board says that this child is busy, if it wants to know that a child has turned busy.
    pub(crate) fn turned_busy(&self) {
        // Report first, ask then; see `arm`.
        fence(Ordering::SeqCst);
        if self.armed.get(0).load(Ordering::Relaxed) != 0 {
            // It cannot fail but for being full, and then the parent is about to wake.
            let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nudge_comes_through_only_while_armed() {
        let nudge = Nudge::new().expect("made");
        let wake = nudge.wake.try_clone().expect("duplicated");
        let nudger = Nudger { armed: nudge.armed.clone(), wake };
        nudger.turned_busy();
        assert!(!nudge.take(), "not armed yet");
        nudge.arm();
        nudger.turned_busy();
        nudger.turned_busy();
        assert!(nudge.take());
        nudger.turned_busy();
        assert!(!nudge.take(), "taking has disarmed it");
    }
}
