//! One thread of a process: what state it is in, and how much it runs.

use std::fmt;

use crate::{Cause, proc::Proc};

/// A thread, and what it waits for.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Thread {
    /// Its number; that of the main thread is the pid.
    pub tid: u32,
    /// Its name, safe to be shown.
    pub name: String,
    /// Its state at the end of the look.
    pub state: State,
    /// The system call in which it is, if that is shown and it is in one.
    pub call: Option<&'static str>,
    /// What it waits for.
    pub cause: Cause,
    /// How much of a CPU it has used during the look, from 0 to 1; `None` if the kernel does not count that.
    pub cpu: Option<f64>,
    /// The function of the kernel in which it sleeps, where the kernel shows it.
    pub wchan: Option<String>,
}

/// The state of a thread: see `proc_pid_stat(5)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It runs, or would if a CPU were free.
    Running,
    /// It sleeps, until what it waits for comes or a signal.
    Sleeping,
    /// It sleeps, and no signal wakes it: as a rule for a disk or a file server.
    Disk,
    /// It was stopped.
    Stopped,
    /// It has ended.
    Ended,
    /// Another state of this letter.
    Other(char),
}

impl State {
    pub(crate) const fn of(letter: char) -> Self {
        match letter {
            'R' => Self::Running,
            'S' | 'I' => Self::Sleeping,
            'D' => Self::Disk,
            'T' | 't' => Self::Stopped,
            'Z' | 'X' => Self::Ended,
            other => Self::Other(other),
        }
    }

    /// Returns it as one word: `running`, `sleeping`, `disk`, `stopped`, `ended` or `other`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Sleeping => "sleeping",
            Self::Disk => "disk",
            Self::Stopped => "stopped",
            Self::Ended => "ended",
            Self::Other(_) => "other",
        }
    }
}

/// How long a thread has run, and waited to run, in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) ran: u64,
    pub(crate) wanted: u64,
}

impl Ran {
    pub(crate) fn of(process: &Proc, tid: u32) -> Option<Self> {
        Self::parse(&process.text(&format!("task/{tid}/schedstat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_ascii_whitespace().map(|word| word.parse().ok());
        Some(Self { ran: numbers.next()??, wanted: numbers.next()?? })
    }
}

/// Reads the letter of the state, which follows the name in parentheses; the name may hold such too.
pub(crate) fn state(process: &Proc, tid: u32) -> Option<State> {
    letter(&process.text(&format!("task/{tid}/stat")).ok()?).map(State::of)
}

fn letter(stat: &str) -> Option<char> {
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Reads where in the kernel it sleeps.
pub(crate) fn wchan(process: &Proc, tid: u32) -> Option<String> {
    let name = process.name(&format!("task/{tid}/wchan"));
    (!name.is_empty() && name != "0").then_some(name)
}

/// Shows `thread 4711 (hello) sleeps in recvfrom on 7 = tcp 10.0.0.5:5432 (postgresql), 0 % of a CPU`.
impl fmt::Display for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thread {} ({}) {}", self.tid, self.name, self.doing())
    }
}

impl Thread {
    /// Returns what follows `thread 4711 (hello)`.
    #[must_use]
    pub fn doing(&self) -> String {
        let verb = match (&self.cause, self.state) {
            (Cause::Spins { .. }, _) => "spins",
            (Cause::WantsCpu, _) => "wants to run",
            (Cause::Stopped { .. }, _) => "is stopped",
            (Cause::Ended, _) => "has ended",
            (_, State::Disk) => "waits for a disk or a file server (state D, no signal wakes it)",
            (_, State::Running) => "runs",
            (_, State::Sleeping) => "sleeps",
            (_, State::Stopped) => "is stopped",
            (_, State::Ended) => "has ended",
            (_, State::Other(_)) => "is in a state of its own",
        };
        let call = self.call.map(|call| format!(" in {call}")).unwrap_or_default();
        let mut text = format!("{verb}{call}{}", self.cause);
        if let Some(cpu) = self.cpu {
            text.push_str(&format!("; {:.0} % of a CPU", cpu * 100.0));
        }
        if let Some(wchan) = &self.wchan {
            text.push_str(&format!("; in the kernel: {wchan}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_follows_the_name_whatever_that_is() {
        for (stat, expected) in [
            ("1 (sh) S 0 1", Some('S')),
            ("1 (a) R (b) D 0 1", Some('D')),
            ("1 (sh", None),
            ("", None),
        ] {
            assert_eq!(letter(stat), expected, "{stat}");
        }
    }

    #[test]
    fn figures_that_are_none_are_not_counted() {
        assert_eq!(Ran::parse("12 34 5\n"), Some(Ran { ran: 12, wanted: 34 }));
        assert_eq!((Ran::parse("12"), Ran::parse("x 1 2"), Ran::parse("")), (None, None, None));
    }
}
