//! A thread whose table of descriptors is its own, so that a descriptor can have any number there.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    thread,
};

use nix::{
    libc,
    sched::{CloneFlags, unshare},
    sys::signal::{SigSet, SigmaskHow},
};
use rustix::{
    event::epoll,
    io::{Errno, fcntl_dupfd_cloexec},
};

/// Takes a socket from what an epoll descriptor waits for, where another process has registered it by the number `number`.
///
/// `epoll_ctl(2)` knows it by the open file description and that number, which is in use for something else in this
/// process: so it is done by a thread that has a copy of the table of descriptors.
///
/// # Errors
///
/// `ENOENT` if it is not registered; and whatever prevents the thread.
pub(crate) fn unregister(
    epoll: BorrowedFd<'_>,
    socket: BorrowedFd<'_>,
    number: i32,
) -> io::Result<()> {
    // Its signals are the main thread's, which is the one that notes them.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let done = thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("door".to_owned())
            .spawn_scoped(scope, || unregister_here(epoll, socket, number))?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread has panicked")))
    });
    before.thread_set_mask()?;
    done
}

fn unregister_here(epoll: BorrowedFd<'_>, socket: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    unshare(CloneFlags::CLONE_FILES)?;
    // Beyond that number, where they are not in the way.
    let after = number.checked_add(1).ok_or(Errno::BADF)?;
    let epoll = fcntl_dupfd_cloexec(epoll, after)?;
    let socket = fcntl_dupfd_cloexec(socket, after)?;
    // SAFETY: the table is this thread's alone, and what has that number there is used by nobody in it.
    let result = unsafe { libc::dup3(socket.as_raw_fd(), number, libc::O_CLOEXEC) };
    if result != number {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was opened by that number just now, and is closed with the table.
    let registered = unsafe { BorrowedFd::borrow_raw(number) };
    Ok(epoll::delete(epoll.as_fd(), registered)?)
}
