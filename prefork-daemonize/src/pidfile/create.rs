//! Making a pid file, or taking over a stale one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;

use super::draft::{self, Draft, NoDraft, Over};
use super::locks::{self, Lock, Owner};
use super::{PidFile, PidFileError, Predecessor, lock_error, open_error, registry};
use crate::nofollow::{FileId, Found, Kind};
use crate::pid::Pid;
use crate::wait::Deadline;

/// How long a lock may be held by somebody who does not show itself before that is believed.
const PATIENCE: Duration = Duration::from_secs(1);

/// No pid file is longer, ours or not; in bytes.
const LONGEST: usize = 64;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// How often the file may change under our hands; every round of an honest race ends with one
/// process owning it, so the number is far more than any race needs.
const ROUNDS: u32 = 1000;

/// Why one try gave no pid file.
#[derive(Debug)]
pub(super) enum Setback {
    /// What stands at the path has changed meanwhile: look again.
    Changed,
    /// Held by nobody we can name: wait a little.
    Unexplained(PidFileError),
    /// It cannot be had.
    Refused(PidFileError),
}

impl From<PidFileError> for Setback {
    fn from(error: PidFileError) -> Self {
        Self::Refused(error)
    }
}

/// Makes the file, and waits a little for a holder that may be about to give it up.
pub(super) fn create(path: &Path) -> Result<PidFile, PidFileError> {
    let path = std::path::absolute(path)
        .map_err(|source| PidFileError::Path { path: path.to_owned(), source })?;
    let patience = Deadline::after(PATIENCE);
    for _ in 0..ROUNDS {
        match attempt(&path, None) {
            Ok(pid_file) => {
                let synced = pid_file.file.sync_all();
                synced.map_err(|source| PidFileError::Write { path, source })?;
                return Ok(pid_file);
            }
            Err(Setback::Changed) => {}
            Err(Setback::Unexplained(error)) if patience.has_passed() => return Err(error),
            Err(Setback::Unexplained(_)) => thread::sleep(PAUSE),
            Err(Setback::Refused(error)) => return Err(error),
        }
    }
    Err(PidFileError::Unsettled { path })
}

/// Makes the file again that this process had, `own`, or fails at once.
pub(super) fn create_again(path: &Path, own: FileId) -> Result<PidFile, PidFileError> {
    attempt(path, Some(own)).map_err(|setback| match setback {
        Setback::Changed => PidFileError::Unsettled { path: path.to_owned() },
        Setback::Unexplained(error) | Setback::Refused(error) => error,
    })
}

fn attempt(path: &Path, own: Option<FileId>) -> Result<PidFile, Setback> {
    // Before anything is made: a daemon that runs is the usual reason to end here.
    let place = judge(path, own)?;
    let draft = match Draft::take(path) {
        Ok(draft) => draft,
        Err(NoDraft::Other(setback)) => return Err(setback),
        Err(NoDraft::Directory(source)) => {
            return match place {
                Place::Stale(file) => take_over_in_place(path, file),
                Place::Free | Place::Own => Err(open_error(path, source).into()),
            };
        }
    };
    // And again, as nobody else makes one now.
    let place = judge(path, own)?;
    let (over, predecessor) = match &place {
        Place::Free => (Over::Nothing, Predecessor::None),
        Place::Own => (Over::Anything, Predecessor::None),
        Place::Stale(stale) => {
            keep_out(path, stale)?;
            (Over::Anything, Predecessor::Died)
        }
    };
    let file = draft.publish(path, over)?;
    let identity = identity(path, &file)?;
    Ok(PidFile::new(file, path.to_owned(), identity, predecessor))
}

/// What stands at the path, and may be replaced.
#[derive(Debug)]
enum Place {
    Free,
    /// Left by somebody who has ended.
    Stale(File),
    /// The file that this process had.
    Own,
}

