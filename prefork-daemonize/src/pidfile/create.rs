//! Making a pid file, or taking over a stale one.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::record_lock::{self, Owner, RecordLock};
use super::{PidFile, PidFileError, Removal, registry};
use crate::nofollow::{Found, Identity, Kind};
use crate::pid::Pid;
use crate::wait::Deadline;

/// How long a lock may be held by somebody who does not show itself before that is believed.
const PATIENCE: Duration = Duration::from_secs(1);

/// No pid file is longer, whoever has written it; in bytes.
const LONGEST: usize = 64;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// How often the file may change under our hands; every round of an honest race ends with one
/// process owning it, so the number is far more than any race needs.
const ROUNDS: u32 = 1000;

/// What one try gave, short of an error.
enum Try {
    /// It is ours.
    Owned(PidFile),
    /// What stands at the path has changed meanwhile: look again.
    Changed,
    /// Held by nobody we can name: wait a little.
    Unexplained(PidFileError),
}

pub(super) fn create(path: &Path) -> Result<PidFile, PidFileError> {
    let path = crate::absolute(path)
        .map_err(|source| PidFileError::Path { path: path.to_owned(), source })?;
    let patience = Deadline::after(PATIENCE);
    for _ in 0..ROUNDS {
        match attempt(&path)? {
            Try::Owned(pid_file) => return Ok(pid_file),
            Try::Changed => {}
            Try::Unexplained(error) if patience.has_passed() => return Err(error),
            Try::Unexplained(_) => thread::sleep(PAUSE),
        }
    }
    Err(PidFileError::Unsettled { path })
}

fn attempt(path: &Path) -> Result<Try, PidFileError> {
    let file = match Found::at(path) {
        Ok(found) => match open_existing(path, &found)? {
            Ok(file) => file,
            Err(not_yet) => return Ok(not_yet),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => match create_new(path)? {
            Some(file) => file,
            None => return Ok(Try::Changed),
        },
        Err(source) => return Err(open_error(path, source)),
    };
    // Locked through a description of its own, which children inherit and can only read.
    let lock = match File::open(format!("/proc/self/fd/{}", file.as_raw_fd())) {
        Ok(lock) => lock,
        Err(source) => return Err(open_error(path, source)),
    };
    // fs2's by name: the standard library has a method of the same name.
    match fs2::FileExt::try_lock_exclusive(&lock) {
        Ok(()) => claim(path, file, lock),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => held(path, &file),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Try::Changed),
        Err(source) => Err(lock_error(path, source)),
    }
}

/// Judges what stands at the path, and opens it if it may be a pid file of ours.
fn open_existing(path: &Path, found: &Found) -> Result<Result<File, Try>, PidFileError> {
    if found.kind() != Kind::Regular {
        let kind = found.kind().to_string();
        return Err(PidFileError::NotAFile { path: path.to_owned(), kind });
    }
    if found.links() == 0 {
        return Ok(Err(Try::Changed));
    }
    if found.links() > 1 {
        let links = found.links();
        return Err(PidFileError::HardLinked { path: path.to_owned(), links });
    }
    let me = rustix::process::geteuid().as_raw();
    if found.owner() != me && found.owner() != 0 {
        return Err(PidFileError::ForeignOwner { path: path.to_owned(), uid: found.owner() });
    }
    if registry::is_ours(found.identity()) {
        // Opening it would, at the close, take the record lock of the one we have.
        return Err(PidFileError::Held { path: path.to_owned(), pid: Some(Pid::current()) });
    }
    match found.open(OFlags::RDWR) {
        Ok(file) => Ok(Ok(file)),
        // Under umask 777 a file has mode 000 until its maker has set it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && found.owner() == me => {
            Ok(Err(Try::Unexplained(open_error(path, error))))
        }
        Err(source) => Err(open_error(path, source)),
    }
}

