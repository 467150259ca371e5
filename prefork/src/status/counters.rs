//! What has happened in the life of a daemon, in numbers.
//!
//! Kept in the parent's own memory, where nobody else writes, and handed from program to program over
//! upgrades. Nothing follows from them: they are to be looked at.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prefork_core::{ChildId, Exit, QueueTimes, Stage, Stats, Supervisor, Time};
use serde::{Deserialize, Serialize};

use super::{failure::Failure, queue::QueueTotals};

/// Declares the counters, each with its name for the handover and for programs.
macro_rules! counters {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// Something that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Counter {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Counter {
            /// All of them, in the order of their numbers.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Returns the name, which is part of the handover and of what programs are shown.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

counters! {
    /// Requests answered by children that have ended.
    RequestsOfEnded = "requests_of_ended_children",
    Spawns = "spawns",
    SpawnFailures = "spawn_failures",
    /// Children that ended with status 0.
    Exited = "deaths_exited",
    /// Children that ended with another status.
    Failed = "deaths_failed",
    /// Children that were ended by SIGKILL: by the parent as a last measure, or for want of memory.
    Killed = "deaths_killed",
    /// Children that were ended by SIGABRT.
    Aborted = "deaths_aborted",
    /// Children that were ended by SIGSEGV, SIGBUS, SIGILL, SIGFPE or SIGSYS.
    Crashed = "deaths_crashed",
    /// Children that were ended by any other signal.
    Signalled = "deaths_signalled",
    EarlyDeaths = "early_deaths",
    Retired = "retired",
    Replaced = "replaced",
    /// Of these, by a reload or an upgrade.
    ReplacedOldGeneration = "replaced_old_generation",
    /// Of these, for their age.
    ReplacedOldAge = "replaced_old_age",
    Timeouts = "timeouts",
    /// Children that were asked to leave, have not, and were interrupted.
    CutShort = "cut_short",
    StuckStarts = "stuck_starts",
    /// Children that were asked to leave as the pool had little memory left.
    RetiredForMemory = "retired_for_memory",
    /// Children that were killed as the pool had hardly any memory left.
    EndedForMemory = "ended_for_memory",
    Disconnects = "disconnects",
    Cancelled = "cancelled",
    Reloads = "reloads",
    ReloadsFailed = "reloads_failed",
    Upgrades = "upgrades",
    UpgradesRefused = "upgrades_refused",
    HookTimeouts = "hook_timeouts",
    /// Lines of the parent's own that could not be written to the error log.
    LogLinesLost = "log_lines_lost",
    /// Lines that children could not write to either log.
    ChildLogLinesLost = "child_log_lines_lost",
}

impl Counter {
    /// Returns what counts ends like this one.
    pub(super) const fn of_end(exit: Exit) -> Self {
        use nix::libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGKILL, SIGSEGV, SIGSYS};
        match exit {
            Exit::Code(0) => Self::Exited,
            Exit::Code(_) => Self::Failed,
            Exit::Signal { number, .. } => match number {
                SIGKILL => Self::Killed,
                SIGABRT => Self::Aborted,
                SIGSEGV | SIGBUS | SIGILL | SIGFPE | SIGSYS => Self::Crashed,
                _ => Self::Signalled,
            },
        }
    }
}

/// How often everything has happened, and how large the pool is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counters {
    counts: [u64; Counter::ALL.len()],
    /// What the supervisor has done and is counted already.
    stats: Stats,
    /// When the daemon was started, by both clocks.
    pub(crate) started: Time,
    pub(crate) started_unix: Duration,
    pub(crate) prefork: u32,
    pub(crate) max_children: u32,
    pub(crate) generation: u32,
    /// How far the daemon is.
    pub(crate) stage: Stage,
    /// How many jobs wait, as the program has reported.
    pub(crate) jobs_waiting: Option<u32>,
    /// For how long there were as many children as there may be, until [`at_maximum_since`].
    ///
    /// [`at_maximum_since`]: Self::at_maximum_since
    pub(crate) at_maximum: Duration,
    /// Since when there are, if there are now.
    pub(crate) at_maximum_since: Option<Time>,
    /// The last child that did not end in order.
    pub(crate) last_failure: Option<Failure>,
    /// How long clients have waited.
    pub(crate) queue: QueueTotals,
}

impl Counters {
    /// Begins to count, for a pool of this size.
    pub(crate) fn new(now: Time, prefork: u32, max_children: u32) -> Self {
        Self {
            counts: [0; Counter::ALL.len()],
            stats: Stats::default(),
            started: now,
            started_unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            prefork,
            max_children,
            generation: 1,
            stage: Stage::Starting,
            jobs_waiting: None,
            at_maximum: Duration::ZERO,
            at_maximum_since: None,
            last_failure: None,
            queue: QueueTotals::default(),
        }
    }

