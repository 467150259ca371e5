//! Every `unsafe` of this crate.
//!
//! fork, C's standard output, signal dispositions, the signal handler of a child, the pages that hold
//! the process title and the words shared with children, descriptors known by their numbers, the
//! environment, what only listening sockets are asked (`listening.rs`), what waits in a socket
//! (`output_queue.rs`), and the way back from an upgrade (`way_back.rs`). Each wrapper states what makes it
//! sound; callers need no
//! `unsafe`.

#![expect(unsafe_code, reason = "what the operating system offers in no safe form")]

pub(crate) mod listening;
pub(crate) mod memory_file;
pub(crate) mod output_queue;
pub(crate) mod pages;
pub(crate) mod refused;
pub(crate) mod threads;
pub(crate) mod way_back;

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use std::sync::atomic::AtomicU64;

use nix::{
    libc,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal},
    unistd::ForkResult,
};
use rustix::{
    fs::{SealFlags, fcntl_add_seals, fcntl_get_seals, ftruncate},
    mm::{Advice, madvise, mmap},
};
use rustix::{
    mm::{MapFlags, ProtFlags, mmap_anonymous},
    process::{Pid, PrctlMmMap, configure_virtual_memory_map},
};

use crate::sys::refused::Refusable;

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
    crate::sys::threads::require_one()?;
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

/// Writes out what C code in this process has buffered, so that a fork does not double it and
/// [`exit_now`] does not lose it.
pub(crate) fn flush_c_streams() {
    // SAFETY: fflush accepts a null pointer, which stands for all output streams (see `fflush(3)`).
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

/// Ends the process without running exit handlers or destructors, which are the parent's.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit can be called in any state of the process.
    unsafe { libc::_exit(status) }
}

/// Sets what a signal does and returns what it did before.
///
/// To be called with the default disposition, that of ignoring it, or one that this function has returned, whatever
/// its flags.
pub(crate) fn set_disposition(signal: Signal, action: &SigAction) -> io::Result<SigAction> {
    // SAFETY: sigaction is unsafe because a handler may be one that is not async-signal-safe. No
    // handler is made here: the callers pass none, or the one that was there.
    Ok(unsafe { nix::sys::signal::sigaction(signal, action) }?)
}

