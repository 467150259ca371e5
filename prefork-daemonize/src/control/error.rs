//! Why a daemon was not found, signalled or stopped.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use prefork_core::one_line;

use crate::pid::Pid;

/// Why [`stop`](crate::stop), [`signal`](crate::signal) or [`running`](crate::running) did not do
/// as asked. That no daemon runs is not among them: it is an outcome.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// The pid file cannot be looked at.
    #[error("cannot read pid file {}", one_line(path))]
    #[non_exhaustive]
    Read {
        /// The pid file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What stands at the path cannot be a pid file; it was not touched.
    #[error("pid file {} is {what}; no process was signalled", one_line(path))]
    #[non_exhaustive]
    NotAPidFile {
        /// The pid file.
        path: PathBuf,
        /// What stands there, with its article: "a symbolic link".
        what: String,
    },
    /// The file is locked, and no process proves to be its owner.
    ///
    /// What a killed daemon left behind, as a rule: its children live on. Or the owner is in a
    /// pid namespace that this process cannot see, or has lost its record lock, see
    /// [`PidFile`](crate::PidFile).
    #[error(
        "pid file {} is locked, but no process proves to own it; no process was signalled; \
         `fuser {}` names those that hold it",
        one_line(path),
        one_line(path)
    )]
    #[non_exhaustive]
    Unproven {
        /// The pid file.
        path: PathBuf,
    },
    /// The file's owner, a user other than root and the caller, could not signal the process
    /// that the file leads to. Doing it for him would lend him our rights.
    #[error(
        "pid file {} belongs to user {uid}, who has no right to signal process {pid}; \
         it was not signalled",
        one_line(path)
    )]
    #[non_exhaustive]
    NotTheirs {
        /// The pid file.
        path: PathBuf,
        /// The owner of the file.
        uid: u32,
        /// The process that holds its lock.
        pid: Pid,
    },
    /// The daemon is the calling process itself.
    #[error(
        "pid file {} belongs to the calling process; it does not signal itself",
        one_line(path)
    )]
    #[non_exhaustive]
    OwnProcess {
        /// The pid file.
        path: PathBuf,
    },
    /// The daemon cannot be signalled, for want of permission as a rule.
    #[error("cannot signal process {pid}, which holds pid file {}", one_line(path))]
    #[non_exhaustive]
    Refused {
        /// The pid file.
        path: PathBuf,
        /// The daemon.
        pid: Pid,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon cannot be watched while it stops.
    #[error("cannot wait for process {pid}, which holds pid file {}", one_line(path))]
    #[non_exhaustive]
    Wait {
        /// The pid file.
        path: PathBuf,
        /// The daemon.
        pid: Pid,
        /// What the system said.
        source: io::Error,
    },
    /// Even SIGKILL did not end it: the kernel is busy on its behalf (a dead disk, a lost NFS
    /// server).
    #[error(
        "process {pid}, which holds pid file {}, is still there {waited:?} after SIGKILL",
        one_line(path)
    )]
    #[non_exhaustive]
    StillAlive {
        /// The pid file.
        path: PathBuf,
        /// The daemon.
        pid: Pid,
        /// How long it was waited for after SIGKILL.
        waited: Duration,
    },
    /// The daemon was asked to stop, has not ended in time, and was to be left alone then.
    #[error(
        "process {pid}, which holds pid file {}, is still stopping after {waited:?}",
        one_line(path)
    )]
    #[non_exhaustive]
    StillStopping {
        /// The pid file.
        path: PathBuf,
        /// The daemon.
        pid: Pid,
        /// How long it was waited for after SIGTERM.
        waited: Duration,
    },
    /// The daemon has ended, but processes that it started live on and hold its lock.
    #[error(
        "process {pid} has ended, but its children still hold pid file {}; \
         `fuser {}` names them",
        one_line(path),
        one_line(path)
    )]
    #[non_exhaustive]
    LeftBehind {
        /// The pid file.
        path: PathBuf,
        /// The daemon that has ended.
        pid: Pid,
    },
}

prefork_core::debug_as_chain!(StopError);