    /// Goes on where the old program was.
    pub(crate) fn adopt(&mut self, handed: &HandedCounters) {
        let HandedCounters { counts, started, started_unix, at_maximum, last_failure, queue } =
            handed;
        if let Some(words) = queue {
            self.queue.adopt(QueueTimes::of_words(**words));
        }
        for counter in Counter::ALL {
            self.add(*counter, counts.get(counter.name()).copied().unwrap_or(0));
        }
        self.started = started.unwrap_or(self.started);
        self.started_unix = started_unix.unwrap_or(self.started_unix);
        self.at_maximum = *at_maximum;
        self.last_failure = *last_failure;
    }

    /// What the next program needs to go on.
    pub(crate) fn hand_over(&self, now: Time) -> HandedCounters {
        let counts = Counter::ALL.iter().map(|it| (it.name().to_owned(), self.get(*it)));
        let running = self.at_maximum_since.map_or(Duration::ZERO, |since| now.since(since));
        HandedCounters {
            counts: counts.collect(),
            started: Some(self.started),
            started_unix: Some(self.started_unix),
            at_maximum: self.at_maximum + running,
            last_failure: self.last_failure,
            queue: Some(Box::new(self.queue.of_ended().words())),
        }
    }

    pub(crate) const fn get(&self, counter: Counter) -> u64 {
        self.counts[counter as usize]
    }

    pub(crate) const fn add(&mut self, counter: Counter, more: u64) {
        let count = &mut self.counts[counter as usize];
        *count = count.saturating_add(more);
    }

    pub(crate) const fn count(&mut self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Counts the end of a child, and what it has answered, as far as that is known.
    pub(crate) fn died(&mut self, child: ChildId, exit: Exit, requests: Option<u64>) {
        self.last_failure = Failure::of(child.pid, exit).or(self.last_failure);
        self.count(Counter::of_end(exit));
        if let Some(requests) = requests {
            self.add(Counter::RequestsOfEnded, requests);
        }
    }

    /// Counts what the supervisor has done since the last time, and takes in the size of the pool.
    pub(crate) fn observe(&mut self, now: Time, supervisor: &Supervisor) {
        self.count_done(supervisor.stats());
        self.generation = supervisor.generation().0;
        self.stage = supervisor.stage();
        self.jobs_waiting = supervisor.jobs_waiting();
        let config = supervisor.config();
        (self.prefork, self.max_children) = (config.prefork(), config.max_children());
        self.note_size(now, supervisor.alive());
    }

    fn count_done(&mut self, stats: Stats) {
        let before = std::mem::replace(&mut self.stats, stats);
        for (counter, count, before) in [
            (Counter::EarlyDeaths, stats.early_deaths, before.early_deaths),
            (Counter::Retired, stats.retired, before.retired),
            (Counter::Replaced, stats.replaced, before.replaced),
            (
                Counter::ReplacedOldGeneration,
                stats.replaced_old_generation,
                before.replaced_old_generation,
            ),
            (Counter::ReplacedOldAge, stats.replaced_old_age, before.replaced_old_age),
            (Counter::Timeouts, stats.timeouts, before.timeouts),
            (Counter::CutShort, stats.cut_short, before.cut_short),
            (Counter::StuckStarts, stats.stuck_starts, before.stuck_starts),
            (Counter::RetiredForMemory, stats.retired_for_memory, before.retired_for_memory),
            (Counter::EndedForMemory, stats.ended_for_memory, before.ended_for_memory),
            (Counter::HookTimeouts, stats.hook_timeouts, before.hook_timeouts),
            (Counter::Reloads, stats.reloads, before.reloads),
            (Counter::ReloadsFailed, stats.reloads_failed, before.reloads_failed),
            (Counter::UpgradesRefused, stats.upgrades_refused, before.upgrades_refused),
        ] {
            self.add(counter, count - before);
        }
    }

    /// Counts for how long there are as many children as there may be.
    fn note_size(&mut self, now: Time, alive: usize) {
        let is_full = alive >= self.max_children as usize;
        match self.at_maximum_since {
            None if is_full => self.at_maximum_since = Some(now),
            Some(since) if !is_full => {
                self.at_maximum += now.since(since);
                self.at_maximum_since = None;
            }
            None | Some(_) => {}
        }
    }
}

/// What one program hands to the next of what was counted. What is missing was never counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HandedCounters {
    /// By name: what a program does not know, it does not go on counting.
    counts: BTreeMap<String, u64>,
    started: Option<Time>,
    started_unix: Option<Duration>,
    at_maximum: Duration,
    last_failure: Option<Failure>,
    queue: Option<Box<[u64; QueueTimes::WORDS]>>,
}

#[cfg(test)]
mod tests;
