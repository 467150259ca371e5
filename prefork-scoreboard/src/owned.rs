//! A board as the parent has it that owns it.

use crate::board::Board;
use crate::check::Name;
use crate::clock::Monotonic;
use crate::create::{self, Created};
use crate::description::Description;
use crate::error::{CreateError, Fault, OpenError, SlotError};
use crate::facts::Facts;
use crate::file::{FileId, Lock, try_lock};
use crate::format::{FACTS_WORDS, PULSE_WORDS, facts, pulse};
use crate::guard::Maker;
use crate::header::Kind;
use crate::memfd;
use crate::memory::begin;
use crate::open::read_header;
use crate::options::{BoardOptions, Plan};
use crate::protocol::{Shadow, Wholeness, judge};
use crate::pulse::Pulse;
use crate::read::{self, Patience};
use crate::record::Record;
use crate::slot::Slot;
use crate::stamp::Stamp;
use crate::write;
use std::fs::{self, File};
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{self, Path, PathBuf};

/// A scoreboard of the process that made it: a parent that assigns the slots to its children.
///
/// The parent never maps a slot. It reads copies and checks them, and writes through the file, so
/// nothing that children or strangers do to the board can harm it: not forged contents, not
/// truncation, not removal. It reads through the [`Board`] that it dereferences to.
///
/// A board in a file is locked as long as this value lives, and removed when it is dropped.
///
/// # Fork
///
/// Make the board after the last fork of daemonizing. The life of a slot:
///
/// 1. the parent calls [`assign`](Self::assign) before it forks;
/// 2. the child calls [`enter`](Self::enter), then drops its copy of this value, which closes the
///    descriptor and does nothing else: only the process that made the board ever removes it. A
///    child that keeps the copy keeps the lock too, and could write to all slots;
/// 3. the child reports through its [`Slot`];
/// 4. the parent calls [`clear`](Self::clear) once it has reaped the child.
///
/// # Examples
///
/// ```
/// use prefork_scoreboard::OwnedBoard;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let board = OwnedBoard::anonymous(2)?;
/// board.assign(0, 1)?;
/// // In the child, after fork:
/// let mut slot = board.enter(0)?;
/// slot.busy("GET /");
/// // In the parent:
/// assert_eq!(board.tally([0])?.busy, 1);
/// board.clear(0)?;
/// assert_eq!(board.snapshot()?.to_string(), "..");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct OwnedBoard {
    board: Board,
    place: Place,
    maker: Maker,
}

/// Where a board is.
#[derive(Debug)]
enum Place {
    /// At this absolute path, if it still is this file.
    File {
        path: PathBuf,
        identity: FileId,
        /// Open for the sake of its lock.
        lock: File,
    },
    /// Nowhere, or not there any more.
    Nowhere,
}

/// What became of the file of a board that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It was removed.
    Removed,
    /// There was nothing to remove: it is gone, another file is in its place, or there never was
    /// one.
    NothingThere,
    /// This process did not make the board, so it left the file alone.
    NotTheMaker,
}

impl OwnedBoard {
    /// Creates a board of `slots` empty slots in a file at `path`.
    ///
    /// `slots` is 1 to 65,536; the file takes a page for each and one more. The mode is 0600. The
    /// space is reserved at once, so a full file system is an error here. A board left behind by a
    /// process that is gone is replaced, even if it is damaged, and so is an empty file; anything else is
    /// left alone. A
    /// relative path is resolved now: a later change of directory does not matter.
    ///
    /// A process that is ended by a signal drops nothing: its board stays, is shown as left behind, and is replaced
    /// as above. Handle the signals that are to end it in order.
    ///
    /// Choose a local file system in memory, such as `/run`, in a directory that only the user of
    /// the parent may write.
    ///
    /// # Errors
    ///
    /// [`CreateError`]; among others if a living process owns a board there, which is not harmed.
    pub fn create(path: impl AsRef<Path>, slots: usize) -> Result<Self, CreateError> {
        BoardOptions::new().create(path, slots)
    }

    /// Creates a board as [`create`](Self::create) does, and also if `own` is at the path: the file of a
    /// board that this process has, however damaged, such as one that [`adopt`](Self::adopt) has refused.
    ///
    /// # Errors
    ///
    /// As of [`create`](Self::create).
    pub fn create_over(
        path: impl AsRef<Path>,
        slots: usize,
        own: impl AsFd,
    ) -> Result<Self, CreateError> {
        BoardOptions::new().create_over(path, slots, own)
    }

