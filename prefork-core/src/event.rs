//! What happens to a daemon, as the supervisor takes it in.

use std::{fmt, time::Duration};

use crate::{Claim, Hook, PoolMemory, Share, Time};

/// The place of a child in the pool.
///
/// There are [`Config::slots`](crate::Config::slots) of them, from 0 on: one for each of `max_children` and
/// of those that stand in for others while they are replaced. Only children that were adopted from a
/// larger pool stand beyond.
///
/// A place is taken from the spawn until the exit of its child has been reported, and then used
/// again; the lowest free one is always taken first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SlotId(pub u32);

impl SlotId {
    /// Returns the slot as an index into a table.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which program and settings a child was started from; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Generation(pub u32);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// It exited with this status, 0 to 255 as in `wait(2)`.
    Code(i32),
    /// It was ended by the signal of this number.
    Signal {
        /// The signal's number, as in `signal(7)`.
        number: i32,
        /// Whether a core dump was written.
        core_dumped: bool,
    },
}

impl Exit {
    /// Whether no measure of the supervisor's explains it: a signal other than those by which children
    /// are made to leave.
    pub(crate) const fn is_crash(self) -> bool {
        // As in `signal(7)`: HUP, INT, QUIT, ABRT, KILL, TERM.
        !matches!(self, Self::Code(_) | Self::Signal { number: 1 | 2 | 3 | 6 | 9 | 15, .. })
    }
}

/// What an operator asks of the daemon, by a signal or otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Finish the requests in hand, then stop. Asked again, a second later or more, it becomes
    /// [`Request::StopNow`]; sooner, it is the same wish.
    StopGracefully,
    /// Stop without waiting for requests in hand. Asked again, it takes the next harder measure.
    StopNow,
    /// Read the settings again, where [`Config::reread`](crate::Config::reread) says that there are any, and replace all
    /// children by new ones, a few at a time.
    Reload,
    /// Open the logs again, and have all processes write to the new ones.
    Reopen,
    /// Try the program as its file is now, and go on as that if it works.
    Upgrade,
    /// Make the pool at rest one child larger, up to the maximum.
    More,
    /// Make the pool at rest one child smaller, down to 1.
    Fewer,
}

