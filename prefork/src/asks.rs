//! How the parent asks children to leave without disturbing the request they have in hand.
//!
//! A signal would interrupt them: a handler, whatever its flags, ends a `read` from a socket with a
//! time limit, a `connect`, a `poll`, a `sleep` with `EINTR` (see `signal(7)`), and few programs expect
//! that. Blocking the signal instead would be inherited by every program that a child starts. So the
//! parent raises a word in memory that children can only read, and then writes to a pipe, for which idle
//! children wait edge-triggered: each wakes once, looks at its own word, and sleeps on if it was not meant.
//! A busy child looks when it has finished.
//!
//! A pipe and not an eventfd, which is one open file for all who hold it: a child could fill it, clear its
//! `O_NONBLOCK`, and have the parent wait for ever. Children have one open file of the pipe, the parent two
//! others: one to write to, and one to take out what nobody else does. What a child can still do is to
//! read what is written before others see it; then these are asked as late as
//! [`graceful_timeout`](crate::Args::graceful_timeout) allows.
//!
//! Loops that never look, or that wait for the descriptor of their own ([`crate::Child::stop_fd`]),
//! are sent `SIGTERM`.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::{Arc, atomic::Ordering},
};

use prefork_core::{LARGEST_POOL, SlotId};
use rustix::{
    fs::{Mode, OFlags, open},
    pipe::{PipeFlags, pipe_with},
};

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
    /// In no child.
    write: OwnedFd,
    /// What children wait for.
    read: OwnedFd,
    /// The same end, opened once more: in no child.
    empty: OwnedFd,
    unheard: bool,
}

/// As many words as the largest pool needs: the next program in this process may have more slots than
/// this one, and shares the words with the same children. What is not used takes no memory.
const MOST_WORDS: usize = FIRST_SLOT + 2 * LARGEST_POOL as usize;

impl Asks {
    pub(crate) fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let empty = open(format!("/proc/self/fd/{}", read.as_raw_fd()), flags, Mode::empty())?;
        let (words, memory) = SharedWords::in_memory_file(MOST_WORDS)?;
        Ok(Self { words, memory, write, read, empty, unheard: false })
    }

    /// What another program in this process needs to go on with it.
    pub(crate) const fn descriptors(&self) -> [&OwnedFd; 4] {
        [&self.memory, &self.write, &self.read, &self.empty]
    }

    /// Goes on with what another program in this process has left.
    pub(crate) fn adopt([memory, write, read, empty]: [OwnedFd; 4]) -> io::Result<Self> {
        let words = SharedWords::of_memory_file(&memory, MOST_WORDS)?;
        // Somebody may have been asked and not been woken any more.
        Ok(Self { words, memory, write, read, empty, unheard: true })
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
            // One byte of the last time, so that it never fills. Every write to an empty pipe wakes all.
            let _ = rustix::io::read(&self.empty, &mut [0u8; 64]);
            // Release order is the kernel's: what was stored before the call is seen by whom it wakes.
            let _ = rustix::io::write(&self.write, &[1]);
        }
    }

    /// Turns the inherited copy into the side of the child in a slot, which can only read the words.
    pub(crate) fn into_asked(self, slot: SlotId) -> io::Result<Asked> {
        self.words.make_read_only(&self.memory)?;
        Ok(Asked { words: self.words, slot, wake: Arc::new(self.read) })
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
            wake: Arc::new(asks.read.try_clone().expect("duplicated")),
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

    /// What children hold is shared by all of them, and nothing that they do to it keeps the parent waiting.
    #[test]
    fn the_parent_never_waits_to_be_heard() {
        let mut asks = Asks::new().expect("made");
        let pipe = asks.read.try_clone().expect("duplicated");
        rustix::fs::fcntl_setfl(&pipe, OFlags::empty()).expect("set");
        for round in 0..100_000 {
            asks.ask(SlotId(0));
            asks.wake_children();
            if round % 1000 == 0 {
                assert_eq!(rustix::io::read(&pipe, &mut [0; 64]), Ok(1), "round {round}");
            }
        }
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
