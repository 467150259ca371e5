//! The pid file: one daemon at a time, and proof of which process it is.
//!
//! Two locks on one file, because each does what the other cannot:
//!
//! - flock(2) *excludes*. It belongs to the open file, so children that inherit the descriptor
//!   hold it too, and a second daemon cannot start while orphans of the first still serve.
//! - a record lock (fcntl_locking(2), `F_SETLK`) *identifies*. It belongs to the process, is not
//!   inherited by fork, survives exec and ends with the process; `F_GETLK` tells anybody the
//!   holder's pid, translated into the asker's pid namespace. It is a write lock, and only who
//!   may write the file can have one.
//!
//! The number in the file is for people and scripts. Nothing here ever reads it.
//!
//! Who may remove or fill the file: only who holds the flock *of the file that stands at the
//! path*. A newcomer therefore locks first and then compares; if the path leads elsewhere by
//! then, it begins again. An owner removes the name while it still holds the lock, so nobody
//! can have put a new file there in between.

mod create;
mod error;
mod record_lock;
mod registry;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

pub use error::PidFileError;
use record_lock::RecordLock;
pub(crate) use record_lock::{Owner, owner_of};
pub(crate) use registry::{held_here, is_ours};

use crate::nofollow::Identity;
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
/// Children inherit a share of the exclusive lock: no other daemon starts while one of them holds
/// it. They also inherit a descriptor through which they could write; one that is not trusted keeps
/// only what [`share`](Self::share) returns. They never remove the file, neither by
/// [`remove`](Self::remove) nor by dropping their copy.
///
/// # Limitations
///
/// A record lock is lost when its process closes *any* descriptor of the file
/// (fcntl_locking(2)): code in the daemon that reads its own pid file by hand does that.
/// [`running`](crate::running), [`stop`](crate::stop) and [`create`](Self::create) take care not
/// to. If it happens, nothing wrong is signalled: [`stop`](crate::stop) refuses because nobody
/// proves to be the owner, until [`renew`](Self::renew) is called.
///
/// Not for two threads of one process that make, look at or stop the same pid file at the same
/// moment: the descriptor that one of them closes takes the record lock of the other.
///
/// The file system must be local; NFS makes one kind of lock of the two.
///
/// Everybody who may open the file may lock it too, so a stale file can be kept locked by any
/// user who reads it. Keep pid files in a directory that only the daemon's user may enter or
/// that is emptied at boot, and never in one that its children may write.
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
    /// Open for writing, with the record lock.
    file: File,
    /// Open for reading, with the flock.
    lock: File,
    path: PathBuf,
    identity: Identity,
    owner: Pid,
    removal: Removal,
}

/// Whether the name still has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Removal {
    Due,
    Done,
}

