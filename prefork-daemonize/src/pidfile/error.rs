//! Why there is no pid file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use prefork_core::one_line;

use crate::pid::Pid;

/// Why a pid file could not be made, kept or removed.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum PidFileError {
    /// Somebody holds the file.
    #[error("{}", HeldText { path, pid: *pid })]
    #[non_exhaustive]
    Held {
        /// The pid file.
        path: PathBuf,
        /// The daemon, as the kernel names it. `None` when the lock is held and no process
        /// proves to own it: children of a daemon that was killed and that have kept its descriptor, or
        /// an owner in a pid namespace that this process cannot see.
        pid: Option<Pid>,
    },
    /// Another process is making a pid file at the path, and has been for a while.
    #[error(
        "pid file {} is being made by {}; if that does not go on, end it and remove {}",
        one_line(path), maker(*pid), one_line(draft)
    )]
    #[non_exhaustive]
    InTheMaking {
        /// The pid file.
        path: PathBuf,
        /// The file beside it that is to become the pid file.
        draft: PathBuf,
        /// The process, where it can be known.
        pid: Option<Pid>,
    },
    /// Something that is no regular file stands at the path; it was not touched.
    #[error("pid file {} is {kind}; remove it or choose another path", one_line(path))]
    #[non_exhaustive]
    NotAFile {
        /// The pid file.
        path: PathBuf,
        /// What stands there, with its article: "a symbolic link".
        kind: String,
    },
    /// The file has further names, so it may be somebody's file in disguise.
    #[error("pid file {} has {links} hard links; remove it or choose another path", one_line(path))]
    #[non_exhaustive]
    HardLinked {
        /// The pid file.
        path: PathBuf,
        /// How many names it has.
        links: u64,
    },
    /// The file belongs to neither this user nor root.
    #[error("pid file {} belongs to user {uid}; remove it or choose another path", one_line(path))]
    #[non_exhaustive]
    ForeignOwner {
        /// The pid file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// The file holds what no pid file does; it was not touched.
    #[error("pid file {} holds something else than a pid; choose another path", one_line(path))]
    #[non_exhaustive]
    Contents {
        /// The pid file.
        path: PathBuf,
    },
    /// The path is empty, or relative to a directory that is gone.
    #[error("cannot make the path of pid file {} absolute", one_line(path))]
    #[non_exhaustive]
    Path {
        /// The pid file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory is missing.
    #[error(
        "cannot create pid file {}: its directory does not exist; create it first",
        one_line(path)
    )]
    #[non_exhaustive]
    NoDirectory {
        /// The pid file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A descriptor was handed over that is not that of a pid file which this process holds.
    #[error("what was handed over as pid file {} is not that file", one_line(path))]
    #[non_exhaustive]
    Mismatch {
        /// The pid file.
        path: PathBuf,
    },
    /// The file cannot be created or opened.
    #[error("cannot open pid file {}", one_line(path))]
    #[non_exhaustive]
    Open {
        /// The pid file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be locked, for example because the file system knows no locks.
    #[error("cannot lock pid file {}", one_line(path))]
    #[non_exhaustive]
    Lock {
        /// The pid file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The pid cannot be written, for example because the disk is full; nothing is changed.
    #[error("cannot write pid file {}", one_line(path))]
    #[non_exhaustive]
    Write {
        /// The pid file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be removed.
    #[error("cannot remove pid file {}", one_line(path))]
    #[non_exhaustive]
    Remove {
        /// The pid file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file at the path was replaced over and over.
    #[error("pid file {} is replaced faster than it can be locked", one_line(path))]
    #[non_exhaustive]
    Unsettled {
        /// The pid file.
        path: PathBuf,
    },
    /// The calling process is not the one that made the file.
    #[error("pid file {} belongs to process {owner}, not to this one", one_line(path))]
    #[non_exhaustive]
    NotOwner {
        /// The pid file.
        path: PathBuf,
        /// The process that made it.
        owner: Pid,
    },
}

prefork_core::debug_as_chain!(PidFileError);

fn maker(pid: Option<Pid>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// The text of `Held`, which depends on what is known.
struct HeldText<'a> {
    path: &'a Path,
    pid: Option<Pid>,
}

impl fmt::Display for HeldText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = one_line(self.path);
        match self.pid {
            Some(pid) => write!(f, "already running (pid {pid}): it holds pid file {path}"),
            None => write!(
                f,
                "pid file {path} is still held by children of a daemon that has died, \
                 or by a process that cannot be seen from here; `fuser {path}` names them"
            ),
        }
    }
}
