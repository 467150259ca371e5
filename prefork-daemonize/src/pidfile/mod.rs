//! The pid file: one daemon at a time, and proof of which process it is.
//!
//! # Problem
//!
//! A lock that keeps a second daemon out must be nobody's to release, and nobody's to take but a daemon's:
//! no child's, and no stranger's who can read the file. And it should name its holder. No lock does all:
//!
//! - flock(2) needs no right to write, so any reader can take it; and a process that has inherited the descriptor
//!   can release it.
//! - A record lock (fcntl_locking(2), `F_SETLK`) belongs to the process: fork does not inherit it, exec
//!   keeps it, and `F_GETLK` returns the holder's pid. But it is lost when its process closes *any*
//!   descriptor of the file.
//! - A lock of the open file description (`F_OFD_SETLK`) is lost with the last copy of its descriptor alone,
//!   and has no pid.
//!
//! # Idea
//!
//! The last two, as write locks, which take a descriptor that is open for writing (`locks.rs`): the one
//! excludes, the other identifies. A reader can still take read locks, and so be in the way of a write lock.
//! So a daemon makes its file where nobody else can open it, locks it, and then puts it at the path by a
//! rename (`draft.rs`). No lock is ever taken on a file that was already there, and what stands at the path
//! without a write lock is stale for good, whatever readers have on it. Makers keep each other out by the
//! lock of the draft, which has one name.
//!
//! An owner removes the name while it still holds the locks. The number in the file is for people and
//! scripts. Nothing here ever believes it.
//!
//! # Assumptions
//!
//! Only root and the daemon's user can write to the directory. Where that user cannot, and the file is made
//! for it in advance, the file itself is locked: a reader can then keep a daemon from starting, which fails
//! and names the file.

mod create;
mod draft;
mod error;
mod locks;
mod registry;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub use error::PidFileError;
use locks::Lock;
pub(crate) use locks::{Owner, owner_of};
pub(crate) use registry::{held_here, is_ours};

use crate::nofollow::FileId;
use crate::pid::Pid;

/// The pid file of this process, locked for as long as the process lives.
///
/// Make it in the process that will own it: in the daemon, after
/// [`Daemonize::start`](crate::Daemonize::start) has returned there (which refuses to fork a
/// process that holds one). Drop or [`remove`](Self::remove) it last, when nothing of the daemon
/// serves any more, because from then on another may start.
///
/// A file left by a killed daemon does no harm: it is unlocked, and the next start takes it over.
///
/// # Fork
///
/// Children inherit the descriptor, and with it the right to write and to release the exclusive lock: one
/// that is not trusted drops its copy of this value, or closes all that it has inherited. As long as one
/// keeps it, no other daemon starts. Children never remove the file, neither by [`remove`](Self::remove)
/// nor by dropping their copy.
///
/// # Limitations
///
/// To read the pid file by hand in the daemon's own process makes it lose the lock that names it
/// (fcntl_locking(2): closing *any* descriptor of a file does). [`running`](crate::running),
/// [`stop`](crate::stop) and [`create`](Self::create) take care not to. If it happens, no second daemon
/// starts and nothing wrong is signalled: [`stop`](crate::stop) refuses because nobody proves to be the
/// owner, until [`restore`](Self::restore) is called.
///
/// Not for two threads of one process that make, look at or stop the same pid file at the same
/// moment: the descriptor that one of them closes takes the record lock of the other.
///
/// The file system must be local. Only root and the daemon's user may be able to write to the directory,
/// and to those above it.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("tinyd.pid");
/// use prefork_daemonize::{Holder, PidFile, running};
///
/// let pid_file = PidFile::create(&path)?;
/// assert_eq!(running(&path)?, Holder::Owner { pid: pid_file.owner() });
/// pid_file.remove()?;
/// assert_eq!(running(&path)?, Holder::Nobody);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "the pid file is removed when this is dropped"]
pub struct PidFile {
    /// Open for writing, with both locks.
    file: File,
    path: PathBuf,
    identity: FileId,
    owner: Pid,
    removal: Removal,
    predecessor: Predecessor,
}

/// Whether the name still has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Removal {
    Due,
    Done,
}

/// What has left a pid file at the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Predecessor {
    None,
    Died,
}

/// In what state a daemon has found its pid file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// It was there, and is as it was.
    Intact,
    /// Something else was written in it; it holds the pid again.
    Rewritten,
    /// It was removed, or replaced by a file that no daemon holds; a new one is there.
    MadeAgain,
}

impl PidFile {
    fn new(file: File, path: PathBuf, identity: FileId, predecessor: Predecessor) -> Self {
        registry::remember(identity, path.clone());
        Self { file, path, identity, owner: Pid::current(), removal: Removal::Due, predecessor }
    }