impl PidFile {
    /// Makes the file, or takes over a stale one, and locks it for this process.
    ///
    /// The path is made [`absolute`](crate::absolute) first. The file has mode 0644 whatever the
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
    /// Both locks survive `execve(2)` if the descriptors do: have the other program clear
    /// close-on-exec for those that [`descriptors`](Self::descriptors) returns, and tell their numbers and
    /// [`path`](Self::path). Close neither before: closing one loses the record lock.
    ///
    /// # Errors
    ///
    /// [`PidFileError::Mismatch`] when these are not the descriptors of one pid file of this process.
    pub fn adopt(
        path: impl AsRef<Path>,
        file: OwnedFd,
        lock: OwnedFd,
    ) -> Result<Self, PidFileError> {
        let path = path.as_ref();
        let path = crate::absolute(path)
            .map_err(|source| PidFileError::Open { path: path.to_owned(), source })?;
        let (file, lock) = (File::from(file), File::from(lock));
        let mismatch = || PidFileError::Mismatch { path: path.clone() };
        let open_error = |source| PidFileError::Open { path: path.clone(), source };
        let identity = Identity::of(&file).map_err(open_error)?;
        if Identity::of(&lock).map_err(open_error)? != identity {
            return Err(mismatch());
        }
        let lock_error = |source| PidFileError::Lock { path: path.clone(), source };
        match record_lock::take(&file).map_err(lock_error)? {
            RecordLock::Taken => {}
            RecordLock::Busy => return Err(mismatch()),
        }
        // Nothing new for whoever holds it already.
        match fs2::FileExt::try_lock_exclusive(&lock) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(mismatch()),
            Err(source) => return Err(lock_error(source)),
        }
        registry::remember(identity, path.clone());
        Ok(Self { file, lock, path, identity, owner: Pid::current(), removal: Removal::Due })
    }

    /// Returns the descriptors that hold the file and its lock, in the order that
    /// [`adopt`](Self::adopt) takes them.
    #[must_use]
    pub fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.file.as_fd(), self.lock.as_fd()]
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

    /// Takes the record lock again, in case some code in this process has opened and closed the
    /// file and so lost it. Costs one system call and changes nothing when the lock is there.
    ///
    /// # Errors
    ///
    /// [`PidFileError::NotOwner`] in a process that did not make the file, and
    /// [`PidFileError::Lock`] when another process has taken a lock meanwhile.
    pub fn renew(&self) -> Result<(), PidFileError> {
        let pid = Pid::current();
        if pid != self.owner {
            return Err(PidFileError::NotOwner { path: self.path.clone(), owner: self.owner });
        }
        match record_lock::take(&self.file) {
            Ok(RecordLock::Taken) => Ok(()),
            Ok(RecordLock::Busy) => Err(self.lock_error(io::ErrorKind::WouldBlock.into())),
            Err(source) => Err(self.lock_error(source)),
        }
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

    /// Returns a share of the exclusive lock: a descriptor that keeps the file locked while it is open,
    /// and through which nothing can be written.
    ///
    /// For a child that then drops its copy of this value. While the share is open a second daemon
    /// cannot start, and [`stop`](crate::stop) does not report that all is gone.
    ///
    /// # Errors
    ///
    /// Fails if the process can have no further descriptor.
    ///
    /// # Fork
    ///
    /// To be called in a child: closing it in the owner loses the record lock, see
    /// [`renew`](Self::renew).
    pub fn share(&self) -> io::Result<OwnedFd> {
        Ok(self.lock.try_clone()?.into())
    }

    fn remove_name(&mut self) -> Result<(), PidFileError> {
        if self.removal == Removal::Done || Pid::current() != self.owner {
            return Ok(());
        }
        self.removal = Removal::Done;
        registry::forget(self.identity);
        // Still locked here, so whoever obeys the lock cannot have replaced the file; and if
        // an administrator did, the other file is not ours to remove.
        let removed = match Identity::at(&self.path) {
            Ok(Some(found)) if found == self.identity => std::fs::remove_file(&self.path),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        removed.map_err(|source| PidFileError::Remove { path: self.path.clone(), source })
    }

    fn lock_error(&self, source: io::Error) -> PidFileError {
        PidFileError::Lock { path: self.path.clone(), source }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // The descriptor is closed after this, so the lock outlives the name.
        let _ = self.remove_name();
    }
}

impl AsFd for PidFile {
    /// Lends the descriptor with the record lock, which stays held across an exec for as long as the
    /// descriptor stays open. Closing a duplicate of it
    /// in this process loses the record lock, see [`renew`](PidFile::renew).
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_holds_the_lock_goes_on_with_it() {
        let directory = tempfile::tempdir().expect("cannot make a directory");
        let path = directory.path().join("pid");
        let made = PidFile::create(&path).expect("refused");
        let copy = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().expect("duplicated");
        let [file, lock] = made.descriptors().map(copy);
        let anew = OwnedFd::from(File::open(&path).expect("opened"));
        let other = PidFile::adopt(&path, copy(file.as_fd()), anew);
        assert!(matches!(other, Err(PidFileError::Mismatch { .. })), "{other:?}");
        let adopted = PidFile::adopt(&path, file, lock).expect("these are the ones");
        assert_eq!(adopted.path(), path);
        drop(adopted);
        assert!(!path.exists());
        made.remove().expect("it is gone, which is no error");
    }

    /// A forked child has a copy of everything, and is not the owner.
    #[test]
    fn does_nothing_in_a_process_that_did_not_make_it() {
        let directory = tempfile::tempdir().expect("cannot make a directory");
        let path = directory.path().join("pid");
        let mut pid_file = PidFile::create(&path).expect("refused");
        let owner = pid_file.owner;
        pid_file.owner = Pid::from_raw(owner.as_raw() + 1).expect("positive");
        assert!(matches!(pid_file.renew(), Err(PidFileError::NotOwner { .. })));
        pid_file.remove_name().expect("nothing to do is no error");
        assert!(path.exists(), "a child has removed its parent's pid file");
        pid_file.owner = owner;
        drop(pid_file);
        assert!(!path.exists(), "the owner has not removed its file");
    }
}
