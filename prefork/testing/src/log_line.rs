//! Log lines as values.

use std::time::SystemTime;

/// How much a line of the daemon's own matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something is lost, refused or broken.
    Error,
    /// Something is not as it should be, and the daemon has seen to it or goes on without.
    Warn,
    /// What the daemon does as a whole.
    Info,
    /// Each child.
    Debug,
}

/// A line of the error log.
///
/// What the program itself has printed has a text and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLine {
    /// When it was written.
    pub time: Option<SystemTime>,
    /// How much it matters.
    pub level: Option<Level>,
    /// Who has written it.
    pub pid: Option<u32>,
    /// What that process is: `parent`, `child`, `hook`, `status`, `program`.
    pub role: Option<String>,
    /// What it says.
    pub text: String,
}

impl LogLine {
    /// Reads a line as the daemon writes it: `TIME NAME[PID] ROLE LEVEL: TEXT`.
    pub(crate) fn read(line: &str) -> Self {
        Self::of_daemon(line).unwrap_or_else(|| Self {
            time: None,
            level: None,
            pid: None,
            role: None,
            text: line.to_owned(),
        })
    }

    fn of_daemon(line: &str) -> Option<Self> {
        let (time, rest) = line.split_once(' ')?;
        let time = humantime::parse_rfc3339(time).ok()?;
        // A name may have spaces and brackets of its own; the text may have all of it.
        let (who, rest) = rest.split_once("] ")?;
        let (_, pid) = who.rsplit_once('[')?;
        let (role, text) = rest.split_once(": ").or_else(|| rest.split_once(':'))?;
        let (role, level) = match role.split_once(' ') {
            Some((role, level)) => (role, Some(level_of(level)?)),
            None => (role, None),
        };
        Some(Self {
            time: Some(time),
            level,
            pid: Some(pid.parse().ok()?),
            role: Some(role.to_owned()),
            text: text.to_owned(),
        })
    }
}

fn level_of(word: &str) -> Option<Level> {
    match word {
        "error" => Some(Level::Error),
        "warn" | "warning" => Some(Level::Warn),
        "info" => Some(Level::Info),
        "debug" => Some(Level::Debug),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_daemon_are_taken_apart_and_others_left_whole() {
        let line = LogLine::read("1970-01-01T00:00:01.500Z my[x] app[42] child error: a: b");
        assert_eq!(
            line.text, "1970-01-01T00:00:01.500Z my[x] app[42] child error: a: b",
            "no name"
        );
        let line = LogLine::read("1970-01-01T00:00:01.500Z app[42] child error: a: b");
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(1500);
        assert_eq!((line.time, line.level, line.pid), (Some(time), Some(Level::Error), Some(42)));
        assert_eq!((line.role.as_deref(), &*line.text), (Some("child"), "a: b"));
        let line = LogLine::read("1970-01-01T00:00:01.500Z app[42] program: hello");
        assert_eq!((line.level, line.role.as_deref()), (None, Some("program")));
        for text in ["", "thread 'main' panicked", "x [1] child error: y", "1970 app[1] a b: c"] {
            let line = LogLine::read(text);
            assert_eq!((line.pid, &*line.text), (None, text));
        }
    }
}
