//! The calls of one hook: one at a time, in their order, the others wait.

use std::{collections::VecDeque, io, os::fd::BorrowedFd, time::Duration};

use prefork_core::Time;
use rustix::process::Pid;

use super::{
    Answer, Call,
    process::{Duty, HookProcess, Started},
};
use crate::system::helper::Helper;

/// How many calls may wait. A hook that is slower than the events misses the newest.
const MOST_WAITING: usize = 1000;

/// The pause between two attempts to fork.
const PAUSE: Duration = Duration::from_secs(1);

/// The calls of one hook.
///
/// Each process gets all calls that wait when it is forked, so that many children that end at once cost one fork.
#[derive(Debug, Default)]
pub(super) struct Lane {
    process: Option<HookProcess>,
    /// What the process is to do, first what it is doing.
    at_work: VecDeque<Call>,
    waiting: VecDeque<Call>,
    /// How many calls were left out since the last one was let in.
    left_out: u64,
    /// When forking is tried again after it has failed.
    not_before: Option<Time>,
}

/// What follows from a call that was to be added.
#[derive(Debug)]
pub(super) enum Queued {
    /// It is made as soon as a process is there.
    Begins,
    Waits,
    /// There is no room: it is left out, the first of these.
    FirstLeftOut(Call),
    LeftOut(Call),
}

impl Lane {
    pub(super) fn add(&mut self, call: Call) -> Queued {
        if self.waiting.len() >= MOST_WAITING {
            self.left_out += 1;
            let is_first = self.left_out == 1;
            return if is_first { Queued::FirstLeftOut(call) } else { Queued::LeftOut(call) };
        }
        let is_first = self.len() == 0;
        self.waiting.push_back(call);
        if is_first { Queued::Begins } else { Queued::Waits }
    }

    /// Returns how many calls are being made, or wait.
    pub(super) fn len(&self) -> usize {
        self.at_work.len() + self.waiting.len()
    }

    /// Returns how many calls were left out, once there is room again.
    pub(super) fn take_left_out(&mut self) -> Option<u64> {
        let has_room = self.waiting.len() < MOST_WAITING;
        (has_room && self.left_out > 0).then(|| std::mem::take(&mut self.left_out))
    }

    /// When forking is to be tried again.
    pub(super) fn due(&self) -> Option<Time> {
        self.not_before.filter(|_| self.process.is_none() && !self.waiting.is_empty())
    }

    /// Forks a process if calls wait and none is at work. In the new process, its duty is returned.
    ///
    /// # Errors
    ///
    /// Fails as a fork does. The calls wait on.
    pub(super) fn start(&mut self, now: Time) -> io::Result<Option<Duty>> {
        let is_due = self.not_before.is_none_or(|at| now >= at);
        if self.process.is_some() || self.waiting.is_empty() || !is_due {
            return Ok(None);
        }
        self.not_before = Some(now + PAUSE);
        match HookProcess::start(&mut self.waiting)? {
            Started::InHookProcess(duty) => return Ok(Some(duty)),
            Started::InParent(process) => self.process = Some(process),
        }
        self.not_before = None;
        self.at_work = std::mem::take(&mut self.waiting);
        Ok(None)
    }

    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.process.as_ref().and_then(HookProcess::fd)
    }

    /// Takes the answer to the call that is being made, if it is there.
    pub(super) fn next(&mut self) -> Option<(Call, Answer)> {
        let answer = self.process.as_mut()?.answer()?;
        Some((self.at_work.pop_front()?, answer))
    }

    /// Gives up the process once it has made all its calls.
    pub(super) fn take_finished(&mut self) -> Option<HookProcess> {
        self.process.take_if(|_| self.at_work.is_empty())
    }

    /// Notes that a process has ended and was reaped. If it is this one, the call at which it has ended is returned,
    /// and the others wait for the next one.
    pub(super) fn reaped(&mut self, pid: Pid) -> Option<Call> {
        self.process.take_if(|process| process.helper().pid() == pid)?;
        let died = self.at_work.pop_front();
        self.put_back();
        died
    }

    /// Ends the call that is being made, or would be next, with the process that makes it.
    pub(super) fn end_call(&mut self) -> (Option<Call>, Option<HookProcess>) {
        let process = self.process.take();
        self.put_back();
        (self.waiting.pop_front(), process)
    }

    /// Ends the process, if there is one; what it has not finished waits for the next one.
    pub(super) fn interrupt(&mut self) -> Option<HookProcess> {
        self.put_back();
        self.process.take()
    }

    /// Makes all calls wait again that were not made.
    fn put_back(&mut self) {
        self.at_work.append(&mut self.waiting);
        std::mem::swap(&mut self.at_work, &mut self.waiting);
    }

    pub(super) fn helper_mut(&mut self) -> Option<&mut Helper> {
        self.process.as_mut().map(HookProcess::helper_mut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_beyond_what_may_wait_are_left_out_and_counted() {
        let mut lane = Lane::default();
        assert!(matches!(lane.add(Call::Ready), Queued::Begins));
        for _ in 1..MOST_WAITING {
            assert!(matches!(lane.add(Call::Ready), Queued::Waits));
        }
        assert!(matches!(lane.add(Call::Ready), Queued::FirstLeftOut(Call::Ready)));
        assert!(matches!(lane.add(Call::Ready), Queued::LeftOut(Call::Ready)));
        assert_eq!((lane.len(), lane.take_left_out()), (MOST_WAITING, None));
        assert!(matches!(lane.end_call(), (Some(Call::Ready), None)));
        assert_eq!((lane.take_left_out(), lane.take_left_out()), (Some(2), None));
    }
}
