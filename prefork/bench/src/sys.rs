//! The forks of the bare loops, and lives of children.

#![expect(unsafe_code, reason = "what processes do to processes")]

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

/// Has a child run this and end, and waits for that.
///
/// # Panics
///
/// Where it cannot be forked, or does not end by itself.
pub fn live(work: impl FnOnce()) {
    // SAFETY: the process has no other thread.
    match unsafe { nix::unistd::fork() }.expect("fork") {
        nix::unistd::ForkResult::Child => {
            work();
            // SAFETY: it ends the process, whatever that is in the middle of.
            unsafe { nix::libc::_exit(0) }
        }
        nix::unistd::ForkResult::Parent { child } => {
            let end = nix::sys::wait::waitpid(child, None).expect("waited");
            assert_eq!(end, nix::sys::wait::WaitStatus::Exited(child, 0));
        }
    }
}

/// Forks; returns whether this is the child.
///
/// # Panics
///
/// Where no process can be had.
pub fn fork() -> bool {
    // SAFETY: the process has no other thread.
    unsafe { nix::unistd::fork() }.expect("fork").is_child()
}

/// Ends this process, and leaves alone what it has of its parent's.
pub fn exit_now() -> ! {
    // SAFETY: it does not return, and runs no code.
    unsafe { nix::libc::_exit(0) }
}
