//! How long hooks may take, and what waits for them.
//!
//! A hook is code of the program, and may hang. Each call has a time limit, after which it is ended and counts as
//! done. What comes after a hook comes after that at the latest: the announcement after `ready`, the children after
//! `before_shutdown`, the end of a child after `on_timeout`, the exit after all of them.

use std::time::Duration;

use super::{Phase, Stop, Supervisor};
use crate::{Action, Hook, HookNotice, Notice, Rung, SlotId, Time};

/// After so long, it is logged what a stop waits for.
const NEWS: Duration = Duration::from_secs(1);

/// The calls that are being run, at most one of each hook.
#[derive(Clone, Debug, Default)]
pub(super) struct Hooks([Option<Call>; Hook::ALL.len()]);

#[derive(Clone, Copy, Debug)]
struct Call {
    since: Time,
    /// Whether it was logged that the stop waits for it.
    logged: bool,
}

impl Hooks {
    pub(super) const fn begin(&mut self, now: Time, hook: Hook) {
        self.0[hook as usize] = Some(Call { since: now, logged: false });
    }

    pub(super) const fn is_running(&self, hook: Hook) -> bool {
        self.0[hook as usize].is_some()
    }

    /// Whether a call is being run that is about what has happened in this program, and that no other will make
    /// again.
    pub(super) fn are_about_the_past(&self) -> bool {
        self.running().any(|(hook, _)| is_about_the_past(hook))
    }

    fn running(&self) -> impl Iterator<Item = (Hook, Call)> {
        Hook::ALL.into_iter().filter_map(|hook| Some((hook, self.0[hook as usize]?)))
    }

    /// Forgets a call; returns whether there was one.
    const fn end(&mut self, hook: Hook) -> bool {
        self.0[hook as usize].take().is_some()
    }
}

/// Whether calls of a hook are worth waiting for when nothing else is left to do, as no later one makes up for them.
const fn is_about_the_past(hook: Hook) -> bool {
    match hook {
        Hook::Ready | Hook::BeforeShutdown | Hook::OnChildExit => true,
        // Children that still hang, files that have changed and clients that have gone are found again, or do not matter.
        Hook::OnTimeout | Hook::AutoReloadHandler | Hook::OnClientDisconnect | Hook::Demand => {
            false
        }
    }
}

impl Supervisor {
    /// Has one of the hooks run for which the supervisor waits, and goes on at once where there is none.
    pub(super) fn run_hook(&mut self, now: Time, hook: Hook) {
        self.hooks.begin(now, hook);
        if self.config.hooks.contains(&hook) {
            self.actions.push_back(Action::RunHook(hook));
        } else {
            self.hook_ended(now, hook);
        }
    }

    /// Goes on with what has waited for a hook.
    pub(super) fn hook_ended(&mut self, now: Time, hook: Hook) {
        if !self.hooks.end(hook) {
            return;
        }
        match hook {
            // A daemon that stops has not become ready.
            Hook::Ready if self.is_stopping() => {}
            Hook::Ready => self.actions.push_back(Action::AnnounceReady),
            Hook::BeforeShutdown => self.leave_hook(now),
            Hook::OnChildExit
            | Hook::OnTimeout
            | Hook::AutoReloadHandler
            | Hook::OnClientDisconnect
            | Hook::Demand => {}
        }
    }

    /// Keeps the slot of a child that has ended until the program has taken that in: what it finds by the slot is that child's.
    pub(super) fn hold_for_hook(&mut self, now: Time, slot: SlotId) {
        if self.config.hooks.contains(&Hook::OnChildExit) {
            self.slots.hold(slot, now + self.config.hook_timeout);
        }
    }

    /// Ends calls that take too long, lets go of slots that were held for them, and says what a stop waits for.
    pub(super) fn decide_hooks(&mut self, now: Time) {
        let overdue: Vec<_> = self.slots.held().filter(|(_, until)| now >= *until).collect();
        overdue.into_iter().for_each(|(slot, _)| self.slots.let_go(slot));
        let limit = self.config.hook_timeout;
        for (hook, call) in self.hooks.running().collect::<Vec<_>>() {
            if now >= call.since + limit {
                self.note_hook_timeout(hook);
                self.end_hook(now, hook);
            } else if self.is_waited_for(hook) && !call.logged && now >= call.since + NEWS {
                self.log_waiting(now, hook);
            }
        }
    }