    /// Makes the file, or takes over a stale one, and locks it for this process.
    ///
    /// The path is made [absolute](std::path::absolute) first. The file has mode 0644 whatever the
    /// umask is and contains the pid, a newline, nothing else, on disk when this returns.
    ///
    /// Waits up to one second for a lock whose holder does not show itself: another start in
    /// its first milliseconds, or a [`stop`](crate::stop) that is just looking.
    ///
    /// # Errors
    ///
    /// [`PidFileError::Held`] when a daemon, or what a dead one left behind, holds it.
    /// [`PidFileError::Contents`] when it is longer than 64 bytes and no number, so that a file which was
    /// named by mistake is not lost. The others
    /// name what stands at the path or what the system refused; nothing is changed then, and a
    /// file that could not be filled is removed again.
    ///
    /// # Fork
    ///
    /// Belongs to the calling process, see the type.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, PidFileError> {
        create::create(path.as_ref())
    }

    /// Takes over the pid file that another program has made in this very process, before it executed
    /// this one.
    ///
    /// Both locks survive `execve(2)` if the descriptor does: the other program clears close-on-exec for
    /// the one that [`as_fd`](Self::as_fd) lends, and passes on its number and [`path`](Self::path). Nothing
    /// may close a copy of it before.
    ///
    /// # Errors
    ///
    /// [`PidFileError::Mismatch`] when this is not the descriptor of a pid file that this process holds.
    pub fn adopt(path: impl AsRef<Path>, file: OwnedFd) -> Result<Self, PidFileError> {
        let path = path.as_ref();
        let path = std::path::absolute(path)
            .map_err(|source| PidFileError::Path { path: path.to_owned(), source })?;
        let file = File::from(file);
        let identity = FileId::of(&file).map_err(|source| open_error(&path, source))?;
        // Nothing changes for a process that holds it already. The record lock alone may have got lost.
        let excludes = locks::take_exclusion(&file).map_err(|source| lock_error(&path, source))?;
        match excludes {
            Lock::Taken => {}
            Lock::Busy => return Err(PidFileError::Mismatch { path }),
        }
        locks::take_name(&file).map_err(|source| lock_error(&path, source))?;
        Ok(Self::new(file, path, identity, Predecessor::None))
    }

    /// Returns the absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the process that made the file and owns it.
    #[must_use]
    pub fn owner(&self) -> Pid {
        self.owner
    }

    /// Returns whether the file of a daemon that was killed was in its place. What such a daemon has left
    /// besides, as children that have a socket open, may take a moment to go.
    #[must_use]
    pub fn is_taken_over(&self) -> bool {
        match self.predecessor {
            Predecessor::None => false,
            Predecessor::Died => true,
        }
    }

    /// Makes sure that the file stands at its path with the pid in it, and that this process proves to own
    /// it, whatever has been done to it meanwhile.
    ///
    /// Never waits, and takes the path from no other daemon.
    ///
    /// # Errors
    ///
    /// [`PidFileError::NotOwner`] in a process that did not make the file; [`PidFileError::Held`] when
    /// another daemon has the path by now; else those of [`create`](Self::create). This process keeps its
    /// lock then, on the file that it had.
    pub fn restore(&mut self) -> Result<Restored, PidFileError> {
        if Pid::current() != self.owner {
            return Err(PidFileError::NotOwner { path: self.path.clone(), owner: self.owner });
        }
        let found = FileId::at(&self.path).map_err(|source| open_error(&self.path, source))?;
        let named =
            locks::take_name(&self.file).map_err(|source| lock_error(&self.path, source))?;
        if found == Some(self.identity) && named == Lock::Taken {
            return self.rewrite();
        }
        let again = create::create_again(&self.path, self.identity)?;
        let mut old = std::mem::replace(self, again);
        registry::forget(old.identity);
        old.removal = Removal::Done;
        Ok(Restored::MadeAgain)
    }

    /// Writes the pid, if something else stands in the file.
    fn rewrite(&self) -> Result<Restored, PidFileError> {
        let expected = draft::content();
        let mut found = vec![0; expected.len() + 1];
        let length = self.file.read_at(&mut found, 0);
        if length.is_ok_and(|length| found[..length] == *expected.as_bytes()) {
            return Ok(Restored::Intact);
        }
        let written = draft::write_pid(&self.file);
        written.map_err(|source| PidFileError::Write { path: self.path.clone(), source })?;
        Ok(Restored::Rewritten)
    }

    /// Removes the file, if this process made it and it still stands at the path, then unlocks.
    ///
    /// In any other process only this copy of the descriptor is closed. Dropping does the same
    /// and keeps silent about errors.
    ///
    /// # Errors
    ///
    /// [`PidFileError::Remove`] when the directory refuses; the file is then stale but harmless.
    pub fn remove(mut self) -> Result<(), PidFileError> {
        self.remove_name()
    }

    fn remove_name(&mut self) -> Result<(), PidFileError> {
        if self.removal == Removal::Done || Pid::current() != self.owner {
            return Ok(());
        }
        self.removal = Removal::Done;
        registry::forget(self.identity);
        // Still locked here, so no process that obeys the lock can have replaced the file; and if
        // an administrator did, the other file is not ours to remove.
        let removed = match FileId::at(&self.path) {
            Ok(Some(found)) if found == self.identity => std::fs::remove_file(&self.path),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        removed.map_err(|source| PidFileError::Remove { path: self.path.clone(), source })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // The descriptor is closed after this, so the lock outlives the name.
        let _ = self.remove_name();
    }
}

