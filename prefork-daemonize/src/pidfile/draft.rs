//! The file that becomes a pid file.
//!
//! Made beside the path under a fixed name, so that there is one maker at a time, and with a mode that
//! keeps all others out until it is locked: nobody can ever have a lock on it before. It appears at the
//! path by a rename, whole and locked; so what stands there without a write lock is stale, and stays it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::create::{Setback, still_at};
use super::locks::{self, Lock, Owner};
use super::{PidFileError, lock_error, open_error};
use crate::pid::Pid;

/// A locked file beside the path.
#[derive(Debug)]
pub(super) struct Draft {
    /// Dropped first: while the file is locked, its name is ours to remove.
    name: Name,
    file: File,
}

/// The name of a draft; removed when dropped, unless it has become that of the pid file.
#[derive(Debug)]
struct Name {
    path: PathBuf,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Draft,
    Renamed,
}

/// Why there is no draft.
#[derive(Debug)]
pub(super) enum NoDraft {
    /// The directory lets this process make no files.
    Directory(io::Error),
    /// Anything else.
    Other(Setback),
}

impl From<PidFileError> for NoDraft {
    fn from(error: PidFileError) -> Self {
        Self::Other(error.into())
    }
}

/// What a rename may put itself in the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Nothing,
    Anything,
}

impl Draft {
    /// Makes and locks the draft of the pid file at `path`, or takes over that of a start which was killed.
    pub(super) fn take(path: &Path) -> Result<Self, NoDraft> {
        let draft = path_of(path);
        let flags = OFlags::RDWR
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let file: File = match rustix::fs::open(&draft, flags, PRIVATE) {
            Ok(fd) => fd.into(),
            Err(errno) => return Err(not_opened(path, draft, errno)),
        };
        judge(&draft, &file)?;
        match locks::take(&file).map_err(|source| lock_error(&draft, source))? {
            Lock::Taken => {}
            Lock::Busy => {
                let owner = locks::owner_of(&file).map_err(|source| lock_error(&draft, source))?;
                let pid = match owner {
                    Owner::Process(pid) => Some(pid),
                    Owner::Nobody | Owner::Invisible => None,
                };
                let error = PidFileError::InTheMaking { path: path.to_owned(), draft, pid };
                return Err(NoDraft::Other(Setback::Unexplained(error)));
            }
        }
        if !still_at(&draft, &file)? {
            return Err(NoDraft::Other(Setback::Changed));
        }
        let draft = Self { name: Name { path: draft, fate: Fate::Draft }, file };
        let emptied = draft.file.set_len(0).and_then(|()| set_mode(&draft.file, PRIVATE));
        emptied.map_err(|source| open_error(&draft.name.path, source))?;
        Ok(draft)
    }

    /// Puts it at the path, with the pid in it; readable by all once it is there.
    pub(super) fn publish(self, path: &Path, over: Over) -> Result<File, Setback> {
        let Self { mut name, file } = self;
        let write_error = |source| PidFileError::Write { path: path.to_owned(), source };
        write_pid(&file).map_err(write_error)?;
        match rename(&name.path, path, over) {
            Ok(()) => name.fate = Fate::Renamed,
            Err(Errno::EXIST) => return Err(Setback::Changed),
            Err(errno) => return Err(open_error(path, errno.into()).into()),
        }
        make_readable(&file).map_err(write_error)?;
        Ok(file)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        match self.fate {
            Fate::Draft => drop(std::fs::remove_file(&self.path)),
            Fate::Renamed => {}
        }
    }
}

fn rename(draft: &Path, path: &Path, over: Over) -> rustix::io::Result<()> {
    let flags = match over {
        Over::Nothing => RenameFlags::NOREPLACE,
        Over::Anything => return rustix::fs::rename(draft, path),
    };
    match rustix::fs::renameat_with(CWD, draft, CWD, path, flags) {
        // The file system does not know it. To make a pid file takes a draft, and this is ours.
        Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::rename(draft, path),
        outcome => outcome,
    }
}

/// Whether somebody is making a pid file at the path at this moment, or was killed while doing so.
pub(super) fn is_there(path: &Path) -> bool {
    path_of(path).symlink_metadata().is_ok()
}

/// The name that all makers agree on.
pub(super) fn path_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

/// For its owner alone.
const PRIVATE: Mode = Mode::from_raw_mode(0o600);

/// Readable by all, writable by the owner.
const PUBLIC: Mode = Mode::from_raw_mode(0o644);

/// Writes the pid as the whole content.
pub(super) fn write_pid(mut file: &File) -> io::Result<()> {
    file.set_len(0)?;
    io::Seek::rewind(&mut file)?;
    file.write_all(content().as_bytes())
}

/// What a pid file of this process contains.
pub(super) fn content() -> String {
    format!("{}\n", Pid::current())
}

/// Makes a pid file readable by all, whatever the umask is.
pub(super) fn make_readable(file: &File) -> io::Result<()> {
    set_mode(file, PUBLIC)
}

fn set_mode(file: &File, mode: Mode) -> io::Result<()> {
    Ok(rustix::fs::fchmod(file, mode)?)
}

fn judge(draft: &Path, file: &File) -> Result<(), NoDraft> {
    let metadata = file.metadata().map_err(|source| open_error(draft, source))?;
    let path = || draft.to_owned();
    if !metadata.is_file() {
        let kind = "no regular file".to_owned();
        return Err(PidFileError::NotAFile { path: path(), kind }.into());
    }
    let uid = metadata.uid();
    if uid != rustix::process::geteuid().as_raw() {
        return Err(PidFileError::ForeignOwner { path: path(), uid }.into());
    }
    match metadata.nlink() {
        0 => Err(NoDraft::Other(Setback::Changed)),
        1 => Ok(()),
        links => Err(PidFileError::HardLinked { path: path(), links }.into()),
    }
}

fn not_opened(path: &Path, draft: PathBuf, errno: Errno) -> NoDraft {
    let source = io::Error::from(errno);
    match errno {
        Errno::NOENT => PidFileError::NoDirectory { path: path.to_owned(), source }.into(),
        Errno::LOOP => {
            PidFileError::NotAFile { path: draft, kind: "a symbolic link".to_owned() }.into()
        }
        // Under umask 777 a draft has mode 000 until its maker has set it.
        Errno::ACCESS if draft.symlink_metadata().is_ok() => {
            let error = PidFileError::InTheMaking { path: path.to_owned(), draft, pid: None };
            NoDraft::Other(Setback::Unexplained(error))
        }
        Errno::ACCESS | Errno::PERM | Errno::ROFS => NoDraft::Directory(source),
        _ => open_error(path, source).into(),
    }
}
