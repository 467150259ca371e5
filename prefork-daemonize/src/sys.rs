//! The few system calls that neither nix nor rustix offers as safe functions.
//!
//! `fork`, `_exit`, the state of a descriptor known only by its number, and the
//! dispositions of signals. Nothing else in this crate is unsafe.

#![expect(unsafe_code, reason = "fork, _exit, raw descriptors and sigaction have no safe form")]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::libc;
use nix::sys::signal::SigSet;
use nix::unistd::ForkResult;

use crate::pid::Pid;
use crate::threads::SingleThreaded;

/// Says which side of a fork this is.
#[derive(Debug)]
pub(crate) enum Forked {
    /// The caller, with the pid of its new child.
    Parent(Pid),
    /// The new child.
    Child,
}

/// Forks; the token is the proof that no other thread can hold a lock for ever.
///
/// See fork(2).
pub(crate) fn fork(_proof: &SingleThreaded) -> io::Result<Forked> {
    // SAFETY: the process has one thread, so the child is a full copy in which
    // every lock and the allocator are in the state this thread left them.
    let result = unsafe { nix::unistd::fork() }?;
    match result {
        ForkResult::Child => Ok(Forked::Child),
        ForkResult::Parent { child } => Pid::from_raw(child.as_raw())
            .map(Forked::Parent)
            .ok_or_else(|| io::Error::other("fork returned a pid that is not positive")),
    }
}

/// Ends this process without running a destructor, an atexit handler or a flush.
///
/// See _exit(2).
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit may be called from anywhere; it touches no memory of ours.
    unsafe { libc::_exit(status) }
}

/// Returns whether an `exec` would close this descriptor; EBADF when it is not open.
pub(crate) fn closes_on_exec(number: RawFd) -> io::Result<bool> {
    // SAFETY: the borrow ends with this call and the kernel checks the number,
    // so a descriptor that is not open gives EBADF and nothing worse.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    Ok(rustix::io::fcntl_getfd(fd)?.contains(rustix::io::FdFlags::CLOEXEC))
}

/// Closes a descriptor that nothing in this process owns.
pub(crate) fn close_unowned(number: RawFd) {
    // SAFETY: the caller found it open and without close-on-exec, that is, handed
    // over by the starter of the program; `Descriptors::CloseInherited` asks
    // those who adopted such a descriptor to name it in `keep`.
    drop(unsafe { OwnedFd::from_raw_fd(number) });
}

/// Returns whether the signal is ignored; `None` for a number that is no signal of ours.
///
/// See sigaction(2).
fn is_ignored(signal: i32) -> Option<bool> {
    let mut old = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: no new action is given, and `old` is writable for one sigaction.
    let result = unsafe { libc::sigaction(signal, std::ptr::null(), old.as_mut_ptr()) };
    if result != 0 {
        return None;
    }
    // SAFETY: sigaction returned 0, so it has filled the structure.
    let old = unsafe { old.assume_init() };
    Some(old.sa_sigaction == libc::SIG_IGN)
}

/// Gives every ignored signal its default action again, SIGPIPE excepted.
pub(crate) fn default_ignored_signals() -> io::Result<()> {
    for signal in 1..=libc::SIGRTMAX() {
        // Rust programs ignore SIGPIPE on purpose: a vanished peer must come back
        // as an error of the write, not kill the daemon.
        if signal == libc::SIGPIPE || is_ignored(signal) != Some(true) {
            continue;
        }
        // SAFETY: SIG_DFL installs no code of ours.
        let old = unsafe { libc::signal(signal, libc::SIG_DFL) };
        if old == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Unblocks every signal, the real-time ones among them.
pub(crate) fn unblock_all_signals() -> io::Result<()> {
    Ok(SigSet::empty().thread_set_mask()?)
}
