//! Waiting until a daemon of several pools has done to the whole what it was asked for: it writes that into the list of its pools.
//!
//! Which pools are to follow is known then. Whether they have, their own boards show.

use std::{
    thread,
    time::{Duration, Instant},
};

use prefork_core::{
    Time,
    pools::{ListedChange, ListedOutcome, PoolsChange, Roster},
};
use prefork_daemonize::Pid;
use prefork_scoreboard::Monotonic;

use super::still_runs;
use crate::{
    failure::Failure,
    find::{Pooled, roster_beside},
};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// A change that was asked for.
#[derive(Debug)]
pub(super) struct Change<'a> {
    daemon: &'a Pooled,
    pid: Pid,
    change: PoolsChange,
    /// When that was, a moment before the signal.
    asked: Time,
}

/// What the daemon has done.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) change: ListedChange,
    /// The names of the pools that it has now.
    pub(super) pools: Vec<String>,
}

impl<'a> Change<'a> {
    /// Begins before the signal is sent.
    pub(super) fn begin(daemon: &'a Pooled, pid: Pid, change: PoolsChange) -> Self {
        let asked = Time::after_origin(Duration::from_nanos(Monotonic::now().as_nanos()));
        Self { daemon, pid, change, asked }
    }

    /// Waits until the daemon has done it, but for the pools that are still at it.
    pub(super) fn wait(&self, timeout: Duration) -> Result<Changed, Failure> {
        let begun = Instant::now();
        loop {
            if let Some(changed) = self.look() {
                return match changed.change.outcome {
                    ListedOutcome::Refused => Err(self.refused(&changed.change)),
                    _ => Ok(changed),
                };
            }
            still_runs(&self.daemon.pid_file, self.pid)?;
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                let (pid, what) = (self.pid, self.what());
                return Err(Failure::StillChanging { pid, what, waited: timeout });
            }
            thread::sleep(left.min(PAUSE));
        }
    }

    /// Returns what it has come to, if it has. One that had begun before was somebody else's.
    fn look(&self) -> Option<Changed> {
        let Roster { pools, changes, .. } = roster_beside(&self.daemon.pid_file)?;
        let is_ours = |it: &ListedChange| it.change == self.change && it.began >= self.asked;
        let change = changes.into_iter().find(is_ours)?;
        let has_ended = change.outcome != ListedOutcome::Running;
        let pools = pools.into_iter().map(|pool| pool.name).collect();
        has_ended.then_some(Changed { change, pools })
    }

    fn refused(&self, change: &ListedChange) -> Failure {
        let (pid, reason) = (self.pid, why(change));
        match self.change {
            PoolsChange::Reload => Failure::SettingsRefused { pid, reason },
            PoolsChange::Upgrade => {
                Failure::GivenUp { what: self.what(), outcome: "refused", pid, reason }
            }
        }
    }

    /// Returns why not all of it was done, if so.
    pub(super) fn failure(&self, change: &ListedChange) -> Option<Failure> {
        let reason = why(change);
        (change.outcome == ListedOutcome::Failed).then(|| Failure::InPart {
            pid: self.pid,
            what: self.what(),
            reason,
        })
    }

    const fn what(&self) -> &'static str {
        match self.change {
            PoolsChange::Reload => "reload",
            PoolsChange::Upgrade => "upgrade",
        }
    }
}

fn why(change: &ListedChange) -> String {
    let reason = &change.reason;
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}
