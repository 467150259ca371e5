//! Making processes, looking at them, and reaching them by descriptors.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use nix::{libc, sys::signal::Signal, unistd::ForkResult};
use rustix::process::Pid;

use super::refused::Refusable;

/// The process in which a fork has returned: one of two.
#[derive(Debug)]
pub(crate) enum Forked {
    Parent { child: Pid },
    Child,
}

/// Forks this process.
///
/// Fails if it has another thread, which a hook of the program may have left: else the child is a whole copy,
/// in which everything works that worked before.
pub(crate) fn fork() -> io::Result<Forked> {
    super::threads::require_one()?;
    // SAFETY: fork is dangerous in a process of several threads, where the child may only call what
    // is async-signal-safe. This is the only thread, and so nobody can start another before the fork.
    let forked = unsafe { nix::unistd::fork() }?;
    Ok(match forked {
        ForkResult::Parent { child } => {
            let child = Pid::from_raw(child.as_raw()).ok_or(io::ErrorKind::InvalidData)?;
            Forked::Parent { child }
        }
        ForkResult::Child => Forked::Child,
    })
}

/// What is reported of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildState {
    /// It has ended, and its pid is its own until it is reaped.
    Ended,
    /// It has stopped, as one that this process traces.
    Stopped,
}

/// Looks for a child that has ended, without reaping it and without waiting.
pub(crate) fn look_at_children() -> io::Result<Option<(Pid, ChildState)>> {
    // SAFETY: all of its fields are numbers, for which zero is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel writes to `info`, which lives, and to nothing else.
    if unsafe { libc::waitid(libc::P_ALL, 0, &mut info, options) } != 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ECHILD) => Ok(None),
            _ => Err(error).of_call("waitid(2)"),
        };
    }
    // SAFETY: waitid has filled in these fields, or there is nothing to report and they are still zero.
    let pid = unsafe { info.si_pid() };
    let state = match info.si_code {
        libc::CLD_EXITED | libc::CLD_KILLED | libc::CLD_DUMPED => ChildState::Ended,
        _ => ChildState::Stopped,
    };
    Ok(Pid::from_raw(pid).map(|pid| (pid, state)))
}

/// Sends a signal to all processes of the group that this process leads, or has led; fails with `EINVAL` before
/// Linux 6.9.
pub(crate) fn signal_group_of(leader: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    /// As in `linux/pidfd.h`, for the flags of `pidfd_send_signal(2)`.
    const PROCESS_GROUP: libc::c_uint = 1 << 2;
    let (process, number, no_info) = (leader.as_raw_fd(), signal as i32, std::ptr::null::<()>());
    // SAFETY: the call takes numbers and a pointer that may be null, and touches no memory of this process.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, process, number, no_info, PROCESS_GROUP)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Returns the hard limit of file locks of another process; `None` for no limit.
pub(crate) fn limit_of_locks(pid: Pid) -> io::Result<Option<u64>> {
    let mut soft_and_hard = [0u64; 2];
    let (process, resource) = (pid.as_raw_nonzero().get(), libc::RLIMIT_LOCKS);
    let (nothing_new, into) = (std::ptr::null::<()>(), soft_and_hard.as_mut_ptr());
    // SAFETY: the kernel writes a `struct rlimit64`, which is two numbers of 64 bits, to where there are two, and
    // sets nothing, as the new limit is null.
    let result =
        unsafe { libc::syscall(libc::SYS_prlimit64, process, resource, nothing_new, into) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let hard = soft_and_hard[1];
    // The number that stands for no limit.
    Ok((hard != u64::MAX).then_some(hard))
}

/// Asks the kernel whether a process could be signalled by a descriptor, and sends nothing.
pub(crate) fn send_nothing(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    let (number, info) = (libc::SYS_pidfd_send_signal, std::ptr::null::<libc::siginfo_t>());
    // SAFETY: a null pointer stands for no information (see `pidfd_send_signal(2)`), and signal 0 for none.
    let result = unsafe { libc::syscall(number, pidfd.as_raw_fd(), 0, info, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
