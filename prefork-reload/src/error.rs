//! What can be wrong with what is to be watched.

use std::io;
use std::path::PathBuf;

/// Why a path or a pattern cannot be watched.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The path is empty, or relative to a directory that is gone.
    #[error("cannot make the path {path:?} absolute")]
    #[non_exhaustive]
    Path {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The pattern is wrong.
    #[error("glob {pattern:?} is wrong at character {position}: {reason}")]
    #[non_exhaustive]
    Glob {
        /// The pattern.
        pattern: String,
        /// Where in the component of the pattern, counted from 0.
        position: usize,
        /// What is wrong.
        reason: &'static str,
    },
}

prefork_core::debug_as_chain!(WatchError);

impl WatchError {
    pub(crate) fn glob(pattern: &str, error: &glob::PatternError) -> Self {
        let pattern = pattern.to_owned();
        Self::Glob { pattern, position: error.pos, reason: error.msg }
    }
}
