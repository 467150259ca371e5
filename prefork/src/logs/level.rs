//! How much of the daemon's own messages is logged.

use std::{
    fmt::{self, Display},
    str::FromStr,
    sync::atomic::{AtomicU8, Ordering},
};

use serde::{Deserialize, Serialize};

/// How much a message of the daemon matters, and which of them are logged; see [`Args::log_level`](crate::Args::log_level).
///
/// The more it matters, the smaller: [`Error`](Self::Error) is the smallest.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Something is lost, refused or broken: somebody should look at it.
    Error,
    /// Something is not as it should be, and the daemon has seen to it or goes on without.
    Warn,
    /// What the daemon does as a whole: it starts, reloads, upgrades, stops; signals that it was sent. The default.
    #[default]
    Info,
    /// What happens to single children in the ordinary course: each that starts, is asked to leave, has left.
    Debug,
}

/// A text that is the name of no [`LogLevel`].
#[derive(thiserror::Error)]
#[error("must be {}, not {name:?}", LogLevel::NAMES)]
pub struct LogLevelError {
    name: String,
}

prefork_core::debug_as_chain!(LogLevelError);

impl LogLevel {
    pub(crate) const NAMES: &str = "\"error\", \"warn\", \"info\" or \"debug\"";

    /// Returns its name in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }

    /// As `syslog(3)` and the journal have it.
    pub(crate) const fn priority(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warn => 4,
            Self::Info => 6,
            Self::Debug => 7,
        }
    }

    #[cfg(feature = "tracing")]
    pub(crate) const fn of_tracing(self) -> tracing::Level {
        match self {
            Self::Error => tracing::Level::ERROR,
            Self::Warn => tracing::Level::WARN,
            Self::Info => tracing::Level::INFO,
            Self::Debug => tracing::Level::DEBUG,
        }
    }
}

impl FromStr for LogLevel {
    type Err = LogLevelError;

    fn from_str(name: &str) -> Result<Self, LogLevelError> {
        let all = [Self::Error, Self::Warn, Self::Info, Self::Debug];
        let found = all.into_iter().find(|level| level.name() == name);
        found.ok_or_else(|| LogLevelError { name: name.to_owned() })
    }
}

/// Shows it as it stands in a line.
impl Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warn => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
        })
    }
}

/// The level of this process. One for all that log in it, and inherited by what it forks.
static LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Info as u8);

/// From now on, logs what matters so much.
pub(crate) fn set_level(level: LogLevel) {
    // Pairs with nothing: a line that is written at this very moment may be of either.
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Returns whether a message is to be logged.
pub(crate) fn is_wanted(level: LogLevel) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_read_by_its_name() {
        assert_eq!("warn".parse::<LogLevel>().expect("read"), LogLevel::Warn);
        let error = "Warning".parse::<LogLevel>().expect_err("no name");
        let expected = "must be \"error\", \"warn\", \"info\" or \"debug\", not \"Warning\"";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn what_matters_more_is_logged_too() {
        assert!(LogLevel::Error < LogLevel::Warn && LogLevel::Info < LogLevel::Debug);
        assert!(is_wanted(LogLevel::Info) && !is_wanted(LogLevel::Debug), "the default");
    }
}
