//! How children learn that their parent is gone, however it went.
//!
//! Two ways, because each has a gap. The kernel kills the child when the parent dies (`PDEATHSIG`,
//! see `prctl(2)`), but forgets to when the child changes its user later on. And a pipe whose only
//! write end is the parent's reports the end of the parent, but only to a child that looks.

use std::{io, os::fd::OwnedFd};

use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal},
};

/// The parent's end: while it is open in one process, that one is alive.
#[derive(Debug)]
pub(crate) struct Lifeline {
    parent: Pid,
    /// Never written to. Held by the parent alone.
    write: OwnedFd,
    read: OwnedFd,
}

impl Lifeline {
    pub(crate) fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        Ok(Self { parent: getpid(), write, read })
    }

    /// What another program in this process needs to go on with it.
    pub(crate) const fn descriptors(&self) -> [&OwnedFd; 2] {
        [&self.read, &self.write]
    }

    /// Goes on with what another program in this process has left.
    pub(crate) fn adopt([read, write]: [OwnedFd; 2]) -> Self {
        Self { parent: getpid(), write, read }
    }

    /// Turns the inherited copy into the child's end.
    ///
    /// To be called in the child, after its last change of user. Fails if the parent has gone: then
    /// no signal will ever tell.
    pub(crate) fn tether(self) -> io::Result<Tether> {
        drop(self.write);
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have died before the line above. A child is never reparented back to it, and the
        // comparison is with its pid, not with 1: orphans may go to a subreaper, and the parent may
        // itself be process 1.
        if getppid() != Some(self.parent) {
            return Err(io::Error::other("the parent has gone"));
        }
        Ok(Tether { read: self.read })
    }
}

/// A child's end: hangs up when the parent is gone.
#[derive(Debug)]
pub(crate) struct Tether {
    pub(crate) read: OwnedFd,
}
