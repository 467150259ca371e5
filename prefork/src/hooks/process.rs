//! A process in which hooks of the program are called.
//!
//! It is forked from the parent and knows all that the program knows, but what it changes is lost with it. It
//! answers call by call, so that the first does not wait for the last.
//!
//! As a child, it is born by a return from the parent's loop, which gives up all that is the parent's own: a hook
//! may take hours, start other programs, and be taken over by the sender of what it works on.

use std::{
    collections::VecDeque,
    io::{self, Write as _},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::{Errno, retry_on_intr},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, getpid, setsid},
};

use super::{Answer, Call, Failed};
use crate::{
    channels::Handout,
    hooks::ParentHooks,
    logs::log::{Log, Role},
    logs::{Streams, follow, stderr},
    sys::refused::Refusable,
    sys::{self, Forked},
    system::helper::Helper,
    system::os::{Signals, Title, end_with, fork, set_signal_mask},
};

/// What a hook process takes with it from the parent. All else of the parent's is closed before code of the
/// program runs.
pub(crate) struct HookContext {
    pub(crate) duty: Duty,
    pub(crate) name: String,
    pub(crate) title: Title,
    pub(crate) signals: Signals,
    pub(crate) hooks: ParentHooks,
    pub(crate) handout: Handout,
    pub(crate) streams: Streams,
}

/// What a hook process is there for.
#[derive(Debug)]
pub(crate) struct Duty {
    calls: VecDeque<Call>,
    answers: OwnedFd,
    parent: Pid,
}

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
}

impl HookProcess {
    /// Forks one that is to make these calls, in their order. They are taken in the new process alone.
    pub(super) fn start(calls: &mut VecDeque<Call>) -> io::Result<Started> {
        let (answers, far) = pipe_with(PipeFlags::CLOEXEC).of_call("pipe2(2)")?;
        rustix::io::ioctl_fionbio(&answers, true)?;
        let parent = getpid();
        Ok(match fork()? {
            Forked::Child => {
                let calls = std::mem::take(calls);
                Started::InHookProcess(Duty { calls, answers: far, parent })
            }
            Forked::Parent { child } => {
                Started::InParent(Self { helper: Helper::new(child), answers: Some(answers) })
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

    /// Kills it; what is left is to be reaped.
    pub(super) fn kill(self) -> Helper {
        self.helper.kill();
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
        let mut byte = [0];
        match retry_on_intr(|| rustix::io::read(fd, &mut byte)) {
            Ok(1) => Some(Answer::of_byte(byte[0])),
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
    let HookContext { duty, name, mut title, signals, mut hooks, handout, streams } = context;
    let Duty { calls, answers, parent } = duty;
    title.become_hook();
    let log = Log::new(&name, Role::Hook);
    if let Ok(()) = settle(parent, signals) {
        follow::begin(handout.into_taker(), streams, None, &log);
        if let Err(failed) = note_fork() {
            failed.log(&log);
            flush();
            sys::exit_now(failed.status());
        }
        run(&calls, &mut hooks, &answers, &log);
    }
    sys::exit_now(0)
}

/// Parts with the parent's session and signals, and ties itself to the parent's life.
fn settle(parent: Pid, signals: Signals) -> io::Result<()> {
    // No terminal reaches it, and it can be ended with all that it has started.
    setsid().of_call("setsid(2)")?;
    let mask = signals.leave_to_child()?;
    stderr::open_own()?;
    if !end_with(parent)? {
        return Err(io::Error::other("the parent has gone"));
    }
    set_signal_mask(&mask)
}

fn run(calls: &VecDeque<Call>, hooks: &mut ParentHooks, answers: &OwnedFd, log: &Log) {
    for call in calls {
        let answer = call.make(hooks, log);
        // Once the last call is answered, nobody waits for the rest.
        flush();
        if retry_on_intr(|| rustix::io::write(answers, &[answer.to_byte()])).is_err() {
            return;
        }
    }
}

/// Writes what code of the program has buffered. Nothing can be done about a closed or full output here.
fn flush() {
    let _ = io::stdout().flush();
    sys::flush_c_streams();
}
