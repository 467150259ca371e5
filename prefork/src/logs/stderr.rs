//! Standard error, as this process writes the daemon's own lines to it.
//!
//! In a global, as there is one standard error in a process. The program's own writes to it, panics among them, go
//! by the description that everybody shares, and may wait.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prefork_log::{Format, LineWriter, Lost, append_always};
use rustix::{
    io::fcntl_dupfd_cloexec,
    process::{Pid, getpid},
};

use super::{Streams, follow};
use crate::{channels::WhichLog, logs::access_log::PATIENCE};

/// Descriptors of ours leave 0 to 2 alone.
const FIRST: i32 = 3;

static STDERR: Mutex<Stderr> = Mutex::new(Stderr {
    writer: None,
    owner: None,
    lost: Lost::none(),
    uncounted: 0,
    original: None,
});

struct Stderr {
    /// None before the daemon has its log.
    writer: Option<LineWriter>,
    /// The process that has opened it.
    owner: Option<Pid>,
    /// What is still to be reported.
    lost: Lost,
    /// How many of the lost lines [`take_lost`] has not returned yet.
    uncounted: u64,
    /// Where standard error led at the start, if the log is elsewhere and the daemon does not serve yet.
    original: Option<Original>,
}

/// Where standard error led before the log took its place: the terminal of whoever starts the daemon by hand.
struct Original {
    fd: OwnedFd,
    /// This process's own way there.
    writer: LineWriter,
}

impl Original {
    fn of(fd: OwnedFd) -> io::Result<Self> {
        let writer = LineWriter::new(&fd)?;
        Ok(Self { fd, writer })
    }
}

/// Opens a description of standard error for this process alone, in the place of that of the process which has
/// forked this one.
///
/// # Errors
///
/// Fails if this process can have no further descriptor.
pub(crate) fn open_own() -> io::Result<()> {
    let writer = LineWriter::new(rustix::stdio::stderr())?;
    // What the program prints there is not to be written over by a log at the same file.
    let _ = append_always(rustix::stdio::stdout());
    install(writer);
    let mut stderr = lock();
    stderr.original =
        stderr.original.take().map(|original| Original::of(original.fd)).transpose()?;
    Ok(())
}

/// Sends standard error to a log, and shows errors where it led before too, until [`take_original`].
///
/// # Errors
///
/// Fails if this process can have no further descriptor; then everything goes where it went.
pub(crate) fn redirect_at_start(log: OwnedFd) -> io::Result<()> {
    let original = fcntl_dupfd_cloexec(rustix::stdio::stderr(), FIRST)?;
    let original = Original::of(original)?;
    let is_the_log = original.writer.leads_to(&log);
    redirect(log, Streams::StandardError)?;
    lock().original = (!is_the_log).then_some(original);
    Ok(())
}

/// From now on errors are shown in the log alone. Returns where standard error led before the log took its place, if that
/// is elsewhere and was not taken before.
pub(crate) fn take_original() -> Option<OwnedFd> {
    lock().original.take().map(|original| original.fd)
}

/// Sends standard error to a log, and standard output too if that goes there.
///
/// # Errors
///
/// Fails if this process can have no further descriptor; then everything goes where it went.
pub(crate) fn redirect(log: OwnedFd, streams: Streams) -> io::Result<()> {
    let is_the_same = lock().writer.as_ref().is_some_and(|writer| writer.leads_to(&log));
    // A description of its own is better than one that others have.
    let writer = if is_the_same { None } else { Some(LineWriter::new(&log)?) };
    match streams {
        Streams::Both => rustix::stdio::dup2_stdout(&log)?,
        Streams::StandardError => {}
    }
    rustix::stdio::dup2_stderr(log)?;
    if let Some(writer) = writer {
        install(writer);
    }
    Ok(())
}

/// From now on, writes there.
fn install(writer: LineWriter) {
    let mut stderr = lock();
    let me = getpid();
    if stderr.owner.replace(me) != Some(me) {
        // Another process's, which reports it, and ends what it has torn.
        stderr.writer = None;
        stderr.lost = Lost::none();
        stderr.uncounted = 0;
    }
    let before = stderr.writer.take();
    stderr.writer = Some(match &before {
        Some(before) => writer.after(before),
        None => writer,
    });
}

/// Closes it, before descriptors are closed by their numbers.
pub(crate) fn close_own() {
    let mut stderr = lock();
    (stderr.writer, stderr.original) = (None, None);
}

/// Writes a line where standard error led at the start, as long as that is remembered.
pub(crate) fn show(line: &str) {
    if let Some(Original { writer, .. }) = &mut lock().original {
        // Whoever starts it may have stopped the terminal; the log has the line.
        let _ = writer.write(line.as_bytes(), Duration::ZERO);
    }
}

/// Returns how lines are to begin that are written now.
pub(crate) fn format() -> Format {
    let stderr = lock();
    let before = || Format::of(rustix::stdio::stderr());
    stderr.writer.as_ref().map_or_else(before, LineWriter::format)
}

/// Writes a line, without waiting; `describe` makes a line that says what was lost before, where that is to be
/// said.
pub(crate) fn write(line: &str, describe: impl FnOnce(&Lost) -> String) {
    write_within(Duration::ZERO, line, describe);
}

/// Writes a line of which there may be many at once: a reader that is behind is waited for, once until it has caught up.
pub(crate) fn write_patiently(line: &str, describe: impl FnOnce(&Lost) -> String) {
    write_within(PATIENCE, line, describe);
}

fn write_within(patience: Duration, line: &str, describe: impl FnOnce(&Lost) -> String) {
    // First it may go over to another log.
    let _writing = follow::writing(WhichLog::Error);
    let mut stderr = lock();
    let Stderr { writer, lost, uncounted, .. } = &mut *stderr;
    let Some(writer) = writer else {
        // The launcher, or a daemon that has no child yet: as any program does. Where standard error is gone,
        // there is nobody left to report it to.
        let _ = rustix::io::write(rustix::stdio::stderr(), line.as_bytes());
        return;
    };
    let mut write = |line: &str| writer.write(line.as_bytes(), patience);
    let reported = match lost.is_none() {
        true => Ok(()),
        false => write(&describe(lost)),
    };
    if reported.is_ok() {
        *lost = Lost::none();
    }
    let written = reported.and_then(|()| write(line));
    if let Err(error) = written {
        let is_first = lost.is_none();
        lost.add(error);
        *uncounted = uncounted.saturating_add(1);
        drop(stderr);
        follow::count_lost();
        if is_first {
            follow::report_lost();
        }
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
