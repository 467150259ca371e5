//! What has happened to pools, and what is to be done about it.

use std::time::Duration;

use super::{ChangeState, PoolId, PoolReloads, PoolsChange, PoolsTrouble};
use crate::{ChangeNotice, Exit, Need, Progress, Request, Rung};

/// What has happened to pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolsEvent {
    /// The daemon is to begin.
    Start,
    /// The process of a pool was started, as [`PoolsAction::Start`] said.
    Started(PoolId),
    /// It could not be started.
    StartFailed(PoolId),
    /// All children of a pool are in their main loops.
    Ready(PoolId),
    /// What a pool has, and what it would have. Only where there is a ceiling ([`Pools::share`](super::Pools::share)).
    Need(PoolId, Need),
    /// A client waits at a socket of a pool that sleeps.
    Queued(PoolId),
    /// The process of a pool has ended, and was reaped.
    Ended(PoolId, Exit),
    /// How far the reloads of a pool have come.
    Reloads(PoolId, PoolReloads),
    /// Somebody has asked for something. Stops, reloads and upgrades are decided here; all else is passed on to the pools as it is.
    Requested(Request),
    /// The program as its file is now would work, as its probe has reported.
    ProbeReady,
    /// It would not, or could not be tried, which was logged.
    ProbeFailed,
    /// Its file is being written.
    ProgramBusy,
    /// This process could not become the new program, which was logged.
    UpgradeFailed,
    /// The parent of a pool has become another program.
    PoolUpgraded(PoolId),
    /// The parent of a pool has refused to, and goes on with the program that it runs.
    PoolNotUpgraded(PoolId),
}

/// What is to be done about pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolsAction {
    /// Start the process of a pool, which may have so many children if that is said, and report [`PoolsEvent::Started`] or
    /// [`PoolsEvent::StartFailed`].
    Start(PoolId, Option<u32>),
    /// Tell the process of a pool how many children it may have from now on.
    Ceiling(PoolId, u32),
    /// Have the process of a pool stop: by its own order ([`Rung::Retire`]), now ([`Rung::Interrupt`]), or by killing it.
    Stop(PoolId, Rung),
    /// Have the process of a pool end by its own order, while who waits at its sockets is left to others.
    Replace(PoolId),
    /// All pools that are to be there serve: say so.
    Ready,
    /// Start a program as a probe, and report [`PoolsEvent::ProbeReady`], [`PoolsEvent::ProbeFailed`] or
    /// [`PoolsEvent::ProgramBusy`]: for an upgrade ([`Pools::change`](super::Pools::change)) the one that its file is now, for a reload the one that
    /// runs.
    Probe,
    /// End the probe.
    EndProbe,
    /// Become the program that the probe runs; report [`PoolsEvent::UpgradeFailed`] if that does not succeed.
    Upgrade,
    /// Ask the parent of a pool to become the new program too, and report [`PoolsEvent::PoolUpgraded`] or
    /// [`PoolsEvent::PoolNotUpgraded`].
    UpgradePool(PoolId),
    /// Ask the parent of a pool to reload, and report [`PoolsEvent::Reloads`].
    ReloadPool(PoolId),
    /// Publish how far a change of the whole has come, for who has asked for it.
    Report(PoolsChange, ChangeState),
    /// Show how far the daemon has come.
    Show(Progress),
    /// Show what is wrong with pools from now on, if anything.
    Trouble(Option<PoolsTrouble>),
    /// Write a line.
    Log(PoolsNotice),
    /// All is over.
    Exit(PoolsVerdict),
}

/// What is worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolsNotice {
    /// A client waits at a pool that sleeps, which is started.
    Woken(PoolId),
    /// A pool had nothing to do any more, and has ended.
    Asleep(PoolId),
    /// A pool has ended that should be there; it is started again, after this pause if there is one.
    Lost {
        /// The pool.
        pool: PoolId,
        /// How its process has ended.
        exit: Exit,
        /// How long after its start.
        lived: Duration,
        /// The pause.
        pause: Option<Duration>,
    },
    /// The process of a pool could not be started; it is tried again after this pause.
    NotStarted {
        /// The pool.
        pool: PoolId,
        /// The pause.
        pause: Duration,
    },
    /// A pool was not ready within [`PoolsConfig::start_timeout`](super::PoolsConfig::start_timeout), and is killed.
    Stuck(PoolId),
    /// Something about an upgrade of the arbiter itself.
    Change(ChangeNotice),
    /// All pools that were awake were asked to become the new program.
    Upgraded {
        /// How many are it now.
        upgraded: usize,
        /// How many go on with what they run.
        refused: usize,
    },
    /// A pool has refused to become the new program.
    NotUpgraded(PoolId),
    /// A pool has not said what has become of its upgrade, and the next one is asked.
    UpgradeUnanswered {
        /// The pool.
        pool: PoolId,
        /// How long it was waited for.
        limit: Duration,
    },
    /// Those pools are asked to reload that are to be made of something else than they are.
    Reloading {
        /// How many.
        pools: usize,
    },
    /// All pools have gone over to the settings that were read.
    Reloaded {
        /// How many have replaced their children.
        reloaded: usize,
        /// How many were started that are new, or other ones.
        started: usize,
        /// How many go on as they were, or could not be started.
        refused: usize,
        /// How long it took, from when the pools were asked on.
        took: Duration,
    },
    /// A pool has refused its settings, or its new children do not work.
    NotReloaded(PoolId),
    /// A pool has not said what has become of its reload.
    ReloadUnanswered {
        /// The pool.
        pool: PoolId,
        /// How long it was waited for.
        limit: Duration,
    },
    /// A pool is not one of the new program's, and is asked to leave.
    Gone(PoolId),
    /// A pool listens elsewhere in the new program, or is a role or none any more: it is to end, and is started again then.
    Changed(PoolId),
    /// A pool has ended that was asked to leave.
    Left(PoolId),
    /// Pools have not ended within [`PoolsConfig::stop_timeout`](super::PoolsConfig::stop_timeout), and are killed.
    Killed {
        /// How many.
        pools: usize,
    },
}

/// How it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolsVerdict {
    /// By an orderly stop.
    Stopped,
    /// A pool has ended before the daemon was ready.
    PoolDied(PoolId, Exit),
    /// A pool was not ready in time.
    StartTimedOut(PoolId),
}
