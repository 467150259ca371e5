//! Standard error, as this process writes the daemon's own lines to it.
//!
//! In a global, as there is one standard error in a process. The program's own writes to it, panics among them, go
//! by the description that everybody shares, and may wait.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicU32},
    time::Duration,
};

use rustix::process::{Pid, getpid};

use super::{
    line_writer::{LineWriter, append_always},
    lost::Lost,
};

static STDERR: Mutex<Stderr> = Mutex::new(Stderr {
    writer: None,
    owner: None,
    torn: AtomicU32::new(0),
    lost: Lost::none(),
    uncounted: 0,
});

struct Stderr {
    /// None before the daemon has its log.
    writer: Option<LineWriter>,
    /// The process that has opened it.
    owner: Option<Pid>,
    torn: AtomicU32,
    /// What is still to be reported.
    lost: Lost,
    /// How many of the lost lines [`take_lost`] has not returned yet.
    uncounted: u64,
}

/// Opens a description of standard error for this process alone, in the place of that of the process which has
/// forked this one.
///
/// # Errors
///
/// Fails if this process can have no further descriptor.
pub(crate) fn open_own() -> io::Result<()> {
    let writer = prepare(rustix::stdio::stderr())?;
    // What the program prints there is not to be written over by a log at the same file.
    let _ = append_always_if_file(rustix::stdio::stdout());
    install(writer);
    Ok(())
}

/// Gets ready to write to what will be standard error.
pub(super) fn prepare(log: BorrowedFd<'_>) -> io::Result<LineWriter> {
    LineWriter::of(log)
}

/// From now on, writes there.
pub(super) fn install(writer: LineWriter) {
    let mut stderr = lock();
    let me = getpid();
    if stderr.owner.replace(me) != Some(me) {
        // Another process's, which reports it.
        stderr.torn = AtomicU32::new(0);
        stderr.lost = Lost::none();
        stderr.uncounted = 0;
    }
    stderr.writer = Some(writer);
}

/// Closes it, before descriptors are closed by their numbers.
#[cfg(feature = "status")]
pub(crate) fn close_own() {
    lock().writer = None;
}

/// Writes a line, without waiting; `describe` makes a line that says what was lost before, where that is to be
/// said.
pub(crate) fn write(line: String, describe: impl FnOnce(&Lost) -> String) {
    let mut stderr = lock();
    let Stderr { writer, torn, lost, uncounted, .. } = &mut *stderr;
    let mut bytes = line.into_bytes();
    let Some(writer) = writer else {
        // The launcher, or a daemon that has no child yet: as any program does. Where standard error is gone,
        // there is nobody left to report it to.
        let _ = rustix::io::write(rustix::stdio::stderr(), &bytes);
        return;
    };
    let mut write = |bytes: &mut Vec<u8>| writer.write(bytes, torn, Duration::ZERO);
    let reported = match lost.is_none() {
        true => Ok(()),
        false => write(&mut describe(lost).into_bytes()),
    };
    if reported.is_ok() {
        *lost = Lost::none();
    }
    if let Err(error) = reported.and_then(|()| write(&mut bytes)) {
        lost.add(error);
        *uncounted = uncounted.saturating_add(1);
    }
}

/// Returns how many lines were lost since the last call.
pub(crate) fn take_lost() -> u64 {
    std::mem::take(&mut lock().uncounted)
}

fn lock() -> MutexGuard<'static, Stderr> {
    // Nothing panics while it is held.
    STDERR.lock().unwrap_or_else(PoisonError::into_inner)
}

fn append_always_if_file(fd: BorrowedFd<'_>) -> io::Result<()> {
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode);
    if kind == rustix::fs::FileType::RegularFile { append_always(fd.as_fd()) } else { Ok(()) }
}
