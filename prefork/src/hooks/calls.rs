//! The calls of all hooks that the parent has made while there are children.

use std::os::fd::BorrowedFd;

use prefork_core::{Event, Hook, Time};
use rustix::process::Pid;

use super::{
    Answer, Call,
    lane::{Finished, Lane, Queued},
    process::{Duty, HookProcess},
};
use crate::{logs::HookMessage, logs::log::Log, system::helper::Helper, system::os::Shortage};

/// Those that are being made, each hook's in a process of its own, and those that wait.
#[derive(Debug, Default)]
pub(crate) struct HookCalls {
    lanes: [Lane; Hook::ALL.len()],
    /// Why no process could be forked the last time, so that it is logged once.
    trouble: Option<String>,
    /// Whether it was logged that a process answers to no question.
    logged_unasked: bool,
}

/// What has become of a call that was to be added.
#[derive(Debug)]
pub(crate) enum Added {
    /// It is made as soon as a process is there.
    Begins(Hook),
    Waits,
    /// There was no room for it.
    LeftOut(Call),
}

/// A call that is over.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) call: Call,
    pub(crate) answer: Answer,
    /// What the supervisor is to know.
    pub(crate) event: Event,
}

impl HookCalls {
    /// Adds a call.
    pub(crate) fn add(&mut self, call: Call, log: &Log) -> Added {
        let hook = call.hook();
        match self.lane(hook).add(call) {
            Queued::Begins => Added::Begins(hook),
            Queued::Waits => Added::Waits,
            Queued::LeftOut(call) => Added::LeftOut(call),
            Queued::FirstLeftOut(call) => {
                log.write(&HookMessage::TooSlow { hook });
                Added::LeftOut(call)
            }
        }
    }

    /// Forks processes that make the calls that wait, where none is at it. In such a process, its duty is returned.
    ///
    /// To be called when all processes that were reaped are forgotten: a new one may have the pid of an old one.
    pub(crate) fn start(&mut self, now: Time, log: &Log) -> Option<Duty> {
        for (hook, lane) in Hook::ALL.into_iter().zip(&mut self.lanes) {
            match lane.start(now) {
                Ok(None) => {}
                Ok(Some(duty)) => return Some(duty),
                Err(error) => {
                    let short = Shortage::behind(&error);
                    let error = format!("{error}{short}");
                    let message = HookMessage::CannotRun { hook, error: &error };
                    let text = message.to_string();
                    if self.trouble.as_ref() != Some(&text) {
                        log.write(&message);
                        self.trouble = Some(text);
                    }
                }
            }
        }
        None
    }

    /// When a process is to be forked, after that has failed.
    pub(crate) fn due(&self) -> Option<Time> {
        self.lanes.iter().filter_map(Lane::due).min()
    }

    /// What to wait for before [`next`](Self::next).
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.lanes.iter().filter_map(Lane::fd)
    }

    /// Returns the next call to which the program has answered.
    pub(crate) fn next(&mut self, log: &Log) -> Option<Made> {
        let (hook, (call, answer)) = Hook::ALL
            .into_iter()
            .zip(&mut self.lanes)
            .find_map(|(hook, lane)| Some((hook, lane.next()?)))?;
        Some(Made { call, answer, event: self.follows(hook, log) })
    }

    /// Returns the processes that have made all their calls and end by themselves, and those that were ended as they answer
    /// unasked.
    pub(crate) fn take_finished(&mut self, log: &Log) -> Vec<Helper> {
        let lanes = Hook::ALL.into_iter().zip(&mut self.lanes);
        let finished = lanes.filter_map(|(hook, lane)| Some((hook, lane.take_finished()?)));
        let logged = &mut self.logged_unasked;
        let helpers = finished.map(|(hook, finished)| match finished {
            Finished::InOrder(helper) => helper,
            Finished::Unasked(helper) => {
                if !std::mem::replace(logged, true) {
                    log.write(&HookMessage::AnsweredUnasked { hook });
                }
                helper
            }
        });
        helpers.collect()
    }

    /// Ends the process of a hook that outlives its calls, for one that begins with what is there now. A call that it has not
    /// finished waits.
    pub(crate) fn renew(&mut self, hook: Hook) -> Option<Helper> {
        self.lane(hook).interrupt().map(HookProcess::kill)
    }

    /// Notes that a process is about to be reaped, which may be one of these.
    pub(crate) fn note_reaped(&mut self, pid: Pid) {
        let helpers = self.lanes.iter_mut().filter_map(Lane::helper_mut);
        helpers.for_each(|helper| helper.note_reaped(pid));
    }

    /// Takes in that a process has ended and was reaped; returns the call at which it has, if it is one of these.
    pub(crate) fn reaped(&mut self, pid: Pid, log: &Log) -> Option<Made> {
        let (hook, call) = Hook::ALL
            .into_iter()
            .zip(&mut self.lanes)
            .find_map(|(hook, lane)| Some((hook, lane.reaped(pid)?)))?;
        if !call.is_failing() {
            log.write(&HookMessage::EndedItsProcess { hook });
        }
        Some(Made { call, answer: Answer::Done, event: self.follows(hook, log) })
    }

    /// Ends the call of a hook that is being made or comes next, with the process that makes it.
    pub(crate) fn end(&mut self, hook: Hook, log: &Log) -> (Option<Made>, Option<Helper>) {
        let (call, process) = self.lane(hook).end_call();
        let made =
            call.map(|call| Made { call, answer: Answer::Done, event: self.follows(hook, log) });
        (made, process.map(HookProcess::kill))
    }

    /// Ends all processes. What they have not finished waits.
    pub(crate) fn interrupt(&mut self) -> impl Iterator<Item = Helper> {
        self.lanes.iter_mut().filter_map(Lane::interrupt).map(HookProcess::kill)
    }

    /// Returns how many calls of a hook are being made, or wait.
    pub(crate) fn open(&self, hook: Hook) -> usize {
        self.lanes[hook as usize].len()
    }

    const fn lane(&mut self, hook: Hook) -> &mut Lane {
        &mut self.lanes[hook as usize]
    }

    /// What the supervisor is to know when a call of a hook is over.
    fn follows(&mut self, hook: Hook, log: &Log) -> Event {
        let lane = self.lane(hook);
        if let Some(count) = lane.take_left_out() {
            log.write(&HookMessage::LeftOut { hook, calls: count });
        }
        if lane.len() == 0 { Event::HookEnded(hook) } else { Event::HookBegun(hook) }
    }
}
