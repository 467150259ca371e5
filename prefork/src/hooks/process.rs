//! A process in which hooks of the program are called.
//!
//! It is forked from the parent and knows all that the program knows, but what it changes is lost with it. It
//! answers call by call, so that the first does not wait for the last.
//!
//! The one that is asked how many jobs wait is asked again and again, and goes on when it has answered: it keeps a
//! connection, and a fork a second would cost more than the answer. As it reads what others write for as long as the
//! daemon lives, it has the rights of a child and no more, and the parent takes nothing from it but a number for each
//! question.
//!
//! As a child, it is born by a return from the parent's loop, which gives up all that is the parent's own: a hook
//! may take hours, start other programs, and be taken over by the sender of what it works on.

use std::{
    collections::VecDeque,
    io::{self, Write as _},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    panic,
    rc::Rc,
};

use prefork_core::Hook;
use prefork_daemonize::Privileges;
use rustix::{
    io::{Errno, retry_on_intr},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, getpid, setsid},
};

use super::{Answer, Call, Failed};
use crate::{
    BoxError, ErrorChain,
    channels::Handout,
    hooks::ParentHooks,
    logs::PoolMessage,
    logs::log::{Log, Role},
    logs::{Streams, follow, stderr},
    sys::refused::Refusable,
    sys::{self, Forked},
    system::helper::Helper,
    system::os::{LeftOpen, Signals, Title, end_with, fork, set_signal_mask},
};

/// What a hook process takes with it from the parent. All else of the parent's is closed before code of the
/// program runs.
pub(crate) struct HookContext {
    pub(crate) duty: Duty,
    pub(crate) name: String,
    pub(crate) title: Title,
    pub(crate) signals: Signals,
    /// What it becomes, if it does not keep the parent's rights.
    pub(crate) privileges: Option<Rc<Privileges>>,
    pub(crate) left_open: LeftOpen,
    pub(crate) hooks: ParentHooks,
    pub(crate) handout: Handout,
    pub(crate) streams: Streams,
}

/// What a hook process is there for.
#[derive(Debug)]
pub(crate) struct Duty {
    calls: VecDeque<Call>,
    answers: OwnedFd,
    /// Further questions, of one that outlives its calls.
    questions: Option<OwnedFd>,
    parent: Pid,
}

impl Duty {
    /// Whether there will be further calls.
    pub(crate) const fn is_lasting(&self) -> bool {
        self.questions.is_some()
    }

    /// Whether another failure of the hook is no news.
    fn is_failing(&self) -> bool {
        self.calls.front().is_some_and(Call::is_failing)
    }
}

/// The bytes that ask how many jobs wait; the second one where another failure is no news.
const QUESTION: u8 = b'?';
const QUIET_QUESTION: u8 = b'.';

/// The process in which a start has returned: one of two.
#[derive(Debug)]
pub(super) enum Started {
    InParent(HookProcess),
    InHookProcess(Duty),
}

/// A hook process, as the parent knows it; killing and reaping it is left to the parent's loop.
#[derive(Debug)]
pub(super) struct HookProcess {
    helper: Helper,
    answers: Option<OwnedFd>,
    /// Of one that outlives its calls.
    questions: Option<OwnedFd>,
}

impl HookProcess {
    /// One of this pid that goes on when it has made its calls, and the other ends of its pipes.
    #[cfg(test)]
    pub(super) fn of_test(pid: Pid) -> (Self, [OwnedFd; 2]) {
        let pipe = || pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).expect("made");
        let ((answers, far_answers), (far_questions, questions)) = (pipe(), pipe());
        let (answers, questions) = (Some(answers), Some(questions));
        (Self { helper: Helper::new(pid), answers, questions }, [far_questions, far_answers])
    }

    /// Forks one that is to make these calls, in their order. They are taken in the new process alone.
    pub(super) fn start(calls: &mut VecDeque<Call>) -> io::Result<Started> {
        let (answers, far) = pipe_with(PipeFlags::CLOEXEC).of_call("pipe2(2)")?;
        rustix::io::ioctl_fionbio(&answers, true)?;
        let is_lasting = calls.front().is_some_and(|call| call.hook() == Hook::Demand);
        let questions = is_lasting.then(|| pipe_with(PipeFlags::CLOEXEC)).transpose();
        let (far_questions, questions) = questions.of_call("pipe2(2)")?.unzip();
        if let Some(questions) = &questions {
            rustix::io::ioctl_fionbio(questions, true)?;
        }
        let parent = getpid();
        Ok(match fork()? {
            Forked::Child => {
                let calls = std::mem::take(calls);
                let questions = far_questions;
                Started::InHookProcess(Duty { calls, answers: far, questions, parent })
            }
            Forked::Parent { child } => {
                let (helper, answers) = (Helper::new(child), Some(answers));
                Started::InParent(Self { helper, answers, questions })
            }
        })
    }

    /// What to wait for before [`answer`](Self::answer).
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.answers.as_ref().map(AsFd::as_fd)
    }

    pub(super) const fn helper(&self) -> &Helper {
        &self.helper
    }

    /// Whether it goes on when it has made its calls.
    pub(super) const fn is_lasting(&self) -> bool {
        self.questions.is_some()
    }

    /// Asks one that goes on to make a further call. If it is gone, its end is reported by the kernel.
    pub(super) fn ask(&self, call: &Call) {
        let question = if call.is_failing() { QUIET_QUESTION } else { QUESTION };
        if let Some(questions) = &self.questions {
            let _ = retry_on_intr(|| rustix::io::write(questions, &[question]));
        }
    }

    /// Kills it; what is left is to be reaped. One that is asked again and again may have started programs for that, which
    /// nobody would want the output of.
    pub(super) fn kill(self) -> Helper {
        if self.is_lasting() {
            self.helper.kill_group();
        } else {
            self.helper.kill();
        }
        self.helper
    }

    /// Leaves it to itself: it has made all its calls, and ends.
    pub(super) fn let_go(self) -> Helper {
        self.helper
    }

    pub(super) const fn helper_mut(&mut self) -> &mut Helper {
        &mut self.helper
    }

    /// Reads the answer to the next call, if it is there.
    pub(super) fn answer(&mut self) -> Option<Answer> {
        let fd = self.answers.as_ref()?;
        let mut bytes = [0; Answer::LONGEST];
        // Of several answers that wait only the first.
        let most = if self.is_lasting() { Answer::LONGEST } else { 1 };
        match retry_on_intr(|| rustix::io::read(fd, &mut bytes[..most])) {
            Ok(length @ 1..) => Some(Answer::of_bytes(&bytes[..length])),
            Err(Errno::AGAIN) => None,
            // Its end is reported by the kernel.
            Ok(_) | Err(_) => {
                self.answers = None;
                None
            }
        }
    }
}

