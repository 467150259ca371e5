//! The lock of a process that has a role: no other process has the same role while it is held.
//!
//! The kernel holds it for the open file, which this process alone has: it is not handed to what is executed, and gone when
//! the process is, however it ends (see `flock(2)`). Between two daemons nothing else could be trusted: not a pid in a
//! file, and not that a parent which was killed has taken its children with it already.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use prefork_core::one_line;
use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, open},
    io::Errno,
};

use crate::{logs::PoolMessage, logs::log::Log, sys::refused};

/// The file, before it is locked.
#[derive(Debug)]
pub(super) struct RoleLock {
    path: PathBuf,
    file: OwnedFd,
}

impl RoleLock {
    /// Opens it, or makes it. To be called while the process has the rights of its parent.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        // Never a link of somebody else's, and never a file that makes its opener wait.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        let file =
            open(&path, flags | OFlags::NONBLOCK, mode).map_err(|error| named(&path, error))?;
        Ok(Self { path, file })
    }

    /// Waits until no other process has it. To be called by a process that ends with its parent.
    pub(super) fn wait(self, log: &Log) -> io::Result<File> {
        let Self { path, file } = self;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file.into()),
            Err(Errno::WOULDBLOCK) => log.write(&PoolMessage::RoleTaken { path: &one_line(&path) }),
            Err(error) => return Err(named(&path, error)),
        }
        loop {
            match flock(&file, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(file.into()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(named(&path, error)),
            }
        }
    }
}

fn named(path: &Path, error: Errno) -> io::Error {
    refused::named(format!("cannot lock {}", one_line(path)), error.into())
}
