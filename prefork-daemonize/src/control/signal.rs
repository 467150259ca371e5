//! One signal to the daemon behind a pid file.

use std::path::Path;

use rustix::io::Errno;
use rustix::process::pidfd_send_signal;

use super::error::StopError;
use super::look::{Daemon, find};
use crate::pid::Pid;

/// Names the signals by which daemons are controlled, see signal(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// SIGTERM: stop.
    Term,
    /// SIGINT: stop now.
    Int,
    /// SIGQUIT: stop now.
    Quit,
    /// SIGHUP: reload.
    Hup,
    /// SIGUSR1: reopen logs.
    Usr1,
    /// SIGUSR2: upgrade.
    Usr2,
    /// SIGTTIN: one child more.
    Ttin,
    /// SIGTTOU: one child fewer.
    Ttou,
    /// SIGWINCH.
    Winch,
    /// SIGSTOP: do nothing until SIGCONT.
    Stop,
    /// SIGCONT: go on after a stop.
    Cont,
    /// SIGKILL: end at once, without a chance to clear up.
    Kill,
}

impl Signal {
    /// Returns its number on this machine, see signal(7).
    #[must_use]
    pub fn number(self) -> i32 {
        self.for_rustix().as_raw()
    }

    fn for_rustix(self) -> rustix::process::Signal {
        use rustix::process::Signal as Kernel;
        match self {
            Self::Term => Kernel::TERM,
            Self::Int => Kernel::INT,
            Self::Quit => Kernel::QUIT,
            Self::Hup => Kernel::HUP,
            Self::Usr1 => Kernel::USR1,
            Self::Usr2 => Kernel::USR2,
            Self::Ttin => Kernel::TTIN,
            Self::Ttou => Kernel::TTOU,
            Self::Winch => Kernel::WINCH,
            Self::Stop => Kernel::STOP,
            Self::Cont => Kernel::CONT,
            Self::Kill => Kernel::KILL,
        }
    }
}

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signalled {
    /// No daemon runs, so none was sent.
    NotRunning,
    /// It was sent to this process.
    Sent {
        /// The daemon.
        pid: Pid,
    },
}

/// Sends one signal to the daemon that owns the pid file, and to no other process whatever
/// the file contains.
///
/// # Errors
///
/// Those of [`running`](crate::running); [`StopError::Unproven`] when the file is locked and
/// nobody proves to own it; [`StopError::Refused`] without the permission to signal; and
/// [`StopError::OwnProcess`] when the caller owns the file.
///
/// # Examples
///
/// ```no_run
/// use prefork_daemonize::{Signal, Signalled, signal};
///
/// match signal("/run/tinyd.pid", Signal::Hup)? {
///     Signalled::Sent { pid } => println!("asked process {pid} to reload"),
///     Signalled::NotRunning => println!("not running"),
/// }
/// # Ok::<(), prefork_daemonize::StopError>(())
/// ```
pub fn signal(path: impl AsRef<Path>, signal: Signal) -> Result<Signalled, StopError> {
    let Some(daemon) = find(path.as_ref())? else {
        return Ok(Signalled::NotRunning);
    };
    match send(&daemon, signal)? {
        Delivery::Sent => Ok(Signalled::Sent { pid: daemon.pid }),
        Delivery::Gone => Ok(Signalled::NotRunning),
    }
}

/// Whether there still was a process to signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Sent,
    Gone,
}

pub(super) fn send(daemon: &Daemon, signal: Signal) -> Result<Delivery, StopError> {
    match pidfd_send_signal(&daemon.pidfd, signal.for_rustix()) {
        Ok(()) => Ok(Delivery::Sent),
        Err(Errno::SRCH) => Ok(Delivery::Gone),
        Err(errno) => Err(daemon.pid_file.refused(daemon.pid, errno.into())),
    }
}