    /// Makes a board at `path` as it is planned. `own` is a file there that the caller holds itself.
    pub(crate) fn make(path: &Path, plan: &Plan, own: Option<FileId>) -> Result<Self, CreateError> {
        let io_error = |source| CreateError::Io { action: "examine", path: path.into(), source };
        if path.file_name().is_none() {
            return Err(CreateError::NoFileName { path: path.into() });
        }
        let path = path::absolute(path).map_err(io_error)?;
        match create::create(&path, plan, own)? {
            Created::New { file, lock, header } => {
                let identity = FileId::of(&file).map_err(io_error)?;
                let description = plan.description.clone();
                let board = Board::with_header(file, path.clone(), Name::Path, header, description);
                Ok(Self { board, place: Place::File { path, identity, lock }, maker: Maker::new() })
            }
            Created::Exists => unreachable!("only shared boards are taken over"),
        }
    }

    /// Creates a board of `slots` empty slots in memory that has no name.
    ///
    /// It is sealed against changes of its size, so writing to it cannot end in SIGBUS. Only
    /// processes forked from this one can reach it. Otherwise as [`create`](Self::create).
    ///
    /// # Errors
    ///
    /// [`CreateError`] if `slots` is out of range or there is no memory.
    pub fn anonymous(slots: usize) -> Result<Self, CreateError> {
        BoardOptions::new().anonymous(slots)
    }

    /// Makes a board in memory as it is planned.
    pub(crate) fn make_anonymous(plan: &Plan) -> Result<Self, CreateError> {
        let (file, header) = plan.in_memory()?;
        let description = plan.description.clone();
        let board = Board::with_header(file, memfd::NAME.into(), Name::Label, header, description);
        Ok(Self { board, place: Place::Nowhere, maker: Maker::new() })
    }

    /// Replaces the board by a new one of the same place, title and columns with so many slots, all empty. The mode is that of
    /// the old file, but for the right to write, which its user alone has.
    ///
    /// This is the way back after a [`Fault`], too. Children that entered the old board go on writing
    /// to it, unseen; those started from now on are seen. If it fails the old board stays.
    ///
    /// # Errors
    ///
    /// As of [`create`](Self::create).
    pub fn resize(&mut self, slots: usize) -> Result<(), CreateError> {
        let plan = Plan::like(&self.board, slots)?;
        let fresh = match &self.place {
            Place::File { path, identity, .. } => Self::make(path, &plan, Some(*identity))?,
            Place::Nowhere => Self::make_anonymous(&plan)?,
        };
        // The old value is dropped; the path leads to the new file by now, so that removes nothing.
        *self = fresh;
        Ok(())
    }

    /// Takes over the board that another program has made in this very process, before it executed
    /// this one; the old children go on reporting.
    ///
    /// Have the other program clear close-on-exec for the descriptors that
    /// [`descriptors`](Self::descriptors) returns, and pass their numbers and [`path`](Self::path); the lock
    /// survives `execve(2)` with them (see `flock(2)`). A board without a name has no lock.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if `file` is no board that this process has made, or `path` and `lock` do not go
    /// together with it; whether it still is at its path does not matter here, but see
    /// [`check`](Board::check).
    pub fn adopt(
        path: Option<&Path>,
        file: OwnedFd,
        lock: Option<OwnedFd>,
    ) -> Result<Self, OpenError> {
        let (name, kind_of_name) = match path {
            Some(path) => (path::absolute(path).unwrap_or_else(|_| path.to_owned()), Name::Path),
            None => (memfd::NAME.into(), Name::Label),
        };
        let (file, lock) = (File::from(file), lock.map(File::from));
        let not_ours = || OpenError::NotOurs { path: name.clone() };
        let io_error = |source| OpenError::Io { action: "examine", path: name.clone(), source };
        let header = read_header(&file)
            .map_err(io_error)?
            .map_err(|reason| OpenError::Header { path: name.clone(), reason })?;
        if header.kind != Kind::Owned || header.creator != std::process::id() {
            return Err(not_ours());
        }
        let place = match (path, lock) {
            (Some(_), Some(lock)) => {
                let path = name.clone();
                let identity = FileId::of(&file).map_err(io_error)?;
                // Taking the lock changes nothing for a process that holds it already.
                if FileId::of(&lock).map_err(io_error)? != identity
                    || try_lock(&lock).map_err(io_error)? != Lock::Taken
                {
                    return Err(not_ours());
                }
                Place::File { path, identity, lock }
            }
            (None, None) => Place::Nowhere,
            (Some(_), None) | (None, Some(_)) => return Err(not_ours()),
        };
        let description = Description::read(&file).map_err(io_error)?;
        let board = Board::with_header(file, name, kind_of_name, header, description);
        Ok(Self { board, place, maker: Maker::new() })
    }

