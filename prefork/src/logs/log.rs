//! Writing the daemon's own messages.
//!
//! One line a message, each by one write to standard error, which in a daemon is the error log:
//! lines of several processes never mix, and nothing is buffered that a crash could lose or a fork
//! double. No process waits for a reader: what cannot be written at once is counted, and a line
//! says so as soon as one can be written again. In the journal, which has time and name by itself, a line begins with
//! its priority instead. With the `tracing` feature, a program that has installed a subscriber gets them as
//! events instead, with fields.
//!
//! What is logged: `logs/message/`.

use std::{
    fmt::{self, Display},
    time::SystemTime,
};

use prefork_core::one_line;
use prefork_log::{Format, Lost};

use crate::logs::{FileMessage, LogLevel, Message, Said, is_wanted, stderr};

/// The kind of process that logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Parent,
    Child,
    /// Code of the program that is called for the parent.
    Hook,
    Status,
    /// One that a child runs.
    Program,
}

/// Writes messages of one process.
#[derive(Clone, Debug)]
pub(crate) struct Log(Speaker);

/// The process whose messages these are.
#[derive(Clone, Debug)]
pub(crate) struct Speaker {
    name: String,
    pid: u32,
    role: Role,
}

#[cfg(feature = "tracing")]
impl Speaker {
    #[cfg(test)]
    pub(crate) fn new(name: &str, role: Role) -> Self {
        Log::new(name, role).0
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) const fn role(&self) -> Role {
        self.role
    }
}

impl Log {
    pub(crate) fn new(name: &str, role: Role) -> Self {
        Self(Speaker { name: name.to_owned(), pid: std::process::id(), role })
    }

    /// Logs a message, if it matters enough.
    pub(crate) fn write(&self, message: &dyn Message) {
        #[cfg(feature = "tracing")]
        if tracing::dispatcher::has_been_set() {
            // What is wanted of it is the subscriber's to say.
            message.trace(&self.0);
            return;
        }
        if !is_wanted(message.level()) {
            return;
        }
        let (now, format) = (SystemTime::now(), stderr::format());
        let describe = |lost: &Lost| {
            self.line(format, now, &FileMessage::LinesLost { log: "error log", lost })
        };
        let line = self.line(format, now, message);
        match message.level() {
            LogLevel::Error => stderr::show(&line),
            LogLevel::Warn | LogLevel::Info | LogLevel::Debug => {}
        }
        stderr::write(&line, describe);
    }

    /// Logs a line that a program has printed, under its pid and whatever level is wanted.
    pub(crate) fn relay(&self, pid: u32, text: &dyn Display) {
        let speaker = Self(Speaker { name: self.0.name.clone(), pid, role: Role::Program });
        let message = Said { level: LogLevel::Info, text };
        #[cfg(feature = "tracing")]
        if tracing::dispatcher::has_been_set() {
            message.trace(&speaker.0);
            return;
        }
        let (now, format) = (SystemTime::now(), stderr::format());
        let describe = |lost: &Lost| {
            self.line(format, now, &FileMessage::LinesLost { log: "error log", lost })
        };
        stderr::write_patiently(&speaker.line(format, now, &message), describe);
    }

    fn line(&self, format: Format, now: SystemTime, message: &dyn Message) -> String {
        let Self(Speaker { name, pid, role }) = self;
        let (level, text) = (message.level(), message.to_string());
        let text = one_line(&text);
        // What a program prints has no level.
        let level = if *role == Role::Program { String::new() } else { format!(" {level}") };
        let priority = message.level().priority();
        match format {
            Format::Plain => {
                let time = humantime::format_rfc3339_millis(now);
                format!("{time} {name}[{pid}] {role}{level}: {text}\n")
            }
            // The journal knows all lines of a daemon by the pid of the process that had the socket first, its parent.
            Format::Journal => {
                format!("<{priority}>{role}[{pid}]{level}: {text}\n")
            }
        }
    }
}

impl Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parent => "parent",
            Self::Child => "child",
            Self::Hook => "hook",
            Self::Status => "status",
            Self::Program => "program",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::HookMessage;

    #[test]
    fn a_message_is_one_line_with_time_pid_and_role() {
        let log = Log(Speaker { name: "hello".into(), pid: 42, role: Role::Child });
        let message = HookMessage::Failed { hook: "main_loop", error: &"two\nlines" };
        let line = |format| log.line(format, SystemTime::UNIX_EPOCH, &message);
        let plain =
            "1970-01-01T00:00:00.000Z hello[42] child error: main_loop failed: two\\nlines\n";
        assert_eq!(line(Format::Plain), plain);
        assert_eq!(line(Format::Journal), "<3>child[42] error: main_loop failed: two\\nlines\n");
    }
}
