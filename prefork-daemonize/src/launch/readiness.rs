//! The daemon's side: saying once whether it serves.

use std::error::Error;
use std::io;

use super::channel::{Channel, Received};
use super::message::{MAX_LEN, Message};
use crate::pid::Pid;

/// No chain of causes is followed further; an error that is its own cause would never end.
const MAX_CAUSES: usize = 32;

/// The daemon's duty to report to its launcher, once, whether it serves.
///
/// Until it is used the launcher waits. Dropping it unused reports to the launcher that the launch
/// has failed, so an early `return` or a panic never looks like success.
///
/// # Fork
///
/// Belongs to the daemon itself. In a child of it [`ready`](Self::ready) is refused, and
/// [`failed`](Self::failed) and dropping do nothing but close the child's copy, which a child
/// that is forked before `ready` should do early.
#[derive(Debug)]
#[must_use = "the launcher waits until the daemon says whether it is ready"]
pub struct Readiness {
    channel: Channel,
    owner: Pid,
    said: Said,
}

/// Whether the one word was said.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Something,
}

/// Why it was not reported to the launcher that the daemon serves.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ReadyError {
    /// The launcher has given up or was killed: the starter of the daemon believes that it
    /// does not run, so it should end.
    #[error("the launcher has gone; it has reported that the daemon did not start")]
    LauncherGone,
    /// This is a child of the daemon.
    #[error("process {pid} cannot be ready in place of the daemon, process {daemon}")]
    #[non_exhaustive]
    NotTheDaemon {
        /// The calling process.
        pid: Pid,
        /// The daemon.
        daemon: Pid,
    },
    /// The channel failed.
    #[error("cannot report to the launcher that the daemon is ready")]
    #[non_exhaustive]
    Channel {
        /// What the system said.
        source: io::Error,
    },
}

prefork_core::debug_as_chain!(ReadyError);

impl Readiness {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel, owner: Pid::current(), said: Said::Nothing }
    }

    /// Returns the processes that wait for this report and then end: the launcher, and the parent of the daemon. Those of them
    /// that were killed are missing or, as any number, another process by now.
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn waiting(&self) -> Vec<Pid> {
        // Who has made both ends is the peer of either: see unix(7).
        let launcher = rustix::net::sockopt::socket_peercred(&self.channel).ok();
        let launcher = launcher.map(|launcher| launcher.pid);
        let parent = rustix::process::getppid().filter(|parent| !parent.is_init());
        let waiting = launcher.into_iter().chain(parent);
        waiting.filter_map(|pid| Pid::from_raw(pid.as_raw_nonzero().get())).collect()
    }

    /// Reports to the launcher that the daemon serves, and waits until it has taken note.
    ///
    /// The launcher's `start` then returns [`Outcome::Launcher`](crate::Outcome::Launcher).
    /// The wait lasts as long as the launcher takes to wake up; it is longer only when
    /// somebody has stopped the launcher (Ctrl-Z), and then the daemon does not serve yet,
    /// just as its launcher has not yet returned.
    ///
    /// # Errors
    ///
    /// [`ReadyError::LauncherGone`] when the launcher was killed or its time limit has passed.
    /// The daemon should then end: its starter knows, or will think, that it failed.
    ///
    /// # Signals
    ///
    /// Never raises SIGPIPE, whatever its disposition. Handlers run while it waits; they do not
    /// end the wait.
    pub fn ready(mut self) -> Result<(), ReadyError> {
        let pid = Pid::current();
        if pid != self.owner {
            return Err(ReadyError::NotTheDaemon { pid, daemon: self.owner });
        }
        self.said = Said::Something;
        self.channel.send(&Message::Ready(pid)).map_err(unheard)?;
        match self.channel.wait().map_err(unheard)? {
            Received::Message(Some(Message::Noted)) => Ok(()),
            Received::Message(_) | Received::Nothing | Received::Closed => {
                Err(ReadyError::LauncherGone)
            }
        }
    }

    /// Reports to the launcher why the daemon will not serve: the error and all its causes.
    ///
    /// The launcher's `start` then returns
    /// [`DaemonizeError::Failed`](crate::DaemonizeError::Failed) with that text, joined by
    /// `": "` and cut after 16 KiB. The daemon should end right after this: the launcher waits
    /// up to a second for that, then sends SIGTERM.
    ///
    /// A launcher that has gone is no error here, since the daemon ends either way.
    pub fn failed(mut self, error: &(dyn Error + 'static)) {
        if Pid::current() == self.owner {
            self.said = Said::Something;
            let _ = self.channel.send(&Message::Refused(whole_text(error)));
        }
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        if self.said == Said::Nothing && Pid::current() == self.owner {
            let _ = self.channel.send(&Message::Dropped);
        }
    }
}

fn unheard(source: io::Error) -> ReadyError {
    if matches!(source.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) {
        ReadyError::LauncherGone
    } else {
        ReadyError::Channel { source }
    }
}

/// Joins an error and its causes, leaving out a cause that the text before it ends with:
/// many errors print their source themselves.
fn whole_text(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    for _ in 0..MAX_CAUSES {
        let Some(next) = cause else { break };
        let words = next.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        if text.len() > MAX_LEN {
            break;
        }
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<Link>>,
    }

    fn chain(texts: &[&'static str]) -> Link {
        let (first, rest) = texts.split_first().expect("a chain has a first link");
        let source = (!rest.is_empty()).then(|| Box::new(chain(rest)));
        Link { text: first, source }
    }

    #[test]
    fn joins_all_causes() {
        let error = chain(&["cannot start", "cannot bind 0.0.0.0:80", "permission denied"]);
        assert_eq!(whole_text(&error), "cannot start: cannot bind 0.0.0.0:80: permission denied");
    }

    #[test]
    fn says_a_cause_once_that_is_printed_by_its_effect() {
        let error = chain(&["cannot start: no such file", "no such file"]);
        assert_eq!(whole_text(&error), "cannot start: no such file");
    }

    #[test]
    fn follows_a_chain_only_so_far() {
        let error = chain(&["b"; 100]);
        assert_eq!(whole_text(&error), "b");
        let texts: Vec<&'static str> =
            (0..100).map(|i| if i % 2 == 0 { "x" } else { "y" }).collect();
        assert_eq!(whole_text(&chain(&texts)).matches(": ").count(), MAX_CAUSES);
    }
}
