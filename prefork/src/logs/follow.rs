//! Going over to logs that the parent has opened again.
//!
//! A process goes over with its next line, and no later than between two requests: a child looks at a word in its page,
//! others into the socket in which the newest logs lie (`channels/handout.rs`).
//!
//! A program that rotates logs needs to know when the old file is written to no more. So a child reports in its page
//! which edition it is writing to while it does: first that, then it looks whether there is a newer one, then it writes.
//! The parent first announces a newer one and then looks which children write to an older. So a line goes either to the
//! new file, or the parent knows of it.

#[cfg(feature = "status")]
use std::os::fd::BorrowedFd;
use std::{
    io,
    os::fd::OwnedFd,
    process,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{FileMessage, stderr};
use crate::{
    channels::{Report, Reporter, Taker, WhichLog},
    logs::log::Log,
};

static FOLLOWER: Mutex<Option<Follower>> = Mutex::new(None);

/// Whether standard output goes where standard error does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Streams {
    /// In the background.
    Both,
    StandardError,
}

/// What a process needs for it.
#[derive(Debug)]
struct Follower {
    pid: u32,
    taker: Taker,
    streams: Streams,
    /// The edition that this process writes to.
    edition: u64,
    /// Of a child, which is known by its page; none of other processes.
    child: Option<Reporter>,
    /// A new access log that has not been fetched.
    access_log: Option<OwnedFd>,
    /// The edition that could not be had, so that this is logged once.
    missed: u64,
    log: Log,
}

/// Newer logs that could not be had, to be logged.
struct Trouble {
    log: Log,
    error: io::Error,
    consequence: &'static str,
}

/// A line is being written.
#[derive(Debug)]
pub(crate) struct Writing {
    which: WhichLog,
    child: Option<Reporter>,
}

/// Begins to follow, from the edition that this process has.
pub(crate) fn begin(
    (taker, edition): (Taker, u64),
    streams: Streams,
    child: Option<Reporter>,
    log: &Log,
) {
    let (pid, log) = (process::id(), log.clone());
    *lock() =
        Some(Follower { pid, taker, streams, edition, child, access_log: None, missed: 0, log });
    follow();
}

/// Goes over to the newest logs, if there are newer ones.
pub(crate) fn follow() {
    let trouble = match &mut *lock() {
        Some(follower) if follower.is_here() && follower.is_behind() => follower.go_over(),
        Some(_) | None => return,
    };
    report(trouble);
}

/// Goes over to the newest logs, and notes that a line is being written to them; `None` where nobody wants to know.
///
/// What the line is about is not said before this returns.
pub(crate) fn writing(which: WhichLog) -> Option<Writing> {
    let mut guard = lock();
    let follower = guard.as_mut().filter(|follower| follower.is_here())?;
    let Some(child) = follower.child.clone() else {
        let trouble = if follower.is_behind() { follower.go_over() } else { None };
        drop(guard);
        report(trouble);
        return None;
    };
    child.page().write_to(which, follower.edition);
    let trouble = if follower.is_behind() { follower.go_over() } else { None };
    child.page().write_to(which, follower.edition);
    let is_late = follower.is_behind();
    drop(guard);
    report(trouble);
    // One that could not go over writes to the old file until it has ended, and the parent is to know.
    (!is_late).then_some(Writing { which, child: Some(child) })
}

/// Fetches the access log of the newest edition, once.
pub(crate) fn take_access_log() -> Option<OwnedFd> {
    lock().as_mut().and_then(|follower| follower.access_log.take())
}

/// Counts a line that was lost, where the parent can read it.
pub(crate) fn count_lost() {
    with_child(Reporter::lost_line);
}

/// Makes the parent read how many lines were lost: when that begins, and when it is over.
pub(crate) fn report_lost() {
    with_child(Reporter::ring);
}

fn with_child(act: impl FnOnce(&Reporter)) {
    let guard = lock();
    let child = guard.as_ref().filter(|follower| follower.is_here());
    if let Some(child) = child.and_then(|follower| follower.child.as_ref()) {
        act(child);
    }
}

/// What wakes the process when there are newer logs.
#[cfg(feature = "status")]
pub(crate) fn wakes() -> Option<OwnedFd> {
    use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
    let guard = lock();
    let epoll = epoll::create(CreateFlags::CLOEXEC).ok()?;
    let news = EventFlags::IN | EventFlags::ET;
    epoll::add(&epoll, &guard.as_ref()?.taker, EventData::new_u64(0), news).ok()?;
    Some(epoll)
}

/// Makes [`wakes`] wait for the next ones.
#[cfg(feature = "status")]
pub(crate) fn quieten(wakes: BorrowedFd<'_>) {
    use rustix::event::{Timespec, epoll};
    let mut space = [std::mem::MaybeUninit::<epoll::Event>::uninit(); 1];
    let _ = epoll::wait(wakes, &mut space, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(child) = &self.child {
            child.page().wrote(self.which);
        }
    }
}

impl Follower {
    /// A copy of a child, made by the program, has neither the page nor a word in what is whose.
    fn is_here(&self) -> bool {
        process::id() == self.pid
    }

    fn is_behind(&self) -> bool {
        match &self.child {
            Some(child) => child.page().newest_logs() > self.edition,
            None => self.taker.newest().ok().flatten().is_some_and(|newest| newest > self.edition),
        }
    }

    /// Takes the newest logs; returns what to log where they cannot be had.
    fn go_over(&mut self) -> Option<Trouble> {
        let newest =
            self.child.as_ref().map_or(self.edition + 1, |child| child.page().newest_logs());
        let gone_over = self.taker.take(newest).and_then(|(edition, logs)| {
            if let Some(error_log) = logs.error_log {
                stderr::redirect(error_log, self.streams)?;
            }
            if let Some(access_log) = logs.access_log {
                self.access_log = Some(access_log);
            }
            self.edition = edition;
            Ok(())
        });
        let error = gone_over.err()?;
        if std::mem::replace(&mut self.missed, newest) == newest {
            return None;
        }
        let consequence = match &self.child {
            Some(child) => {
                child.report(Report::Tired);
                "; it asks to be replaced"
            }
            None => "",
        };
        Some(Trouble { log: self.log.clone(), error, consequence })
    }
}

/// After everything is unlocked: the line takes the same way as all others.
fn report(trouble: Option<Trouble>) {
    if let Some(Trouble { log, error, consequence }) = trouble {
        log.write(&FileMessage::LogsNotTaken { error: &error, consequence });
    }
}

fn lock() -> MutexGuard<'static, Option<Follower>> {
    // Nothing panics while it is held.
    FOLLOWER.lock().unwrap_or_else(PoisonError::into_inner)
}
