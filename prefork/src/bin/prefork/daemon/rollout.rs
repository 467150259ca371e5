//! Waiting until a daemon has replaced its children.
//!
//! The board tells of which generation each child is. A generation newer than all that there were
//! before the signal is its doing; once no other is left, it is done: old children leave only when
//! new ones serve.

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

/// What the children were before.
#[derive(Debug)]
pub(super) struct Rollout<'a> {
    pid_file: &'a Path,
    board: &'a Path,
    pid: Pid,
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
    children: usize,
    generation: u64,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let children = plural(self.children, "child", "children");
        write!(f, "{children} of generation {}", self.generation)
    }
}

impl<'a> Rollout<'a> {
    /// Looks at what there is, before the signal is sent.
    pub(super) fn begin(pid_file: &'a Path, path: &'a Path, pid: Pid) -> Result<Self, Failure> {
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
        let newest = newest(board.snapshot()?.records());
        Ok(Self { pid_file, board: path, pid, newest })
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
                    Progress::Waiting { old, all } => {
                        Err(Failure::NotReplaced { old, all, waited: timeout })
                    }
                };
            }
            thread::sleep(PAUSE.min(left));
        }
    }

    fn look(&self) -> Result<Progress, Failure> {
        let snapshot = Board::open(self.board)?.snapshot()?;
        Ok(progress(self.newest, taken(snapshot.records()).map(Record::generation)))
    }
}

fn taken(records: &[Record]) -> impl Iterator<Item = &Record> {
    records.iter().filter(|record| record.status() != Status::Empty)
}

fn newest(records: &[Record]) -> u64 {
    taken(records).map(Record::generation).max().unwrap_or(0)
}

/// A slot of which nothing can be read reports generation 0, and counts as old.
fn progress(newest_before: u64, generations: impl Iterator<Item = u64>) -> Progress {
    let (mut old, mut all, mut generation) = (0, 0, 0);
    for found in generations {
        all += 1;
        old += usize::from(found <= newest_before);
        generation = generation.max(found);
    }
    if all > 0 && old == 0 {
        Progress::Done(Done { children: all, generation })
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
        let done = |children, generation| Progress::Done(Done { children, generation });
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
            let found = progress(before, generations.iter().copied());
            assert_eq!(found, expected, "{before} {generations:?}");
        }
    }

    #[test]
    fn what_was_done_is_said_in_words() {
        assert_eq!(Done { children: 1, generation: 7 }.to_string(), "1 child of generation 7");
    }
}
