//! Keeping a program from accepting more, by taking its listening sockets from what it waits for.
//!
//! What an event loop waits for is in an epoll descriptor, of which a duplicate can be had like of any other descriptor. The
//! loop goes on with all that it has, and is not woken for those who come: they are left to others of the pool.

use std::{io, os::fd::BorrowedFd};

use prefork_core::program::Door;
use rustix::io::Errno;

use crate::{
    look::{How, Listeners, Tree},
    sys::private_table::unregister,
};

/// Closes the door of all processes of a program that wait for their listening sockets by `epoll(7)`; `sockets` are the
/// listeners'.
///
/// # Errors
///
/// If the kernel refuses to show what they wait for, or to change it.
pub(crate) fn close(
    tree: &Tree,
    listeners: &Listeners,
    sockets: &[BorrowedFd<'_>],
) -> io::Result<Door> {
    let mut door = Door::Open;
    for waiting in tree.waits_at(listeners)? {
        let How::Epoll { epoll, socket, listener } = waiting.how else { return Ok(Door::Open) };
        let Some(process) = tree.processes().iter().find(|it| it.pid() == waiting.pid) else {
            continue;
        };
        let done = process.duplicate(epoll).and_then(|epoll| {
            unregister(rustix::fd::AsFd::as_fd(&epoll), sockets[listener], socket)
        });
        match done {
            Ok(()) => door = Door::Closed,
            // It has taken it out itself, or a sibling that shares what it waits for was asked before.
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(door)
}

fn is_gone(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::BADF | Errno::NOENT | Errno::SRCH))
}
