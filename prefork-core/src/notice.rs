//! What operators want to know.

use std::time::Duration;

use crate::{AtTimeout, ChildId, Claim, Exit, Generation, Hook, Limit, Request, Rung};

/// Something to be logged, by what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// About a child.
    Child(ChildId, ChildNotice),
    /// About all children together.
    Pool(PoolNotice),
    /// About a reload, an upgrade or a stop.
    Change(ChangeNotice),
    /// About a hook.
    Hook(Hook, HookNotice),
}

impl Notice {
    /// Returns the child that it is about.
    #[must_use]
    pub const fn child(&self) -> Option<ChildId> {
        match self {
            Self::Child(child, _) => Some(*child),
            Self::Pool(_) | Self::Change(_) | Self::Hook(..) => None,
        }
    }
}

/// What is to be logged about a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildNotice {
    /// A child ended otherwise than in order: not with status 0, and not because it was retired. A child
    /// that crashes on its way out ended abnormally, too.
    DiedAbnormally {
        /// How it ended.
        exit: Exit,
        /// How long after its spawn.
        lived: Duration,
    },
    /// A child was asked to leave, has not, and is about to be interrupted: what it has in hand is lost.
    CutShort {
        /// How long ago it was asked.
        asked: Duration,
        /// By which limit.
        limit: Limit,
    },
    /// A child has been at work on one request for longer than
    /// [`Config::request_timeout`](crate::Config::request_timeout), or than it was given.
    Hung {
        /// For how long.
        busy: Duration,
        /// The time limit.
        limit: Duration,
        /// What is done about it.
        measure: AtTimeout,
    },
    /// A child has become older than [`Config::max_lifetime`](crate::Config::max_lifetime), and is to be replaced.
    TooOld {
        /// How long ago it was spawned.
        lived: Duration,
        /// The limit, about.
        limit: Duration,
    },
    /// A child did not reach its main loop in time.
    StuckStarting {
        /// The time limit.
        limit: Duration,
    },
    /// A child was killed and is still there, as one is that waits for a disk that does not answer. It is
    /// reported once; the kill is repeated.
    Unkillable,
    /// A child that was to be killed writes a core dump, and is waited for.
    DumpsCore {
        /// How long, since it was to leave by the last signal.
        limit: Duration,
    },
    /// A child has nothing to do, is the largest of those, and is retired as the pool has little memory left.
    RetiredForMemory {
        /// How much it has, in bytes.
        bytes: u64,
        /// How much the pool has in use, in bytes.
        used: u64,
        /// How much it may have.
        limit: u64,
    },
    /// A child has grown more than any other while the pool has hardly any memory left, and is killed for it.
    EndedForMemory {
        /// How much it has, in bytes.
        bytes: u64,
        /// How much of that it has taken of late.
        grew: u64,
        /// In how long; in none if it was not measured before.
        over: Duration,
        /// How much the pool has in use, in bytes.
        used: u64,
        /// How much it may have.
        limit: u64,
    },
    /// A child does little but wake the parent, and is ended for it.
    Flooding,
    /// A child claims what cannot be. It is not believed, and retired.
    Implausible {
        /// What it claims.
        claim: Claim,
    },
}

