//! What the supervisor wants done.

use std::{fmt, time::Duration};

use crate::{Exit, Generation, Notice, Pressure, SlotId, Time};

/// Something to be done, in the order in which it comes out of
/// [`Supervisor::next_action`](crate::Supervisor::next_action).
///
/// Where a child is to be asked or ended, it may have ended meanwhile, or never been started: then there is
/// nothing to do. A driver has to do all of these, so there is deliberately no room for more without its
/// noticing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a child. Answer with [`Event::Spawned`](crate::Event::Spawned) or
    /// [`Event::SpawnFailed`](crate::Event::SpawnFailed).
    Spawn {
        /// The slot of the new child; it is free.
        slot: SlotId,
        /// The generation of the new child.
        generation: Generation,
    },
    /// Ask a child to leave once it has finished what it has in hand.
    Retire {
        /// The child's slot.
        slot: SlotId,
    },
    /// Interrupt a child: it leaves at once.
    Interrupt {
        /// The child's slot.
        slot: SlotId,
    },
    /// End a child by a signal that leaves a trace of what it was doing, such as a core dump.
    Abort {
        /// The child's slot.
        slot: SlotId,
    },
    /// See whether the system writes a core dump of a child, which a kill would cut, and answer with
    /// [`Event::CoreDumpFound`](crate::Event::CoreDumpFound) or [`Event::NoCoreDump`](crate::Event::NoCoreDump).
    LookForCoreDump {
        /// The child's slot.
        slot: SlotId,
    },
    /// End a child by a signal that it cannot refuse.
    Kill {
        /// The child's slot.
        slot: SlotId,
    },
    /// Report to the process that waits for the start that the daemon serves. Comes at most once.
    AnnounceReady,
    /// From now on, have the first child that begins or finishes work cause
    /// [`Event::Nudged`](crate::Event::Nudged), or the first connection that waits to be accepted, where that can be seen,
    /// [`Event::Queued`](crate::Event::Queued): one of the two, whichever is first.
    ArmNudge,
    /// See what the children are doing, and answer with
    /// [`Supervisor::observe`](crate::Supervisor::observe) or
    /// [`Supervisor::observation_failed`](crate::Supervisor::observation_failed). Asked again every 150 ms until then.
    Observe,
    /// Measure how much memory is in use: of the pool, and of each child if that is wanted. Answer with
    /// [`Supervisor::measured`](crate::Supervisor::measured). Not asked again before that.
    Measure {
        /// Whether each child is to be measured.
        children: bool,
    },
    /// Let all children know, those to come too, whether the pool has more to do than it can: they need not do anything about it,
    /// and nobody is to be woken for it. Before the first time it keeps up.
    Press(Pressure),
    /// See whether clients of children at work have gone, and answer with
    /// [`Event::ConnectionsChecked`](crate::Event::ConnectionsChecked). Not asked again before that.
    CheckConnections,
    /// End what children that have ended had started and left behind, and answer with
    /// [`Event::DescendantsEnded`](crate::Event::DescendantsEnded). Not asked again before that. Report the end of
    /// each by [`Event::OrphanEnded`](crate::Event::OrphanEnded).
    EndDescendants,
    /// Take no new connections, and have children that are asked to leave take what waits already.
    Drain,
    /// Open the logs again, and have children write to the new ones.
    ReopenLogs,
    /// Call a hook of the program: [`Hook::Ready`] or [`Hook::BeforeShutdown`], each at most once. Answer with
    /// [`Event::HookEnded`](crate::Event::HookEnded).
    RunHook(Hook),
    /// Let the program look at a child that is about to be ended, by [`Hook::OnTimeout`]. Answer with
    /// [`Event::Examined`](crate::Event::Examined).
    Examine {
        /// The child's slot.
        slot: SlotId,
        /// How long it has been at its request.
        busy: Duration,
    },
    /// Have the program report how many jobs wait elsewhere than at a socket, by [`Hook::Demand`]. Answer with
    /// [`Event::HookEnded`](crate::Event::HookEnded) and
    /// [`Event::DemandReported`](crate::Event::DemandReported). Not asked again before that.
    AskDemand {
        /// Whether the last answer was none, so that another failure is no news.
        is_failing: bool,
    },
    /// See of each child in [`Supervisor::slots_at_work`](crate::Supervisor::slots_at_work) whether it computes, which is that
    /// it runs or waits for a processor, and answer with [`Event::WorkSeen`](crate::Event::WorkSeen).
    LookAtWork,
    /// End the call of a hook that is being run, if it has not ended meanwhile: nothing waits for it any more. If further
    /// calls of it wait, answer with
    /// [`Event::HookBegun`](crate::Event::HookBegun) for the next one.
    EndHook(Hook),
    /// Have the settings read again, without waiting for that. Answer with
    /// [`Supervisor::reconfigure`](crate::Supervisor::reconfigure),
    /// [`Event::SettingsRefused`](crate::Event::SettingsRefused) or
    /// [`Event::SettingsUnread`](crate::Event::SettingsUnread).
    ReadSettings,
    /// End the reading of settings, whose answer is no longer wanted.
    EndReading,
    /// Run the program as its file is now, as a probe: a process beside this one that finds out
    /// whether it would work. Answer with [`Event::ProbeReady`](crate::Event::ProbeReady),
    /// [`Event::ProbeFailed`](crate::Event::ProbeFailed) or
    /// [`Event::ProgramBusy`](crate::Event::ProgramBusy).
    Probe,
    /// End the probe, whose answer is no longer wanted.
    EndProbe,
    /// Become the program that the probe has tried, with what
    /// [`Supervisor::hand_over`](crate::Supervisor::hand_over) returns. A reading of settings ends with that. Answer with
    /// [`Event::UpgradeFailed`](crate::Event::UpgradeFailed) if that is refused; else there is nobody
    /// left who could answer.
    Upgrade,
    /// See whether the files are still there by which others find the daemon, such as its pid file, and make again
    /// what is not.
    CheckRuntimeFiles,
    /// Show those who watch from outside, such as a service manager, how far the daemon has come.
    Show(Progress),
    /// Write this to the log. Nothing else follows from it: a driver that has no log can leave it out.
    Log(Notice),
    /// Leave: the last action, and nothing comes after it.
    Exit(Verdict),
}

