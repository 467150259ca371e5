//! Facts about files that several operations need.

use crate::error::Foreign;
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