impl AsFd for PidFile {
    /// Lends the descriptor with the locks, which stay held across an exec for as long as it stays open.
    /// Closing a copy of it in this process loses the record lock, see [`restore`](PidFile::restore).
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn open_error(path: &Path, source: io::Error) -> PidFileError {
    PidFileError::Open { path: path.to_owned(), source }
}

fn lock_error(path: &Path, source: io::Error) -> PidFileError {
    PidFileError::Lock { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_holds_the_lock_goes_on_with_it() {
        let directory = tempfile::tempdir().expect("cannot make a directory");
        let path = directory.path().join("pid");
        let made = PidFile::create(&path).expect("refused");
        let file = made.as_fd().try_clone_to_owned().expect("duplicated");
        let other = File::options().read(true).write(true).open(&path).expect("opened");
        let other = PidFile::adopt(&path, other.into());
        assert!(matches!(other, Err(PidFileError::Mismatch { .. })), "{other:?}");
        let adopted = PidFile::adopt(&path, file).expect("this is the one");
        assert_eq!(adopted.path(), path);
        drop(adopted);
        assert!(!path.exists());
        made.remove().expect("it is gone, which is no error");
    }

    #[test]
    fn it_is_what_it_was_whatever_was_done_to_it() {
        let directory = tempfile::tempdir().expect("cannot make a directory");
        let path = directory.path().join("pid");
        let mut pid_file = PidFile::create(&path).expect("refused");
        let content = draft::content();
        let assert_restored = |pid_file: &mut PidFile, expected| {
            assert_eq!(pid_file.restore().expect("restored"), expected);
            assert_eq!(std::fs::read_to_string(&path).expect("it is there"), content);
            // Reading it has lost the lock that names us, which costs no more than another look.
            assert_eq!(pid_file.restore().expect("restored"), Restored::Intact);
        };
        assert_restored(&mut pid_file, Restored::Intact);
        std::fs::write(&path, "1\n").expect("written");
        assert_restored(&mut pid_file, Restored::Rewritten);
        std::fs::write(&path, content.clone() + "1\n").expect("written");
        assert_restored(&mut pid_file, Restored::Rewritten);
        std::fs::remove_file(&path).expect("removed");
        assert_restored(&mut pid_file, Restored::MadeAgain);
        std::fs::rename(&path, directory.path().join("moved")).expect("moved");
        assert_restored(&mut pid_file, Restored::MadeAgain);
        std::fs::write(directory.path().join("other"), "1\n").expect("written");
        std::fs::rename(directory.path().join("other"), &path).expect("moved");
        assert_restored(&mut pid_file, Restored::MadeAgain);
        std::fs::remove_file(&path).expect("removed");
        std::fs::create_dir(&path).expect("made");
        let error = pid_file.restore().expect_err("a directory is in the way");
        assert!(matches!(error, PidFileError::NotAFile { .. }), "{error}");
        std::fs::remove_dir(&path).expect("removed");
        assert_restored(&mut pid_file, Restored::MadeAgain);
        pid_file.remove().expect("removed");
        assert!(!path.exists());
    }

    /// A forked child has a copy of everything, and is not the owner.
    #[test]
    fn does_nothing_in_a_process_that_did_not_make_it() {
        let directory = tempfile::tempdir().expect("cannot make a directory");
        let path = directory.path().join("pid");
        let mut pid_file = PidFile::create(&path).expect("refused");
        let owner = pid_file.owner;
        pid_file.owner = Pid::from_raw(owner.as_raw() + 1).expect("positive");
        assert!(matches!(pid_file.restore(), Err(PidFileError::NotOwner { .. })));
        pid_file.remove_name().expect("nothing to do is no error");
        assert!(path.exists(), "a child has removed its parent's pid file");
        pid_file.owner = owner;
        drop(pid_file);
        assert!(!path.exists(), "the owner has not removed its file");
    }
}