/// A hook of the program that is run while there are children, in a process of its own: one call of each at a time,
/// none for longer than [`Config::hook_timeout`](crate::Config::hook_timeout).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// When the first children serve, before that is announced.
    Ready,
    /// Before the children are asked to leave and the daemon stops.
    BeforeShutdown,
    /// After the end of a child.
    OnChildExit,
    /// When a child has been at one request for too long, before it is ended.
    OnTimeout,
    /// When watched files have changed.
    AutoReloadHandler,
    /// When the client of a child at work has gone.
    OnClientDisconnect,
    /// When it is to be known how many jobs wait. Its process outlives the call, and ends with [`Action::EndHook`].
    Demand,
}

impl Hook {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Ready,
        Self::BeforeShutdown,
        Self::OnChildExit,
        Self::OnTimeout,
        Self::AutoReloadHandler,
        Self::OnClientDisconnect,
        Self::Demand,
    ];

    /// Returns the name under which programs set it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::BeforeShutdown => "before_shutdown",
            Self::OnChildExit => "on_child_exit",
            Self::OnTimeout => "on_timeout",
            Self::AutoReloadHandler => "auto_reload_handler",
            Self::OnClientDisconnect => "on_client_disconnect",
            Self::Demand => "demand",
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The measures by which children are made to leave, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Rung {
    /// [`Action::Retire`].
    #[cfg_attr(feature = "serde", serde(rename = "Ask"))]
    Retire,
    /// [`Action::Interrupt`].
    Interrupt,
    /// [`Action::Abort`].
    Abort,
    /// [`Action::Kill`].
    Kill,
}

/// What is done about a child that has been at one request for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtTimeout {
    /// [`Action::Abort`].
    Abort,
    /// [`Action::Examine`], by the program too, and after that the abort.
    Examine,
    /// [`Action::Examine`], as [`Config::look_into`](crate::Config::look_into) says, and after that the abort.
    LookInto,
}

/// What limits the time in which a child that was asked to leave finishes what it has in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Config::graceful_timeout`](crate::Config::graceful_timeout): the daemon stops.
    Graceful,
    /// [`Config::reload_timeout`](crate::Config::reload_timeout): the daemon serves on.
    Reload,
    /// The child has claimed what cannot be, and has 10 s.
    Distrust,
}

/// How far a daemon has come with what was asked of it, and of what size it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The settings are being read again.
    ReadingSettings,
    /// Settings were read, or nobody could be started to read them, and the children are about to be replaced.
    Reconfigured,
    /// The settings are wrong, or were not read in time: those in force stay, and no child is replaced.
    SettingsRefused {
        /// By what.
        by: Refusal,
    },
    /// All children are about to be replaced.
    Reloading,
    /// All children have been replaced.
    Reloaded,
    /// The new children do not work, and the other old ones stay.
    ReloadFailed {
        /// The generation that does not work.
        generation: Generation,
    },
    /// The program as its file is now is being tried.
    Probing,
    /// The new program works, and is about to take over.
    Upgrading,
    /// The new program does not work, or could not take over: the running one goes on.
    UpgradeRefused {
        /// By what.
        by: Refusal,
    },
    /// The size of the pool has changed, or was found at its limit.
    Resized {
        /// How many children the pool has at rest.
        prefork: u32,
        /// How many it may have.
        max_children: u32,
    },
    /// Children end before they have worked; further spawns are delayed.
    Throttled,
    /// Spawns are no longer delayed.
    Unthrottled,
    /// The daemon has begun to stop.
    Stopping,
}

/// By what something that was asked for came to be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// By who was to do it, and has reported why.
    Reported,
    /// There was no answer in this time.
    TimedOut {
        /// The time.
        limit: Duration,
    },
    /// The program file was being written to all the time.
    Busy {
        /// In which it was tried.
        tried: Duration,
    },
}

/// By what a child is named in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildId {
    /// The slot it has, or had.
    pub slot: SlotId,
    /// Its pid; it may have ended, and be another process's by now.
    pub pid: u32,
}

/// Why a daemon did not come up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFailure {
    /// Children ended before the daemon was ever ready.
    ChildrenDied {
        /// How many.
        deaths: u32,
        /// How the last one ended.
        last: Exit,
    },
    /// Not all children were ready in time.
    TimedOut {
        /// How many were ready.
        ready: usize,
        /// How many were wanted.
        wanted: usize,
        /// The time limit.
        limit: Duration,
    },
}

/// A stop, as it has gone so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// When it began.
    pub began: Time,
    /// The hardest measure against all children that were there, and how many these were; `None` as long as they were
    /// only asked.
    pub forced: Option<(Rung, usize)>,
}

/// How the daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was asked to stop, and no child is left.
    Stopped,
    /// Nobody has needed it for [`Config::sleep_after`](crate::Config::sleep_after), or there may be no child; no child is left.
    Asleep,
    /// It never came up; no child is left.
    StartFailed(StartFailure),
    /// Children are left that nothing could end.
    GaveUp {
        /// How many children are alive.
        alive: usize,
    },
}
