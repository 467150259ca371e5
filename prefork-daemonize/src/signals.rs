//! Undoing what a careless starter did to our signals.

use std::io;

use crate::sys;

/// Says what [`start`](crate::Daemonize::start) does with the signals that the daemon
/// inherits.
///
/// Ignored signals and the signal mask survive fork and exec (signal(7)). A daemon
/// started under `nohup`, from a shell script with `trap '' TERM`, or by a program
/// that had signals blocked would never stop or never reap, and nobody would see why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InheritedSignals {
    /// Calls [`reset_signals`] in the daemon: what was ignored gets its default
    /// action, nothing is blocked. Handlers that the program has installed stay.
    ///
    /// The default. Signals to be ignored or blocked on purpose are ignored or blocked
    /// after `start` has returned.
    #[default]
    Reset,
    /// Leaves the dispositions and the mask as they were in the launcher.
    Keep,
}

/// Gives ignored signals their default action and unblocks all signals.
///
/// SIGPIPE stays ignored, as Rust's runtime made it: a client that vanished must be an
/// error of one write. Signals with a handler are left alone. A signal that was blocked
/// and pending is delivered before this returns.
///
/// [`Daemonize::start`](crate::Daemonize::start) does this in the daemon by default; a
/// program that stays in the foreground calls it early in `main`.
///
/// # Errors
///
/// When the kernel refuses sigaction(2) or the mask, which it does only for a signal
/// number that it does not have.
///
/// # Signals
///
/// Changes the mask of the calling thread and the dispositions of the whole process.
///
/// # Examples
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// prefork_daemonize::reset_signals()?;
/// # Ok(())
/// # }
/// ```
pub fn reset_signals() -> io::Result<()> {
    // Dispositions first: a pending signal must meet the final one when it is unblocked.
    sys::default_ignored_signals()?;
    sys::unblock_all_signals()
}
