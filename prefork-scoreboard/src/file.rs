//! Facts about files that several operations need.

use crate::error::Foreign;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use std::borrow::Borrow;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|metadata| Self::from(&metadata))
    }

    /// The file that `path` names itself, links not followed; `None` if there is none.
    pub(crate) fn at(path: &Path) -> io::Result<Option<Self>> {
        match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(Self::from(&metadata))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl From<&Metadata> for FileId {
    fn from(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// Refuses files that somebody else may hold under another name or as their own.
pub(crate) fn refuse_foreign(metadata: &Metadata) -> Result<(), Foreign> {
    if !metadata.is_file() {
        Err(Foreign::NotRegular)
    } else if metadata.nlink() > 1 {
        Err(Foreign::Linked { links: metadata.nlink() })
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        Err(Foreign::Owner { uid: metadata.uid() })
    } else {
        Ok(())
    }
}

/// What came of asking for a lock without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    Taken,
    Contended,
}

/// Asks for the exclusive `flock(2)` of the open file description, which a forked child shares.
pub(crate) fn try_lock(file: &File) -> io::Result<Lock> {
    match fs2::FileExt::try_lock_exclusive(file) {
        Ok(()) => Ok(Lock::Taken),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Lock::Contended),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Lock::Contended),
        Err(error) => Err(error),
    }
}

/// Asks for the shared `flock(2)` of the open file description.
pub(crate) fn try_lock_shared(file: &File) -> io::Result<Lock> {
    match fs2::FileExt::try_lock_shared(file) {
        Ok(()) => Ok(Lock::Taken),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Lock::Contended),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Lock::Contended),
        Err(error) => Err(error),
    }
}

/// The lock of one byte of an open file description, `F_OFD_SETLK` of `fcntl(2)`; released on drop, or when the last
/// process that has the description ends.
#[derive(Debug)]
pub(crate) struct ByteLock<'a> {
    file: &'a File,
    offset: i64,
}

impl<'a> ByteLock<'a> {
    /// Asks for the lock; `None` if another description has it.
    pub(crate) fn take(file: &'a File, offset: u64) -> io::Result<Option<Self>> {
        let offset = i64::try_from(offset).map_err(io::Error::other)?;
        match change_lock(file, offset, libc::F_WRLCK) {
            Ok(()) => Ok(Some(Self { file, offset })),
            Err(Errno::EAGAIN | Errno::EACCES | Errno::EINTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Drop for ByteLock<'_> {
    fn drop(&mut self) {
        // Cannot fail on a descriptor that is open.
        let _ = change_lock(self.file, self.offset, libc::F_UNLCK);
    }
}

fn change_lock(file: &File, offset: i64, kind: i32) -> Result<(), Errno> {
    let (Ok(l_type), Ok(l_whence)) = (i16::try_from(kind), i16::try_from(libc::SEEK_SET)) else {
        return Err(Errno::EINVAL);
    };
    let lock = libc::flock {
        l_type,
        l_whence,
        l_start: offset,
        l_len: 1,
        // As F_OFD_SETLK demands.
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_SETLK(&lock)).map(drop)
}

/// A file whose lock is released on drop, although others may have the description.
///
/// Closing alone does not do it while a process that another thread forks holds a copy of the
/// descriptor, if only until it execs.
///
/// Nor does it while a mapping that was made through the description lives.
#[derive(Debug)]
pub(crate) struct Locked<F: Borrow<File> = File>(F);

impl<F: Borrow<File>> Locked<F> {
    /// Takes charge of the lock of `file`, if it has one.
    pub(crate) const fn new(file: F) -> Self {
        Self(file)
    }
}

impl<F: Borrow<File>> Deref for Locked<F> {
    type Target = File;

    fn deref(&self) -> &File {
        self.0.borrow()
    }
}

impl<F: Borrow<File>> Drop for Locked<F> {
    fn drop(&mut self) {
        // Cannot fail on a descriptor that is open.
        let _ = fs2::FileExt::unlock(self.0.borrow());
    }
}
