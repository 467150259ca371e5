//! How the parent asks children to leave without disturbing the request they have in hand.
//!
//! A signal would interrupt them: a handler, whatever its flags, ends a `read` from a socket with a
//! time limit, a `connect`, a `poll`, a `sleep` with `EINTR` (see `signal(7)`), and few programs expect
//! that. Blocking the signal instead would be inherited by every program that a child starts. So the
//! parent raises a word in memory that children can only read, and then makes one shared descriptor
//! readable, for which idle children wait edge-triggered: each wakes once, looks at its own word, and
//! sleeps on if it was not meant. A busy child looks when it has finished.
//!
//! Loops that never look, or that wait for the descriptor of their own ([`crate::Child::stop_fd`]),
//! are sent `SIGTERM`.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, atomic::Ordering},
};

use prefork_core::{LARGEST_POOL, SlotId};
use rustix::event::{EventfdFlags, eventfd};

use crate::sys::SharedWords;

/// The words: whether connections that wait are to be taken, then one for each slot.
const DRAINING: usize = 0;
const FIRST_SLOT: usize = 1;

/// The parent's side.
#[derive(Debug)]
pub(crate) struct Asks {
    words: SharedWords,
    /// The file in memory in which the words are.
    memory: OwnedFd,
    wake: OwnedFd,
    unheard: bool,
}

/// As many words as the largest pool needs: the next program in this process may have more slots than
/// this one, and shares the words with the same children. What is not used takes no memory.
const MOST_WORDS: usize = FIRST_SLOT + 2 * LARGEST_POOL as usize;

impl Asks {
    pub(crate) fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (words, memory) = SharedWords::in_memory_file(MOST_WORDS)?;
        Ok(Self { words, memory, wake, unheard: false })
    }

    /// What another program in this process needs to go on with it.
    pub(crate) const fn descriptors(&self) -> [&OwnedFd; 2] {
        [&self.memory, &self.wake]
    }

    /// Goes on with what another program in this process has left.
    pub(crate) fn adopt([memory, wake]: [OwnedFd; 2]) -> io::Result<Self> {
        // Somebody may have been asked and not been woken any more.
        Ok(Self { words: SharedWords::of_memory_file(&memory)?, memory, wake, unheard: true })
    }

    /// Forgets what the last child in a slot was asked.
    pub(crate) fn reset(&self, slot: SlotId) {
        self.words.store(FIRST_SLOT + slot.index(), 0);
    }

    /// Asks the child in a slot to leave, as soon as [`wake_children`](Self::wake_children) is called.
    pub(crate) fn ask(&mut self, slot: SlotId) {
        self.words.store(FIRST_SLOT + slot.index(), 1);
        self.unheard = true;
    }

    pub(crate) fn was_asked(&self, slot: SlotId) -> bool {
        self.words.load(FIRST_SLOT + slot.index()) != 0
    }

    /// Has children that leave from now on take the connections that wait.
    pub(crate) fn drain(&self) {
        self.words.store(DRAINING, 1);
    }

    /// Wakes idle children, if any was asked since the last time: one call for any number.
    pub(crate) fn wake_children(&mut self) {
        if std::mem::take(&mut self.unheard) {
            // Release order is the kernel's: what was stored before the call is seen by whom it wakes.
            // It cannot fail but for being full after 2^64 calls.
            let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        }
    }

    /// Turns the inherited copy into the side of the child in a slot, which can only read the words.
    pub(crate) fn into_asked(self, slot: SlotId) -> io::Result<Asked> {
        self.words.make_read_only()?;
        Ok(Asked { words: self.words, slot, wake: Arc::new(self.wake) })
    }
}

/// A child's side.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    words: SharedWords,
    slot: SlotId,
    wake: Arc<OwnedFd>,
}

impl Asked {
    pub(crate) fn is_asked(&self) -> bool {
        self.words.load(FIRST_SLOT + self.slot.index()) != 0
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.words.load(DRAINING) != 0
    }

    /// What to wait for, edge-triggered, before looking again.
    pub(crate) fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// An ordering for the words; each stands alone, so none is needed beyond that of the calls that wake.
const ALONE: Ordering = Ordering::Relaxed;

impl SharedWords {
    fn store(&self, index: usize, value: u32) {
        self.get(index).store(value, ALONE);
    }

    fn load(&self, index: usize) -> u32 {
        self.get(index).load(ALONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_child_that_is_meant_is_asked() {
        let mut asks = Asks::new().expect("made");
        let asked = |slot| Asked {
            words: asks.words.clone(),
            slot: SlotId(slot),
            wake: Arc::new(asks.wake.try_clone().expect("duplicated")),
        };
        let children = [asked(0), asked(1), asked(2)];
        asks.ask(SlotId(1));
        asks.wake_children();
        assert_eq!(children.each_ref().map(Asked::is_asked), [false, true, false]);
        assert!(!children[1].is_draining());
        asks.drain();
        asks.reset(SlotId(1));
        assert_eq!(children.each_ref().map(Asked::is_asked), [false; 3]);
        assert!(children[0].is_draining());
    }

    #[test]
    fn another_program_asks_the_same_children() {
        let asks = Asks::new().expect("made");
        let handed = asks.descriptors().map(|fd| fd.try_clone().expect("duplicated"));
        let mut successor = Asks::adopt(handed).expect("adopted");
        successor.ask(SlotId(2 * LARGEST_POOL - 1));
        assert!(asks.was_asked(SlotId(2 * LARGEST_POOL - 1)));
    }
}
