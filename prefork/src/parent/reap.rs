//! Taking ended children from the kernel.

use std::io;

use prefork_core::Exit;
use rustix::{
    io::Errno,
    process::{Pid, WaitOptions, WaitStatus, wait},
};

/// Takes the next ended child, whoever's it is; `None` when none is left.
///
/// One `SIGCHLD` stands for any number of ends, so this is called until it returns `None`.
pub(crate) fn next() -> io::Result<Option<(Pid, Exit)>> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                if let Some(exit) = exit(status) {
                    return Ok(Some((pid, exit)));
                }
            }
            Ok(None) | Err(Errno::CHILD) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns how a child ended; `None` if it has only stopped or continued.
fn exit(status: WaitStatus) -> Option<Exit> {
    /// The bit of a wait status that tells of a core dump (see `WCOREDUMP` in `wait(2)`).
    const CORE_DUMPED: i32 = 0x80;
    if let Some(code) = status.exit_status() {
        return Some(Exit::Code(code));
    }
    let number = status.terminating_signal()?;
    Some(Exit::Signal { number, core_dumped: status.as_raw() & CORE_DUMPED != 0 })
}
