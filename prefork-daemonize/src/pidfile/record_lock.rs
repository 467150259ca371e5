//! The lock that names its owner, see fcntl_locking(2).

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::pid::Pid;

/// What came of trying to take the record lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordLock {
    /// It is ours, as it may have been before.
    Taken,
    /// Another process has a lock, if only one for reading.
    Busy,
}

/// Who proves to own a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// No process has a write lock.
    Nobody,
    /// This one has.
    Process(Pid),
    /// One that has no pid here: in another pid namespace, on another machine, or an "open file
    /// description" lock, which no daemon of this crate takes.
    Invisible,
}

/// Takes a write lock on the whole file, without waiting. See `F_SETLK` in fcntl_locking(2).
pub(crate) fn take(file: impl AsFd) -> io::Result<RecordLock> {
    match fcntl(file, FcntlArg::F_SETLK(&whole_file(libc::F_WRLCK))) {
        Ok(_) => Ok(RecordLock::Taken),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(RecordLock::Busy),
        Err(errno) => Err(errno.into()),
    }
}

/// Asks which other process has a write lock. See `F_GETLK` in fcntl_locking(2).
///
/// The question is "who keeps me from reading", so that only write locks answer: a read lock
/// may be taken by anybody who can read the file, and would pass for an owner.
pub(crate) fn owner_of(file: impl AsFd) -> io::Result<Owner> {
    let mut lock = whole_file(libc::F_RDLCK);
    fcntl(file, FcntlArg::F_GETLK(&mut lock))?;
    if libc::c_int::from(lock.l_type) == libc::F_UNLCK {
        return Ok(Owner::Nobody);
    }
    Ok(Pid::from_raw(lock.l_pid).map_or(Owner::Invisible, Owner::Process))
}

#[expect(clippy::cast_possible_truncation, reason = "F_RDLCK, F_WRLCK and SEEK_SET are 0 to 2")]
fn whole_file(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        // To the end, wherever that will be.
        l_len: 0,
        l_pid: 0,
    }
}