/// Judges what stands at the path.
fn judge(path: &Path, own: Option<FileId>) -> Result<Place, Setback> {
    let found = match Found::at(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Place::Free),
        Err(source) => return Err(open_error(path, source).into()),
    };
    if own == Some(found.identity()) {
        return Ok(Place::Own);
    }
    let file = open_existing(path, &found)?;
    match locks::owner_of(&file).map_err(|source| lock_error(path, source))? {
        Owner::Nobody if is_something_else(&file).map_err(|source| open_error(path, source))? => {
            Err(PidFileError::Contents { path: path.to_owned() }.into())
        }
        Owner::Nobody => Ok(Place::Stale(file)),
        Owner::Process(_) | Owner::Invisible if !still_at(path, &file)? => Err(Setback::Changed),
        Owner::Process(pid) => {
            Err(PidFileError::Held { path: path.to_owned(), pid: Some(pid) }.into())
        }
        Owner::Invisible => {
            Err(Setback::Unexplained(PidFileError::Held { path: path.to_owned(), pid: None }))
        }
    }
}

/// Opens what stands at the path if it may be a pid file of ours.
fn open_existing(path: &Path, found: &Found) -> Result<File, Setback> {
    if found.kind() != Kind::Regular {
        let kind = found.kind().to_string();
        return Err(PidFileError::NotAFile { path: path.to_owned(), kind }.into());
    }
    if found.links() == 0 {
        return Err(Setback::Changed);
    }
    if found.links() > 1 {
        let links = found.links();
        return Err(PidFileError::HardLinked { path: path.to_owned(), links }.into());
    }
    let me = rustix::process::geteuid().as_raw();
    if found.owner() != me && found.owner() != 0 {
        let uid = found.owner();
        return Err(PidFileError::ForeignOwner { path: path.to_owned(), uid }.into());
    }
    if registry::is_ours(found.identity()) {
        // Opening it would, at the close, take the record lock of the one we have.
        let pid = Some(Pid::current());
        return Err(PidFileError::Held { path: path.to_owned(), pid }.into());
    }
    Ok(found.open(OFlags::RDWR).map_err(|source| open_error(path, source))?)
}

/// Keeps those out who take over a stale file as it is, for as long as this copy of it is open. Where a
/// reader has it locked they cannot lock it either, and look for a draft before they go on.
fn keep_out(path: &Path, stale: &File) -> Result<(), Setback> {
    match locks::take(stale).map_err(|source| lock_error(path, source))? {
        Lock::Taken => Ok(()),
        Lock::Busy => match locks::owner_of(stale).map_err(|source| lock_error(path, source))? {
            Owner::Nobody => Ok(()),
            Owner::Process(_) | Owner::Invisible => Err(Setback::Changed),
        },
    }
}

/// Takes over a stale file as it is, where the directory does not let us put another in its place.
fn take_over_in_place(path: &Path, file: File) -> Result<PidFile, Setback> {
    match locks::take(&file).map_err(|source| lock_error(path, source))? {
        Lock::Taken => {}
        Lock::Busy => {
            return Err(Setback::Unexplained(lock_error(path, io::ErrorKind::WouldBlock.into())));
        }
    }
    // Before it is compared: a process with a draft may have judged the file before it was locked.
    if draft::is_there(path) {
        let (path, draft) = (path.to_owned(), draft::path_of(path));
        return Err(Setback::Unexplained(PidFileError::InTheMaking { path, draft, pid: None }));
    }
    if !still_at(path, &file)? {
        return Err(Setback::Changed);
    }
    let written = draft::make_readable(&file).and_then(|()| draft::write_pid(&file));
    written.map_err(|source| PidFileError::Write { path: path.to_owned(), source })?;
    let identity = identity(path, &file)?;
    Ok(PidFile::new(file, path.to_owned(), identity, Predecessor::Died))
}

/// Whether the file is certainly no pid file but something that is missed if it goes: so long, and not
/// a number. What is short may be a pid file that was damaged, as by a crash of the machine.
fn is_something_else(file: &File) -> io::Result<bool> {
    let mut head = [0; LONGEST];
    if file.metadata()?.len() <= LONGEST as u64 {
        return Ok(false);
    }
    let length = file.read_at(&mut head, 0)?;
    let is_usual = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_whitespace() || *byte == 0;
    Ok(!head[..length].iter().all(is_usual))
}

pub(super) fn still_at(path: &Path, file: &File) -> Result<bool, PidFileError> {
    let found = FileId::at(path).map_err(|source| open_error(path, source))?;
    Ok(found == Some(identity(path, file)?))
}

fn identity(path: &Path, file: &File) -> Result<FileId, PidFileError> {
    FileId::of(file).map_err(|source| open_error(path, source))
}
