//! Reloads and upgrades that were asked for.

use std::time::Duration;

use crate::{Daemon, PATIENCE, notices, wait::holds_within};

/// A reload or an upgrade that a daemon was asked for: [`Daemon::reload`], [`Daemon::upgrade`].
#[derive(Debug)]
#[must_use = "it goes on meanwhile"]
pub struct Change<'a> {
    pub(crate) daemon: &'a Daemon,
    pub(crate) what: &'static str,
    /// How many notices there were before.
    pub(crate) before: usize,
    /// The children that are to be replaced.
    pub(crate) outgoing: Vec<u32>,
}

/// What has become of a reload or an upgrade that does not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The daemon goes on with what it had.
    #[error("{what} has failed: {status}; the daemon's log says why:\n{log}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// What the daemon reports to its service manager.
        status: String,
        /// The last lines of its log.
        log: String,
    },
    /// The daemon has ended.
    #[error("{what} has failed: the daemon {end}; its log:\n{log}")]
    Ended {
        /// What was asked for.
        what: &'static str,
        /// How it has ended.
        end: crate::End,
        /// The last lines of its log.
        log: String,
    },
    /// It was not over in time.
    #[error("{what} was not over within {limit:?}; the daemon's log:\n{log}")]
    NotOver {
        /// What was asked for.
        what: &'static str,
        /// How long it was waited for.
        limit: Duration,
        /// The last lines of its log.
        log: String,
    },
}

impl Change<'_> {
    /// Waits until it is over: new children serve in the place of the old ones, which were asked to leave, and may still finish
    /// what they have in hand.
    ///
    /// # Panics
    ///
    /// Panics if it does not work, or is not over within 20 s.
    #[track_caller]
    pub fn wait(self) {
        if let Err(error) = self.outcome(PATIENCE) {
            panic!("{error}");
        }
    }

    /// The same, for what may fail, within `limit`.
    ///
    /// # Errors
    ///
    /// [`ChangeError`] if it does not work, or is not over in time.
    pub fn outcome(self, limit: Duration) -> Result<(), ChangeError> {
        let Self { daemon, what, before, outgoing } = self;
        let log = || daemon.last_lines();
        let mut status = None;
        holds_within(limit, || match daemon.notices().change_since(before) {
            notices::Change::Ended(text) => {
                status = Some(text);
                true
            }
            notices::Change::Running => daemon.end().is_some(),
        });
        match (status, daemon.end()) {
            // As it says of itself when all is as it should be.
            (Some(status), _) if status.starts_with("serving, ") => {
                daemon.have_left(outgoing);
                Ok(())
            }
            (Some(status), _) => Err(ChangeError::Refused { what, status, log: log() }),
            (None, Some(end)) => Err(ChangeError::Ended { what, end, log: log() }),
            (None, None) => Err(ChangeError::NotOver { what, limit, log: log() }),
        }
    }
}
