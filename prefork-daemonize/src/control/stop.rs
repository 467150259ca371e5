//! Stopping the daemon behind a pid file, for certain.

use std::os::fd::AsFd;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::error::StopError;
use super::look::{Daemon, find};
use super::signal::{Delivery, Signal, send};
use crate::pid::Pid;
use crate::wait::{Deadline, readable};

/// The pause between two looks at the lock of a daemon that has ended.
const PAUSE: Duration = Duration::from_millis(5);

/// How long the children of a daemon that has ended have at least to end too.
const CHILDREN: Duration = Duration::from_secs(2);

/// How patient [`stop`] is.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use prefork_daemonize::StopOptions;
///
/// let options = StopOptions::new().grace(Duration::from_secs(5));
/// # let _ = options;
/// ```
#[derive(Debug, Clone)]
pub struct StopOptions {
    grace: Duration,
    kill_wait: Duration,
    first: First,
    at_the_end_of_grace: Escalation,
}

/// By what the daemon is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    /// SIGTERM.
    Stop,
    /// SIGINT.
    StopNow,
    /// It was asked before.
    Nothing,
}

/// What happens to a daemon that has not ended when its grace is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escalation {
    Kill,
    GiveUp,
}

impl Default for StopOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl StopOptions {
    /// Begins with every setting at its default.
    #[must_use]
    pub fn new() -> Self {
        Self {
            grace: Duration::from_secs(40),
            kill_wait: Duration::from_secs(5),
            first: First::Stop,
            at_the_end_of_grace: Escalation::Kill,
        }
    }

    /// Sets how long the daemon may take after SIGTERM before it is sent SIGKILL. Default: 40
    /// seconds, more than the 30 that many daemons give to requests in hand and what they need
    /// to end those that are late. [`Duration::MAX`] never kills.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sends SIGINT in the place of SIGTERM, on which many daemons stop without finishing what they have in hand.
    #[must_use]
    pub fn now(mut self) -> Self {
        self.first = First::StopNow;
        self
    }

    /// Sends nothing at first: the daemon was asked to stop before, and would be hurried by another SIGTERM. Its grace
    /// begins now.
    #[must_use]
    pub fn asked_before(mut self) -> Self {
        self.first = First::Nothing;
        self
    }

    /// Never sends SIGKILL: when the grace is over, [`stop`] fails with
    /// [`StopError::StillStopping`], and the daemon goes on stopping.
    #[must_use]
    pub fn never_kill(mut self) -> Self {
        self.at_the_end_of_grace = Escalation::GiveUp;
        self
    }

    /// Sets how long to wait for the end after SIGKILL. Default: 5 seconds.
    #[must_use]
    pub fn kill_wait(mut self, wait: Duration) -> Self {
        self.kill_wait = wait;
        self
    }
}

/// How a daemon was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a daemon that had to be killed may have left work undone"]
pub enum Stopped {
    /// None was running; nothing was signalled.
    NotRunning,
    /// It ended by itself after SIGTERM.
    Terminated {
        /// The daemon that was.
        pid: Pid,
    },
    /// It had to be killed.
    Killed {
        /// The daemon that was.
        pid: Pid,
    },
}

/// Stops the daemon that owns the pid file, from any process: SIGTERM, then SIGKILL.
///
/// When this returns without an error, the daemon has exited and its pid file keeps nobody
/// from starting: it is removed, or no process holds its lock. Children that the daemon left
/// behind may keep the lock; they are given what is left of the time, at least two seconds.
///
/// Sends SIGCONT along with SIGTERM, so that a daemon that is stopped can end too.
///
/// # Errors
///
/// Those of [`signal`](crate::signal()), and [`StopError::StillAlive`],
/// [`StopError::StillStopping`] or [`StopError::LeftBehind`] when the end did not come.
///
/// # Signals
///
/// Signals one process, the owner, whatever the file contains: see [`signal`](crate::signal()).
///
/// # Examples
///
/// ```no_run
/// use prefork_daemonize::{StopOptions, Stopped, stop};
///
/// match stop("/run/tinyd.pid", &StopOptions::new())? {
///     Stopped::NotRunning => println!("not running"),
///     Stopped::Terminated { pid } => println!("stopped process {pid}"),
///     Stopped::Killed { pid } => println!("had to kill process {pid}"),
/// }
/// # Ok::<(), prefork_daemonize::StopError>(())
/// ```
pub fn stop(path: impl AsRef<Path>, options: &StopOptions) -> Result<Stopped, StopError> {
    let Some(daemon) = find(path.as_ref())? else {
        return Ok(Stopped::NotRunning);
    };
    let pid = daemon.pid;
    let grace = Deadline::after(options.grace);
    let first = match options.first {
        First::Stop => Some(Signal::Term),
        First::StopNow => Some(Signal::Int),
        First::Nothing => None,
    };
    if let Some(first) = first
        && send(&daemon, first)? == Delivery::Gone
    {
        released(&daemon, grace)?;
        return Ok(Stopped::NotRunning);
    }
    // A process that is stopped acts on nothing but SIGKILL; that it has just gone is no error.
    send(&daemon, Signal::Cont)?;
    if has_exited(&daemon, grace)? {
        released(&daemon, grace)?;
        return Ok(Stopped::Terminated { pid });
    }
    match options.at_the_end_of_grace {
        Escalation::Kill => {}
        Escalation::GiveUp => {
            let path = daemon.pid_file.path().to_owned();
            return Err(StopError::StillStopping { path, pid, waited: options.grace });
        }
    }
    send(&daemon, Signal::Kill)?;
    let kill_wait = Deadline::after(options.kill_wait);
    if has_exited(&daemon, kill_wait)? {
        released(&daemon, kill_wait)?;
        return Ok(Stopped::Killed { pid });
    }
    let path = daemon.pid_file.path().to_owned();
    Err(StopError::StillAlive { path, pid, waited: options.kill_wait })
}

/// Waits until the process has exited; one that nobody has reaped yet has.
fn has_exited(daemon: &Daemon, deadline: Deadline) -> Result<bool, StopError> {
    readable(&[daemon.pidfd.as_fd()], deadline).map_err(|source| StopError::Wait {
        path: daemon.pid_file.path().to_owned(),
        pid: daemon.pid,
        source,
    })
}

/// Waits until nobody is kept from starting.
fn released(daemon: &Daemon, deadline: Deadline) -> Result<(), StopError> {
    let deadline = deadline.or_later(Deadline::after(CHILDREN));
    while !daemon.pid_file.is_released()? {
        if deadline.has_passed() {
            let path = daemon.pid_file.path().to_owned();
            return Err(StopError::LeftBehind { path, pid: daemon.pid });
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}
