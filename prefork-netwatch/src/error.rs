//! What can go wrong, one type a family of operations.

use crate::Proto;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use thiserror::Error;

/// Why the connections could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The kernel does not offer this source, or this process may not use it.
    ///
    /// Another source may do.
    #[error("{from} does not tell {proto} connections here")]
    Unsupported {
        /// The source.
        from: &'static str,
        /// The protocol asked for.
        proto: Proto,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel broke off again and again, since the connections changed all the time or memory
    /// was short.
    #[error("cannot read {proto} connections through sock_diag: broken off {tries} times")]
    BrokenOff {
        /// The protocol asked for.
        proto: Proto,
        /// How often it was tried.
        tries: u32,
    },
    /// The kernel sent what cannot be understood.
    #[error("cannot understand the answer of sock_diag about {proto} connections: {what}")]
    Malformed {
        /// The protocol asked for.
        proto: Proto,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A system call on a netlink socket failed.
    #[error("cannot {action} a netlink socket for {proto} connections")]
    Netlink {
        /// What was attempted.
        action: &'static str,
        /// The protocol asked for.
        proto: Proto,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A program could not be run.
    #[error("cannot run {program}")]
    Run {
        /// The program.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A program failed.
    #[error("{program} failed with {status}: {message}")]
    Failed {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The first line of what it said.
        message: String,
    },
}

/// A process whose descriptors may not be looked at, so that its connections are not watched.
///
/// It takes the same user and a process that may dump core, or `CAP_SYS_PTRACE`: see
/// `PTRACE_MODE_READ_FSCREDS` in `ptrace(2)`.
#[derive(Debug, Error)]
#[error("cannot look at the descriptors of process {pid}")]
#[non_exhaustive]
pub struct Unreadable {
    /// The process.
    pub pid: u32,
    /// What the kernel said.
    pub source: io::Error,
}
