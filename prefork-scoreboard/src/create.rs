//! Making the file of a board.
//!
//! A board appears at its path whole or not at all, and never over one that is alive. The order:
//!
//! 1. open and lock a temporary file with a fixed name beside the path, so that there is one
//!    creator at a time, and what a killed creator left behind is used again;
//! 2. lock what is at the path, if anything: a process that cannot be locked out is alive;
//! 3. reserve all space, so that a full disk is an error now and no SIGBUS later;
//! 4. write the header, then rename over the path.
//!
//! Each lock counts only if the path still leads to the locked file afterwards: between opening and
//! locking, its holder may have removed or replaced it.

use crate::board::Board;
use crate::error::{CreateError, Foreign};
use crate::file::{FileId, Lock, Locked, refuse_foreign, try_lock};
use crate::format::MAX_SLOTS;
use crate::header::{Header, Kind};
use crate::index;
use crate::occupant::{Occupant, occupant};
use crate::options::{BoardOptions, Plan};
use crate::pauses::Pauses;
use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How often a file that changes under our hands is looked at again.
pub(crate) const ATTEMPTS: usize = 100;

/// What came of creating a board.
#[derive(Debug)]
pub(crate) enum Created {
    /// A new one.
    New {
        /// For reading, writing and mapping.
        file: File,
        /// Holds the lock. Of a description of its own: a mapping keeps the description it was
        /// made through open, and with it the lock, long after the descriptor is closed.
        lock: File,
        header: Header,
    },
    /// There is a shared board already that can be used.
    Exists,
}

/// Checks the number of slots that a caller asks for.
pub(crate) fn check_slots(slots: usize) -> Result<u32, CreateError> {
    match u32::try_from(slots) {
        Ok(number) if (1..=MAX_SLOTS).contains(&slots) => Ok(number),
        Ok(_) | Err(_) => Err(CreateError::Slots { slots, max: MAX_SLOTS }),
    }
}

/// Creates a board at `path`. `own` is a file there that the caller holds itself.
pub(crate) fn create(
    path: &Path,
    plan: &Plan,
    own: Option<FileId>,
) -> Result<Created, CreateError> {
    let (lock, mut temporary) = Temporary::take(path)?;
    // Held until after the rename, so that nobody takes the old file for free in between.
    let _old = match occupant(path, plan, own)? {
        Occupant::Usable => return Ok(Created::Exists),
        Occupant::Nobody => None,
        Occupant::Stale(old) => Some(old),
    };
    let header = plan.header();
    let bytes = header.file_size();
    let file = temporary.open_again(&lock)?;
    reserve(&file, 0, bytes).map_err(|source| CreateError::Space {
        path: path.into(),
        bytes,
        source,
    })?;
    index::write_new(&file, &header).map_err(io_error("write", path))?;
    plan.description.write_new(&file).map_err(io_error("write", path))?;
    file.write_all_at(&header.encode(), 0).map_err(io_error("write", path))?;
    file.set_permissions(Permissions::from_mode(plan.mode)).map_err(io_error("prepare", path))?;
    temporary.rename()?;
    Ok(Created::New { file, lock, header })
}

impl Board {
    /// Opens the shared board at `path`, creating one of `slots` slots if there is none.
    ///
    /// A board left from another boot, one left by an owner that is gone, and one whose header is damaged and that no
    /// living process has a slot of, are replaced; a shared one of another version is not. If a
    /// board is there its number of slots counts, not `slots`. The file has mode 0600 and is
    /// nobody's to remove. Waits up to five seconds for another process that creates it.
    ///
    /// # Errors
    ///
    /// [`CreateError`]; among others if a living process owns a board there.
    pub fn open_or_create(path: impl AsRef<Path>, slots: usize) -> Result<Self, CreateError> {
        BoardOptions::new().open_or_create(path, slots)
    }
}

