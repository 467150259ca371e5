//! What a log is, and how much it takes in one go.
//!
//! A line is to arrive whole or not at all, whatever its length and whatever else is written meanwhile:
//!
//! - A regular file that is opened for appending takes a line in one `write(2)`, and the kernel lets nobody in between.
//! - A pipe takes up to `PIPE_BUF` bytes so, and a socket without messages what fits into one buffer. Of a longer line
//!   they take the beginning, when they have no room for all of it. So such a line is begun only when there is room for
//!   the whole, and while no other process writes.
//! - A socket with messages takes or refuses each of them.
//! - A terminal takes what it can, and nobody knows how much that is. A writer has its turn until the line is
//!   written.
//!
//! The turn is a lock of the whole file (`F_SETLK`, see `fcntl(2)`), which belongs to the process whatever
//! description it has, and ends with it. It is a courtesy among the processes of a daemon, and nobody waits for it for
//! long: a short line goes without.

use std::{io, os::fd::BorrowedFd};

use rustix::{
    fs::{FileType, FlockOperation, fcntl_lock, fstat},
    io::{Errno, ioctl_fionread},
    net::{SocketType, sockopt},
    pipe::{PIPE_BUF, fcntl_getpipe_size, fcntl_setpipe_size},
};

use crate::sys::output_queue;

/// What lines go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    File,
    Pipe,
    /// A socket in which lines follow each other.
    Stream,
    /// A socket in which each line is a message.
    Messages,
    /// A terminal, or another device.
    Device,
}

/// Whether a line fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    /// Once more has been read.
    Later,
    /// Not even if everything were read.
    Never,
}

/// The least that a UNIX socket puts into one buffer, if its limit allows that (`unix_stream_sendmsg`).
const BUFFER: usize = 32 << 10;

impl Medium {
    pub(crate) fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(match FileType::from_raw_mode(fstat(fd)?.st_mode) {
            FileType::RegularFile => Self::File,
            FileType::Fifo => Self::Pipe,
            FileType::Socket if sockopt::socket_type(fd)? == SocketType::STREAM => Self::Stream,
            FileType::Socket => Self::Messages,
            _ => Self::Device,
        })
    }

    /// Whether writers take turns.
    pub(crate) const fn has_turns(self) -> bool {
        match self {
            Self::Pipe | Self::Stream | Self::Device => true,
            Self::File | Self::Messages => false,
        }
    }

    /// Whether a line of so many bytes is never divided, and needs neither a turn nor a look for room.
    pub(crate) fn takes_whole(self, fd: BorrowedFd<'_>, length: usize) -> bool {
        match self {
            Self::File | Self::Messages => true,
            Self::Pipe => length <= PIPE_BUF,
            Self::Stream => length <= one_buffer(fd),
            Self::Device => false,
        }
    }

    /// Looks whether a line of so many bytes fits that may be divided.
    pub(crate) fn room(self, fd: BorrowedFd<'_>, length: usize) -> Result<Room, Errno> {
        match self {
            Self::File | Self::Messages | Self::Device => Ok(Room::Enough),
            Self::Pipe => room_in_pipe(fd, length),
            Self::Stream => Ok(room_in_stream(fd, length)),
        }
    }
}

/// A pipe has room for a number of pages. A write fills up the last one only if its own last part fits there, so of
/// two neighbours at least one page is full, but for the first, of which a part may have been read. Somebody who did
/// not wait for a turn may need one more meanwhile.
fn room_in_pipe(fd: BorrowedFd<'_>, length: usize) -> Result<Room, Errno> {
    let page = rustix::param::page_size();
    let needed = length / page + 3;
    let waiting = usize::try_from(ioctl_fionread(fd)?).unwrap_or(usize::MAX);
    let used = if waiting == 0 { 0 } else { 2 * (waiting / page) + 2 };
    let pages = fcntl_getpipe_size(fd)? / page;
    if used.saturating_add(needed) <= pages {
        return Ok(Room::Enough);
    }
    if needed <= pages {
        return Ok(Room::Later);
    }
    // A larger one is granted up to `/proc/sys/fs/pipe-max-size`, 1 MiB: see `pipe(7)`.
    match fcntl_setpipe_size(fd, needed.saturating_mul(page)) {
        Ok(size) if used.saturating_add(needed) <= size / page => Ok(Room::Enough),
        Ok(_) => Ok(Room::Later),
        Err(_) => Ok(Room::Never),
    }
}

/// What waits counts with what the kernel needs beside the bytes, which is less than an eighth of large ones.
fn room_in_stream(fd: BorrowedFd<'_>, length: usize) -> Room {
    let limit = sockopt::socket_send_buffer_size(fd).unwrap_or(0);
    let needed = length.saturating_add(length / 8);
    if needed > limit {
        return Room::Never;
    }
    let waiting = output_queue(fd).unwrap_or(usize::MAX);
    if needed.saturating_add(waiting) <= limit { Room::Enough } else { Room::Later }
}

fn one_buffer(fd: BorrowedFd<'_>) -> usize {
    let limit = sockopt::socket_send_buffer_size(fd).unwrap_or(0);
    BUFFER.min((limit / 2).saturating_sub(64))
}

/// Takes the turn, if nobody else has it; where there are no locks, nobody can have it.
pub(crate) fn take_turn(fd: BorrowedFd<'_>) -> bool {
    let locked = fcntl_lock(fd, FlockOperation::NonBlockingLockExclusive);
    !matches!(locked, Err(Errno::AGAIN | Errno::ACCESS))
}

/// Gives the turn back.
pub(crate) fn end_turn(fd: BorrowedFd<'_>) {
    // It ends with the process at the latest.
    let _ = fcntl_lock(fd, FlockOperation::Unlock);
}
