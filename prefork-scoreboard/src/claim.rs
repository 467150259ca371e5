//! Boards shared by processes that do not know each other.
//!
//! Claimers do not wait for each other. Each holds a shared lock of the file, which only keeps out a process that would
//! replace the board, and the lock of the one slot that it is about to take: a slot that somebody else is at is passed over.
//! Both through a descriptor of one's own: a descriptor inherited over fork would share its locks, and exclude nobody. The
//! kernel releases them however a claimer ends. A slot is given back without a lock, by one change to "empty", so that
//! leaving needs no descriptor and never waits.
//!
//! What a claim costs does not depend on how many slots there are or are taken: it looks at one slot in turn for a
//! process that is gone, then takes the first slot that the index shows to be free (see `index.rs`). All slots are looked at only where
//! that shows none.
//!
//! A process that takes a slot first writes whose it is, its start and its pid, before the record becomes half-written;
//! one that gives a slot back leaves the pid. So at any moment at which a process may be killed, the pid in the
//! slot is that of a process that is gone, or of the one writing; a slot whose record is not whole
//! is never taken from a living process.

use crate::board::Board;
use crate::check::Name;
use crate::clock::{Monotonic, wall_now};
use crate::error::{ClaimError, OpenError};
use crate::file::{ByteLock, FileId, Lock, Locked, refuse_foreign, try_lock_shared};
use crate::format::{WORDS, record, word};
use crate::header::{Header, Kind};
use crate::index::Index;
use crate::open::open_file;
use crate::pauses::Pauses;
use crate::process;
use crate::read::{Patience, record_once};
use crate::record::status;
use crate::slot::{Release, Slot};
use crate::state::{State, Status};
use crate::write;
use rustix::fs::OFlags;
use std::fs::File;
use std::io;

impl Board {
    /// Takes a slot of a shared board for this process, in state `S`.
    ///
    /// Each claim looks at one slot in turn for a process that is gone, that is, no process has its pid, or one that
    /// started at another time. If so that slot is taken, else the first empty one; all slots are looked at only if
    /// none is known to be empty. The slot is given back when the [`Slot`] is dropped by this process. Waits for
    /// no other process that claims, and up to five seconds for one that replaces the board.
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
    /// let board = Board::open_or_create(&path, 8)?;
    /// let mut slot = board.claim()?;
    /// slot.busy("rebuild index");
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
        let namespace = process::Own::known().namespace.unwrap_or(0);
        if board.header.pid_namespace != namespace {
            return Err(ClaimError::Namespace { path: board.name });
        }
        keep(&board)?;
        let _kept = Locked::new(&board.file);
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
        Ok(Self::from_file(file, path, Name::Path)?)
    }

    fn is_at_its_path(&self) -> Result<bool, ClaimError> {
        let examine = |source| OpenError::Io { action: "examine", path: self.name.clone(), source };
        let own = FileId::of(&self.file).map_err(examine)?;
        Ok(FileId::at(&self.name).map_err(examine)? == Some(own))
    }
}

/// Keeps `board` from being replaced, after waiting for a process that does so now.
fn keep(board: &Board) -> Result<(), ClaimError> {
    let path = || board.name.clone();
    let mut pauses = Pauses::begin();
    loop {
        match try_lock_shared(&board.file) {
            Ok(Lock::Taken) => return Ok(()),
            Ok(Lock::Contended) if pauses.pause() => {}
            Ok(Lock::Contended) => {
                return Err(ClaimError::Locked { path: path(), waited: pauses.elapsed() });
            }
            Err(source) => return Err(ClaimError::Lock { path: path(), source }),
        }
    }
}

/// Finds a slot and takes it.
fn take(board: &Board) -> Result<Slot, ClaimError> {
    let index = Index::map(&board.file, &board.header).map_err(|source| OpenError::Io {
        action: "map",
        path: board.name.clone(),
        source,
    })?;
    let mut patience = Patience::new();
    let slot = match take_abandoned(board, &index, &mut patience)? {
        Some(slot) => Some(slot),
        None => match take_indexed(board, &index, &mut patience)? {
            Some(slot) => Some(slot),
            None => take_any(board, &index, &mut patience)?,
        },
    };
    let Some(slot) = slot else {
        return Err(ClaimError::Full { path: board.name.clone(), slots: board.slots() });
    };
    Ok(Slot::map(board, slot, Release::OnDrop(index))?)
}