/// Opens the shared board at `path`, or creates it.
pub(crate) fn open_or_create(path: &Path, plan: &Plan) -> Result<Board, CreateError> {
    let path = std::path::absolute(path).map_err(io_error("examine", path))?;
    let mut pauses = Pauses::begin();
    loop {
        match Board::open(&path) {
            Ok(board) if is_usable(&board, plan) => return Ok(board),
            // Absent, stale or foreign: creating finds out which.
            Ok(_) | Err(_) => {}
        }
        match create(&path, plan, None) {
            Ok(Created::New { lock, .. }) => drop(Locked::new(lock)),
            Ok(Created::Exists) => {}
            Err(CreateError::Creating { .. }) if pauses.pause() => {}
            // A process that has just made the board, or claims a slot of it, holds its lock for a moment.
            Err(CreateError::Held { .. }) if !is_owned(&path) && pauses.pause() => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether a board can be used as one that is planned, which its owner or its columns may prevent.
fn is_usable(board: &Board, plan: &Plan) -> bool {
    board.kind() == Kind::Shared
        && board.is_of_this_boot()
        && board.description.missing(&plan.description).is_none()
}

/// Whether the board at `path` belongs to one process.
fn is_owned(path: &Path) -> bool {
    Board::open(path).is_ok_and(|board| board.kind() == Kind::Owned)
}

pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CreateError {
    let path = path.to_owned();
    move |source| CreateError::Io { action, path, source }
}

/// The name of the file that becomes the board, or a store of metrics; removed on drop unless it did.
///
/// To be dropped before the file, whose lock says that the name is ours to remove. Errors name the board, which is what
/// the caller has asked for, unless something is wrong with what has the temporary name.
#[derive(Debug)]
pub(crate) struct Temporary<'a> {
    board: &'a Path,
    path: PathBuf,
    fate: Fate,
}

#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Temporary,
    Renamed,
}

impl<'a> Temporary<'a> {
    /// Takes the name, in an empty file of mode 0600 that has a lock.
    pub(crate) fn take(board: &'a Path) -> Result<(File, Self), CreateError> {
        let path = temporary_path(board)?;
        for _ in 0..ATTEMPTS {
            let file = match open_temporary(&path, board) {
                Err(CreateError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                    return Err(CreateError::NoDirectory { path: board.into() });
                }
                opened => opened?,
            };
            match try_lock(&file).map_err(io_error("lock", board))? {
                Lock::Taken => {}
                Lock::Contended => return Err(CreateError::Creating { path: board.into() }),
            }
            let own = FileId::of(&file).map_err(io_error("examine", board))?;
            if FileId::at(&path).map_err(io_error("examine", board))? == Some(own) {
                let temporary = Self { board, path, fate: Fate::Temporary };
                empty(&file).map_err(io_error("prepare", board))?;
                return Ok((file, temporary));
            }
        }
        Err(CreateError::Creating { path: board.into() })
    }

    /// Opens the locked file once more, as a description without a lock.
    fn open_again(&self, locked: &File) -> Result<File, CreateError> {
        let file = open_temporary(&self.path, self.board)?;
        let examine = || io_error("examine", self.board);
        if FileId::of(&file).map_err(examine())? == FileId::of(locked).map_err(examine())? {
            Ok(file)
        } else {
            Err(CreateError::Creating { path: self.board.into() })
        }
    }

    pub(crate) fn rename(&mut self) -> Result<(), CreateError> {
        fs::rename(&self.path, self.board).map_err(io_error("rename", self.board))?;
        self.fate = Fate::Renamed;
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if self.fate == Fate::Temporary {
            // The lock is held, so it is ours to remove. Nothing is left to do if that fails.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes it a private file without contents, whatever the umask and a former creator did. Others may read it once it is
/// complete.
fn empty(file: &File) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.set_len(0)
}

/// The name beside the board that all its creators agree on.
fn temporary_path(board: &Path) -> Result<PathBuf, CreateError> {
    let no_name = || CreateError::NoFileName { path: board.into() };
    let mut name = OsString::from(".");
    name.push(board.file_name().ok_or_else(no_name)?);
    name.push(".new");
    Ok(board.with_file_name(name))
}

fn open_temporary(path: &Path, board: &Path) -> Result<File, CreateError> {
    let flags =
        OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR) {
        Ok(descriptor) => File::from(descriptor),
        Err(Errno::LOOP) => {
            return Err(CreateError::Foreign { path: path.into(), reason: Foreign::SymbolicLink });
        }
        Err(errno) => {
            return Err(io_error("create", board)(errno.into()));
        }
    };
    let metadata = file.metadata().map_err(io_error("examine", board))?;
    refuse_foreign(&metadata)
        .map_err(|reason| CreateError::Foreign { path: path.into(), reason })?;
    Ok(file)
}

/// Gives the file all its space up to `to` now, as zeros: see `fallocate(2)`. What it has before `from`, where it ends, stays.
pub(crate) fn reserve(file: &File, from: u64, to: u64) -> io::Result<()> {
    for _ in 0..ATTEMPTS {
        match rustix::fs::fallocate(file, FallocateFlags::empty(), from, to - from) {
            Ok(()) => return Ok(()),
            // tmpfs gives up at a signal, and gives back what it had.
            Err(Errno::INTR) => {}
            // Not of this file system, of this kernel, or in this sandbox.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => {
                return write_zeros(file, from, to);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(ErrorKind::Interrupted.into())
}

/// What is left on file systems that cannot reserve.
fn write_zeros(file: &File, from: u64, to: u64) -> io::Result<()> {
    const CHUNK: usize = 64 * 1024;
    for offset in (from..to).step_by(CHUNK) {
        let rest = usize::try_from(to - offset).unwrap_or(CHUNK).min(CHUNK);
        file.write_all_at(&[0; CHUNK][..rest], offset)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_fill_the_whole_file() {
        let file = tempfile::tempfile().expect("a temporary file");
        write_zeros(&file, 0, 200_000).expect("room for 200 kB");
        assert_eq!(file.metadata().expect("its size").len(), 200_000);
    }

    #[test]
    fn what_a_file_has_stays_when_it_grows() {
        for grow in [reserve, write_zeros] {
            let file = tempfile::tempfile().expect("a temporary file");
            file.write_all_at(&[7; 5000], 0).expect("written");
            grow(&file, 5000, 200_000).expect("room for 200 kB");
            let mut bytes = vec![1; 200_000];
            file.read_exact_at(&mut bytes, 0).expect("so long");
            assert!(bytes[..5000].iter().all(|it| *it == 7), "overwritten");
            assert!(bytes[5000..].iter().all(|it| *it == 0), "no zeros");
        }
    }

    #[test]
    fn a_path_without_a_name_is_refused() {
        for path in ["/", "..", "/run/.."] {
            let error = temporary_path(Path::new(path)).expect_err("no file name");
            assert!(matches!(error, CreateError::NoFileName { .. }), "{path}: {error}");
        }
    }

    #[test]
    fn numbers_of_slots_are_checked() {
        for (slots, accepted) in
            [(0, false), (1, true), (MAX_SLOTS, true), (MAX_SLOTS + 1, false), (usize::MAX, false)]
        {
            assert_eq!(check_slots(slots).is_ok(), accepted, "{slots} slots");
        }
    }
}