/// Creates the file; `None` when somebody else was faster.
fn create_new(path: &Path) -> Result<Option<File>, PidFileError> {
    let flags = OFlags::RDWR
        | OFlags::CREATE
        | OFlags::EXCL
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, MODE) {
        Ok(fd) => {
            // At once: under umask 777 not even its maker could open it a second time.
            rustix::fs::fchmod(&fd, MODE).map_err(|errno| open_error(path, errno.into()))?;
            Ok(Some(fd.into()))
        }
        Err(Errno::EXIST) => Ok(None),
        Err(Errno::NOENT) => {
            Err(PidFileError::NoDirectory { path: path.to_owned(), source: Errno::NOENT.into() })
        }
        Err(errno) => Err(open_error(path, errno.into())),
    }
}

/// Readable by all, writable by the owner.
const MODE: Mode = Mode::from_raw_mode(0o644);

/// Finds out who holds the lock that we did not get.
fn held(path: &Path, file: &File) -> Result<Try, PidFileError> {
    let owner = record_lock::owner_of(file).map_err(|source| lock_error(path, source))?;
    if !still_at(path, file)? {
        return Ok(Try::Changed);
    }
    let path = path.to_owned();
    match owner {
        Owner::Process(pid) => Err(PidFileError::Held { path, pid: Some(pid) }),
        Owner::Nobody | Owner::Invisible => {
            Ok(Try::Unexplained(PidFileError::Held { path, pid: None }))
        }
    }
}

/// Makes the locked file ours, if it still is the one at the path.
fn claim(path: &Path, file: File, lock: File) -> Result<Try, PidFileError> {
    if !still_at(path, &file)? {
        return Ok(Try::Changed);
    }
    // An owner can have lost its flock only by a child that unlocked the shared descriptor; its
    // record lock still says that it lives.
    match record_lock::owner_of(&file).map_err(|source| lock_error(path, source))? {
        Owner::Nobody => {}
        Owner::Process(pid) => {
            return Err(PidFileError::Held { path: path.to_owned(), pid: Some(pid) });
        }
        Owner::Invisible => {
            return Err(PidFileError::Held { path: path.to_owned(), pid: None });
        }
    }
    if is_something_else(&file).map_err(|source| open_error(path, source))? {
        return Err(PidFileError::Contents { path: path.to_owned() });
    }
    let mut unfinished = Unfinished { path, due: true };
    let written = write_pid(&file);
    written.map_err(|source| PidFileError::Write { path: path.to_owned(), source })?;
    match record_lock::take(&file) {
        Ok(RecordLock::Taken) => {}
        // Somebody who may only read the file has locked it for reading, to keep us out: the
        // file goes, and a new one is made that nobody has open.
        Ok(RecordLock::Busy) => return Ok(Try::Changed),
        Err(source) => return Err(lock_error(path, source)),
    }
    let synced = file.sync_all();
    synced.map_err(|source| PidFileError::Write { path: path.to_owned(), source })?;
    let identity = identity(path, &file)?;
    unfinished.due = false;
    registry::remember(identity, path.to_owned());
    let path = path.to_owned();
    let owner = Pid::current();
    Ok(Try::Owned(PidFile { file, lock, path, identity, owner, removal: Removal::Due }))
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

/// Writes the pid as the whole content, readable by all.
fn write_pid(mut file: &File) -> io::Result<()> {
    rustix::fs::fchmod(file, MODE)?;
    file.set_len(0)?;
    file.write_all(format!("{}\n", Pid::current()).as_bytes())
}

fn still_at(path: &Path, file: &File) -> Result<bool, PidFileError> {
    let found = Identity::at(path).map_err(|source| open_error(path, source))?;
    Ok(found == Some(identity(path, file)?))
}

fn identity(path: &Path, file: &File) -> Result<Identity, PidFileError> {
    Identity::of(file).map_err(|source| open_error(path, source))
}

/// Removes the name of a file that did not become a pid file; the lock is held meanwhile, as
/// the file is dropped after this.
struct Unfinished<'a> {
    path: &'a Path,
    due: bool,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.due {
            let _ = std::fs::remove_file(self.path);
        }
    }
}

fn open_error(path: &Path, source: io::Error) -> PidFileError {
    PidFileError::Open { path: PathBuf::from(path), source }
}

fn lock_error(path: &Path, source: io::Error) -> PidFileError {
    PidFileError::Lock { path: PathBuf::from(path), source }
}