/// Something that happened.
///
/// Events about a slot without a child are ignored: children lie, and reports of a child may
/// arrive after its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The daemon is initialized; the pool may be filled.
    Start,
    /// An [`Action::Spawn`](crate::Action::Spawn) was carried out.
    Spawned {
        /// The slot of the new child.
        slot: SlotId,
        /// Its pid, by which log lines name it.
        pid: u32,
    },
    /// An [`Action::Spawn`](crate::Action::Spawn) could not be carried out.
    SpawnFailed {
        /// The slot that stays empty.
        slot: SlotId,
    },
    /// A child has entered its main loop. It counts as serving once it reports
    /// [`Event::Ready`], or has stayed alive for [`Config::settle`](crate::Config::settle).
    Entered {
        /// The child's slot.
        slot: SlotId,
    },
    /// A child waits for work.
    Ready {
        /// The child's slot.
        slot: SlotId,
    },
    /// A child has taken its first work.
    Worked {
        /// The child's slot.
        slot: SlotId,
    },
    /// The answer to an [`Action::LookForCoreDump`](crate::Action::LookForCoreDump): one is being written.
    CoreDumpFound {
        /// The child's slot.
        slot: SlotId,
    },
    /// The answer to an [`Action::LookForCoreDump`](crate::Action::LookForCoreDump): none is being written, or that is
    /// not known.
    NoCoreDump {
        /// The child's slot.
        slot: SlotId,
    },
    /// A child would like to be replaced, as one that has served its number of requests or cannot have new logs.
    Recycle {
        /// The child's slot.
        slot: SlotId,
    },
    /// A child wants more time for the request it has in hand; this takes the place of what it asked
    /// for before.
    Extended {
        /// The child's slot.
        slot: SlotId,
        /// How much from now, at least.
        by: Duration,
    },
    /// A child has ended and was reaped.
    Exited {
        /// The child's slot, free from now on.
        slot: SlotId,
        /// How it ended.
        exit: Exit,
    },
    /// A process has ended and was reaped that is none of the pool's children, as one that a child had started
    /// and left behind.
    OrphanEnded,
    /// An [`Action::EndDescendants`](crate::Action::EndDescendants) was carried out.
    DescendantsEnded {
        /// How many of them are there still: not ended yet, or not reaped.
        left: usize,
        /// How long it took to look for them.
        took: Duration,
    },
    /// A child has begun or finished work while the nudge was armed, which it is no more.
    Nudged,
    /// A connection waits to be accepted, while the nudge was armed, which it is no more.
    Queued,
    /// The pool may have so many processes from now on, at least 1 (but see
    /// [`Config::sleep_after`](crate::Config::sleep_after)): fewer than
    /// [`Config::max_children`](crate::Config::max_children), as others share them with it. It comes at any time, also
    /// before [`Start`](Self::Start). Those that leave count, and so do those that stand in for others; if there are more,
    /// idle ones are asked to leave at once, and others as far as that is not enough, which finish what they have in hand.
    Ceiling {
        /// How many.
        children: u32,
    },
    /// The memory that children take counts for others, so that it is reported with
    /// [`Supervisor::need`](crate::Supervisor::need): children are weighed once a second at the most while they work, come or
    /// go, and ever less often, down to once in 64 s, while they do not. It comes at any time.
    MemoryShared,
    /// The kernel reports that the memory of the pool is short.
    MemoryShort,
    /// A child has woken the parent, whatever for.
    Rang {
        /// The child's slot.
        slot: SlotId,
    },
    /// A child claims what cannot be.
    Lied {
        /// The child's slot.
        slot: SlotId,
        /// What it claims.
        claim: Claim,
    },
    /// Nobody waits any more for the request that a child has been at since then.
    Cancelled {
        /// The child's slot.
        slot: SlotId,
        /// When it began with that request.
        since: Time,
    },
    /// An [`Action::CheckConnections`](crate::Action::CheckConnections) was carried out.
    ConnectionsChecked {
        /// Whether any child was at work.
        busy: bool,
        /// How long it took.
        took: Duration,
    },
    /// The program has taken in the end of the child that was in a slot, or never will. With
    /// [`Hook::OnChildExit`], no other child is started there before that, for [`Config::hook_timeout`] at most.
    ///
    /// [`Config::hook_timeout`]: crate::Config::hook_timeout
    ExitHandled {
        /// The slot.
        slot: SlotId,
    },
    /// A call of a hook has begun; the one before, if any, has ended.
    HookBegun(Hook),
    /// The call of a hook has ended, however it went, and no other waits.
    HookEnded(Hook),
    /// The program has reported how many jobs wait elsewhere than at a socket, and that nobody has taken yet; `None` if it
    /// could not, or the call was ended. In answer to [`Action::AskDemand`](crate::Action::AskDemand), after
    /// [`HookEnded`](Self::HookEnded).
    DemandReported {
        /// How many.
        jobs: Option<u32>,
    },
    /// What children at work do, in answer to [`Action::LookAtWork`](crate::Action::LookAtWork).
    WorkSeen(WorkSeen),
    /// The program has looked at a child that is about to be ended.
    Examined {
        /// The child's slot.
        slot: SlotId,
    },
    /// An operator asks for something.
    Requested(Request),
    /// The settings that were read are wrong, or could not be read: those in force stay, and no child is replaced. In
    /// answer to [`Action::ReadSettings`](crate::Action::ReadSettings).
    SettingsRefused,
    /// Nobody could be started who would read the settings: children are replaced with those in force. In answer to
    /// [`Action::ReadSettings`](crate::Action::ReadSettings).
    SettingsUnread,
    /// The new program, run as a probe, says that it works.
    ProbeReady,
    /// The new program does not work, or could not be run.
    ProbeFailed,
    /// The new program cannot be run yet: its file is being written.
    ProgramBusy,
    /// An [`Action::Upgrade`](crate::Action::Upgrade) could not be carried out: this program goes on.
    UpgradeFailed,
}

