//! The launcher's side: waiting for one answer, and returning it.

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::retry_on_intr;
use rustix::process::{WaitOptions, waitpid};

use super::channel::{Channel, Received};
use super::error::{DaemonizeError, Ended};
use super::message::{Message, Step};
use crate::pid::Pid;
use crate::wait::{Deadline, readable};

/// How long a launch that has failed may take to clear up before it is reported.
const FAREWELL: Duration = Duration::from_secs(1);

/// The launcher's knowledge while it waits.
#[derive(Debug)]
pub(crate) struct Launcher {
    daemon: Channel,
    watcher: Channel,
    watcher_pid: Pid,
    daemon_pid: Option<Pid>,
    daemon_hung_up: bool,
    directory: PathBuf,
    limit: Duration,
}

/// What one round of listening brought.
enum News {
    Ready(Pid),
    /// The launch has failed; the daemon may still be on its way out.
    Failed(DaemonizeError),
    /// The daemon is no more.
    Ended(Ended),
    /// The watcher is no more, so the end of the daemon will not be seen.
    Unwatched,
    Nothing,
}

impl Launcher {
    pub(crate) fn new(
        daemon: Channel,
        watcher: Channel,
        watcher_pid: Pid,
        directory: PathBuf,
        limit: Duration,
    ) -> Self {
        Self {
            daemon,
            watcher,
            watcher_pid,
            daemon_pid: None,
            daemon_hung_up: false,
            directory,
            limit,
        }
    }

    /// Waits for the answer, reaps the watcher, and returns the daemon's pid.
    pub(crate) fn wait(mut self) -> Result<Pid, DaemonizeError> {
        let answer = self.listen();
        if answer.is_ok() {
            // Without this the watcher would take our leaving for a failure.
            let _ = self.watcher.send(&Message::Noted);
        }
        let Self { daemon, watcher, watcher_pid, .. } = self;
        drop((daemon, watcher));
        // ECHILD: the caller ignores SIGCHLD or reaps in a handler, so it is gone too.
        let _ = retry_on_intr(|| waitpid(Some(watcher_pid.for_rustix()), WaitOptions::empty()));
        answer
    }

    fn listen(&mut self) -> Result<Pid, DaemonizeError> {
        let mut deadline = Deadline::after(self.limit);
        let mut verdict: Option<DaemonizeError> = None;
        loop {
            let in_time = self.poll(deadline).map_err(|source| DaemonizeError::Wait { source })?;
            // Looked at even after the deadline: the answer may have come while this
            // process was stopped.
            let news = self.news().map_err(|source| DaemonizeError::Wait { source })?;
            match (news, verdict.take()) {
                (News::Ready(pid), None) => {
                    if self.daemon.send(&Message::Noted).is_ok() {
                        return Ok(pid);
                    }
                }
                (News::Failed(error), None) => {
                    verdict = Some(error);
                    deadline = Deadline::after(FAREWELL);
                }
                (News::Ended(end), None | Some(DaemonizeError::Abandoned { .. })) => {
                    return Err(DaemonizeError::Died { pid: self.daemon_pid, end });
                }
                (News::Ended(_) | News::Unwatched, Some(error)) => return Err(error),
                (News::Unwatched, None) => {
                    return Err(DaemonizeError::Died { pid: self.daemon_pid, end: Ended::Unseen });
                }
                (News::Nothing, Some(error)) if !in_time => return Err(error),
                (News::Nothing, None) if !in_time => {
                    let _ = self.watcher.send(&Message::Stop);
                    verdict =
                        Some(DaemonizeError::Timeout { pid: self.daemon_pid, limit: self.limit });
                    deadline = Deadline::after(FAREWELL);
                }
                // After a verdict nothing but the end of the daemon is of interest.
                (News::Ready(_) | News::Failed(_) | News::Nothing, kept) => verdict = kept,
            }
        }
    }

    fn poll(&self, deadline: Deadline) -> io::Result<bool> {
        // A channel that has hung up is always readable: polling it would burn a core until
        // the watcher reports.
        if self.daemon_hung_up {
            readable(&[self.watcher.as_fd()], deadline)
        } else {
            readable(&[self.daemon.as_fd(), self.watcher.as_fd()], deadline)
        }
    }

    /// Takes one message; the daemon's own words before the watcher's news of its end.
    fn news(&mut self) -> io::Result<News> {
        let word = self.word_of_the_daemon()?;
        if !matches!(word, News::Nothing) {
            return Ok(word);
        }
        match self.watcher.receive()? {
            Received::Message(Some(Message::Forked(pid))) => {
                self.daemon_pid = Some(pid);
                Ok(News::Nothing)
            }
            Received::Message(Some(Message::Failed(step, errno))) => {
                Ok(News::Failed(self.step_error(step, errno)))
            }
            Received::Message(Some(Message::Exited(status))) => {
                self.last_words(Ended::Exited { status })
            }
            Received::Message(Some(Message::Killed(signal))) => {
                self.last_words(Ended::Killed { signal })
            }
            Received::Closed => Ok(News::Unwatched),
            Received::Message(_) | Received::Nothing => Ok(News::Nothing),
        }
    }

    /// What the daemon sent before it died comes before the news that it died: it may have
    /// spoken after we looked at its channel and before we looked at the watcher's.
    fn last_words(&mut self, end: Ended) -> io::Result<News> {
        match self.word_of_the_daemon()? {
            News::Failed(DaemonizeError::Abandoned { .. })
            | News::Ready(_)
            | News::Ended(_)
            | News::Unwatched
            | News::Nothing => Ok(News::Ended(end)),
            News::Failed(error) => Ok(News::Failed(error)),
        }
    }

    fn word_of_the_daemon(&mut self) -> io::Result<News> {
        if self.daemon_hung_up {
            return Ok(News::Nothing);
        }
        match self.daemon.receive()? {
            Received::Message(Some(Message::Ready(pid))) => {
                self.daemon_pid = Some(pid);
                Ok(News::Ready(pid))
            }
            Received::Message(Some(Message::Refused(reason))) => {
                Ok(News::Failed(DaemonizeError::Failed { reason }))
            }
            Received::Message(Some(Message::Failed(step, errno))) => {
                Ok(News::Failed(self.step_error(step, errno)))
            }
            Received::Message(Some(Message::Dropped)) => {
                Ok(News::Failed(DaemonizeError::Abandoned { pid: self.daemon_pid }))
            }
            Received::Closed => {
                self.daemon_hung_up = true;
                Ok(News::Nothing)
            }
            Received::Message(_) | Received::Nothing => Ok(News::Nothing),
        }
    }

    fn step_error(&self, step: Step, errno: i32) -> DaemonizeError {
        let source = io::Error::from_raw_os_error(errno);
        match step {
            Step::Session => DaemonizeError::Session { source },
            Step::Fork => DaemonizeError::Fork { source },
            Step::Watch => DaemonizeError::Wait { source },
            Step::Directory => DaemonizeError::Directory { path: self.directory.clone(), source },
            Step::Stdio => DaemonizeError::Stdio { source },
            Step::Descriptors => DaemonizeError::Descriptors { source },
            Step::Signals => DaemonizeError::Signals { source },
        }
    }
}
