//! The fork of the bare loop.

#![expect(unsafe_code, reason = "fork")]

use rustix::process::{Signal, set_parent_process_death_signal};

/// Forks; returns whether this is the child, which dies with its parent.
pub(crate) fn fork_tied_to_parent() -> bool {
    // SAFETY: the process has no other thread.
    let forked = unsafe { nix::unistd::fork() }.expect("fork");
    if forked.is_child() {
        set_parent_process_death_signal(Some(Signal::KILL)).expect("prctl");
    }
    forked.is_child()
}
