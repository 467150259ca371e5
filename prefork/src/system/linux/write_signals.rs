//! Signals by which the kernel ends a process whose write has failed.

use std::io;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal};

use crate::sys;

/// Has writes fail with an error instead of ending this process, and those forked from it: at the limit of file
/// size (`SIGXFSZ`, see `setrlimit(2)`), and where nobody reads any more (`SIGPIPE`).
///
/// By handlers that do nothing, and not by ignoring the signals: `execve(2)` leaves an ignored signal ignored,
/// but sets a handled one to its default, so programs that are started by this one, by a child or by a hook begin
/// as they are used to. What the program itself has set is left alone.
pub(crate) fn outlive_failed_writes() -> io::Result<()> {
    for signal in [Signal::SIGXFSZ, Signal::SIGPIPE] {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        let before = sys::set_disposition(signal, &default)?;
        match before.handler() {
            SigHandler::SigDfl => sys::notice_only(signal)?,
            SigHandler::SigIgn | SigHandler::Handler(_) | SigHandler::SigAction(_) => {
                sys::set_disposition(signal, &before)?;
            }
        }
    }
    Ok(())
}