    /// Returns the descriptors of the board and of its lock, in the order that [`adopt`](Self::adopt)
    /// takes them.
    #[must_use]
    pub fn descriptors(&self) -> (BorrowedFd<'_>, Option<BorrowedFd<'_>>) {
        let lock = match &self.place {
            Place::File { lock, .. } => Some(lock.as_fd()),
            Place::Nowhere => None,
        };
        (self.board.file.as_fd(), lock)
    }

    /// Returns the absolute path of the board, or `None` for one without a name.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File { path, .. } => Some(path),
            Place::Nowhere => None,
        }
    }

    /// Gives `slot` to a child about to be forked: state `S`, this generation, started now, pid not
    /// known yet, nothing in its columns.
    ///
    /// It works whatever was in the slot before, a half-written record included. Call it only when
    /// the slot's former child has been reaped: a record has one writer at a time. What that one has had in its columns is
    /// lost: read it before, for totals that are to outlive it. The generation is the program's own to count, 1 where nothing
    /// is replaced; one beyond 4294967295 counts as that. If the child cannot be started after all, [`clear`](Self::clear) the slot.
    ///
    /// # Errors
    ///
    /// [`SlotError`] if there is no such slot or the file has been truncated. There is no SIGBUS.
    pub fn assign(&self, slot: usize, generation: u64) -> Result<(), SlotError> {
        self.rewrite(slot, |shadow| begin(shadow, generation)).map(drop)
    }

    /// Takes `slot` over in the child it was assigned to, and writes the child's pid.
    ///
    /// Only the page of this slot is mapped, so a stray pointer of one child cannot reach the slot
    /// of another. Drop the board afterwards. Privileges may be dropped before or after: no file is
    /// opened.
    ///
    /// A parent that does the work itself, without children, may enter a slot of its own board. Let
    /// that board be [`anonymous`](Self::anonymous): through a mapped file, truncation would kill
    /// the parent.
    ///
    /// # Errors
    ///
    /// [`SlotError`] if there is no such slot, the file has been truncated, or the page cannot be
    /// mapped.
    pub fn enter(&self, slot: usize) -> Result<Slot, SlotError> {
        Slot::enter(&self.board, slot)
    }

    /// Empties `slot` after its child has been reaped.
    ///
    /// # Errors
    ///
    /// As of [`assign`](Self::assign).
    pub fn clear(&self, slot: usize) -> Result<(), SlotError> {
        self.rewrite(slot, |_| {}).map(drop)
    }

    /// Writes `record` into `slot`, for a parent whose children report elsewhere, as in a
    /// [`SlotMemory`](crate::SlotMemory): the board then shows what the parent has read, and found
    /// believable, at that moment.
    ///
    /// A stalled record is shown as stalled. Call it only for slots that no process has entered. The
    /// stamp that it returns is for [`shows`](Self::shows).
    ///
    /// # Errors
    ///
    /// As of [`assign`](Self::assign).
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork_scoreboard::{OwnedBoard, SlotMemory};
    /// use std::sync::atomic::AtomicU64;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// static WORDS: [AtomicU64; SlotMemory::WORDS] =
    ///     [const { AtomicU64::new(0) }; SlotMemory::WORDS];
    /// let (memory, board) = (SlotMemory::new(&WORDS), OwnedBoard::anonymous(1)?);
    /// memory.assign(1);
    /// memory.enter(0).busy("GET /");
    /// let read = memory.record(0);
    /// let believed = read.requests().min(1_000_000);
    /// board.publish(0, &read.with_requests(believed))?;
    /// assert_eq!(board.record(0)?.label(), "GET /");
    /// # Ok(())
    /// # }
    /// ```
    pub fn publish(&self, slot: usize, record: &Record) -> Result<Stamp, SlotError> {
        self.rewrite(slot, |shadow| record.fill(shadow))
    }

    /// Returns whether `slot` still shows what [`publish`](Self::publish) has returned this stamp for.
    /// Somebody else may have written to the file.
    ///
    /// # Errors
    ///
    /// As of [`Board::record`].
    pub fn shows(&self, slot: usize, stamp: Stamp) -> Result<bool, SlotError> {
        let copy = self.board.copy(slot, &mut Patience::new())?;
        Ok(judge(&copy) == Wholeness::Whole && Stamp::of(&copy) == stamp)
    }

    /// Publishes what there is to know about this process, in the place of what it has published before. The stamp
    /// that it returns is for [`shows_facts`](Self::shows_facts).
    ///
    /// # Errors
    ///
    /// [`Fault`] if the file has been truncated, or cannot be written.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork_scoreboard::{Facts, OwnedBoard};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let board = OwnedBoard::anonymous(1)?;
    /// let mut facts = Facts::new();
    /// facts.add("name", "hello").add("version", "0.1.0");
    /// let stamp = board.publish_facts(&facts)?;
    /// assert_eq!(board.facts()?.get("version"), Some("0.1.0"));
    /// assert!(board.shows_facts(stamp)?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn publish_facts(&self, facts: &Facts) -> Result<Stamp, Fault> {
        let (file, offset) = (&self.board.file, facts::SEQUENCE as u64);
        let old = read::words::<1>(file, offset).map_err(|source| self.board.fault(source))?;
        let words = facts.encode(old[0]);
        write::publish(file, offset, &words).map_err(|source| self.board.fault(source))?;
        Ok(Stamp::of(&words))
    }

    /// Returns whether the board still shows what [`publish_facts`](Self::publish_facts) has returned this stamp for;
    /// [`Stamp::EMPTY`] stands for nothing.
    ///
    /// # Errors
    ///
    /// As of [`publish_facts`](Self::publish_facts).
    pub fn shows_facts(&self, stamp: Stamp) -> Result<bool, Fault> {
        let words = read::words::<FACTS_WORDS>(&self.board.file, facts::SEQUENCE as u64);
        let words = words.map_err(|source| self.board.fault(source))?;
        Ok(judge(&words) == Wholeness::Whole && Stamp::of(&words) == stamp)
    }

    /// Shows that this process has decided what there was to decide, and is about to rest: until then, if it is to wake
    /// by itself. Two system calls.
    ///
    /// Who reads the board can then tell an owner that rests from one that hangs: a beat that stays the same long after it
    /// was due. An owner that never beats is shown as running for as long as it lives.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork_scoreboard::{Monotonic, OwnedBoard};
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let board = OwnedBoard::anonymous(4)?;
    /// // In the loop of the supervisor, before it waits for at most a second:
    /// board.beat(Some(Monotonic::now() + Duration::from_secs(1)))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As of [`publish_facts`](Self::publish_facts).
    pub fn beat(&self, due: Option<Monotonic>) -> Result<(), Fault> {
        let (file, offset) = (&self.board.file, pulse::AT_MONOTONIC as u64);
        // Writing to one that was cut would make it longer.
        read::words::<PULSE_WORDS>(file, offset)
            .and_then(|_old| write::words(file, offset, &Pulse::encode(due)))
            .map_err(|source| self.board.fault(source))
    }

    fn rewrite(&self, slot: usize, fill: impl FnOnce(&mut Shadow)) -> Result<Stamp, SlotError> {
        let offset = self.board.offset(slot)?;
        self.board
            .empty_values(offset)
            .and_then(|()| write::rewrite(&self.board.file, offset, fill))
            .map_err(|source| self.board.slot_error("write", slot, source))
    }

    /// Removes the file of the board and gives the board up.
    ///
    /// It does what dropping does, and returns what came of it. The file is removed only by the
    /// process that made the board, and only if the path still leads to this very file.
    ///
    /// # Errors
    ///
    /// What the kernel said about the path: see `unlink(2)`.
    pub fn remove(mut self) -> io::Result<Removal> {
        self.unlink()
    }

    fn unlink(&mut self) -> io::Result<Removal> {
        if !self.maker.is_surely_here() {
            return Ok(Removal::NotTheMaker);
        }
        let place = std::mem::replace(&mut self.place, Place::Nowhere);
        let Place::File { path, identity, lock: _lock } = place else {
            return Ok(Removal::NothingThere);
        };
        // Nobody replaces the file between these two: creators lock it first, and we hold the lock.
        if FileId::at(&path)? != Some(identity) {
            return Ok(Removal::NothingThere);
        }
        fs::remove_file(path).map(|()| Removal::Removed)
    }
}

impl Deref for OwnedBoard {
    type Target = Board;

    fn deref(&self) -> &Board {
        &self.board
    }
}

impl Drop for OwnedBoard {
    fn drop(&mut self) {
        // A caller that wants to know calls `remove`.
        let _ = self.unlink();
    }
}
