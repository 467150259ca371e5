//! Hints that something has happened to a file.
//!
//! The file itself is watched (`inotify(7)`), and not its directory, where others come and go: nothing wakes
//! while nothing happens to the file.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::inotify::{self, CreateFlags, WatchFlags},
    io::Errno,
};

/// An inotify descriptor that watches one file.
#[derive(Debug)]
pub(crate) struct FileHints {
    inotify: OwnedFd,
    watched: i32,
}

impl FileHints {
    /// Watches the file that is open, whatever its path leads to by now.
    pub(crate) fn new(file: impl AsFd) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let watched = add(&inotify, file.as_fd())?;
        Ok(Self { inotify, watched })
    }

    /// Goes on with another file.
    pub(crate) fn follow(&mut self, file: impl AsFd) -> io::Result<()> {
        // Gone already, if its file is.
        let _ = inotify::remove_watch(&self.inotify, self.watched);
        self.watched = add(&self.inotify, file.as_fd())?;
        Ok(())
    }

    /// What to wait for before [`take`](Self::take).
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Takes the hints that wait, and returns whether there were any.
    pub(crate) fn take(&self) -> bool {
        let mut space = [0; 512];
        let mut any = false;
        // The kernel keeps so many of them that this ends.
        for _ in 0..16 {
            match rustix::io::read(&self.inotify, &mut space) {
                Ok(length) if length > 0 => any = true,
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => break,
            }
        }
        any
    }
}

/// Removing a name changes an attribute: how many there are. That it was written to is no hint, as this process itself
/// writes; another writer has opened it for that, and closes it one day.
fn add(inotify: &OwnedFd, file: BorrowedFd<'_>) -> io::Result<i32> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = WatchFlags::ATTRIB | WatchFlags::MOVE_SELF | WatchFlags::CLOSE_WRITE;
    Ok(inotify::add_watch(inotify, path, flags)?)
}
