//! Waiting until a daemon has replaced its children, or until all of them write to new logs.
//!
//! The board shows of which generation each child is. A generation newer than all that there were
//! before the signal is its doing; once no other is left but children that were asked to leave, it is done: old
//! children are asked only when new ones serve. Those finish what they have in hand, however long that takes. If the new
//! ones do not work, the daemon notes that with the old ones, which stay.
//!
//! Editions of logs are counted in the same way, but no child is left out: one that leaves may still write a line.

use std::{
    fmt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use prefork_daemonize::{self as daemonize, Holder, Pid};
use prefork_scoreboard::{Board, Kind, Life, Record, Status};
use prefork_view::plural;

use crate::failure::Failure;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Replaced,
    /// And to no old one.
    WritesToNewLogs,
}

impl Goal {
    /// What the board says of a child.
    const fn see(self, record: &Record) -> Seen {
        match self {
            Self::Replaced => Seen {
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waiting { old: usize, all: usize },
    Failed { generation: u64, old: usize },
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
            Goal::Replaced => write!(f, "{children} of generation {}", self.newest)?,
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
        Ok(Self { pid_file, board: path, pid, goal, before })
    }

    /// Waits until all children are new ones.
    ///
    /// A board that cannot be read now may be about to be replaced by a new one.
    pub(super) fn wait(&self, timeout: Duration) -> Result<Done, Failure> {
        let begun = Instant::now();
        let mut seen_before = None;
        loop {
            let found = self.look();
            match found {
                Ok(Progress::Failed { generation, old }) => {
                    return Err(Failure::RolloutFailed { generation, old });
                }
                Ok(Progress::Refused) => return Err(Failure::SettingsRefused { pid: self.pid }),
                // A child that was asked a moment ago may be about to leave.
                Ok(Progress::Done(done)) if done.leaving == 0 || seen_before == Some(done) => {
                    return Ok(done);
                }
                Ok(Progress::Done(done)) => seen_before = Some(done),
                Ok(Progress::Waiting { .. }) | Err(_) => {}
            }
            match daemonize::running(self.pid_file).map_err(Failure::Daemon)? {
                Holder::Owner { pid } if pid == self.pid => {}
                Holder::Owner { .. } | Holder::Nobody | Holder::Unproven => {
                    return Err(Failure::Ended { pid: self.pid });
                }
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return match found? {
                    Progress::Done(done) => Ok(done),
                    Progress::Failed { generation, old } => {
                        Err(Failure::RolloutFailed { generation, old })
                    }
                    Progress::Refused => Err(Failure::SettingsRefused { pid: self.pid }),
                    Progress::Waiting { old, all } => Err(match self.goal {
                        Goal::Replaced => Failure::NotReplaced { old, all, waited: timeout },
                        Goal::WritesToNewLogs => Failure::NotReopened { waited: timeout },
                    }),
                };
            }
            thread::sleep(PAUSE.min(left));
        }
    }

    fn look(&self) -> Result<Progress, Failure> {
        let snapshot = Board::open(self.board)?.snapshot()?;
        let children = taken(snapshot.records()).map(|record| self.goal.see(record));
        Ok(progress(self.goal, self.before, children))
    }
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
mod tests {
    use super::*;

    const fn child(number: u64) -> Seen {
        Seen { number, is_leaving: false, failed_rollout: 0, refused_settings: 0 }
    }

    const fn leaving(number: u64) -> Seen {
        Seen { is_leaving: true, ..child(number) }
    }

    const fn kept(number: u64, failed_rollout: u64) -> Seen {
        Seen { failed_rollout, ..child(number) }
    }

    const fn refused(number: u64, refused_settings: u32) -> Seen {
        Seen { refused_settings, ..child(number) }
    }

    #[test]
    fn it_is_done_when_all_that_stay_are_newer_than_the_newest_before() {
        let waiting = |old, all| Progress::Waiting { old, all };
        let goal = Goal::Replaced;
        let done =
            |children, newest, leaving| Progress::Done(Done { goal, children, newest, leaving });
        let before = |newest| Before { newest, failed: 0, refused: 0 };
        let table = [
            (before(1), vec![child(1), child(1), child(1)], waiting(3, 3)),
            (before(1), vec![child(1), child(2), child(2)], waiting(1, 3)),
            (before(1), vec![child(2), child(2), child(2)], done(3, 2, 0)),
            (before(1), vec![child(2), child(3)], done(2, 3, 0)),
            // One reload was on its way already: its children are old to the next one.
            (before(2), vec![child(2), child(2)], waiting(2, 2)),
            (before(2), vec![child(3), child(2)], waiting(1, 2)),
            (before(1), vec![child(0), child(2)], waiting(1, 2)),
            (before(0), vec![], waiting(0, 0)),
            // Who finishes a request holds nothing up, but somebody must be there in its place.
            (before(1), vec![leaving(1), child(2)], done(1, 2, 1)),
            (before(1), vec![leaving(1), child(1), child(2)], waiting(1, 3)),
            (before(1), vec![leaving(1)], waiting(0, 1)),
            (before(1), vec![kept(1, 2), child(1)], Progress::Failed { generation: 2, old: 2 }),
            (before(1), vec![refused(1, 1), child(1)], Progress::Refused),
            // Who was started after that shows nothing of it.
            (before(1), vec![refused(1, 1), child(2), child(2)], Progress::Refused),
            (Before { newest: 1, failed: 0, refused: 3 }, vec![refused(1, 4)], Progress::Refused),
            (Before { newest: 1, failed: 0, refused: 3 }, vec![refused(1, 3)], waiting(1, 1)),
            // That was another time.
            (
                Before { newest: 1, failed: 2, refused: 0 },
                vec![kept(1, 2), child(1)],
                waiting(2, 2),
            ),
            (
                Before { newest: 1, failed: 2, refused: 0 },
                vec![kept(1, 3), child(2)],
                Progress::Failed { generation: 3, old: 1 },
            ),
        ];
        for (before, children, expected) in table {
            let found = progress(goal, before, children.iter().copied());
            assert_eq!(found, expected, "{before:?} {children:?}");
        }
    }

    #[test]
    fn what_was_done_is_said_in_words() {
        let (goal, children, newest) = (Goal::Replaced, 1, 7);
        let done = |leaving| Done { goal, children, newest, leaving }.to_string();
        assert_eq!(done(0), "1 child of generation 7");
        assert_eq!(done(1), "1 child of generation 7; 1 old child finishes what it has in hand");
        assert_eq!(
            done(2),
            "1 child of generation 7; 2 old children finish what they have in hand"
        );
        let goal = Goal::WritesToNewLogs;
        let reopened = Done { goal, children, newest, leaving: 0 };
        assert_eq!(reopened.to_string(), "no line of 1 child goes to the old ones");
    }
}