    /// When a call needs a decision, if nothing happens.
    pub(super) fn hooks_due(&self) -> Option<Time> {
        let due = |(hook, call): (Hook, Call)| {
            let wait = if self.is_waited_for(hook) && !call.logged { NEWS } else { Duration::MAX };
            call.since + wait.min(self.config.hook_timeout)
        };
        let held = self.slots.held().map(|(_, until)| until);
        self.hooks.running().map(due).chain(held).min()
    }

    /// Whether the stop goes no further before this hook has ended.
    const fn is_waited_for(&self, hook: Hook) -> bool {
        match self.phase {
            Phase::Stopping { stop: Stop::Hook { .. }, .. } => matches!(hook, Hook::BeforeShutdown),
            Phase::Stopping { stop: Stop::LastHooks { .. }, .. } => is_about_the_past(hook),
            Phase::Stopping { stop: Stop::Ladder(_) | Stop::Descendants, .. }
            | Phase::New
            | Phase::Starting { .. }
            | Phase::Serving
            | Phase::Over => false,
        }
    }

    fn log_waiting(&mut self, now: Time, hook: Hook) {
        let Some(call) = &mut self.hooks.0[hook as usize] else { return };
        call.logged = true;
        let left = (call.since + self.config.hook_timeout).since(now);
        self.log(Notice::Hook(hook, HookNotice::Waiting { left }));
    }

    fn note_hook_timeout(&mut self, hook: Hook) {
        self.stats.hook_timeouts += 1;
        if hook == Hook::Demand && self.demand.is_failing() {
            return;
        }
        self.log(Notice::Hook(hook, HookNotice::TimedOut { limit: self.config.hook_timeout }));
    }

    fn end_hook(&mut self, now: Time, hook: Hook) {
        self.actions.push_back(Action::EndHook(hook));
        self.hook_ended(now, hook);
        if hook == Hook::Demand {
            self.demand_reported(now, None);
        }
    }

    /// Ends the process of a hook that outlives its calls, with the call that it is at.
    pub(super) fn end_lasting_hook(&mut self, hook: Hook) {
        self.hooks.end(hook);
        self.actions.push_back(Action::EndHook(hook));
    }

    /// Goes on once no hook is being run, or has been for too long.
    pub(super) fn decide_last_hooks(&mut self, now: Time, until: Time) {
        let running = self.last_hooks();
        if now >= until {
            for hook in running {
                self.note_hook_timeout(hook);
            }
        } else if !running.is_empty() {
            return;
        }
        self.leave_last_hooks();
        self.decide_stop(now);
    }

    /// Leaves hooks alone that are still being run.
    const fn leave_last_hooks(&mut self) {
        if let Phase::Stopping { stop, .. } = &mut self.phase {
            *stop = Stop::Descendants;
        }
    }

    /// The hooks that are still worth waiting for.
    fn last_hooks(&self) -> Vec<Hook> {
        self.hooks.running().map(|(hook, _)| hook).filter(|hook| is_about_the_past(*hook)).collect()
    }

    /// Answers a request to stop while the stop waits for `before_shutdown`: one that is in no hurry by what is
    /// waited for.
    pub(super) fn stop_again_in_hook(&mut self, now: Time, rung: Rung) {
        let hook = Hook::BeforeShutdown;
        if rung == Rung::Retire {
            self.log_waiting(now, hook);
            return;
        }
        if let Phase::Stopping { stop, wished, .. } = &mut self.phase {
            (*stop, *wished) = (Stop::Hook { rung }, now);
        }
        self.log(Notice::Hook(hook, HookNotice::CutShort));
        self.end_hook(now, hook);
    }

    /// The same while the stop waits for nothing but hooks.
    pub(super) fn stop_again_in_last_hooks(&mut self, now: Time, rung: Rung) {
        for hook in self.last_hooks() {
            if rung == Rung::Retire {
                self.log_waiting(now, hook);
            } else {
                self.log(Notice::Hook(hook, HookNotice::CutShort));
            }
        }
        if rung != Rung::Retire {
            self.leave_last_hooks();
        }
    }
}