/// What is to be logged about all children together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolNotice {
    /// More children ended like that than are logged one by one: 128 at once, and one every 10 s.
    MoreDied {
        /// How many, beside those that were logged.
        deaths: u32,
        /// How the last of them ended.
        last: Exit,
        /// In how long.
        over: Duration,
    },
    /// Children end before they have worked; further spawns are delayed.
    Throttled {
        /// The time between two spawns from now on.
        delay: Duration,
        /// Whether the last child ended with status 0: a main loop that returns at once.
        returned: bool,
    },
    /// A child works again; spawns are no longer delayed.
    ThrottleLifted,
    /// Less than an eighth of the memory that the pool may have is free. No more children are started for the load.
    MemoryShort {
        /// How much is in use, in bytes.
        used: u64,
        /// How much may be.
        limit: u64,
    },
    /// There is more again: a sixth.
    MemoryEased {
        /// How much is in use, in bytes.
        used: u64,
        /// How much may be.
        limit: u64,
        /// For how long there was little.
        lasted: Duration,
    },
    /// A child could not be started; the next attempt is delayed. Of attempts that fail in a row the first, the eighth,
    /// the 64th and so on are logged; where it comes and goes, 8 of them at once and then one in 10 minutes.
    SpawnDelayed {
        /// The time until the next attempt.
        delay: Duration,
        /// How many attempts failed in a row.
        failures: u32,
    },
    /// A child could be started again, and it was logged that it could not.
    SpawnRecovered {
        /// How many attempts had failed in a row.
        failures: u32,
    },
    /// No further process can be had while children are to be replaced. From now on an old one ends before a new
    /// one is started.
    Crowded {
        /// How many children are there.
        alive: usize,
    },
    /// More children are wanted than there may be. Reported once, until it has not been so for 10 s.
    AtMaximum {
        /// How many there may be.
        max_children: u32,
        /// How many are at work, or about to be.
        busy: u32,
        /// How many connections wait, if that is known.
        waiting: Option<u32>,
        /// How many jobs wait, if the program reports that.
        jobs: Option<u32>,
    },
    /// More children are wanted than the ceiling leaves that the pool shares with others, and were a second ago or more.
    /// Reported once, until it has not been so for 10 s.
    AtCeiling {
        /// How many the pool may have now.
        ceiling: u32,
        /// How many are at work, or about to be.
        busy: u32,
        /// How many connections wait, if that is known.
        waiting: Option<u32>,
        /// How many jobs wait, if the program reports that.
        jobs: Option<u32>,
    },
    /// Connections have waited for a second at least while children count as idle, which have done nothing meanwhile. They
    /// count as busy from now on, until they do. Reported once, until no connection waits.
    Unserved {
        /// How many children do nothing.
        idle: u32,
        /// How many connections wait.
        waiting: u32,
    },
    /// Jobs have waited for 10 s at least while children count as idle, which have done nothing meanwhile. They count as
    /// busy from now on, until they do. Reported once, until no job waits.
    JobsUnserved {
        /// How many children do nothing.
        idle: u32,
        /// How many jobs wait.
        jobs: u32,
    },
    /// Children that report that they are idle have taken nothing for a second in which all others were at work at each look,
    /// while it is not known how many connections wait. They count as busy from now on, until one is free. Reported once,
    /// until then.
    Overlooked {
        /// How many children do nothing.
        idle: u32,
    },
    /// The pool grows, as connections or jobs wait, though no child has ever reported that it is at work. Reported once.
    Silent,
    /// It was logged that more children are wanted than there may be, and that has not been so for 10 s.
    BelowMaximum {
        /// From when on it was so until it was seen for the last time.
        lasted: Duration,
    },
    /// It was logged that more children are wanted than the ceiling leaves, and that has not been so for 10 s.
    BelowCeiling {
        /// From when on it was so until it was seen for the last time.
        lasted: Duration,
    },
    /// Seeing whether clients have gone takes so long that it cannot be done as often as is asked for. Reported once in
    /// ten minutes.
    ClientsNoticedLate {
        /// What is asked for: [`Config::netwatch_interval`](crate::Config::netwatch_interval).
        interval: Duration,
        /// How long it has taken.
        took: Duration,
        /// How long it may take until it is noticed that a client has gone.
        within: Duration,
    },
    /// An operator has changed the size of the pool at rest, or found it at its limit.
    Resized {
        /// How many children the pool has at rest.
        prefork: u32,
        /// How many it may have.
        max_children: u32,
    },
    /// Of what children had started, some could not be ended in time; the daemon ends without them.
    DescendantsLeft {
        /// How many processes.
        left: usize,
    },
}

/// What is to be logged about a reload, an upgrade or a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeNotice {
    /// The settings are being read again.
    ReadingSettings,
    /// The settings could not be read in time: those in force stay, and no child is replaced.
    SettingsTimedOut {
        /// The time limit.
        limit: Duration,
    },
    /// All children are about to be replaced.
    Reloading {
        /// The generation of the new ones.
        generation: Generation,
    },
    /// All children have been replaced; old ones may still finish what they have in hand.
    Reloaded {
        /// The generation of the new ones.
        generation: Generation,
        /// How long it took.
        took: Duration,
        /// How many old ones are still there.
        old: usize,
    },
    /// The last of the old ones that were still there when all had been replaced has left.
    OldLeft {
        /// How long after that.
        took: Duration,
    },
    /// New children end before they have worked, again and again, so the other old ones stay.
    ReloadFailed {
        /// The generation that fails.
        generation: Generation,
        /// How many old children stay.
        old: usize,
    },
    /// The program as its file is now is being tried.
    Probing,
    /// The new program has not reported in time whether it works; the running one goes on.
    ProbeTimedOut {
        /// The time limit.
        limit: Duration,
    },
    /// The new program could not be run for a long time, as its file is being written; the running
    /// one goes on.
    ProgramBusy {
        /// For how long it was tried.
        tried: Duration,
    },
    /// The new program works, and is about to take over.
    Upgrading,
    /// The daemon has begun to stop.
    Stopping {
        /// What was asked for.
        request: Request,
        /// How many children are alive.
        alive: usize,
    },
    /// The pool ends by itself, until somebody starts it again.
    Asleep {
        /// For how long nothing was done; `None` if the ceiling leaves it no children.
        idle: Option<Duration>,
    },
    /// Some children have not left; a harder measure is taken.
    Escalated {
        /// The measure.
        rung: Rung,
        /// How many children are alive.
        alive: usize,
    },
}

/// What is to be logged about a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookNotice {
    /// The daemon waits for a hook before it goes on to stop.
    Waiting {
        /// For how long at most.
        left: Duration,
    },
    /// A call of a hook has not returned in time and is ended.
    TimedOut {
        /// The time limit.
        limit: Duration,
    },
    /// A call of a hook is ended, as an operator does not want to wait.
    CutShort,
    /// It was logged that a hook fails, and it works again.
    Recovered,
}