/// What children at work were doing at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WorkSeen {
    /// How many were looked at. Who has ended meanwhile is none of them.
    pub looked_at: u32,
    /// How many of these ran or waited for a processor.
    pub computing: u32,
}

/// What a child is doing, as it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activity {
    /// It waits for work.
    Idle {
        /// Since when.
        since: Time,
    },
    /// It is at work, or what it says makes no sense.
    Busy {
        /// Since when, if that is known.
        since: Option<Time>,
    },
    /// It can have many requests in hand at once.
    Many {
        /// How many it has, of how many.
        share: Share,
        /// When it took or finished one for the last time.
        changed: Time,
        /// Since when it has been at the one that will have taken too long before all others, if it has any.
        since: Option<Time>,
        /// How much more time than others that one was given.
        grace: Duration,
    },
}

impl Activity {
    /// Returns how much of the child is in use.
    pub(crate) const fn share(&self) -> Share {
        match self {
            Self::Idle { .. } => Share::NONE,
            Self::Busy { .. } => Share::WHOLE,
            Self::Many { share, .. } => *share,
        }
    }

    /// Returns since when the child has taken nothing though it could; `None` if it has no room.
    pub(crate) const fn rests_since(&self) -> Option<Time> {
        match self {
            Self::Idle { since } => Some(*since),
            Self::Many { share, changed, .. } if !share.is_full() => Some(*changed),
            Self::Busy { .. } | Self::Many { .. } => None,
        }
    }

    /// Returns when the child that has no room has taken work for the last time, as far as that is known.
    pub(crate) const fn taken_at(&self) -> Option<Time> {
        match self {
            Self::Busy { since } => *since,
            Self::Many { share, changed, .. } if share.is_full() => Some(*changed),
            Self::Idle { .. } | Self::Many { .. } => None,
        }
    }

    /// Returns since when the child has been at the request that it would be ended for first, and how much more time than
    /// others that has.
    pub(crate) const fn first_request(&self) -> Option<(Time, Duration)> {
        match self {
            Self::Busy { since: Some(since) } => Some((*since, Duration::ZERO)),
            Self::Many { since: Some(since), grace, .. } => Some((*since, *grace)),
            Self::Idle { .. } | Self::Busy { since: None } | Self::Many { since: None, .. } => None,
        }
    }
}

/// How much memory is in use at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured<'a> {
    /// Of the whole pool, as somebody counts it; `None` if nobody does, or it has no limit.
    pub pool: Option<PoolMemory>,
    /// Of each child in [`Supervisor::slots_to_weigh`](crate::Supervisor::slots_to_weigh), in bytes, with all that it has
    /// started, if that was asked for or there is a limit that nobody else counts by. Who is missing is left alone.
    pub children: Option<&'a [(SlotId, u64)]>,
    /// A limit by which nobody counts: what is in use is estimated from the children.
    pub own: Option<OwnLimit>,
    /// How many bytes each child shares with the parent since it was forked, about: they are not the child's.
    pub preloaded: u64,
}

/// How much memory the pool may have, where nobody counts how much it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnLimit {
    /// That much, in bytes.
    pub limit: u64,
    /// How much of it the parent has resident, in bytes. Each child counts with what it has more than that.
    pub parent: u64,
}

/// What is to be seen of a pool at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Observation<'a> {
    /// What the children are doing, by ascending slot. A child that is missing counts as busy.
    pub activities: &'a [(SlotId, Activity)],
    /// How many connections wait to be accepted; `None` if that is not known.
    pub waiting: Option<u32>,
}
