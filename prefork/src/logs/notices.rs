//! What the supervisor wants operators to know, as messages.

use std::{
    fmt::{self, Display},
    io,
};

use nix::sys::signal::Signal;
use prefork_core::{AtTimeout, ChildId, Claim, Exit, Limit, Notice, Request};

use super::{
    ChangeMessage as Change, ClientMessage as Client, HookMessage as Hook, InHand,
    PoolMessage as Pool,
    describe::{Children, Span, WithoutHint, taken},
    log::Log,
    message::{Answered, Old, Waiting},
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
    let About { in_hand, requests, reason, fork_error } = about;
    let (label, client, busy) = (in_hand.label(), in_hand.client(), in_hand.time().map(Span));
    match notice {
        Notice::DiedAbnormally { child: ChildId { slot, pid: child_pid }, exit, lived } => log
            .write(&Pool::ChildDied {
                child_pid,
                slot,
                status: status(exit),
                signal: signal(exit),
                how: &WithoutHint(exit),
                duration: Span(lived),
                requests: Answered(*requests),
                label,
                client,
                busy,
                in_hand,
                reason,
            }),
        Notice::MoreDied { deaths, last, over } => log.write(&Pool::MoreDied {
            deaths,
            status: status(last),
            signal: signal(last),
            how: &WithoutHint(last),
            duration: Span(over),
            reason,
        }),
        Notice::Throttled { delay, returned } => {
            let event = if returned { "return from main_loop" } else { "end" };
            log.write(&Pool::Throttled { event, duration: Span(delay) });
        }
        Notice::ThrottleLifted => log.write(&Pool::ThrottleLifted),
        Notice::SpawnDelayed { delay, failures } => match fork_error {
            Some(error) => log.write(&Pool::CannotFork {
                error,
                shortage: &Shortage::behind(error),
                failures,
                duration: Span(delay),
            }),
            None => log.write(&Pool::SpawnDelayed { failures, duration: Span(delay) }),
        },
        Notice::Crowded { alive } => log.write(&Pool::Crowded { children: Children(alive) }),
        Notice::SpawnRecovered { failures } => log.write(&Pool::SpawnRecovered { failures }),
        Notice::Unserved { idle, waiting } => log.write(&Pool::Unserved { idle, waiting }),
        Notice::Silent => log.write(&Pool::Silent),
        Notice::AtMaximum { max_children, busy, waiting } => {
            let waiting = Waiting(waiting);
            log.write(&Pool::AtMaximum { max_children, busy, waiting });
        }
        Notice::BelowMaximum { lasted } => {
            log.write(&Pool::BelowMaximum { duration: Span(lasted) });
        }
        Notice::ClientsNoticedLate { interval, took, within } => log.write(&Client::NoticedLate {
            interval: Span(interval),
            duration: Span(took),
            within: Span(within),
        }),
        Notice::Resized { prefork, max_children } => {
            log.write(&Pool::Resized { prefork, max_children });
        }
        Notice::ReadingSettings => log.write(&Change::ReadingSettings),
        Notice::SettingsTimedOut { limit } => {
            let reason = format!("the settings were not read in {}", Span(limit));
            log.write(&Change::ReloadRefused { reason: &reason });
        }
        Notice::Reloading { generation } => log.write(&Change::Reloading { generation }),
        Notice::Reloaded { generation, took, old } => {
            log.write(&Change::Reloaded { generation, duration: Span(took), old: Old(old) });
        }
        Notice::OldLeft { took } => log.write(&Change::OldLeft { duration: Span(took) }),
        Notice::CutShort { child: ChildId { slot, pid: child_pid }, asked, limit } => {
            log.write(&Pool::CutShort {
                child_pid,
                slot,
                duration: Span(asked),
                limit: &ByLimit(limit),
                label,
                client,
                busy,
                in_hand,
            });
        }
        Notice::ReloadFailed { generation, old } => {
            log.write(&Change::ReloadFailed { generation, children: Children(old) });
        }
        Notice::Probing => log.write(&Change::Probing),
        Notice::ProbeTimedOut { limit } => {
            let reason = format!("the new program was not ready in {}", Span(limit));
            log.write(&Change::UpgradeRefused { reason: &reason });
        }
        Notice::ProgramBusy { tried } => {
            let reason = format!("the file has been written to for {}", Span(tried));
            log.write(&Change::UpgradeRefused { reason: &reason });
        }
        Notice::Upgrading => log.write(&Change::Upgrading),
        Notice::Hung { child: ChildId { slot, pid: child_pid }, busy: time, limit, measure } => {
            log.write(&Pool::Hung {
                child_pid,
                slot,
                duration: Span(time),
                request_timeout: Span(limit),
                label,
                client,
                what: &in_hand.what(),
                measure: match measure {
                    AtTimeout::Abort => "aborted (SIGABRT)",
                    AtTimeout::Examine => "on_timeout is called, and it is aborted (SIGABRT) then",
                },
            });
        }
        Notice::TooOld { child: ChildId { slot, pid: child_pid }, lived, limit } => {
            let (age, max_lifetime) = (Span(lived), Span(limit));
            log.write(&Pool::TooOld { child_pid, slot, age, max_lifetime });
        }
        Notice::StuckStarting { child: ChildId { slot, pid: child_pid }, limit } => {
            log.write(&Pool::StuckStarting { child_pid, slot, duration: Span(limit) });
        }
        Notice::Unkillable { child: ChildId { slot, pid: child_pid } } => {
            log.write(&Pool::CannotBeKilled { child_pid, slot });
        }
        Notice::Flooding { child: ChildId { slot, pid: child_pid } } => {
            log.write(&Pool::Flooding { child_pid, slot });
        }
        Notice::Implausible { child: ChildId { slot, pid: child_pid }, claim } => {
            log.write(&Pool::Implausible { child_pid, slot, claim: &Claimed(claim) });
        }
        Notice::DescendantsLeft { left } => log.write(&Pool::DescendantsLeft { left }),
        Notice::WaitingForHook { hook, left } => {
            log.write(&Hook::Waiting { hook, duration: Span(left) });
        }
        Notice::HookTimedOut { hook, limit } => {
            log.write(&Hook::TimedOut { hook, duration: Span(limit) });
        }
        Notice::HookCutShort { hook } => log.write(&Hook::CutShort { hook }),
        Notice::Stopping { request, alive } => {
            let how = if request == Request::StopNow { "now" } else { "gracefully" };
            log.write(&Change::Stopping { how, children: Children(alive) });
        }
        Notice::Escalated { rung, alive } => {
            log.write(&Change::Escalated { children: Children(alive), how: taken(rung) });
        }
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