/// Returns whether a signal is ignored.
pub(crate) fn is_ignored(signal: Signal) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null pointer says that nothing is to be set, and the kernel writes to what lives.
    let result = unsafe { libc::sigaction(signal as i32, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: it is filled in if the call has succeeded.
    result == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// Makes a signal do nothing but interrupt: what an `exec` sets to the default again.
pub(crate) fn notice_only(signal: Signal) -> io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does nothing at all, which is async-signal-safe.
    unsafe { nix::sys::signal::sigaction(signal, &action) }?;
    Ok(())
}

/// From now on, `signal` raises `flag` and makes `wake` readable, in this process.
///
/// A process forked from this one, which has a copy of the handler, does with the signal what it
/// does by default: it was not the one that was asked.
pub(crate) fn raise_on_signal(
    signal: i32,
    flag: Arc<AtomicBool>,
    wake: Arc<OwnedFd>,
) -> io::Result<()> {
    let owner = process::id();
    let handler = move || {
        if process::id() == owner {
            // Release: pairs with the acquire where the flag is read; nothing is published with
            // it today, and it costs nothing.
            flag.store(true, Ordering::Release);
            // A full eventfd is readable already, and an error could be reported to nobody.
            let _ = rustix::io::write(wake.as_fd(), &1u64.to_ne_bytes());
        } else {
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    };
    // Registering first installs the handler and then its table; a signal in between would find
    // neither the handler's table nor the default, and be lost. Blocked, it waits for both.
    let only: SigSet = [Signal::try_from(signal)?].into_iter().collect();
    let before = only.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    // SAFETY: the handler is async-signal-safe: getpid, a store to an atomic, a write to a
    // descriptor that the handler itself keeps open, and a function documented as safe to call in a
    // handler. It neither allocates nor locks nor panics, and rustix calls the kernel directly, so
    // errno is left alone.
    let registered = unsafe { signal_hook::low_level::register(signal, handler) };
    before.thread_set_mask()?;
    registered?;
    Ok(())
}

/// A page of memory that holds the title of this process and is never freed.
///
/// Never, because the kernel reads it whenever somebody asks for the command line.
#[derive(Debug)]
pub(crate) struct TitlePage {
    text: &'static mut [u8],
}

impl TitlePage {
    const SIZE: usize = 4096;

    /// Makes a page that begins with `text`; what follows is zeros.
    pub(crate) fn new(text: &[u8]) -> io::Result<Self> {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: the kernel chooses the address (the hint is null), so no memory of ours is
        // mapped over.
        let start = unsafe { mmap_anonymous(std::ptr::null_mut(), Self::SIZE, protection, flags) }?;
        // SAFETY: the mapping is SIZE bytes long, readable, writable, zeroed, private to this
        // process, referred to by nobody else, and never unmapped.
        let text_space = unsafe { std::slice::from_raw_parts_mut(start.cast::<u8>(), Self::SIZE) };
        let mut page = Self { text: text_space };
        page.write(text);
        Ok(page)
    }

    /// Replaces the text.
    pub(crate) fn write(&mut self, text: &[u8]) {
        let length = text.len().min(Self::SIZE - 1);
        self.text.fill(0);
        self.text[..length].copy_from_slice(&text[..length]);
    }

    pub(crate) fn address(&self) -> u64 {
        self.text.as_ptr() as u64
    }
}

/// Returns the current end of the heap.
pub(crate) fn program_break() -> u64 {
    // SAFETY: sbrk with 0 changes nothing (see `sbrk(2)`).
    let end = unsafe { libc::sbrk(0) };
    end as u64
}

/// Sets where, for the kernel, the parts of this process lie, as `prctl(2)` describes under
/// `PR_SET_MM_MAP`.
///
/// To be called with what the kernel itself reports (`/proc/self/stat`), but for the arguments,
/// which are a [`TitlePage`].
pub(crate) fn set_memory_map(map: &PrctlMmMap) -> io::Result<()> {
    // SAFETY: the kernel validates the addresses and uses them for what it shows in /proc, except
    // for the break, which is the current one: the process has one thread and allocates nothing
    // between reading it and here.
    unsafe { configure_virtual_memory_map(map) }?;
    Ok(())
}

/// Returns what is open under this number; `None` if nothing is.
pub(crate) fn borrow_descriptor(number: RawFd) -> Option<BorrowedFd<'static>> {
    if number < 0 {
        return None;
    }
    // SAFETY: the number is not -1. If it is not open, or is closed later on, the kernel says so at the
    // next use; nobody takes the borrow for ownership.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_getfd(fd).is_ok().then_some(fd)
}

/// Takes what was left open under this number for this program, and keeps it from the programs that this
/// one starts; `None` if nothing is open there.
///
/// To be called once for each number of a handover that was written for this process, or of the
/// descriptors that a service manager has passed to it.
pub(crate) fn adopt_descriptor(number: RawFd) -> Option<OwnedFd> {
    let open = borrow_descriptor(number)?;
    rustix::io::fcntl_setfd(open, rustix::io::FdFlags::CLOEXEC).ok()?;
    // SAFETY: the descriptor is open, and was since before this program began: the old program
    // has left it for the one that reads the handover, or the service manager for this process, and
    // nothing else in this program owns it.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Returns whether the program file has given this process privileges that the user who started it does not have:
/// set-user-ID, set-group-ID, capabilities (see `AT_SECURE` in `getauxval(3)`).
pub(crate) fn is_privileged_by_file() -> bool {
    // SAFETY: getauxval only reads what the kernel has handed to the process.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Removes a variable from the environment, unless there are threads that might read it just now.
pub(crate) fn forget_variable(name: &str) {
    if crate::sys::threads::count().is_ok_and(|count| count == 1) {
        // SAFETY: no other thread exists, so nobody reads or changes the environment meanwhile.
        unsafe { std::env::remove_var(name) };
    }
}

/// Asks the kernel whether a process could be signalled by a descriptor, and sends nothing.
pub(crate) fn send_nothing(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    let (number, info) = (libc::SYS_pidfd_send_signal, std::ptr::null::<libc::siginfo_t>());
    // SAFETY: a null pointer stands for no information (see `pidfd_send_signal(2)`), and signal 0 for none.
    let result = unsafe { libc::syscall(number, pidfd.as_raw_fd(), 0, info, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Figures in memory that this process writes and others only read, never freed.
#[derive(Debug)]
pub(crate) struct SharedFigures {
    figures: &'static [AtomicU64],
}

impl SharedFigures {
    /// Makes so many figures, all zero, and a file in memory by which others can read them. Processes
    /// forked from here do not have the memory, and nobody can get it to write to.
    pub(crate) fn new(count: usize) -> io::Result<(Self, OwnedFd)> {
        let size = count.max(1) * size_of::<AtomicU64>();
        let memory = memory_file::create("prefork-figures")?;
        ftruncate(&memory, size as u64)?;
        let figures = Self::map(&memory, size, ProtFlags::READ | ProtFlags::WRITE)?;
        let start = figures.figures.as_ptr().cast_mut().cast();
        // SAFETY: the range is exactly the mapping just made; only this process goes on using it.
        unsafe { madvise(start, size, Advice::LinuxDontFork) }?;
        // The mapping made before the seal stays writable (see `F_SEAL_FUTURE_WRITE` in `fcntl(2)`).
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW;
        fcntl_add_seals(&memory, seals | SealFlags::FUTURE_WRITE)?;
        Ok((figures, memory))
    }

    /// Maps the figures in such a file, to be read alone.
    pub(crate) fn of_memory_file(memory: &OwnedFd) -> io::Result<Self> {
        if !fcntl_get_seals(memory)?.contains(SealFlags::SHRINK) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let size = usize::try_from(rustix::fs::fstat(memory)?.st_size).map_err(io::Error::other)?;
        Self::map(memory, size, ProtFlags::READ)
    }

    fn map(memory: &OwnedFd, size: usize, protection: ProtFlags) -> io::Result<Self> {
        // SAFETY: the kernel chooses the address (the hint is null), so no memory of ours is
        // mapped over.
        let start =
            unsafe { mmap(std::ptr::null_mut(), size, protection, MapFlags::SHARED, memory, 0) }?;
        let count = size / size_of::<AtomicU64>();
        // SAFETY: the mapping is page-aligned, as long as the file, which is never made shorter, never
        // unmapped, and reached only through these atomics. A process that has mapped it to read only loads.
        let figures = unsafe { std::slice::from_raw_parts(start.cast::<AtomicU64>(), count) };
        Ok(Self { figures })
    }

    /// Returns the figures.
    pub(crate) const fn get(&self) -> &'static [AtomicU64] {
        self.figures
    }
}

/// Closes all descriptors of a range, which nobody in this process uses or closes any more.
fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: what is closed here nobody uses or closes any more, as the caller has promised.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == 0 {
        return Ok(());
    }
    // Before Linux 5.9, and in sandboxes that do not know it.
    let names = std::fs::read_dir("/proc/self/fd")?.flatten().map(|entry| entry.file_name());
    let open: Vec<u32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| (first..=last).contains(fd)) {
        if let Ok(fd) = libc::c_int::try_from(fd) {
            // SAFETY: as above. The directory itself is closed by now, and is no error.
            unsafe { libc::close(fd) };
        }
    }
    Ok(())
}

/// Closes all descriptors from 3 up but these, in a process that keeps nothing else of what it was
/// forked from.
///
/// To be called by one that never returns to code that has opened them.
pub(crate) fn close_all_but(kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<u32> = kept.iter().map(|fd| fd.as_raw_fd().unsigned_abs()).collect();
    kept.sort_unstable();
    let mut first = 3;
    for number in kept.into_iter().filter(|number| *number >= 3).chain([u32::MAX]) {
        if first < number {
            close_range(first, number - 1)?;
        }
        first = number.saturating_add(1);
    }
    Ok(())
}
