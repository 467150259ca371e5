//! What can go wrong, one type a family of operations.

use crate::Proto;
use prefork_core::one_line;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::process::ExitStatus;
use thiserror::Error;

/// Why the connections could not be read.
#[derive(Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The kernel does not offer this source, or this process may not use it.
    ///
    /// Another source may do.
    #[error("{from} does not show {proto} connections here")]
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
    #[error("cannot read {path}", path = one_line(path))]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A program could not be run.
    #[error("cannot run {program}", program = one_line(program))]
    Run {
        /// The program.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A program failed.
    #[error("{program} failed with {status}: {message}", program = one_line(program), message = one_line(message))]
    Failed {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The first line of what it said.
        message: String,
    },
}

impl SourceError {
    /// Whether the source will not work the next time either.
    pub(crate) fn is_for_good(&self) -> bool {
        match self {
            Self::Unsupported { .. } => true,
            // Others pass, such as having no descriptors.
            Self::Netlink { source, .. } | Self::File { source, .. } => matches!(
                source.kind(),
                ErrorKind::PermissionDenied | ErrorKind::NotFound | ErrorKind::Unsupported
            ),
            Self::BrokenOff { .. }
            | Self::Malformed { .. }
            | Self::Run { .. }
            | Self::Failed { .. } => false,
        }
    }
}

/// A process whose descriptors may not be looked at, so that its connections are not watched.
///
/// It takes the same user and a process that may dump core, or `CAP_SYS_PTRACE`: see
/// `PTRACE_MODE_READ_FSCREDS` in `ptrace(2)`.
#[derive(Error)]
#[error("cannot look at the descriptors of process {pid}")]
#[non_exhaustive]
pub struct Unreadable {
    /// The process.
    pub pid: u32,
    /// What the kernel said.
    pub source: io::Error,
}

prefork_core::debug_as_chain!(SourceError, Unreadable);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_shows_a_path_or_a_message_as_it_is() {
        use std::os::unix::process::ExitStatusExt;
        let evil = || "/bin/\u{1b}[31m\n\u{202e}evil".to_owned();
        let source = || io::ErrorKind::Other.into();
        let status = ExitStatus::from_raw(256);
        for error in [
            SourceError::File { path: evil().into(), source: source() },
            SourceError::Run { program: evil().into(), source: source() },
            SourceError::Failed { program: evil().into(), status, message: String::new() },
            SourceError::Failed { program: "ss".into(), status, message: evil() },
        ] {
            let text = error.to_string();
            assert!(text.contains("/bin/\\u{1b}[31m\\n\\u{202e}evil"), "{text:?}");
            assert!(
                !text.contains(|char: char| char.is_control() || char == '\u{202e}'),
                "{text:?}"
            );
        }
    }
}