/// Lives the life of a hook process, in a process just forked, with all signals blocked. What is due in each process
/// that is forked for code of the program comes before that; where it fails, no call is made.
pub(crate) fn live(
    context: HookContext,
    note_fork: impl FnOnce() -> std::result::Result<(), Failed>,
) -> ! {
    let HookContext { duty, name, mut title, signals, privileges, mut hooks, .. } = context;
    let HookContext { handout, streams, left_open, .. } = context;
    left_open.close_on_exec();
    let is_failing = duty.is_failing();
    if duty.is_lasting() {
        title.become_demand_process();
    } else {
        title.become_hook();
    }
    let log = Log::new(&name, Role::Hook);
    match settle(duty.parent, signals, privileges.as_deref()) {
        Ok(Settled::Here) => {}
        // The parent has died.
        Ok(Settled::Alone) => sys::exit_now(0),
        Err(error) => {
            if !is_failing {
                log.write(&PoolMessage::CannotStart { error: &ErrorChain(&*error) });
            }
            sys::exit_now(1);
        }
    }
    follow::begin(handout.into_taker(), streams, None, &log);
    if let Err(failed) = note_fork() {
        if !is_failing {
            failed.log(&log);
        }
        flush();
        sys::exit_now(failed.status());
    }
    run(&duty, &mut hooks, &log);
    sys::exit_now(0)
}

/// Whether there is still a parent.
enum Settled {
    Here,
    Alone,
}

/// Parts with the parent's session and signals, and its rights if there are others, and ties itself to the parent's life.
fn settle(
    parent: Pid,
    signals: Signals,
    privileges: Option<&Privileges>,
) -> Result<Settled, BoxError> {
    // No terminal reaches it, and it can be ended with all that it has started.
    setsid().of_call("setsid(2)")?;
    let mask = signals.leave_to_child()?;
    stderr::open_own()?;
    // Before the tie to the parent, which the kernel cuts when the user changes.
    privileges.map(Privileges::apply).transpose()?;
    if !end_with(parent)? {
        return Ok(Settled::Alone);
    }
    set_signal_mask(&mask)?;
    Ok(Settled::Here)
}

fn run(duty: &Duty, hooks: &mut ParentHooks, log: &Log) {
    let Duty { calls, answers, questions, parent: _ } = duty;
    let mut make = |call: &Call| {
        let answer = if call.is_failing() {
            in_silence(|| call.make(hooks, log))
        } else {
            call.make(hooks, log)
        };
        // Once the last call is answered, nobody waits for the rest.
        flush();
        let (bytes, length) = answer.to_bytes();
        let written = retry_on_intr(|| rustix::io::write(answers, &bytes[..length]));
        // A hook that has panicked is not called again.
        written.is_ok() && (questions.is_none() || hooks.demand.is_some())
    };
    if !calls.iter().all(&mut make) {
        return;
    }
    let Some(questions) = questions else { return };
    let mut question = [0];
    while let Ok(1) = retry_on_intr(|| rustix::io::read(questions, &mut question)) {
        let is_failing = question == [QUIET_QUESTION];
        if !make(&Call::Demand { is_failing }) {
            return;
        }
    }
}

/// Makes a call whose panic is no news.
fn in_silence(call: impl FnOnce() -> Answer) -> Answer {
    let loud = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let answer = call();
    panic::set_hook(loud);
    answer
}

/// Writes what code of the program has buffered. Nothing can be done about a closed or full output here.
fn flush() {
    let _ = io::stdout().flush();
    sys::flush_c_streams();
}
