//! Why a launch failed, as it is reported to the launcher.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use prefork_core::one_line;

use crate::pid::Pid;

/// Why no daemon serves.
///
/// Always returned in the launcher, whichever process failed. The daemon-to-be has ended then, or
/// has been sent SIGTERM; only after [`Ended::Unseen`] may it live on, until it learns from
/// [`Readiness::ready`](crate::Readiness::ready) that nobody waits.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum DaemonizeError {
    /// Other threads run, and a fork would copy their locks in whatever state they are in.
    #[error(
        "cannot daemonize: {threads} threads run in this process; daemonize before starting threads"
    )]
    #[non_exhaustive]
    Threads {
        /// All threads, the calling one included.
        threads: usize,
    },
    /// The threads cannot be counted.
    #[error("cannot count threads in /proc/self/task; is /proc mounted?")]
    #[non_exhaustive]
    CountThreads {
        /// What the system said.
        source: io::Error,
    },
    /// A pid file is already held; the locks of it would not follow into the daemon.
    #[error(
        "cannot daemonize while holding pid file {}; create it in the daemon, after start",
        one_line(path)
    )]
    #[non_exhaustive]
    PidFileHeld {
        /// The pid file.
        path: PathBuf,
    },
    /// The channel between launcher and daemon cannot be made.
    #[error("cannot make the channel between launcher and daemon")]
    #[non_exhaustive]
    Channel {
        /// What the system said.
        source: io::Error,
    },
    /// A fork failed; EAGAIN means that a limit of processes was reached.
    #[error("cannot fork the daemon; is a limit of processes reached?")]
    #[non_exhaustive]
    Fork {
        /// What the system said.
        source: io::Error,
    },
    /// setsid(2) failed.
    #[error("cannot start a session for the daemon")]
    #[non_exhaustive]
    Session {
        /// What the system said.
        source: io::Error,
    },
    /// The working directory cannot be entered.
    #[error("cannot change to directory {}", one_line(path))]
    #[non_exhaustive]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Standard input, output or error cannot be redirected.
    #[error("cannot redirect the standard descriptors of the daemon; is /dev/null there?")]
    #[non_exhaustive]
    Stdio {
        /// What the system said.
        source: io::Error,
    },
    /// The inherited descriptors cannot be listed.
    #[error("cannot list the inherited descriptors in /proc/self/fd; is /proc mounted?")]
    #[non_exhaustive]
    Descriptors {
        /// What the system said.
        source: io::Error,
    },
    /// The signals cannot be blocked for the fork or reset after it.
    #[error("cannot set the signals of the daemon")]
    #[non_exhaustive]
    Signals {
        /// What the system said.
        source: io::Error,
    },
    /// Waiting for the daemon failed.
    #[error("cannot watch the daemon start")]
    #[non_exhaustive]
    Wait {
        /// What the system said.
        source: io::Error,
    },
    /// The daemon said why it will not serve, see
    /// [`Readiness::failed`](crate::Readiness::failed).
    #[error("{}", one_line(reason))]
    #[non_exhaustive]
    Failed {
        /// The daemon's own words: its error and the chain of causes.
        reason: String,
    },
    /// The daemon ended before it was ready, without saying why.
    #[error("the daemon{} ended before it was ready: {end}; its log may say why", Named(pid))]
    #[non_exhaustive]
    Died {
        /// The daemon, where it is known.
        pid: Option<Pid>,
        /// How it ended.
        end: Ended,
    },
    /// The daemon dropped its [`Readiness`](crate::Readiness) without a word, yet lived on.
    #[error(
        "the daemon{} gave up before it served, without a reason; it was asked to stop",
        Named(pid)
    )]
    #[non_exhaustive]
    Abandoned {
        /// The daemon, where it is known.
        pid: Option<Pid>,
    },
    /// The daemon did not become ready in time.
    #[error("the daemon{} was not ready within {limit:?}; it was asked to stop", Named(pid))]
    #[non_exhaustive]
    Timeout {
        /// The daemon, where it is known.
        pid: Option<Pid>,
        /// The limit, see [`Daemonize::ready_timeout`](crate::Daemonize::ready_timeout).
        limit: Duration,
    },
}

prefork_core::debug_as_chain!(DaemonizeError);

/// How a daemon ended that was not ready yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// It exited.
    #[non_exhaustive]
    Exited {
        /// Its exit status, 0 to 255.
        status: i32,
    },
    /// A signal killed it.
    #[non_exhaustive]
    Killed {
        /// The number of the signal, see signal(7).
        signal: i32,
    },
    /// Nobody saw how: the process that watched it was killed itself.
    Unseen,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited { status } => write!(f, "it exited with status {status}"),
            Self::Killed { signal } => match nix::sys::signal::Signal::try_from(*signal) {
                Ok(known) => write!(f, "it was killed by {}", known.as_str()),
                Err(_) => write!(f, "it was killed by signal {signal}"),
            },
            Self::Unseen => f.write_str("nobody saw how, its watcher was killed"),
        }
    }
}

/// Writes " (pid 12)", or nothing.
struct Named<'a>(&'a Option<Pid>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, " (pid {pid})"),
            None => Ok(()),
        }
    }
}
