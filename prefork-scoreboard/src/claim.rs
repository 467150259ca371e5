//! Boards shared by processes that do not know each other.
//!
//! A slot is taken under the lock of the file, through a descriptor of one's own: a descriptor
//! inherited over fork would share its lock, and exclude nobody. It is given back without the lock,
//! by one change to "empty", so that leaving needs no descriptor and never waits.
//!
//! A process that takes a slot first writes whose it is, its start and its pid, before the record becomes half-written;
//! one that gives a slot back leaves the pid. So at any moment at which a process may be killed, the pid in the
//! slot is that of a process that is gone, or of the one writing; a slot whose record is not whole
//! is never taken from a living process.

use crate::board::{Board, open_file};
use crate::clock::{Monotonic, wall_now};
use crate::error::{ClaimError, OpenError};
use crate::file::{FileId, Lock, Locked, refuse_foreign, try_lock};
use crate::format::{WORDS, record, word};
use crate::header::{Header, Kind};
use crate::process;
use crate::read::{self, Patience, record_once};
use crate::record::status;
use crate::slot::{Release, Slot};
use crate::state::{State, Status};
use crate::write;
use rustix::fs::OFlags;
use std::fs::File;
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long to wait for somebody who holds the lock, which takes microseconds unless they stopped.
pub(crate) const WAIT: Duration = Duration::from_secs(5);

/// How long to wait between two attempts at the lock.
pub(crate) const PAUSE: Duration = Duration::from_millis(1);

impl Board {
    /// Takes a slot of a shared board for this process, in state `S`.
    ///
    /// The first empty slot is taken, or else the first whose process is gone: no process has its
    /// pid, or one that started at another time. The slot is given back when the [`Slot`] is
    /// dropped by this process. Waits up to five seconds for other processes that claim.
    ///
    /// # Errors
    ///
    /// [`ClaimError`]; [`Full`](ClaimError::Full) if all slots belong to living processes.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("board");
    /// use prefork_scoreboard::Board;
    ///
    /// let board = Board::share(&path, 8)?;
    /// let mut slot = board.claim()?;
    /// slot.writing("rebuild index");
    /// assert_eq!(board.record(slot.index())?.label(), "rebuild index");
    /// # Ok(())
    /// # }
    /// ```
    pub fn claim(&self) -> Result<Slot, ClaimError> {
        if self.kind() == Kind::Owned {
            return Err(ClaimError::Owned { path: self.name.clone() });
        }
        let board = self.reopen()?;
        if !board.is_of_this_boot() {
            return Err(ClaimError::Boot { path: board.name });
        }
        let namespace = process::pid_namespace().unwrap_or(0);
        if board.header.pid_namespace != namespace {
            return Err(ClaimError::Namespace { path: board.name });
        }
        lock(&board)?;
        let _locked = Locked::new(&board.file);
        if !board.is_at_its_path()? {
            return Err(ClaimError::Replaced { path: board.name.clone() });
        }
        take(&board)
    }

    /// Opens the same file once more, for writing.
    fn reopen(&self) -> Result<Self, ClaimError> {
        let path = self.name.clone();
        let file = open_file(&path, OFlags::RDWR)?;
        let examine = |source| OpenError::Io { action: "examine", path: path.clone(), source };
        let metadata = file.metadata().map_err(examine)?;
        refuse_foreign(&metadata)
            .map_err(|reason| OpenError::Foreign { path: path.clone(), reason })?;
        if FileId::of(&self.file).map_err(examine)? != FileId::from(&metadata) {
            return Err(ClaimError::Replaced { path });
        }
        Ok(Self::from_file(file, path)?)
    }

    fn is_at_its_path(&self) -> Result<bool, ClaimError> {
        let examine = |source| OpenError::Io { action: "examine", path: self.name.clone(), source };
        let own = FileId::of(&self.file).map_err(examine)?;
        Ok(FileId::at(&self.name).map_err(examine)? == Some(own))
    }
}

/// Locks `board`, waiting for others that claim.
fn lock(board: &Board) -> Result<(), ClaimError> {
    let path = || board.name.clone();
    let start = Instant::now();
    loop {
        match try_lock(&board.file) {
            Ok(Lock::Taken) => return Ok(()),
            Ok(Lock::Contended) if start.elapsed() < WAIT => sleep(PAUSE),
            Ok(Lock::Contended) => {
                return Err(ClaimError::Locked { path: path(), waited: start.elapsed() });
            }
            Err(source) => return Err(ClaimError::Lock { path: path(), source }),
        }
    }
}

/// Finds a slot and takes it. The caller holds the lock.
fn take(board: &Board) -> Result<Slot, ClaimError> {
    let index = match find(board, is_empty)? {
        Some(index) => Some(index),
        None => find(board, is_abandoned)?,
    };
    let Some(index) = index else {
        return Err(ClaimError::Full { path: board.name.clone(), slots: board.slots() });
    };
    occupy(&board.file, board.offset(index)?)
        .map_err(|source| board.slot_error("write", index, source))?;
    Ok(Slot::map(board, index, Release::OnDrop)?)
}

fn find(
    board: &Board,
    wanted: impl Fn(&[u64; WORDS]) -> bool,
) -> Result<Option<usize>, ClaimError> {
    let mut patience = Patience::new();
    for index in 0..board.slots() {
        let copy = read::record(&board.file, board.offset(index)?, &mut patience)
            .map_err(|source| board.slot_error("read", index, source))?;
        if wanted(&copy) {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

fn is_empty(copy: &[u64; WORDS]) -> bool {
    match status(copy) {
        Status::Empty => true,
        Status::Live(_) | Status::Stalled(_) => false,
    }
}

/// True if the process that a record names is gone. The pid is good even if the rest is not whole:
/// it changes only when the slot changes hands, and we hold the lock.
fn is_abandoned(copy: &[u64; WORDS]) -> bool {
    !process::may_live(copy[word(record::PID)], copy[word(record::PROCESS_START)])
}

/// Writes the record of this process, its pid first: see the head of this file.
fn occupy(file: &File, offset: u64) -> io::Result<()> {
    let pid = u64::from(std::process::id());
    let start = process::own_start().unwrap_or(0);
    write::word(file, offset, record::PROCESS_START, start)?;
    write::word(file, offset, record::PID, pid)?;
    write::rewrite(file, offset, |shadow| {
        let now = Monotonic::now().as_nanos();
        shadow.set(word(record::STATE), u64::from(State::Starting.byte()));
        shadow.set(word(record::PID), pid);
        shadow.set(word(record::PROCESS_START), start);
        shadow.set(word(record::STARTED_MONOTONIC), now);
        shadow.set(word(record::STARTED_WALL), wall_now());
        shadow.set(word(record::UPDATED), now);
    })
    .map(drop)
}

/// The pid of a living process that has a slot of the board, if there is one.
pub(crate) fn first_living(file: &File, header: &Header) -> Option<u32> {
    (0..header.slots as usize).find_map(|index| {
        let copy = record_once(file, header.offset(index)).ok()?;
        let taken = !is_empty(&copy) && !is_abandoned(&copy);
        taken.then(|| process::plausible_pid(copy[word(record::PID)]))?
    })
}
