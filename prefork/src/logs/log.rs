//! The daemon's own messages.
//!
//! One line a message, each by one write to standard error, which in a daemon is the error log:
//! lines of several processes never mix, and nothing is buffered that a crash could lose or a fork
//! double. Nobody waits for whoever reads them: what cannot be written at once is counted, and a line
//! says so as soon as one can be written again. In the journal, which has time and name by itself, a line begins with
//! its priority instead. With the `tracing` feature, a program that has installed a subscriber gets them as
//! events instead.

use std::{
    fmt::{self, Display},
    time::SystemTime,
};

use prefork_core::one_line;

use crate::logs::{Format, Lost, stderr};

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Warning,
    Error,
}

impl Level {
    /// As `syslog(3)` and the journal have it.
    const fn priority(self) -> u8 {
        match self {
            Self::Info => 6,
            Self::Warning => 4,
            Self::Error => 3,
        }
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Parent,
    Child,
    /// Code of the program that is called for the parent.
    Hook,
    Status,
}

/// Writes messages of one process.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    name: String,
    pid: u32,
    role: Role,
}

impl Log {
    pub(crate) fn new(name: &str, role: Role) -> Self {
        Self { name: name.to_owned(), pid: std::process::id(), role }
    }

    pub(crate) fn info(&self, message: impl Display) {
        self.write(Level::Info, &message);
    }

    pub(crate) fn warning(&self, message: impl Display) {
        self.write(Level::Warning, &message);
    }

    pub(crate) fn error(&self, message: impl Display) {
        self.write(Level::Error, &message);
    }

    fn write(&self, level: Level, message: &dyn Display) {
        #[cfg(feature = "tracing")]
        if tracing::dispatcher::has_been_set() {
            self.trace(level, message);
            return;
        }
        let (now, format) = (SystemTime::now(), stderr::format());
        let line = |level, message: &dyn Display| self.line(format, now, level, message);
        let describe = |lost: &Lost| line(Level::Warning, &format_args!("log: {lost}"));
        stderr::write(line(level, message), describe);
    }

    fn line(&self, format: Format, now: SystemTime, level: Level, message: &dyn Display) -> String {
        let Self { name, pid, role } = self;
        let message = message.to_string();
        let message = one_line(&message);
        match format {
            Format::Plain => {
                let time = humantime::format_rfc3339_millis(now);
                format!("{time} {name}[{pid}] {role} {level}: {message}\n")
            }
            // The journal knows all lines of a daemon by the pid of who had the socket first, its parent.
            Format::Journal => {
                let priority = level.priority();
                format!("<{priority}>{role}[{pid}] {level}: {message}\n")
            }
        }
    }

    #[cfg(feature = "tracing")]
    fn trace(&self, level: Level, message: &dyn Display) {
        let (name, pid, role) = (self.name.as_str(), self.pid, self.role);
        let message = message.to_string();
        let message = one_line(&message);
        match level {
            Level::Info => tracing::info!(name, pid, %role, "{message}"),
            Level::Warning => tracing::warn!(name, pid, %role, "{message}"),
            Level::Error => tracing::error!(name, pid, %role, "{message}"),
        }
    }
}

impl Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

impl Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parent => "parent",
            Self::Child => "child",
            Self::Hook => "hook",
            Self::Status => "status",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_with_time_pid_and_role() {
        let log = Log { name: "hello".into(), pid: 42, role: Role::Child };
        let line = |format| log.line(format, SystemTime::UNIX_EPOCH, Level::Warning, &"two\nlines");
        let plain = "1970-01-01T00:00:00.000Z hello[42] child warning: two\\nlines\n";
        assert_eq!(line(Format::Plain), plain);
        assert_eq!(line(Format::Journal), "<4>child[42] warning: two\\nlines\n");
    }
}
