//! Waiting until a daemon has replaced its children, or until all of them write to new logs.
//!
//! The board tells of which generation each child is. A generation newer than all that there were
//! before the signal is its doing; once no other is left, it is done: old children leave only when
//! new ones serve. Editions of logs are counted in the same way.

use std::{
    fmt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use prefork::{
    daemonize::{self, Holder, Pid},
    scoreboard::{Board, Kind, Life, Record, Status},
};

use crate::{failure::Failure, view::plural};

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
    /// What a child has more of once it has got there.
    const fn number(self, record: &Record) -> u64 {
        match self {
            Self::Replaced => record.generation(),
            Self::WritesToNewLogs => record.logs() as u64,
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
    newest: u64,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waiting { old: usize, all: usize },
    Done(Done),
}

/// What it has led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    goal: Goal,
    children: usize,
    newest: u64,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let children = plural(self.children, "child", "children");
        match self.goal {
            Goal::Replaced => write!(f, "{children} of generation {}", self.newest),
            Goal::WritesToNewLogs => write!(f, "no line of {children} goes to the old ones"),
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
        // Of a board from another pid namespace it cannot be told.
        let is_ours = |creator| i32::try_from(creator) == Ok(pid.as_raw());
        match board.creator().filter(|creator| !is_ours(*creator)) {
            Some(creator) if board.creator_life() != Life::Unknown => {
                return Err(Failure::OtherBoard { board: path.to_owned(), creator, pid });
            }
            Some(_) | None => {}
        }
        let numbers = taken(board.snapshot()?.records()).map(|record| goal.number(record)).max();
        Ok(Self { pid_file, board: path, pid, goal, newest: numbers.unwrap_or(0) })
    }

    /// Waits until all children are new ones.
    ///
    /// A board that cannot be read now may be about to be replaced by a new one.
    pub(super) fn wait(&self, timeout: Duration) -> Result<Done, Failure> {
        let begun = Instant::now();
        loop {
            let found = self.look();
            if let Ok(Progress::Done(done)) = found {
                return Ok(done);
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
        let numbers = taken(snapshot.records()).map(|record| self.goal.number(record));
        Ok(progress(self.goal, self.newest, numbers))
    }
}

fn taken(records: &[Record]) -> impl Iterator<Item = &Record> {
    records.iter().filter(|record| record.status() != Status::Empty)
}

/// A slot of which nothing can be read reports 0, and counts as old.
fn progress(goal: Goal, newest_before: u64, numbers: impl Iterator<Item = u64>) -> Progress {
    let (mut old, mut all, mut newest) = (0, 0, 0);
    for found in numbers {
        all += 1;
        old += usize::from(found <= newest_before);
        newest = newest.max(found);
    }
    if all > 0 && old == 0 {
        Progress::Done(Done { goal, children: all, newest })
    } else {
        Progress::Waiting { old, all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_done_when_all_are_newer_than_the_newest_before() {
        let waiting = |old, all| Progress::Waiting { old, all };
        let goal = Goal::Replaced;
        let done = |children, newest| Progress::Done(Done { goal, children, newest });
        let table: [(u64, &[u64], Progress); 8] = [
            (1, &[1, 1, 1], waiting(3, 3)),
            (1, &[1, 2, 2], waiting(1, 3)),
            (1, &[2, 2, 2], done(3, 2)),
            (1, &[2, 3], done(2, 3)),
            // One reload was on its way already: its children are old to the next one.
            (2, &[2, 2], waiting(2, 2)),
            (2, &[3, 2], waiting(1, 2)),
            (1, &[0, 2], waiting(1, 2)),
            (0, &[], waiting(0, 0)),
        ];
        for (before, generations, expected) in table {
            let found = progress(goal, before, generations.iter().copied());
            assert_eq!(found, expected, "{before} {generations:?}");
        }
    }

    #[test]
    fn what_was_done_is_said_in_words() {
        let done = |goal| Done { goal, children: 1, newest: 7 }.to_string();
        assert_eq!(done(Goal::Replaced), "1 child of generation 7");
        assert_eq!(done(Goal::WritesToNewLogs), "no line of 1 child goes to the old ones");
    }
}
