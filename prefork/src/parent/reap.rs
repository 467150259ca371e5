//! Taking ended children from the kernel.

use std::io;

use prefork_core::Exit;
use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};

use crate::{
    sys::refused::Refusable,
    sys::{self, ChildState},
};

/// Takes the next ended child, ours or an orphan; `None` when none is left.
///
/// `leave` is called with its pid while that is still its own: the caller lets go of the pid before the
/// kernel may give it to another process.
///
/// One `SIGCHLD` stands for any number of ends, so this is called until it returns `None`. It never waits: a
/// child that another process traces is not there to be taken until its tracer lets go (see `ptrace(2)`).
pub(crate) fn next(mut leave: impl FnMut(Pid)) -> io::Result<Option<(Pid, Exit)>> {
    while let Some((pid, state)) = sys::look_at_children()? {
        match state {
            ChildState::Ended => leave(pid),
            // One that has made this process its tracer (`PTRACE_TRACEME`) is reported again and again until
            // the report is taken.
            ChildState::Stopped => {}
        }
        let Some((_, status)) = waitpid(Some(pid), WaitOptions::NOHANG).of_call("wait4(2)")? else {
            break;
        };
        if let Some(exit) = exit(status) {
            return Ok(Some((pid, exit)));
        }
    }
    Ok(None)
}

/// Returns how a child ended; `None` if it has only stopped or continued.
fn exit(status: WaitStatus) -> Option<Exit> {
    /// The bit of a wait status for a core dump (see `WCOREDUMP` in `wait(2)`).
    const CORE_DUMPED: i32 = 0x80;
    if let Some(code) = status.exit_status() {
        return Some(Exit::Code(code));
    }
    let number = status.terminating_signal()?;
    Some(Exit::Signal { number, core_dumped: status.as_raw() & CORE_DUMPED != 0 })
}
