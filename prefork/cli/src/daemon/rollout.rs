//! Waiting until a daemon has replaced its children, or until all of them write to new logs.
//!
//! The board shows of which generation each child is. A generation newer than all that there were
//! before the signal is its doing; once no other is left but children that were asked to leave, it is done: old
//! children are asked only when new ones serve. Those finish what they have in hand, however long that takes. If the new
//! ones do not work, the daemon notes that with the old ones, which stay.
//!
//! What was refused or given up before a child was replaced, and why, the daemon publishes on the board.
//!
//! Editions of logs are counted in the same way, but no child is left out: one that leaves may still write a line.

use std::{
    fmt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use prefork_daemonize::Pid;
use prefork_scoreboard::{Board, Kind, Life, Monotonic, Record, Status};
use prefork_view::{Change, Outcome, Owner, plural};

use super::{lateness, still_runs};
use crate::{failure::Failure, look};

/// The pause between two looks, and that in the first second: what is refused at once is to be reported at once.
const PAUSE: Duration = Duration::from_millis(50);
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const FIRST: Duration = Duration::from_secs(1);

/// How long old children that were asked to leave stay as many until they count as being at work.
const ASKED: Duration = Duration::from_millis(200);

/// How long a reason is waited for; a daemon of before this version publishes none.
const UNTIL_PUBLISHED: Duration = Duration::from_millis(200);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Replaced,
    /// By those of a new program.
    Upgraded,
    /// And to no old one.
    WritesToNewLogs,
}

impl Goal {
    /// Whether it is about children that a daemon by itself does not have.
    pub(super) const fn needs_children(self) -> bool {
        match self {
            Self::Replaced | Self::Upgraded => true,
            Self::WritesToNewLogs => false,
        }
    }

    /// What has become of it, as the daemon publishes.
    fn change(self, owner: Owner) -> Option<Change> {
        match self {
            Self::Replaced => owner.reload,
            Self::Upgraded => owner.upgrade,
            Self::WritesToNewLogs => owner.reopening,
        }
    }

    /// What the board says of a child.
    const fn see(self, record: &Record) -> Seen {
        match self {
            Self::Replaced | Self::Upgraded => Seen {
                number: record.generation(),
                is_leaving: record.is_leaving(),
                failed_rollout: record.failed_rollout(),
                refused_settings: record.refused_settings(),
            },
            Self::WritesToNewLogs => Seen {
                number: record.logs() as u64,
                is_leaving: false,
                failed_rollout: 0,
                refused_settings: 0,
            },
        }
    }
}

/// What the children were before.
#[derive(Debug)]
pub(super) struct Rollout<'a> {
    pid_file: &'a Path,
    board: &'a Path,
    pid: Pid,
    goal: Goal,
    before: Before,
    /// When that was, a moment before the signal.
    asked: Monotonic,
}

/// What there was on the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Before {
    /// The highest number, of a generation or of an edition of the logs.
    newest: u64,
    /// The newest generation that has not worked.
    failed: u64,
    /// How many reloads were refused for their settings.
    refused: u32,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Progress {
    /// It came to nothing, for this reason.
    GivenUp {
        outcome: Outcome,
        reason: String,
    },
    Waiting {
        old: usize,
        all: usize,
    },
    Failed {
        generation: u64,
        old: usize,
    },
    Refused,
    Done(Done),
}

/// What the board says of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// Of its generation, or of the logs that it writes to.
    number: u64,
    is_leaving: bool,
    failed_rollout: u64,
    refused_settings: u32,
}

/// What it has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    goal: Goal,
    children: usize,
    newest: u64,
    /// Old ones that finish what they have in hand.
    leaving: usize,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let children = plural(self.children, "child", "children");
        match self.goal {
            Goal::Replaced | Goal::Upgraded => {
                write!(f, "{children} of generation {}", self.newest)?;
            }
            Goal::WritesToNewLogs if self.children == 0 => {
                f.write_str("no line goes to the old ones")?;
            }
            Goal::WritesToNewLogs => write!(f, "no line of {children} goes to the old ones")?,
        }
        match self.leaving {
            0 => Ok(()),
            1 => f.write_str("; 1 old child finishes what it has in hand"),
            more => write!(f, "; {more} old children finish what they have in hand"),
        }
    }
}

