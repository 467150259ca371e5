//! A board as its readers have it.

use crate::census::Census;
use crate::check::Name;
use crate::clock::Monotonic;
use crate::description::Description;
use crate::error::{Fault, OpenError, SlotError};
use crate::facts::Facts;
use crate::format::{WORDS, facts, pulse};
use crate::header::{Header, Kind};
use crate::open::{open_file, read_header};
use crate::process;
use crate::pulse::Pulse;
use crate::read::{self, Patience};
use crate::record::{self, Record, Times};
use crate::snapshot::{Snapshot, Tally};
use crate::state::Status;
use rustix::fs::OFlags;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{self, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often a pulse is looked at that may just be written.
const PULSE_LOOKS: usize = 4;

/// A scoreboard opened for reading.
///
/// Any number of processes may read a board while others write it; readers and writers never wait
/// for each other. Everything read is checked, nothing read is used as an index or a length, and
/// the file is never mapped, so neither its contents nor its truncation can harm the reader. The
/// geometry is read once and kept.
///
/// # Fork
///
/// A child may go on reading through an inherited board: no file position is involved.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("board");
/// use prefork_scoreboard::{Board, OwnedBoard};
///
/// let owner = OwnedBoard::create(&path, 4)?;
/// owner.assign(2, 1)?;
///
/// let board = Board::open(&path)?;
/// assert_eq!(board.snapshot()?.to_string(), "..S.");
/// assert_eq!(board.tally(0..board.slots())?.starting, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Board {
    pub(crate) file: File,
    /// The path for messages: a word in brackets where the board has none.
    pub(crate) name: PathBuf,
    pub(crate) kind_of_name: Name,
    pub(crate) header: Header,
    pub(crate) description: Arc<Description>,
    times: Times,
}

