//! What happens to traced threads, and having them go on: with any signal, the real-time ones of `signal(7)` too.

use std::{mem, ptr};

use nix::{errno::Errno, libc};
use rustix::process::Pid;

/// What has happened to a traced thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It is at the entry or the exit of a system call.
    Call,
    /// It was interrupted, or stopped with its process.
    Stop,
    /// It is about to be delivered this signal.
    Signal(i32),
    /// It has ended, or is not traced by this process.
    End,
}

/// How a thread goes on that has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Onward {
    /// Until its next system call, or the end of this one.
    ToNextCall,
    /// Not traced any more.
    Untraced,
}

/// See `PTRACE_O_TRACESYSGOOD` in `ptrace(2)`.
const CALL: i32 = libc::SIGTRAP | 0x80;

/// Takes in what has happened to a thread, if anything has. Its end is taken in only `with_end`.
pub(crate) fn event(thread: Pid, with_end: bool) -> Option<Event> {
    let end = if with_end { libc::WEXITED } else { 0 };
    let flags = libc::__WALL | libc::WNOHANG | libc::WSTOPPED | end;
    let id = thread.as_raw_nonzero().get().unsigned_abs();
    // SAFETY: zeros are a `siginfo_t`, a structure of numbers.
    let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: the kernel writes to `info`, which outlives the call.
    if unsafe { libc::waitid(libc::P_PID, id, &raw mut info, flags) } != 0 {
        return Some(Event::End);
    }
    // SAFETY: the kernel has filled in which child it is of, or the number is zero as before.
    if unsafe { info.si_pid() } == 0 {
        return None;
    }
    // SAFETY: of a child the kernel has filled in that, too.
    let status = unsafe { info.si_status() };
    Some(match info.si_code {
        libc::CLD_TRAPPED | libc::CLD_STOPPED if status == CALL => Event::Call,
        libc::CLD_TRAPPED | libc::CLD_STOPPED if status >> 8 != 0 => Event::Stop,
        libc::CLD_TRAPPED | libc::CLD_STOPPED => Event::Signal(status),
        _ => Event::End,
    })
}

/// Has a thread go on that has stopped; it is delivered `signal`, but for 0.
///
/// # Errors
///
/// `ESRCH` if it has not stopped: of one that had, if it was killed meanwhile.
pub(crate) fn go_on(thread: Pid, onward: Onward, signal: i32) -> Result<(), Errno> {
    let request = match onward {
        Onward::ToNextCall => libc::PTRACE_SYSCALL,
        Onward::Untraced => libc::PTRACE_DETACH,
    };
    let (id, none) = (thread.as_raw_nonzero().get(), ptr::null_mut::<libc::c_void>());
    // SAFETY: neither request reads or writes memory of this process.
    let result = unsafe { libc::ptrace(request, id, none, libc::c_long::from(signal)) };
    Errno::result(result).map(drop)
}
