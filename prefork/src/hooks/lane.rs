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
    /// Whether an answer has come to no question.
    answers_unasked: bool,
}

/// A process that was given up.
#[derive(Debug)]
pub(super) enum Finished {
    /// It has made all its calls, and ends by itself.
    InOrder(Helper),
    /// It has answered to no question, and was killed.
    Unasked(Helper),
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

    /// Forks a process if calls wait and none is at work, or asks the one that outlives its calls. In the new process, its duty is returned.
    ///
    /// # Errors
    ///
    /// Fails as a fork does. The calls wait on.
    pub(super) fn start(&mut self, now: Time) -> io::Result<Option<Duty>> {
        if let Some(process) = self.process.as_ref().filter(|it| it.is_lasting()) {
            if self.at_work.is_empty()
                && let Some(call) = self.waiting.pop_front()
            {
                process.ask(&call);
                self.at_work.push_back(call);
            }
            return Ok(None);
        }
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
        let process = self.process.as_mut()?;
        let answer = process.answer()?;
        let call = self.at_work.pop_front();
        self.answers_unasked |= call.is_none();
        Some((call?, answer))
    }

    /// Gives up the process once it has made all its calls; one that outlives these is ended if it answers when it is not
    /// asked, as it could do without end.
    pub(super) fn take_finished(&mut self) -> Option<Finished> {
        let unasked = std::mem::take(&mut self.answers_unasked);
        let is_idle = self.at_work.is_empty();
        let process =
            self.process.take_if(|process| unasked || is_idle && !process.is_lasting())?;
        Some(if process.is_lasting() {
            Finished::Unasked(process.kill())
        } else {
            Finished::InOrder(process.let_go())
        })
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
    use std::process::Command;

    use super::*;

    /// A process that goes on when it has answered, and the other ends of its pipes: what it is asked, and what it answers.
    fn lasting() -> (Lane, std::process::Child, [std::os::fd::OwnedFd; 2]) {
        let child = Command::new("sleep").arg("1000").spawn().expect("started");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a pid");
        let (process, ends) = HookProcess::of_test(pid);
        (Lane { process: Some(process), ..Lane::default() }, child, ends)
    }

    #[test]
    fn a_process_that_goes_on_is_asked_for_one_answer_after_the_other() {
        let (mut lane, mut child, [questions, answers]) = lasting();
        for (jobs, is_failing) in [(3, false), (0, true), (u32::MAX, false)] {
            assert!(matches!(lane.add(Call::Demand { is_failing }), Queued::Begins));
            assert!(lane.start(Time::ZERO).expect("asked").is_none());
            let mut question = [0; 2];
            assert_eq!(rustix::io::read(&questions, &mut question), Ok(1));
            assert_eq!(question[0] == b'.', is_failing);
            assert!(lane.next().is_none() && lane.take_finished().is_none(), "no answer yet");
            let (bytes, length) = Answer::Jobs(jobs).to_bytes();
            rustix::io::write(&answers, &bytes[..length]).expect("written");
            let (_, answer) = lane.next().expect("the answer");
            assert_eq!(answer, Answer::Jobs(jobs));
            assert!(lane.next().is_none() && lane.take_finished().is_none(), "it goes on");
            assert_eq!(lane.len(), 0);
        }
        let helper = lane.interrupt().expect("it is there").kill();
        assert!(helper.is_ours() && !child.wait().expect("reaped").success());
    }

    /// It could keep the parent awake for as long as it likes.
    #[test]
    fn a_process_that_answers_unasked_is_ended() {
        let (mut lane, mut child, [_questions, answers]) = lasting();
        lane.add(Call::Demand { is_failing: false });
        assert!(lane.start(Time::ZERO).expect("asked").is_none());
        rustix::io::write(&answers, &[b'j'; 4096]).expect("written");
        let (_, answer) = lane.next().expect("the answer");
        assert_eq!(answer, Answer::Jobs(u32::from_le_bytes([b'j'; 4])));
        assert!(lane.next().is_none());
        assert!(matches!(lane.take_finished(), Some(Finished::Unasked(_))));
        assert!(!child.wait().expect("reaped").success());
        assert!(lane.fd().is_none(), "nobody listens to it any more");
    }

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