impl Board {
    /// Opens the board at `path` for reading.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if there is no such file, it may not be read, it is not a regular file, or its
    /// header is not that of a board.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let file = open_file(path, OFlags::RDONLY)?;
        // Later messages, and claims, must not depend on the directory of the moment.
        let name = path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self::from_file(file, name, Name::Path)
    }

    /// Reads the board in a file that is open already; `name` stands for it in messages.
    ///
    /// For a process that may not open it any more, or a board that has no path. The file is read at given
    /// places, so that others who have it open do not matter; it need not be open for writing.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if the file cannot be read, or its header is not that of a board.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork_scoreboard::{Board, OwnedBoard};
    /// use std::fs::File;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("board");
    /// let owner = OwnedBoard::create(&path, 4)?;
    /// let board = Board::of_file(File::open(&path)?, &path)?;
    /// assert_eq!(board.slots(), owner.slots());
    /// # Ok(())
    /// # }
    /// ```
    pub fn of_file(file: File, name: impl Into<PathBuf>) -> Result<Self, OpenError> {
        Self::from_file(file, name.into(), Name::Label)
    }

    pub(crate) fn from_file(
        file: File,
        name: PathBuf,
        kind_of_name: Name,
    ) -> Result<Self, OpenError> {
        match read_header(&file) {
            Ok(Ok(header)) => match Description::read(&file) {
                Ok(description) => {
                    Ok(Self::with_header(file, name, kind_of_name, header, description))
                }
                Err(source) => Err(OpenError::Io { action: "read", path: name, source }),
            },
            Ok(Err(reason)) => Err(OpenError::Header { path: name, reason }),
            Err(source) => Err(OpenError::Io { action: "read", path: name, source }),
        }
    }

    pub(crate) fn with_header(
        file: File,
        name: PathBuf,
        kind_of_name: Name,
        header: Header,
        description: Description,
    ) -> Self {
        let description = Arc::new(description);
        let times = if header.is_of_this_boot() { Times::ThisBoot } else { Times::OtherBoot };
        Self { file, name, kind_of_name, header, description, times }
    }

    /// Returns how many slots the board has; the last is one less.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.header.slots as usize
    }

    /// Returns who decides whose a slot is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.header.kind
    }

    /// Returns the pid of the process that created the board, as the header has it.
    ///
    /// It is for people. The process may be gone and the pid another's: never send it a signal.
    #[must_use]
    pub fn creator(&self) -> Option<u32> {
        process::plausible_pid(u64::from(self.header.creator))
    }

    /// Returns the wall time of the board's creation.
    #[must_use]
    pub fn created(&self) -> SystemTime {
        let since = Duration::from_nanos(self.header.created_wall);
        UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
    }

    /// Returns whether the board is of this boot, so that its monotonic times mean something.
    #[must_use]
    pub fn is_of_this_boot(&self) -> bool {
        self.times == Times::ThisBoot
    }

    /// Reads one slot.
    ///
    /// # Errors
    ///
    /// [`SlotError`] if there is no such slot, or the file has become too short to hold it.
    pub fn record(&self, slot: usize) -> Result<Record, SlotError> {
        let copy = self.copy(slot, &mut Patience::new())?;
        Ok(Record::decode(slot, &copy, self.times))
    }

    /// Reads the state of one slot, which is cheaper than all of it.
    ///
    /// # Errors
    ///
    /// As of [`record`](Self::record).
    pub fn status(&self, slot: usize) -> Result<Status, SlotError> {
        self.copy(slot, &mut Patience::new()).map(|copy| record::status(&copy))
    }

    /// Counts the states of `slots`, which need not be in order.
    ///
    /// On a shared board the slots of processes that are gone are counted as that, whatever their last state: each slot that is
    /// taken then costs a look at `/proc`, some microseconds.
    ///
    /// # Errors
    ///
    /// As of [`record`](Self::record), for the first slot that fails.
    pub fn tally(&self, slots: impl IntoIterator<Item = usize>) -> Result<Tally, SlotError> {
        let mut patience = Patience::new();
        let mut tally = Tally::default();
        let census = Census::of(self);
        for slot in slots {
            let copy = self.copy(slot, &mut patience)?;
            if census.is_gone(&copy) {
                tally.gone += 1;
            } else {
                tally.add(record::status(&copy).class());
            }
        }
        Ok(tally)
    }

    /// Reads all slots.
    ///
    /// # Errors
    ///
    /// As of [`record`](Self::record).
    pub fn snapshot(&self) -> Result<Snapshot, SlotError> {
        let mut snapshot = Snapshot::new();
        self.snapshot_into(&mut snapshot)?;
        Ok(snapshot)
    }

    /// Reads all slots into a buffer, which on an owned board allocates nothing if it was used for as many before.
    ///
    /// The time is bounded whatever the board says: a record that is being written is looked at a
    /// few times, then reported as stalled.
    ///
    /// # Errors
    ///
    /// As of [`record`](Self::record). The buffer then holds the slots read so far.
    pub fn snapshot_into(&self, snapshot: &mut Snapshot) -> Result<(), SlotError> {
        snapshot.records.clear();
        snapshot.records.reserve(self.slots());
        snapshot.gone.clear();
        snapshot.tally = Tally::default();
        snapshot.begun = Some(Monotonic::now());
        let mut patience = Patience::new();
        let census = Census::of(self);
        for slot in 0..self.slots() {
            let copy = self.copy(slot, &mut patience)?;
            let record = Record::decode(slot, &copy, self.times);
            if census.is_gone(&copy) {
                snapshot.tally.gone += 1;
                snapshot.gone.push(slot);
            } else {
                snapshot.tally.add(record.status().class());
            }
            snapshot.records.push(record);
        }
        Ok(())
    }

    /// Reads what the owner publishes about itself: nothing, if it never has, or no whole copy of it can be had.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the file has become too short, or cannot be read.
    pub fn facts(&self) -> Result<Facts, Fault> {
        let words = read::record(&self.file, facts::SEQUENCE as u64, &mut Patience::new());
        let words = words.map_err(|source| self.fault(source))?;
        Ok(Facts::decode(&words).unwrap_or_default())
    }

    /// Reads when the owner was last seen to decide anything; `None` if it has not shown that, or something else has
    /// written over it.
    ///
    /// # Errors
    ///
    /// As of [`facts`](Self::facts).
    pub fn pulse(&self) -> Result<Option<Pulse>, Fault> {
        let mut looks = 0;
        loop {
            let words = read::words(&self.file, pulse::AT_MONOTONIC as u64);
            let words = words.map_err(|source| self.fault(source))?;
            looks += 1;
            match Pulse::decode(&words, self.times) {
                // It may just be written.
                None if looks < PULSE_LOOKS => {}
                found => return Ok(found),
            }
        }
    }

    /// Names what has happened to the file.
    pub(crate) fn fault(&self, source: io::Error) -> Fault {
        let (path, expected) = (self.name.clone(), self.header.file_size());
        match source.kind() {
            ErrorKind::UnexpectedEof => {
                let found = self.file.metadata().map_or(0, |metadata| metadata.len());
                Fault::Truncated { path, expected, found }
            }
            _ => Fault::Io { path, source },
        }
    }

    pub(crate) fn copy(
        &self,
        slot: usize,
        patience: &mut Patience,
    ) -> Result<[u64; WORDS], SlotError> {
        let offset = self.offset(slot)?;
        read::record(&self.file, offset, patience)
            .map_err(|source| self.slot_error("read", slot, source))
    }

    /// Returns where `slot` begins in the file.
    pub(crate) fn offset(&self, slot: usize) -> Result<u64, SlotError> {
        if slot < self.slots() {
            Ok(self.header.offset(slot))
        } else {
            Err(SlotError::NoSuchSlot { path: self.name.clone(), slot, slots: self.slots() })
        }
    }

    pub(crate) fn slot_error(
        &self,
        action: &'static str,
        slot: usize,
        source: io::Error,
    ) -> SlotError {
        let path = self.name.clone();
        match source.kind() {
            ErrorKind::UnexpectedEof => SlotError::Truncated { path, slot },
            _ => SlotError::Io { action, path, slot, source },
        }
    }
}
