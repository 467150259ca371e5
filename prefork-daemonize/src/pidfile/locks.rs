//! The two locks of a pid file, see fcntl_locking(2).
//!
//! Both are write locks, which only who may write to the file can have. They lie on different bytes,
//! because a process's record lock and its open file description lock keep each other out.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::pid::Pid;

/// Where the bytes end that the record lock covers, far beyond any content. The next byte is the other
/// lock's.
const BORDER: libc::off_t = 1 << 62;

/// What came of trying to take a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// It is ours, as it may have been before.
    Taken,
    /// Somebody else has a lock, if only one for reading.
    Busy,
}

/// Who proves to own a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Nobody has a write lock.
    Nobody,
    /// This process has the record lock.
    Process(Pid),
    /// Somebody without a pid here: in another pid namespace, or forked by an owner that has ended.
    Invisible,
}

/// Takes both locks, without waiting.
///
/// The record lock first: `F_GETLK` of a release that looked at the whole file finds the older lock.
pub(crate) fn take(file: impl AsFd) -> io::Result<Lock> {
    match take_name(&file)? {
        Lock::Taken => take_exclusion(&file),
        Lock::Busy => Ok(Lock::Busy),
    }
}

/// Takes the record lock, which names the process (`F_SETLK`).
pub(crate) fn take_name(file: impl AsFd) -> io::Result<Lock> {
    outcome(fcntl(file, FcntlArg::F_SETLK(&name(libc::F_WRLCK))))
}

/// Takes the lock of the open file description, which excludes (`F_OFD_SETLK`).
pub(crate) fn take_exclusion(file: impl AsFd) -> io::Result<Lock> {
    outcome(fcntl(file, FcntlArg::F_OFD_SETLK(&exclusion(libc::F_WRLCK))))
}

fn outcome(result: nix::Result<libc::c_int>) -> io::Result<Lock> {
    match result {
        Ok(_) => Ok(Lock::Taken),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(Lock::Busy),
        Err(errno) => Err(errno.into()),
    }
}

/// Asks who else has a write lock (`F_GETLK`).
///
/// The question is "who keeps me from reading", so that only write locks answer: a read lock
/// may be taken by anybody who can read the file, and would pass for an owner.
pub(crate) fn owner_of(file: impl AsFd) -> io::Result<Owner> {
    for mut lock in [name(libc::F_RDLCK), exclusion(libc::F_RDLCK)] {
        fcntl(&file, FcntlArg::F_GETLK(&mut lock))?;
        if libc::c_int::from(lock.l_type) != libc::F_UNLCK {
            return Ok(Pid::from_raw(lock.l_pid).map_or(Owner::Invisible, Owner::Process));
        }
    }
    Ok(Owner::Nobody)
}

fn name(kind: libc::c_int) -> libc::flock {
    bytes(kind, 0, BORDER)
}

fn exclusion(kind: libc::c_int) -> libc::flock {
    bytes(kind, BORDER, 1)
}

#[expect(clippy::cast_possible_truncation, reason = "F_RDLCK, F_WRLCK and SEEK_SET are 0 to 2")]
fn bytes(kind: libc::c_int, l_start: libc::off_t, l_len: libc::off_t) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start,
        l_len,
        // As F_OFD_SETLK demands.
        l_pid: 0,
    }
}
