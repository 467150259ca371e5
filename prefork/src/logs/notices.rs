//! What the supervisor wants operators to know, as messages.

use std::{
    fmt::{self, Display},
    io,
    time::Duration,
};

use nix::sys::signal::Signal;
use prefork_core::{
    AtTimeout, ChangeNotice, ChildId, ChildNotice, Claim, Exit, HookNotice, Limit, Notice,
    PoolNotice, Request,
};

use super::{
    ChangeMessage as Change, ClientMessage as Client, HookMessage as Hook, InHand,
    PoolMessage as Pool,
    describe::{Bytes, Children, Span, WithoutHint, taken},
    log::Log,
    message::{Answered, Old, Waiting, WaitingJobs},
};
use crate::system::os::Shortage;

/// What the parent knows besides of what a notice is about.
#[derive(Debug)]
pub(crate) struct About {
    /// What it has or had in hand.
    pub(crate) in_hand: InHand,
    /// How many requests it has answered.
    pub(crate) requests: Option<u64>,
    /// Why it was likely killed, to stand at the end of the line.
    pub(crate) reason: String,
    /// Why none could be forked, if that is it.
    pub(crate) fork_error: Option<io::Error>,
}

impl Default for About {
    fn default() -> Self {
        Self { in_hand: InHand::Unknown, requests: None, reason: String::new(), fork_error: None }
    }
}

/// Logs a notice.
pub(crate) fn log(log: &Log, notice: Notice, about: &About) {
    match notice {
        Notice::Child(child, notice) => of_child(log, child, notice, about),
        Notice::Pool(notice) => of_pool(log, notice, about),
        Notice::Change(notice) => of_change(log, notice),
        Notice::Hook(hook, notice) => of_hook(log, hook, notice),
    }
}

fn of_child(log: &Log, child: ChildId, notice: ChildNotice, about: &About) {
    let ChildId { slot, pid: child_pid } = child;
    let About { in_hand, requests, reason, fork_error: _ } = about;
    let (label, client, busy) = (in_hand.label(), in_hand.client(), in_hand.time().map(Span));
    let (how, by, what, claimed);
    log.write(&match notice {
        ChildNotice::DiedAbnormally { exit, lived } => {
            how = WithoutHint(exit);
            Pool::ChildDied {
                child_pid,
                slot,
                status: status(exit),
                signal: signal(exit),
                how: &how,
                duration: Span(lived),
                requests: Answered(*requests),
                label,
                client,
                busy,
                in_hand,
                reason,
            }
        }
        ChildNotice::CutShort { asked, limit } => {
            by = ByLimit(limit);
            let duration = Span(asked);
            Pool::CutShort { child_pid, slot, duration, limit: &by, label, client, busy, in_hand }
        }
        ChildNotice::Hung { busy, limit, measure } => {
            what = in_hand.what();
            Pool::Hung {
                child_pid,
                slot,
                duration: Span(busy),
                request_timeout: Span(limit),
                label,
                client,
                what: &what,
                measure: taken_at_timeout(measure),
            }
        }
        ChildNotice::TooOld { lived, limit } => {
            Pool::TooOld { child_pid, slot, age: Span(lived), max_lifetime: Span(limit) }
        }
        ChildNotice::RetiredForMemory { .. } | ChildNotice::EndedForMemory { .. } => {
            return of_memory(log, child, notice, in_hand);
        }
        ChildNotice::StuckStarting { limit } => {
            Pool::StuckStarting { child_pid, slot, duration: Span(limit) }
        }
        ChildNotice::Unkillable => Pool::CannotBeKilled { child_pid, slot },
        ChildNotice::DumpsCore { limit } => Pool::DumpsCore { child_pid, slot, limit: Span(limit) },
        ChildNotice::Flooding => Pool::Flooding { child_pid, slot },
        ChildNotice::Implausible { claim } => {
            claimed = Claimed(claim);
            Pool::Implausible { child_pid, slot, claim: &claimed }
        }
    });
}

