//! Calling hooks of the program, and doing what they answer.

use prefork_core::{Event, Hook, SlotId, Time};

use super::Parent;
use crate::{
    OnChange,
    hooks::{Added, Answer, Call, Duty, Made},
    system::clock,
};

impl Parent<'_> {
    /// Calls a hook as soon as its earlier calls have been made.
    pub(super) fn call_hook(&mut self, now: Time, call: Call) {
        match self.helpers.calls.add(call, &self.log) {
            Added::Begins(hook) => self.supervisor.handle(now, Event::HookBegun(hook)),
            Added::Waits => {}
            Added::LeftOut(call) => self.note_finished(now, &call),
        }
    }

    /// Calls one of the hooks for which the supervisor waits.
    pub(super) fn run_hook(&mut self, hook: Hook) {
        let call = match hook {
            Hook::Ready => Call::Ready,
            Hook::BeforeShutdown => Call::BeforeShutdown,
            // These are called with what has happened.
            Hook::OnChildExit
            | Hook::OnTimeout
            | Hook::AutoReloadHandler
            | Hook::OnClientDisconnect
            | Hook::Demand => return,
        };
        self.call_hook(clock::now(), call);
    }

    /// Forks processes that make the calls that wait. In such a process, its duty is returned.
    pub(super) fn start_hooks(&mut self) -> Option<Duty> {
        self.helpers.calls.start(clock::now(), &self.log)
    }

    /// Does what the program has answered.
    pub(super) fn read_answers(&mut self, now: Time) {
        while let Some(made) = self.helpers.calls.next(&self.log) {
            self.note_made(now, &made);
        }
        self.helpers.dismiss_finished(&self.log);
    }

    /// Has the process that is asked how many jobs wait begin again, with what is there now.
    pub(super) fn renew_demand(&mut self) {
        self.helpers.renew_call(Hook::Demand);
    }

    /// Ends the call of a hook, for which nobody waits any more.
    pub(super) fn end_hook(&mut self, hook: Hook) {
        if let Some(made) = self.helpers.end_call(hook, &self.log) {
            self.note_made(clock::now(), &made);
        }
    }

    /// Notes that a call is over, or will never be made: what waits for it goes on.
    fn note_finished(&mut self, now: Time, call: &Call) {
        let event = match call {
            Call::OnTimeout(slot, _) => Event::Examined { slot: *slot },
            Call::OnChildExit(child) => Event::ExitHandled { slot: SlotId(child.slot) },
            Call::Ready
            | Call::BeforeShutdown
            | Call::AutoReloadHandler(_)
            | Call::OnClientDisconnect(_)
            | Call::Demand { .. } => return,
        };
        self.supervisor.handle(now, event);
    }

    pub(super) fn note_made(&mut self, now: Time, made: &Made) {
        // First, so that no time limit of this call is applied to the next one.
        self.supervisor.handle(now, made.event);
        self.note_finished(now, &made.call);
        match (&made.call, made.answer) {
            (Call::AutoReloadHandler(_), Answer::Upgrade) => self.react(now, OnChange::Upgrade),
            (Call::AutoReloadHandler(_), Answer::Reload) => self.react(now, OnChange::Reload),
            (Call::OnClientDisconnect(gone), Answer::Cancel) => self.cancel(now, gone),
            (Call::Demand { .. }, answer) => {
                let jobs = match answer {
                    Answer::Jobs(jobs) => Some(jobs),
                    Answer::Done | Answer::Cancel | Answer::Upgrade | Answer::Reload => None,
                };
                self.supervisor.handle(now, Event::DemandReported { jobs });
            }
            (
                Call::Ready
                | Call::BeforeShutdown
                | Call::OnChildExit(_)
                | Call::OnTimeout(..)
                | Call::AutoReloadHandler(_)
                | Call::OnClientDisconnect(_),
                _,
            ) => {}
        }
    }
}