impl<'a> Rollout<'a> {
    /// Looks at what there is, before the signal is sent.
    pub(super) fn begin(
        pid_file: &'a Path,
        path: &'a Path,
        pid: Pid,
        goal: Goal,
    ) -> Result<Self, Failure> {
        let board = Board::open(path)?;
        if board.kind() != Kind::Owned {
            return Err(Failure::SharedBoard { board: path.to_owned() });
        }
        // Of a board from another pid namespace it cannot be known.
        let is_ours = |creator| i32::try_from(creator) == Ok(pid.as_raw());
        match board.creator().filter(|creator| !is_ours(*creator)) {
            Some(creator) if board.creator_life() != Life::Unknown => {
                return Err(Failure::OtherBoard { board: path.to_owned(), creator, pid });
            }
            Some(_) | None => {}
        }
        let snapshot = board.snapshot()?;
        let children = || taken(snapshot.records()).map(|record| goal.see(record));
        let newest = children().map(|child| child.number).max().unwrap_or(0);
        let failed = children().map(|child| child.failed_rollout).max().unwrap_or(0);
        let refused = children().map(|child| child.refused_settings).max().unwrap_or(0);
        let before = Before { newest, failed, refused };
        Ok(Self { pid_file, board: path, pid, goal, before, asked: Monotonic::now() })
    }

    /// Waits until all children are new ones.
    ///
    /// A board that cannot be read now may be about to be replaced by a new one.
    pub(super) fn wait(&self, timeout: Duration) -> Result<Done, Failure> {
        let begun = Instant::now();
        let mut seen_before: Option<(Done, Instant)> = None;
        loop {
            let found = self.look();
            match found {
                Ok(Progress::Done(done)) if done.leaving == 0 => return Ok(done),
                // A child that was asked a moment ago may be about to leave.
                Ok(Progress::Done(done)) => {
                    let (before, since) =
                        *seen_before.get_or_insert_with(|| (done, Instant::now()));
                    if before != done {
                        seen_before = Some((done, Instant::now()));
                    } else if since.elapsed() >= ASKED {
                        return Ok(done);
                    }
                }
                Ok(Progress::Waiting { .. }) | Err(_) => {}
                Ok(progress) => return self.conclude(progress, timeout),
            }
            still_runs(self.pid_file, self.pid)?;
            let waited = begun.elapsed();
            let left = timeout.saturating_sub(waited);
            if left.is_zero() {
                return self.conclude(found?, timeout);
            }
            thread::sleep(left.min(if waited < FIRST { FIRST_PAUSE } else { PAUSE }));
        }
    }

    /// Returns what it has come to, when nothing more is waited for.
    fn conclude(&self, progress: Progress, waited: Duration) -> Result<Done, Failure> {
        let pid = self.pid;
        Err(match (progress, self.goal) {
            (Progress::Done(done), _) => return Ok(done),
            (Progress::Failed { generation, old }, _) => Failure::RolloutFailed { generation, old },
            (Progress::Refused, _) => Failure::SettingsRefused { pid, reason: self.reason() },
            // No child was there to be marked.
            (Progress::GivenUp { outcome: Outcome::Refused, reason }, Goal::Replaced) => {
                Failure::SettingsRefused { pid, reason }
            }
            (Progress::GivenUp { outcome, reason }, Goal::Replaced) => {
                Failure::GivenUp { what: "reload", outcome: outcome.word(), pid, reason }
            }
            (Progress::GivenUp { outcome, reason }, Goal::Upgraded) => {
                Failure::GivenUp { what: "upgrade", outcome: outcome.word(), pid, reason }
            }
            (Progress::GivenUp { reason, .. }, Goal::WritesToNewLogs) => {
                Failure::LogsStay { pid, reason }
            }
            (Progress::Waiting { old, all }, Goal::Replaced | Goal::Upgraded) => {
                Failure::NotReplaced { old, all, waited, why: self.why_late() }
            }
            (Progress::Waiting { .. }, Goal::WritesToNewLogs) => {
                Failure::NotReopened { waited, why: self.why_late() }
            }
        })
    }

