//! Whether the processes that a board names are still there.

use crate::board::Board;
use crate::clock::{self, Monotonic};
use crate::header::Kind;
use crate::process::{self, Found, Standing};
use crate::record::{self, Record};
use crate::state::Status;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// Whether a process that a board names still runs.
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

    /// Returns how long ago the process was started that created the board, which may have made it again since;
    /// `None` if that is not known, or was on another boot.
    #[must_use]
    pub fn creator_age(&self) -> Option<Duration> {
        let started = Some(self.header.creator_start).filter(|start| *start != 0);
        let started = started.filter(|_| self.is_of_this_boot()).map(since_boot);
        started.map(|started| clock::boot_time().saturating_sub(started))
    }

    /// Returns whether the process that created the board still runs.
    ///
    /// Of an [owned](Kind::Owned) board that is its parent; a [shared](Kind::Shared) one outlives
    /// its creator. Where the process cannot be seen, as from another pid namespace, the lock counts that an owner has for
    /// its whole life: to see whether it is free, this takes it for a moment.
    #[must_use]
    pub fn creator_life(&self) -> Life {
        if !self.is_of_this_boot() {
            return Life::Gone;
        }
        match self.find_creator() {
            Found::Nobody => Life::Gone,
            Found::Running { start, .. } => match self.header.creator_start {
                0 => self.lock_life(),
                expected if expected == start => Life::Running,
                _ => Life::Gone,
            },
            Found::Hidden => self.lock_life(),
        }
    }

    /// Returns what the process that created the board is doing, as the kernel shows it; `None` if it does not run, or
    /// that cannot be seen from here.
    #[must_use]
    pub fn creator_standing(&self) -> Option<Standing> {
        if !self.is_of_this_boot() {
            return None;
        }
        match self.find_creator() {
            Found::Running { start, standing, .. } => {
                Some(standing).filter(|_| start == self.header.creator_start)
            }
            Found::Nobody | Found::Hidden => None,
        }
    }

    /// Looks at what there is under the pid of the creator, if that means the same here.
    fn find_creator(&self) -> Found {
        self.creator().filter(|_| self.is_of_this_namespace()).map_or(Found::Hidden, process::find)
    }

    /// Returns whether somebody has the lock of the owner. `SIGKILL` releases it, and no child has it.
    fn lock_life(&self) -> Life {
        match self.kind() {
            Kind::Shared => Life::Unknown,
            Kind::Owned => match is_locked(&self.file) {
                Ok(Some(true)) => Life::Running,
                Ok(Some(false)) => Life::Gone,
                Ok(None) | Err(_) => Life::Unknown,
            },
        }
    }

    /// Returns whether the process of a record of this board still runs.
    ///
    /// It has to have started when the record says, as that of a slot which was claimed, or entered by a program that was executed.
    /// Otherwise it has to be the creator of an owned board or a child of it, or to have been left behind by a creator that
    /// is gone.
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
            (Found::Running { start, .. }, _) if record.process_start() != 0 => {
                if record.process_start() == start { Life::Running } else { Life::Gone }
            }
            (Found::Running { parent, start, .. }, Kind::Owned) => match self.creator_life() {
                Life::Running if self.creator().is_some_and(|it| it == pid || it == parent) => {
                    Life::Running
                }
                Life::Running => Life::Gone,
                // It may have been left behind, and have another parent now. A pid that was given away again is that of a
                // process which has started later.
                Life::Gone => match record.started() {
                    Some(started) if has_started_after(start, started) => Life::Gone,
                    Some(_) => Life::Running,
                    None => Life::Unknown,
                },
                Life::Unknown => Life::Unknown,
            },
            (Found::Running { .. }, Kind::Shared) => Life::Unknown,
        }
    }

    /// Returns whether pids of the board mean the same here. A namespace that is not known may be any.
    pub(crate) fn is_of_this_namespace(&self) -> bool {
        let theirs = self.header.pid_namespace;
        theirs != 0 && process::pid_namespace() == Some(theirs)
    }
}

/// Returns whether another process has the lock of a file; `None` of one without a name, which nobody locks.
///
/// Of a description of its own, so that no lock of the caller's is changed.
fn is_locked(file: &File) -> io::Result<Option<bool>> {
    if file.metadata()?.nlink() == 0 {
        return Ok(None);
    }
    let again = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    match fs2::FileExt::try_lock_shared(&again) {
        Ok(()) => fs2::FileExt::unlock(&again).map(|()| Some(false)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Some(true)),
        Err(error) => Err(error),
    }
}

/// How much later a process may seem to have started than its slot was assigned: ticks are 10 ms long, and it was forked
/// after that.
const FORK_TAKES: Duration = Duration::from_secs(2);

/// Returns whether a process, by its start in clock ticks since boot, is certainly not one that was forked at a moment.
fn has_started_after(start: u64, forked: Monotonic) -> bool {
    // Ticks are of a clock that goes on while the machine sleeps. What it has slept since the fork makes the moment seem
    // later than it was, and then nothing is certain.
    let slept =
        clock::boot_time().saturating_sub(Duration::from_nanos(Monotonic::now().as_nanos()));
    let forked = Duration::from_nanos(forked.as_nanos());
    since_boot(start) > forked.saturating_add(slept).saturating_add(FORK_TAKES)
}

