//! The fork of the bare loop.

#![expect(unsafe_code, reason = "fork")]

use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

/// Forks; returns whether this is the child, which dies with its parent.
pub(crate) fn fork_tied_to_parent() -> bool {
    let parent = getpid();
    // SAFETY: the process has no other thread.
    let forked = unsafe { nix::unistd::fork() }.expect("fork");
    if forked.is_child() {
        set_parent_process_death_signal(Some(Signal::KILL)).expect("prctl");
        // It may have gone before that.
        assert_eq!(getppid(), Some(parent));
    }
    forked.is_child()
}
