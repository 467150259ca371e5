//! All `unsafe` of this crate: what a process does between `fork(2)` and `execve(2)`.

#![expect(unsafe_code, reason = "what runs between fork and exec is the caller's promise")]

use std::{io, os::unix::process::CommandExt, process::Command};

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

/// Has the program end with the thread that starts it.
pub(crate) fn tie(command: &mut Command) {
    let starter = getpid();
    // SAFETY: the closure makes three system calls and compares two numbers. It allocates nothing, takes no lock, and
    // touches no memory but its own copy of `starter`, so that it is sound in the only thread of a forked process.
    unsafe { command.pre_exec(move || tie_to(starter)) };
}

fn tie_to(starter: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // One whose starter has gone before that is sent nothing.
    if getppid() == Some(starter) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}
