//! How children learn that their parent is gone, however it went.
//!
//! Two ways, because each has a gap. The kernel kills the child when the parent dies (`PDEATHSIG`, see
//! `prctl(2)`), but forgets to when the child changes its user later on. And a descriptor of the parent's
//! process (see `pidfd_open(2)`) becomes readable at its end, but only a child that looks sees that. It
//! stays good when the parent executes another program, and gives nobody a right over the parent.

use std::{io, os::fd::OwnedFd};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{
        Pid, PidfdFlags, Signal, getpid, getppid, pidfd_open, set_parent_process_death_signal,
    },
};

use crate::sys::refused::Refusable;

/// The parent's end.
#[derive(Debug)]
pub(crate) struct Lifeline {
    parent: Pid,
    pidfd: OwnedFd,
}

impl Lifeline {
    /// Opens it in the parent.
    pub(crate) fn new() -> io::Result<Self> {
        let parent = getpid();
        Ok(Self {
            parent,
            pidfd: pidfd_open(parent, PidfdFlags::empty()).of_call("pidfd_open(2)")?,
        })
    }

    /// Turns the inherited copy into the child's end.
    ///
    /// To be called in the child, after its last change of user. `None` if the parent has gone: then
    /// no signal will ever come.
    pub(crate) fn tether(self) -> io::Result<Option<Tether>> {
        Ok(end_with(self.parent)?.then_some(Tether { parent: self.pidfd }))
    }
}

/// Makes the kernel kill this process, forked from `parent`, when that ends: until the next change of user. Returns
/// whether it is still there, as no signal will ever come if it has gone.
pub(crate) fn end_with(parent: Pid) -> io::Result<bool> {
    set_parent_process_death_signal(Some(Signal::KILL)).of_call("prctl(2)")?;
    // It may have died before the line above. A child is never reparented back to it, and the
    // comparison is with its pid, not with 1: orphans may go to a subreaper, and the parent may
    // itself be process 1.
    Ok(getppid() == Some(parent))
}

/// A child's end: becomes readable when the parent is gone.
#[derive(Debug)]
pub(crate) struct Tether {
    pub(crate) parent: OwnedFd,
}

impl Tether {
    /// Returns whether the parent has gone.
    pub(crate) fn is_cut(&self) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut fds = [PollFd::new(&self.parent, PollFlags::IN)];
        poll(&mut fds, Some(&at_once)).is_ok_and(|count| count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_that_lives_is_there() {
        let Lifeline { pidfd, .. } = Lifeline::new().expect("opened");
        assert!(!Tether { parent: pidfd }.is_cut());
    }
}
