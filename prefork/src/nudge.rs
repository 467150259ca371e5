//! How a busy child wakes the parent, and only when the parent wants to be woken.
//!
//! The parent *arms* the nudge; the first child that turns busy then writes to a pipe. While it is not
//! armed, turning busy costs a child one load from memory.
//!
//! A pipe and not an eventfd, which is one open file for all who hold it: a child could clear its
//! `O_NONBLOCK` and have the parent wait for ever. The ends of a pipe are two open files, and the parent's
//! is in no child.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::{Ordering, fence},
};

use rustix::pipe::{PipeFlags, pipe_with};

use crate::sys::SharedWords;

/// The parent's side, and what children take of it.
#[derive(Debug)]
pub(crate) struct Nudge {
    /// Not zero while armed. Written by the parent alone.
    armed: SharedWords,
    /// The file in memory in which the word is.
    memory: OwnedFd,
    /// Read by the parent alone, which also keeps the other end open for children to come.
    read: OwnedFd,
    write: OwnedFd,
}

impl Nudge {
    pub(crate) fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let (armed, memory) = SharedWords::in_memory_file(1)?;
        Ok(Self { armed, memory, read, write })
    }

    /// What another program in this process needs to go on with it.
    pub(crate) const fn descriptors(&self) -> [&OwnedFd; 3] {
        [&self.memory, &self.read, &self.write]
    }

    /// Goes on with what another program in this process has left.
    pub(crate) fn adopt([memory, read, write]: [OwnedFd; 3]) -> io::Result<Self> {
        Ok(Self { armed: SharedWords::of_memory_file(&memory, 1)?, memory, read, write })
    }

    pub(crate) fn arm(&self) {
        self.armed.get(0).store(1, Ordering::Relaxed);
        // Arm first, look then. Pairs with the fence in `turned_busy`: either the look that follows
        // sees the child busy, or the child sees the nudge armed.
        fence(Ordering::SeqCst);
    }

    /// Disarms; tells whether a child had nudged.
    pub(crate) fn take(&self) -> bool {
        // More than ever waits there, unless a child does nothing but nudge.
        let nudged = rustix::io::read(&self.read, &mut [0u8; 4096]).is_ok();
        if nudged {
            self.armed.get(0).store(0, Ordering::Relaxed);
        }
        nudged
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }

    /// Turns the inherited copy into the child's side, which can only read the word.
    pub(crate) fn into_nudger(self) -> io::Result<Nudger> {
        self.armed.make_read_only(&self.memory)?;
        Ok(Nudger { armed: self.armed, write: self.write })
    }
}

/// A child's side.
#[derive(Debug)]
pub(crate) struct Nudger {
    armed: SharedWords,
    write: OwnedFd,
}

impl Nudger {
    /// Wakes the parent, after the board says that this child is busy, if it wants to know that a child has
    /// turned busy.
    pub(crate) fn turned_busy(&self) {
        // Report first, ask then; see `arm`.
        fence(Ordering::SeqCst);
        if self.armed.get(0).load(Ordering::Relaxed) != 0 {
            // If it is full, the parent is about to wake.
            let _ = rustix::io::write(&self.write, &[1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{OFlags, fcntl_setfl};

    use super::*;

    #[test]
    fn a_nudge_comes_through_only_while_armed() {
        let nudge = Nudge::new().expect("made");
        let write = nudge.write.try_clone().expect("duplicated");
        let nudger = Nudger { armed: nudge.armed.clone(), write };
        nudger.turned_busy();
        assert!(!nudge.take(), "not armed yet");
        nudge.arm();
        nudger.turned_busy();
        nudger.turned_busy();
        assert!(nudge.take());
        nudger.turned_busy();
        assert!(!nudge.take(), "taking has disarmed it");
    }

    /// Not even by a change of protection, which the kernel would grant for memory that may be written.
    #[test]
    fn the_word_cannot_be_made_writable_again() {
        let nudge = Nudge::new().expect("made");
        let address = std::ptr::from_ref(nudge.armed.get(0)).addr();
        assert!(flags(address).contains(" mw"), "the parent arms it: {}", flags(address));
        nudge.arm();
        let nudger = nudge.into_nudger().expect("a child's side");
        assert_eq!(nudger.armed.get(0).load(Ordering::Relaxed), 1, "it is the same word");
        let flags = flags(address);
        assert!(!flags.contains(" wr") && !flags.contains(" mw"), "{flags}");
    }

    /// Returns the flags of the memory that is mapped there: see `VmFlags` in `proc_pid_smaps(5)`.
    fn flags(address: usize) -> String {
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("there");
        let is_there = |line: &&str| {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let bound = |text| usize::from_str_radix(text, 16).ok();
            range.is_some_and(|(start, end)| {
                bound(start).is_some_and(|start| start <= address)
                    && bound(end).is_some_and(|end| address < end)
            })
        };
        let mut lines = maps.lines().skip_while(|line| !is_there(line));
        lines.find(|line| line.starts_with("VmFlags:")).expect("it is mapped").to_owned()
    }

    /// What children hold is shared by all of them, and nothing that they do to it keeps the parent waiting.
    #[test]
    fn the_parent_never_waits_for_a_nudge() {
        let nudge = Nudge::new().expect("made");
        fcntl_setfl(&nudge.write, OFlags::empty()).expect("set");
        assert!(!nudge.take());
    }
}
