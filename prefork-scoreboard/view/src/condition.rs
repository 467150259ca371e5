//! Whether the owner of a board is there and decides anything: one judgement for all that shows it.

use std::time::Duration;

use prefork_scoreboard::{Kind, Life, Standing};

use crate::{View, duration};

/// How long an owner may be late before that is worth a word: a busy machine delays it.
const LATE: Duration = Duration::from_secs(5);

/// Whether the owner of a board is there, and decides anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It runs, and nothing is known to be wrong with it.
    Well,
    /// It does not run any more.
    Gone,
    /// Nothing shows here whether it runs.
    Unseen,
    /// A signal has stopped it.
    Stopped,
    /// A debugger has stopped it.
    Traced,
    /// It was to wake by itself so long ago, and has not.
    Late(Duration),
}

impl Condition {
    /// Judges a process that is known to be there, by what the kernel says that it is doing.
    #[must_use]
    pub const fn of_process(standing: Option<Standing>) -> Self {
        match standing {
            Some(Standing::Stopped) => Self::Stopped,
            Some(Standing::Traced) => Self::Traced,
            Some(Standing::Runs | Standing::Sleeps | Standing::Waits) | None => Self::Well,
        }
    }

    /// Returns a word for it where it is to be seen at once: `STOPPED`.
    #[must_use]
    pub const fn mark(self) -> Option<&'static str> {
        match self {
            Self::Well | Self::Unseen => None,
            Self::Gone => Some("NOT RUNNING"),
            Self::Stopped => Some("STOPPED"),
            Self::Traced => Some("STOPPED BY A DEBUGGER"),
            Self::Late(_) => Some("NOT RESPONDING"),
        }
    }

    /// Returns what is wrong with it and what to do, if anything is.
    #[must_use]
    pub fn trouble(self, pid: u32) -> Option<String> {
        Some(match self {
            Self::Well => return None,
            Self::Gone => format!("process {pid} does not run any more"),
            Self::Unseen => "it cannot be seen from here whether its daemon runs; check its pid file, or check on the \
                             machine, and as the user, that it runs on"
                .to_owned(),
            Self::Stopped => format!(
                "process {pid} was stopped by a signal and decides nothing; `kill -CONT {pid}` lets it go on"
            ),
            Self::Traced => {
                format!("process {pid} is stopped by a debugger, and decides nothing until that lets it go on")
            }
            Self::Late(late) => format!("process {pid} was to wake {} ago, and has not", duration(late)),
        })
    }
}

/// How a daemon is, in a word that is part of the JSON and of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DaemonState {
    /// It serves.
    Running,
    /// Its first children have not begun.
    Starting,
    /// It was asked to stop.
    Stopping,
    /// A signal or a debugger has stopped it.
    Stopped,
    /// It was to wake by itself, and has not.
    Late,
    /// It does not run any more.
    Dead,
    /// Nothing shows here whether it runs.
    Unknown,
}

impl DaemonState {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Running,
        Self::Starting,
        Self::Stopping,
        Self::Stopped,
        Self::Late,
        Self::Dead,
        Self::Unknown,
    ];

    /// Returns that of a daemon in this condition which is in this phase, as far as it publishes that.
    #[must_use]
    pub fn new(condition: Condition, phase: Option<&str>) -> Self {
        match (condition, phase) {
            (Condition::Gone, _) => Self::Dead,
            (Condition::Unseen, _) => Self::Unknown,
            (Condition::Stopped | Condition::Traced, _) => Self::Stopped,
            (Condition::Late(_), _) => Self::Late,
            (Condition::Well, Some("starting")) => Self::Starting,
            (Condition::Well, Some("stopping")) => Self::Stopping,
            (Condition::Well, Some(_) | None) => Self::Running,
        }
    }

    /// Returns the word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Late => "late",
            Self::Dead => "dead",
            Self::Unknown => "unknown",
        }
    }
}

impl View {
    /// Judges the owner. A board that is shared by processes has none, and is well while its boot lasts.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match (self.kind, self.creator_life) {
            _ if self.is_left_behind() => Condition::Gone,
            (Kind::Shared, _) => Condition::Well,
            (Kind::Owned, Life::Unknown) => Condition::Unseen,
            (Kind::Owned, Life::Running | Life::Gone) => {
                match (Condition::of_process(self.sign.standing), self.sign.overdue) {
                    (Condition::Well, Some(late)) if late >= LATE => Condition::Late(late),
                    (condition, _) => condition,
                }
            }
        }
    }

    /// Returns how the daemon is.
    #[must_use]
    pub fn state(&self) -> DaemonState {
        DaemonState::new(self.condition(), self.owner.phase.as_deref())
    }

    /// Returns what is wrong with the daemon and what to do, if anything is: that it decides nothing, or that it can have no
    /// children.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let of_owner = self.condition().trouble(self.creator.unwrap_or(0));
        of_owner.or_else(|| {
            self.owner.cannot_fork.as_ref().map(|why| format!("cannot fork a child: {why}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::view;

    #[test]
    fn the_condition_of_an_owner_is_one_word_and_one_sentence() {
        type Change = fn(&mut View);
        let stopped = "process 3999 was stopped by a signal and decides nothing; `kill -CONT 3999` lets it go on";
        let table: [(Change, &str, Option<&str>); 9] = [
            (|_| {}, "running", None),
            (|view| view.owner.phase = Some("starting".into()), "starting", None),
            (|view| view.owner.phase = Some("stopping".into()), "stopping", None),
            (|view| view.sign.standing = Some(Standing::Stopped), "stopped", Some(stopped)),
            (
                |view| view.sign.overdue = Some(Duration::from_secs(5)),
                "late",
                Some("process 3999 was to wake 5.0s ago, and has not"),
            ),
            (|view| view.sign.overdue = Some(Duration::from_secs(4)), "running", None),
            (
                |view| view.creator_life = Life::Gone,
                "dead",
                Some("process 3999 does not run any more"),
            ),
            (
                |view| view.owner.cannot_fork = Some("pids.max is 5".into()),
                "running",
                Some("cannot fork a child: pids.max is 5"),
            ),
            (|view| (view.kind, view.creator_life) = (Kind::Shared, Life::Gone), "running", None),
        ];
        for (change, word, trouble) in table {
            let mut view = view();
            change(&mut view);
            let found = (view.state().word(), view.trouble());
            assert_eq!(found, (word, trouble.map(str::to_owned)));
        }
        let mut view = view();
        (view.creator_life, view.sign.overdue) = (Life::Unknown, Some(Duration::from_secs(9)));
        assert_eq!((view.condition(), view.state()), (Condition::Unseen, DaemonState::Unknown));
    }
}
