//! Hints that something has happened to a file.
//!
//! The file itself is watched (`inotify(7)`), and not its directory, where others come and go: nothing wakes
//! while nothing happens to the file.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    io::Errno,
};

/// The kernel keeps so many hints by default, so taking them ends (`inotify(7)`).
const MOST: usize = 16_384;

/// What has happened to a file since the last hints were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stirred {
    Nothing,
    /// Somebody has written to it; this very process, maybe.
    Written,
    /// It was closed by somebody who could write, or has been changed in another way.
    Changed,
}

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

    /// Takes the hints that wait, and returns the most of what they are about.
    pub(crate) fn take(&self) -> Stirred {
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut space);
        let mut stirred = Stirred::Nothing;
        for _ in 0..MOST {
            match reader.next() {
                Ok(event) if event.events() == ReadFlags::MODIFY => {
                    stirred = stirred.max(Stirred::Written);
                }
                Ok(_) => stirred = Stirred::Changed,
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        stirred
    }
}

/// Removing a name changes an attribute: how many there are. Whoever cuts a file without opening it writes
/// to it.
fn add(inotify: &OwnedFd, file: BorrowedFd<'_>) -> io::Result<i32> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags =
        WatchFlags::ATTRIB | WatchFlags::MOVE_SELF | WatchFlags::MODIFY | WatchFlags::CLOSE_WRITE;
    Ok(inotify::add_watch(inotify, path, flags)?)
}
