//! Whether the processes that a board names are still there.

use crate::board::Board;
use crate::clock::Monotonic;
use crate::header::Kind;
use crate::process::{self, Found};
use crate::record::{self, Record};
use crate::state::Status;
use std::time::Duration;

/// Returns whether a process that a board names still runs.
///
/// It is for people and their tools: the answer is that of one moment, and what a board says of
/// itself is gossip. Never send a signal because of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Life {
    /// A process runs that can be the one meant.
    Running,
    /// There is none under this pid, or it is certainly another one.
    Gone,
    /// It is not known from here: the board is of another pid namespace, `/proc` hides the
    /// process, or the board does not say enough.
    Unknown,
}

impl Board {
    /// Returns how long ago the board was created; `None` for a board of another boot.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let now = Monotonic::now();
        let created = record::believable(self.header.created.as_nanos(), now);
        created.filter(|_| self.is_of_this_boot()).map(|created| now.since(created))
    }

    /// Returns whether the process that created the board still runs.
    ///
    /// Of an [owned](Kind::Owned) board that is its parent; a [shared](Kind::Shared) one outlives
    /// its creator.
    #[must_use]
    pub fn creator_life(&self) -> Life {
        if !self.is_of_this_boot() {
            return Life::Gone;
        }
        let Some(pid) = self.creator().filter(|_| self.is_of_this_namespace()) else {
            return Life::Unknown;
        };
        match process::find(pid) {
            Found::Nobody => Life::Gone,
            Found::Running { start, .. } => match self.header.creator_start {
                0 => Life::Unknown,
                expected if expected == start => Life::Running,
                _ => Life::Gone,
            },
            Found::Hidden => Life::Unknown,
        }
    }

    /// Returns whether the process of a record of this board still runs.
    ///
    /// On an owned board it has to be the creator or a child of it; on a shared one it has to have
    /// started when the record says.
    #[must_use]
    pub fn life_of(&self, record: &Record) -> Life {
        if record.status() == Status::Empty {
            return Life::Unknown;
        }
        if !self.is_of_this_boot() {
            return Life::Gone;
        }
        let Some(pid) = record.pid().filter(|_| self.is_of_this_namespace()) else {
            return Life::Unknown;
        };
        match (process::find(pid), self.kind()) {
            (Found::Nobody, _) => Life::Gone,
            (Found::Hidden, _) => Life::Unknown,
            (Found::Running { parent, .. }, Kind::Owned) => match self.creator_life() {
                Life::Running if self.creator().is_some_and(|it| it == pid || it == parent) => {
                    Life::Running
                }
                Life::Running => Life::Gone,
                // It may have been left behind, and have another parent now.
                Life::Gone | Life::Unknown => Life::Unknown,
            },
            (Found::Running { start, .. }, Kind::Shared) => match record.process_start() {
                0 => Life::Unknown,
                expected if expected == start => Life::Running,
                _ => Life::Gone,
            },
        }
    }

    /// Returns whether pids of the board mean the same here. A namespace that is not known may be any.
    fn is_of_this_namespace(&self) -> bool {
        let theirs = self.header.pid_namespace;
        theirs != 0 && process::pid_namespace() == Some(theirs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Header;
    use crate::owned::OwnedBoard;
    use std::process::{Command, Stdio};

    fn owned() -> (OwnedBoard, Board) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("board");
        let owner = OwnedBoard::create(&path, 2).expect("a board");
        let board = Board::open(&path).expect("it is there");
        (owner, board)
    }

    fn with(board: &Board, change: impl FnOnce(&mut Header)) -> Board {
        let mut header = board.header;
        change(&mut header);
        let file = board.file.try_clone().expect("a descriptor");
        Board::with_header(file, "(test)".into(), header)
    }

    #[test]
    fn a_creator_runs_while_pid_and_start_are_right() {
        let (_owner, board) = owned();
        assert_eq!(board.creator_life(), Life::Running);
        assert!(board.age().is_some_and(|age| age < Duration::from_secs(60)));
        type Change = fn(&mut Header);
        let table: [(Change, Life); 6] = [
            (|header| header.creator_start += 1, Life::Gone),
            (|header| header.creator_start = 0, Life::Unknown),
            (|header| header.creator = 0, Life::Unknown),
            (|header| header.pid_namespace += 1, Life::Unknown),
            (|header| header.pid_namespace = 0, Life::Unknown),
            (|header| header.boot_id = [7; 16], Life::Gone),
        ];
        for (row, (change, life)) in table.into_iter().enumerate() {
            assert_eq!(with(&board, change).creator_life(), life, "row {row}");
        }
        assert_eq!(with(&board, |header| header.boot_id = [7; 16]).age(), None);
    }

    #[test]
    fn a_process_of_an_owned_board_is_the_creator_or_a_child_of_it() {
        let (owner, board) = owned();
        owner.assign(0, 1).expect("a free slot");
        let life = || board.life_of(&board.record(0).expect("readable"));
        assert_eq!(life(), Life::Unknown, "nobody has entered");
        let slot = owner.enter(0).expect("a slot");
        assert_eq!(life(), Life::Running);
        let record = board.record(0).expect("readable");
        drop(slot);
        // The same claim on a board whose creator is a child of this process: this one is its parent.
        let mut child =
            Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().expect("sleep");
        let Found::Running { start, parent } = process::find(child.id()) else {
            panic!("it has just been started")
        };
        assert_eq!(parent, std::process::id());
        let pid = child.id();
        let theirs = with(&board, |header| (header.creator, header.creator_start) = (pid, start));
        assert_eq!(theirs.life_of(&record), Life::Gone);
        child.kill().expect("a child can be killed");
        child.wait().expect("a child can be waited for");
        assert_eq!(theirs.creator_life(), Life::Gone);
        assert_eq!(theirs.life_of(&record), Life::Unknown, "it may have been left behind");
        assert_eq!(board.life_of(&board.record(1).expect("readable")), Life::Unknown, "empty");
    }

    #[test]
    fn a_process_of_a_shared_board_has_started_when_it_says() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("board");
        let board = Board::share(&path, 2).expect("a board");
        let _slot = board.claim().expect("a free slot");
        let record = board.record(0).expect("readable");
        assert_eq!(board.life_of(&record), Life::Running);
        assert_eq!(board.life_of(&record.with_process_start(1)), Life::Gone);
        assert_eq!(board.life_of(&record.with_process_start(0)), Life::Unknown);
    }
}
