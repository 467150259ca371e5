//! Every `unsafe` of this crate.
//!
//! Processes (`processes.rs`), C's standard output, signal dispositions, the signal handler of a child, the
//! pages that hold the process title and the words shared with children, figures for others (`figures.rs`), descriptors
//! known by their numbers, the environment, who has sent a signal (`last_sender.rs`), and
//! the way back from an upgrade (`way_back.rs`). Each wrapper states what makes it sound;
//! callers need no `unsafe`.

#![expect(unsafe_code, reason = "what the operating system offers in no safe form")]

mod figures;
mod last_sender;
pub(crate) mod memory_file;
pub(crate) mod pages;
mod processes;
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

use nix::{
    libc,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal},
};
use rustix::{
    mm::{MapFlags, ProtFlags, mmap_anonymous},
    process::{PrctlMmMap, configure_virtual_memory_map},
};

pub(crate) use figures::SharedFigures;
pub(crate) use last_sender::LastSender;
pub(crate) use processes::{
    ChildState, Forked, fork, limit_of_locks, look_at_children, send_nothing, signal_group_of,
};

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

/// From now on, `signal` raises `flag`, notes its sender and makes `wake` readable, in this process.
///
/// A process forked from this one, which has a copy of the handler, does with the signal what it
/// does by default: it was not the one that was asked.
pub(crate) fn raise_on_signal(
    signal: i32,
    flag: Arc<AtomicBool>,
    sender: Arc<LastSender>,
    wake: Arc<OwnedFd>,
) -> io::Result<()> {
    let owner = process::id();
    let handler = move |info: &libc::siginfo_t| {
        if process::id() == owner {
            sender.note(info);
            // Release: pairs with the acquire where the flag is read; publishes the sender.
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
    // SAFETY: the handler is async-signal-safe: getpid, stores to atomics, a write to a
    // descriptor that the handler itself keeps open, and a function documented as safe to call in a
    // handler. It neither allocates nor locks nor panics, and rustix calls the kernel directly, so
    // errno is left alone.
    let registered = unsafe { signal_hook_registry::register_sigaction(signal, handler) };
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

/// Puts another socket in the place of the one with this number. Whoever has the number goes on with that, and closes it.
///
/// To be called with the number of a descriptor that is open, whose owner is to find another one there.
pub(crate) fn replace_descriptor(number: RawFd, with: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the number stays open, and its owner's to close. That another socket is behind it is what the caller wants.
    let result = unsafe { libc::dup3(with.as_raw_fd(), number, libc::O_CLOEXEC) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Moves memory of this process into a huge page, if there is one.
pub(crate) fn move_to_huge_page(start: usize, size: usize) -> Result<(), rustix::io::Errno> {
    /// As in `asm-generic/mman-common.h`.
    const COLLAPSE: libc::c_int = 25;
    // SAFETY: what is in the memory stays, wherever it is, and memory that is not there any more is an error.
    let result = unsafe { libc::madvise(std::ptr::without_provenance_mut(start), size, COLLAPSE) };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    Err(rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::INVAL))
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
    if crate::sys::threads::Others::look().is_ok_and(|others| others.count() == 0) {
        // SAFETY: no other thread exists, so nobody reads or changes the environment meanwhile.
        unsafe { std::env::remove_var(name) };
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