fn of_memory(log: &Log, child: ChildId, notice: ChildNotice, in_hand: &InHand) {
    let ChildId { slot, pid: child_pid } = child;
    match notice {
        ChildNotice::RetiredForMemory { bytes, used, limit } => {
            let (memory, used, limit) = (Bytes(bytes), Bytes(used), Bytes(limit));
            log.write(&Pool::RetiredForMemory { child_pid, slot, memory, used, limit });
        }
        ChildNotice::EndedForMemory { bytes, grew, over, used, limit } => {
            log.write(&Pool::EndedForMemory {
                child_pid,
                slot,
                memory: Bytes(bytes),
                growth: &Growth { grew: Bytes(grew), over },
                used: Bytes(used),
                limit: Bytes(limit),
                label: in_hand.label(),
                client: in_hand.client(),
                busy: in_hand.time().map(Span),
                in_hand,
            });
        }
        _ => {}
    }
}

fn of_pool(log: &Log, notice: PoolNotice, about: &About) {
    let About { reason, fork_error, .. } = about;
    let (how, shortage);
    log.write(&match notice {
        PoolNotice::MoreDied { deaths, last, over } => {
            how = WithoutHint(last);
            let (status, signal) = (status(last), signal(last));
            Pool::MoreDied { deaths, status, signal, how: &how, duration: Span(over), reason }
        }
        PoolNotice::Throttled { delay, returned } => {
            let event = if returned { "return from main_loop" } else { "end" };
            Pool::Throttled { event, duration: Span(delay) }
        }
        PoolNotice::ThrottleLifted => Pool::ThrottleLifted,
        PoolNotice::MemoryShort { used, limit } => {
            Pool::MemoryShort { used: Bytes(used), limit: Bytes(limit) }
        }
        PoolNotice::MemoryEased { used, limit, lasted } => {
            Pool::MemoryEased { used: Bytes(used), limit: Bytes(limit), duration: Span(lasted) }
        }
        PoolNotice::SpawnDelayed { delay, failures } => match fork_error {
            Some(error) => {
                shortage = Shortage::behind(error);
                let duration = Span(delay);
                Pool::CannotFork { error, shortage: &shortage, failures, duration }
            }
            None => Pool::SpawnDelayed { failures, duration: Span(delay) },
        },
        PoolNotice::SpawnRecovered { failures } => Pool::SpawnRecovered { failures },
        PoolNotice::Crowded { alive } => Pool::Crowded { children: Children(alive) },
        PoolNotice::AtMaximum { max_children, busy, waiting, jobs } => {
            let (waiting, jobs) = (Waiting(waiting), WaitingJobs(jobs));
            Pool::AtMaximum { max_children, busy, waiting, jobs }
        }
        PoolNotice::AtCeiling { ceiling, busy, waiting, jobs } => {
            let (waiting, jobs) = (Waiting(waiting), WaitingJobs(jobs));
            Pool::AtCeiling { ceiling, busy, waiting, jobs }
        }
        PoolNotice::JobsUnserved { idle, jobs } => Pool::JobsUnserved { idle, jobs },
        PoolNotice::Unserved { idle, waiting } => Pool::Unserved { idle, waiting },
        PoolNotice::Overlooked { idle } => Pool::Overlooked { idle },
        PoolNotice::Silent => Pool::Silent,
        PoolNotice::BelowMaximum { lasted } => Pool::BelowMaximum { duration: Span(lasted) },
        PoolNotice::BelowCeiling { lasted } => Pool::BelowCeiling { duration: Span(lasted) },
        PoolNotice::ClientsNoticedLate { interval, took, within } => {
            let (interval, duration, within) = (Span(interval), Span(took), Span(within));
            return log.write(&Client::NoticedLate { interval, duration, within });
        }
        PoolNotice::Resized { prefork, max_children } => Pool::Resized { prefork, max_children },
        PoolNotice::DescendantsLeft { left } => Pool::DescendantsLeft { left },
    });
}