/// Takes the next slot in turn if its process is gone.
fn take_abandoned(
    board: &Board,
    index: &Index,
    patience: &mut Patience,
) -> Result<Option<usize>, ClaimError> {
    let slot = index.turn();
    let wanted = |copy: &[u64; WORDS]| !is_empty(copy) && is_abandoned(copy);
    let taken = wanted(&board.copy(slot, patience)?) && try_take(board, slot, wanted, patience)?;
    Ok(taken.then_some(slot))
}

/// Takes the first slot that the index shows to be free, and is.
fn take_indexed(
    board: &Board,
    index: &Index,
    patience: &mut Patience,
) -> Result<Option<usize>, ClaimError> {
    while let Some(slot) = index.take() {
        if try_take(board, slot, is_free, patience)? {
            return Ok(Some(slot));
        }
    }
    Ok(None)
}

/// Looks at all slots, for one that the index has lost, and for the dead that it does not know of.
fn take_any(
    board: &Board,
    index: &Index,
    patience: &mut Patience,
) -> Result<Option<usize>, ClaimError> {
    for slot in 0..board.slots() {
        if is_free(&board.copy(slot, patience)?) && try_take(board, slot, is_free, patience)? {
            index.remove(slot);
            return Ok(Some(slot));
        }
    }
    Ok(None)
}

/// Takes `slot` if nobody else is about to, and its record is one that is `wanted`.
fn try_take(
    board: &Board,
    slot: usize,
    wanted: impl Fn(&[u64; WORDS]) -> bool,
    patience: &mut Patience,
) -> Result<bool, ClaimError> {
    let offset = board.offset(slot)?;
    let lock = ByteLock::take(&board.file, offset)
        .map_err(|source| board.slot_error("lock", slot, source))?;
    let Some(_lock) = lock else { return Ok(false) };
    if !wanted(&board.copy(slot, patience)?) {
        return Ok(false);
    }
    occupy(board, offset).map_err(|source| board.slot_error("write", slot, source))?;
    Ok(true)
}

fn is_free(copy: &[u64; WORDS]) -> bool {
    is_empty(copy) || is_abandoned(copy)
}

pub(crate) fn is_empty(copy: &[u64; WORDS]) -> bool {
    match status(copy) {
        Status::Empty => true,
        Status::Live(_) | Status::Stalled(_) => false,
    }
}

/// True if the process that a record names is gone. The pid is good even if the rest is not whole:
/// it changes only when the slot changes hands, and the caller holds its lock, or looks again when it does.
pub(crate) fn is_abandoned(copy: &[u64; WORDS]) -> bool {
    !process::may_live(copy[word(record::PID)], copy[word(record::PROCESS_START)])
}

/// Writes the record of this process, its pid first: see the head of this file.
fn occupy(board: &Board, offset: u64) -> io::Result<()> {
    let file = &board.file;
    let pid = u64::from(std::process::id());
    let start = process::Own::known().start.unwrap_or(0);
    write::word(file, offset, record::PROCESS_START, start)?;
    write::word(file, offset, record::PID, pid)?;
    board.empty_values(offset)?;
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
    living(file, header).next().map(|(_, pid)| pid)
}

/// The same for a board of an unknown kind: only records that were claimed count, which have no generation. What an owner
/// has assigned is known by its lock.
pub(crate) fn first_living_claimer(file: &File, header: &Header) -> Option<u32> {
    let claimed = |copy: &[u64; WORDS]| copy[word(record::GENERATION)] & u64::from(u32::MAX) == 0;
    living(file, header).find_map(|(copy, pid)| claimed(&copy).then_some(pid))
}

/// The records of living processes, with their pids.
fn living(file: &File, header: &Header) -> impl Iterator<Item = ([u64; WORDS], u32)> {
    (0..header.slots as usize).filter_map(|index| {
        let copy = record_once(file, header.offset(index)).ok()?;
        let taken = !is_empty(&copy) && !is_abandoned(&copy);
        let pid = taken.then(|| process::plausible_pid(copy[word(record::PID)]))??;
        Some((copy, pid))
    })
}
