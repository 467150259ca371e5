//! What is at the path of a board to be, and whether it may be replaced.

use crate::claim;
use crate::create::{ATTEMPTS, io_error};
use crate::description::Description;
use crate::error::{CreateError, Foreign, HeaderFault, OpenError};
use crate::file::{FileId, Lock, Locked, refuse_foreign, try_lock};
use crate::format::{HEADER_SIZE, MAGIC, MAX_SLOTS};
use crate::header::{self, Header, Kind};
use crate::open::{open_file, read_header};
use crate::options::Plan;
use crate::process;
use rustix::fs::OFlags;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::yield_now;

/// How often a lock is asked for that may be a reader's.
const GLANCES: usize = 16;

/// What is at the path of the board to be.
pub(crate) enum Occupant {
    Nobody,
    /// A board that nobody holds any more, locked; or the caller's own.
    Stale(Locked),
    /// A shared board of this boot.
    Usable,
}

/// Looks at what is at `path`, and decides about it. `own` is a file there that the caller holds itself.
pub(crate) fn occupant(
    path: &Path,
    plan: &Plan,
    own: Option<FileId>,
) -> Result<Occupant, CreateError> {
    for _ in 0..ATTEMPTS {
        let Some(file) = open_occupant(path)? else { return Ok(Occupant::Nobody) };
        let metadata = file.metadata().map_err(io_error("examine", path))?;
        let identity = FileId::from(&metadata);
        if own == Some(identity) {
            return Ok(Occupant::Stale(Locked::new(file)));
        }
        refuse_foreign(&metadata)
            .map_err(|reason| CreateError::Foreign { path: path.into(), reason })?;
        if !is_free(&file).map_err(io_error("lock", path))? {
            return Err(CreateError::Held { path: path.into(), pid: creator(&file) });
        }
        let file = Locked::new(file);
        if FileId::at(path).map_err(io_error("examine", path))? == Some(identity) {
            return judge_occupant(path, file, plan);
        }
    }
    Err(CreateError::Creating { path: path.into() })
}

/// Returns whether the lock of what is at the path could be had. A reader that looks whether an owner has it (see
/// [`Board::creator_life`]) holds it for a moment, so it is offered the processor to go on; a parent that makes its board
/// again is not to sleep for that.
fn is_free(file: &File) -> io::Result<bool> {
    for _ in 0..GLANCES {
        match try_lock(file)? {
            Lock::Taken => return Ok(true),
            Lock::Contended => yield_now(),
        }
    }
    Ok(false)
}

fn open_occupant(path: &Path) -> Result<Option<File>, CreateError> {
    match open_file(path, OFlags::RDWR) {
        Ok(file) => Ok(Some(file)),
        Err(OpenError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(OpenError::Io { action, path, source }) => {
            Err(CreateError::Io { action, path, source })
        }
        Err(OpenError::Foreign { path, reason }) => Err(CreateError::Foreign { path, reason }),
        Err(OpenError::Header { path, .. } | OpenError::NotOurs { path }) => {
            Err(CreateError::Foreign { path, reason: Foreign::Contents })
        }
    }
}

/// Decides about a file that is locked, and so nobody's who would hold a lock.
fn judge_occupant(path: &Path, file: Locked, plan: &Plan) -> Result<Occupant, CreateError> {
    let header = match read_header(&file).map_err(io_error("read", path))? {
        Ok(header) => header,
        Err(HeaderFault::Version { found, supported }) => {
            return match read_is_claimed(&file).map_err(io_error("read", path))? {
                true => Err(CreateError::Version { path: path.into(), found, supported }),
                false => Ok(Occupant::Stale(file)),
            };
        }
        Err(_) if begins_like_a_board(&file).map_err(io_error("read", path))? => {
            return judge_damaged(path, file);
        }
        Err(_) => {
            return Err(CreateError::Foreign { path: path.into(), reason: Foreign::Contents });
        }
    };
    if header.kind == Kind::Owned || !header.is_of_this_boot() {
        return Ok(Occupant::Stale(file));
    }
    let missing = match plan.kind {
        Kind::Owned => None,
        Kind::Shared => {
            let description = Description::read(&file).map_err(io_error("read", path))?;
            match description.missing(&plan.description) {
                None => return Ok(Occupant::Usable),
                Some(column) => Some(column.to_string()),
            }
        }
    };
    let path = path.to_owned();
    match (claim::first_living(&file, &header), missing) {
        (None, _) => Ok(Occupant::Stale(file)),
        (Some(pid), None) => Err(CreateError::Shared { path, pid }),
        (Some(pid), Some(column)) => Err(CreateError::Columns { path, column, pid }),
    }
}

/// Whether processes may have slots of a board of any version, although nobody has its lock.
fn read_is_claimed(file: &File) -> io::Result<bool> {
    let mut bytes = [0; HEADER_SIZE];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(header::may_be_claimed(&bytes))
}

/// Decides about a locked file that begins like a board, but whose header cannot be read. An owner would hold the lock;
/// those who claimed a slot are looked for where this machine would have put their records.
fn judge_damaged(path: &Path, file: Locked) -> Result<Occupant, CreateError> {
    let size = file.metadata().map_err(io_error("examine", path))?.len();
    let guess = Header::new(Kind::Shared, 1);
    let pages = (size / u64::from(guess.stride)).clamp(1, MAX_SLOTS as u64 + 1);
    let slots = u32::try_from(pages - 1).unwrap_or(0);
    match claim::first_living_claimer(&file, &Header { slots, ..guess }) {
        Some(pid) => Err(CreateError::Damaged { path: path.into(), pid }),
        None => Ok(Occupant::Stale(file)),
    }
}

/// Distinguishes a damaged board, or an empty file, from a file that means something to somebody.
fn begins_like_a_board(file: &File) -> io::Result<bool> {
    let mut magic = [0; MAGIC.len()];
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    match file.read_exact_at(&mut magic, 0) {
        Ok(()) => Ok(magic == MAGIC),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn creator(file: &File) -> Option<u32> {
    let header = read_header(file).ok()?.ok()?;
    process::plausible_pid(u64::from(header.creator))
}