/// Returns the time since boot of so many clock ticks.
fn since_boot(ticks: u64) -> Duration {
    let per_second = u128::from(rustix::param::clock_ticks_per_second().max(1));
    let nanoseconds = u128::from(ticks) * 1_000_000_000 / per_second;
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Name;
    use crate::description::Description;
    use crate::header::Header;
    use crate::owned::OwnedBoard;
    use std::process::{Command, Stdio};

    fn owned() -> (tempfile::TempDir, OwnedBoard, Board) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("board");
        let owner = OwnedBoard::create(&path, 2).expect("a board");
        let board = Board::open(&path).expect("it is there");
        (directory, owner, board)
    }

    fn with(board: &Board, change: impl FnOnce(&mut Header)) -> Board {
        let mut header = board.header;
        change(&mut header);
        // As of another process: the lock is of another description.
        let file = File::open(&board.name).expect("it is there");
        Board::with_header(file, "(test)".into(), Name::Label, header, Description::default())
    }

    #[test]
    fn a_creator_runs_while_pid_and_start_are_right() {
        let (directory, owner, board) = owned();
        assert_eq!(board.creator_life(), Life::Running);
        assert!(board.creator_standing().is_some(), "it is this process");
        assert!(board.age().is_some_and(|age| age < Duration::from_secs(60)));
        assert!(board.creator_age() >= board.age(), "it has made the board after it started");
        assert!(board.creator_age() < Some(Duration::from_secs(600)));
        type Change = fn(&mut Header);
        let table: [(Change, Life); 6] = [
            (|header| header.creator_start += 1, Life::Gone),
            // Where nothing is to be seen of it, it has its lock.
            (|header| header.creator_start = 0, Life::Running),
            (|header| header.creator = 0, Life::Running),
            (|header| header.pid_namespace += 1, Life::Running),
            (|header| header.pid_namespace = 0, Life::Running),
            (|header| header.boot_id = [7; 16], Life::Gone),
        ];
        for (row, (change, life)) in table.into_iter().enumerate() {
            assert_eq!(with(&board, change).creator_life(), life, "row {row}");
        }
        let other_boot = with(&board, |header| header.boot_id = [7; 16]);
        assert_eq!((other_boot.age(), other_boot.creator_standing()), (None, None));
        let elsewhere = || with(&board, |header| header.pid_namespace += 1);
        assert_eq!(elsewhere().creator_standing(), None, "it cannot be seen");

        // What a killed owner leaves: the file, and nobody with a lock.
        let kept = directory.path().join("kept");
        std::fs::hard_link(directory.path().join("board"), &kept).expect("a link");
        let elsewhere = elsewhere();
        drop(owner);
        assert_eq!(elsewhere.creator_life(), Life::Gone);
        assert_eq!(elsewhere.creator_life(), Life::Gone, "looking takes the lock of nobody");
        std::fs::remove_file(kept).expect("it is there");
        assert_eq!(elsewhere.creator_life(), Life::Unknown, "what has no name is locked by nobody");
    }

    #[test]
    fn a_pid_that_was_given_away_again_is_of_a_later_process() {
        let per_second = rustix::param::clock_ticks_per_second();
        let now = clock::boot_time().as_secs();
        let forked = Monotonic::now();
        assert!(!has_started_after(now * per_second, forked), "it is the one that was forked");
        assert!(!has_started_after((now - 1) * per_second, forked));
        assert!(has_started_after((now + 4) * per_second, forked));
        assert!(has_started_after(u64::MAX, forked));
        assert!(!has_started_after(0, Monotonic::from_nanos(u64::MAX)), "no overflow");
    }

    #[test]
    fn a_process_of_an_owned_board_is_the_creator_or_a_child_of_it() {
        let (_directory, owner, board) = owned();
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
        let Found::Running { start, parent, .. } = process::find(child.id()) else {
            panic!("it has just been started")
        };
        assert_eq!(parent, std::process::id());
        let pid = child.id();
        let theirs = with(&board, |header| (header.creator, header.creator_start) = (pid, start));
        assert_eq!(theirs.life_of(&record), Life::Gone);
        child.kill().expect("a child can be killed");
        child.wait().expect("a child can be waited for");
        assert_eq!(theirs.creator_life(), Life::Gone);
        assert_eq!(theirs.life_of(&record), Life::Running, "it was left behind");
        assert_eq!(board.life_of(&board.record(1).expect("readable")), Life::Unknown, "empty");
    }

    #[test]
    fn a_process_of_a_shared_board_has_started_when_it_says() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("board");
        let board = Board::open_or_create(&path, 2).expect("a board");
        let _slot = board.claim().expect("a free slot");
        let record = board.record(0).expect("readable");
        assert_eq!(board.life_of(&record), Life::Running);
        assert_eq!(board.life_of(&record.with_process_start(1)), Life::Gone);
        assert_eq!(board.life_of(&record.with_process_start(0)), Life::Unknown);
    }
}
