//! What cannot be found out, and why.

use std::{fmt, io};

use rustix::io::Errno;

/// A process could not be looked at at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WhyError {
    /// There is no such process, or `/proc` does not show it.
    #[error(
        "cannot look at process {pid}: it has ended, or /proc hides it from this user (mount option hidepid): try as root"
    )]
    NoProcess {
        /// Its pid.
        pid: u32,
    },
    /// `/proc` cannot be read.
    #[error("cannot look at process {pid} in /proc")]
    Proc {
        /// Its pid.
        pid: u32,
        /// What the kernel reports.
        source: io::Error,
    },
}

/// Why the kernel does not show something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hidden {
    /// It is forbidden: the process is of another user, or Yama lets nobody but its ancestors look; see `ptrace_scope` in
    /// `ptrace(2)`.
    Forbidden,
    /// It has ended meanwhile, or was closed.
    Gone,
    /// It takes longer than there is time.
    TooSlow,
    /// Another error of this number.
    Error(i32),
}

impl From<Errno> for Hidden {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ACCESS | Errno::PERM => Self::Forbidden,
            Errno::NOENT | Errno::SRCH => Self::Gone,
            errno => Self::Error(errno.raw_os_error()),
        }
    }
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden if scope().is_some_and(|scope| scope > 0) => f.write_str(
                "the kernel does not show it: kernel.yama.ptrace_scope lets only ancestors and root look: try as root",
            ),
            Self::Forbidden => f.write_str(
                "the kernel does not show it to this user: it is another user's, or has changed its user: try as root",
            ),
            Self::Gone => f.write_str("it has ended meanwhile"),
            Self::TooSlow => f.write_str("it cannot be read in time"),
            Self::Error(number) => {
                write!(f, "the kernel does not show it: {}", io::Error::from_raw_os_error(*number))
            }
        }
    }
}

/// Reads what Yama forbids, where the kernel has it.
fn scope() -> Option<u32> {
    std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?.trim().parse().ok()
}