fn of_change(log: &Log, notice: ChangeNotice) {
    let reason;
    log.write(&match notice {
        ChangeNotice::ReadingSettings => Change::ReadingSettings,
        ChangeNotice::SettingsTimedOut { limit } => {
            reason = format!("the settings were not read in {}", Span(limit));
            Change::ReloadRefused { reason: &reason }
        }
        ChangeNotice::Reloading { generation } => Change::Reloading { generation },
        ChangeNotice::Reloaded { generation, took, old } => {
            Change::Reloaded { generation, duration: Span(took), old: Old(old) }
        }
        ChangeNotice::OldLeft { took } => Change::OldLeft { duration: Span(took) },
        ChangeNotice::ReloadFailed { generation, old } => {
            Change::ReloadFailed { generation, children: Children(old) }
        }
        ChangeNotice::Probing => Change::Probing,
        ChangeNotice::ProbeTimedOut { limit } => {
            reason = format!("the new program was not ready in {}", Span(limit));
            Change::UpgradeRefused { reason: &reason }
        }
        ChangeNotice::ProgramBusy { tried } => {
            reason = format!("the file has been written to for {}", Span(tried));
            Change::UpgradeRefused { reason: &reason }
        }
        ChangeNotice::Upgrading => Change::Upgrading,
        ChangeNotice::Stopping { request, alive } => {
            let how = if request == Request::StopNow { "now" } else { "gracefully" };
            Change::Stopping { how, children: Children(alive) }
        }
        ChangeNotice::Asleep { idle: Some(idle) } => Change::Asleep { duration: Span(idle) },
        ChangeNotice::Asleep { idle: None } => Change::LeftNoChildren,
        ChangeNotice::Escalated { rung, alive } => {
            Change::Escalated { children: Children(alive), how: taken(rung) }
        }
    });
}

fn of_hook(log: &Log, hook: prefork_core::Hook, notice: HookNotice) {
    log.write(&match notice {
        HookNotice::Waiting { left } => Hook::Waiting { hook, duration: Span(left) },
        HookNotice::TimedOut { limit } => Hook::TimedOut { hook, duration: Span(limit) },
        HookNotice::CutShort => Hook::CutShort { hook },
        HookNotice::Recovered => Hook::Recovered { hook },
    });
}

/// What is done about a child that has been at one request for too long.
const fn taken_at_timeout(measure: AtTimeout) -> &'static str {
    match measure {
        AtTimeout::Abort => "aborted (SIGABRT)",
        AtTimeout::LookInto => "it is looked into, and aborted (SIGABRT) then",
        AtTimeout::Examine => "on_timeout is called, and it is aborted (SIGABRT) then",
    }
}

const fn status(exit: Exit) -> Option<i32> {
    match exit {
        Exit::Code(code) => Some(code),
        Exit::Signal { .. } => None,
    }
}

/// Its name; those for the program's own use have none.
fn signal(exit: Exit) -> Option<&'static str> {
    match exit {
        Exit::Code(_) => None,
        Exit::Signal { number, .. } => Signal::try_from(number).ok().map(Signal::as_str),
    }
}

/// The setting by which a child is not waited for any longer.
struct ByLimit(Limit);

impl Display for ByLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Limit::Graceful => "graceful_timeout",
            Limit::Reload => "reload_timeout",
            Limit::Distrust => "as it is not trusted",
        })
    }
}

/// By how much a child has grown, if that is known.
struct Growth {
    grew: Bytes,
    over: Duration,
}

impl Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { grew, over } = self;
        if over.is_zero() {
            return f.write_str("is the largest");
        }
        write!(f, "has grown by {grew} in {}", Span(*over))
    }
}

/// What a child claims that cannot be.
struct Claimed(Claim);

impl Display for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Claim::Requests => "claims more requests than it can have answered",
            Claim::Times => "claims to have worked at a time at which that cannot have been",
            Claim::Nothing => "has not left a whole record in its page for some time",
        })
    }
}
