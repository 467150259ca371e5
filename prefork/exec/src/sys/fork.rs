//! Making the process of a program, and which descriptors it has.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
};

use nix::{libc, unistd::ForkResult};
use rustix::process::Pid;

/// The process in which a fork has returned: one of two.
#[derive(Debug)]
pub(crate) enum Forked {
    Parent { child: Pid },
    Child,
}

/// Forks this process, which has one thread.
pub(crate) fn fork() -> io::Result<Forked> {
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    if threads != 1 {
        let problem = format!("cannot fork with {threads} threads");
        return Err(io::Error::other(problem));
    }
    // SAFETY: fork is dangerous in a process of several threads, where the child may only call what is
    // async-signal-safe. This is the only thread, and so nobody can start another before the fork.
    Ok(match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => {
            let child = Pid::from_raw(child.as_raw()).ok_or(io::ErrorKind::InvalidData)?;
            Forked::Parent { child }
        }
        ForkResult::Child => Forked::Child,
    })
}

/// Ends the process without running exit handlers or destructors, which are those of the process that has forked it.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit can be called in any state of the process.
    unsafe { libc::_exit(status) }
}

/// Gives this process `wanted` as its descriptors 0, 1, 2 and so on, kept across an `exec`; all others are closed by that.
///
/// For a process that is about to execute a program: what is in its descriptors otherwise is lost.
pub(crate) fn keep_for_program(wanted: &[BorrowedFd<'_>]) -> io::Result<()> {
    let count = RawFd::try_from(wanted.len()).map_err(io::Error::other)?;
    // Out of the way of all places first, as one may stand in the place of another.
    let mut copies = Vec::with_capacity(wanted.len());
    for fd in wanted {
        copies.push(rustix::io::fcntl_dupfd_cloexec(fd, count)?);
    }
    for (place, copy) in (0..count).zip(&copies) {
        // SAFETY: numbers only. What was at `place` is closed, which an owner here might believe to have open; but this process
        // executes a program or ends, and neither reads nor writes by descriptors in between but by those that are made here.
        if unsafe { libc::dup2(copy.as_raw_fd(), place) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    close_on_exec_from(count)
}

/// Marks all descriptors from this number on as closed by an `exec`.
fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: numbers only; no descriptor is closed before the exec.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            libc::c_long::from(first),
            libc::c_long::from(u32::MAX),
            libc::c_long::from(libc::CLOSE_RANGE_CLOEXEC),
        )
    };
    if result == 0 {
        return Ok(());
    }
    // Before Linux 5.11, or where a filter refuses it: one by one.
    let open: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd >= first)
        .collect();
    for fd in open {
        // SAFETY: numbers only; one that is not open any more fails, and that does not matter.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}