    fn why_late(&self) -> String {
        let view = look::read(self.board).ok();
        lateness::why(self.pid, self.goal, self.before.newest, view.as_ref())
    }

    /// Returns why it was refused, as far as the daemon publishes that: at once after it has marked its children.
    fn reason(&self) -> String {
        let begun = Instant::now();
        loop {
            let board = Board::open(self.board).ok();
            match board.and_then(|board| self.ended(&board)) {
                Some(change) if change.outcome != Outcome::Done => return why(&change),
                Some(_) | None if begun.elapsed() < UNTIL_PUBLISHED => thread::sleep(FIRST_PAUSE),
                Some(_) | None => return String::new(),
            }
        }
    }

    /// The daemon marks its children before it publishes, so that what is published is read before they are: it is
    /// never without their marks.
    fn look(&self) -> Result<Progress, Failure> {
        let board = Board::open(self.board)?;
        let ended = self.ended(&board);
        let snapshot = board.snapshot()?;
        let children = taken(snapshot.records()).map(|record| self.goal.see(record));
        Ok(conclusion(self.goal, progress(self.goal, self.before, children), ended.as_ref()))
    }

    /// Returns what has become of what was asked for, if the daemon has published that.
    fn ended(&self, board: &Board) -> Option<Change> {
        let change = self.goal.change(Owner::new(&board.facts().ok()?))?;
        // One that had begun before was somebody else's: what was asked for comes after that.
        let is_ours = change.began.is_some_and(|began| began >= self.asked);
        match change.outcome {
            Outcome::Running => None,
            Outcome::Done | Outcome::Refused | Outcome::Failed => is_ours.then_some(change),
        }
    }
}

/// Puts together what is seen of the children and what the daemon has published.
fn conclusion(goal: Goal, seen: Progress, ended: Option<&Change>) -> Progress {
    let Some(change) = ended else {
        return match (seen, goal) {
            // Whether all logs could be opened, the daemon alone says; that may not have been read yet.
            (Progress::Done(done), Goal::WritesToNewLogs) => {
                Progress::Waiting { old: 0, all: done.children }
            }
            (seen, _) => seen,
        };
    };
    let given_up = Progress::GivenUp { outcome: change.outcome, reason: why(change) };
    match (seen, change.outcome, goal) {
        // Children that have gone over to one log do not show that another could not be opened.
        (_, Outcome::Refused | Outcome::Failed, Goal::WritesToNewLogs) => given_up,
        (Progress::Waiting { .. }, Outcome::Refused | Outcome::Failed, _) => given_up,
        // Of a daemon without logs, or without children, these show nothing.
        (Progress::Waiting { .. }, Outcome::Done, Goal::WritesToNewLogs) => {
            Progress::Done(Done { goal, children: 0, newest: 0, leaving: 0 })
        }
        (seen, _, _) => seen,
    }
}

fn why(change: &Change) -> String {
    change.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default()
}

fn taken(records: &[Record]) -> impl Iterator<Item = &Record> {
    records.iter().filter(|record| record.status() != Status::Empty)
}

/// A slot of which nothing can be read reports 0, and counts as old.
fn progress(goal: Goal, before: Before, children: impl Iterator<Item = Seen>) -> Progress {
    let (mut old, mut leaving, mut new, mut newest) = (0, 0, 0, 0);
    let (mut failed, mut refused) = (0, 0);
    for child in children {
        match (child.number > before.newest, child.is_leaving) {
            (true, _) => new += 1,
            (false, true) => leaving += 1,
            (false, false) => old += 1,
        }
        newest = newest.max(child.number);
        failed = failed.max(child.failed_rollout);
        refused = refused.max(child.refused_settings);
    }
    if refused > before.refused {
        Progress::Refused
    } else if failed > before.failed {
        Progress::Failed { generation: failed, old }
    } else if new > 0 && old == 0 {
        Progress::Done(Done { goal, children: new, newest, leaving })
    } else {
        Progress::Waiting { old, all: old + leaving + new }
    }
}

#[cfg(test)]
mod tests;
