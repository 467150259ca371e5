//! A process in which hooks of the program are called.
//!
//! It is forked from the parent and knows all that the parent knows, but what it changes is lost with it. It
//! answers call by call, so that the first does not wait for the last.

use std::{
    io::{self, Write as _},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use nix::sys::signal::SigSet;
use rustix::{
    io::{Errno, retry_on_intr},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal, setsid},
};

use super::{Answer, Call};
use crate::{
    args::ParentHooks,
    helper::Helper,
    log::{Log, Role},
    logs::stderr,
    os::{Title, fork, set_signal_mask},
    sys::{self, Forked},
};

/// What the parent has and a hook process is made of.
pub(crate) struct World<'a> {
    pub(crate) hooks: &'a mut ParentHooks,
    pub(crate) title: &'a mut Title,
    pub(crate) name: &'a str,
    pub(crate) mask: &'a SigSet,
}

/// A hook process, as the parent knows it; killing and reaping it is left to the parent's loop.
#[derive(Debug)]
pub(super) struct HookProcess {
    helper: Helper,
    answers: Option<OwnedFd>,
}

impl HookProcess {
    /// Forks one that makes these calls, in their order.
    pub(super) fn start<'a>(
        calls: impl Iterator<Item = &'a Call>,
        world: &mut World<'_>,
    ) -> io::Result<Self> {
        let (answers, far) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&answers, true)?;
        let parent = getpid();
        match fork()? {
            Forked::Child => {
                drop(answers);
                let World { hooks, title, name, mask } = world;
                title.become_hook();
                if let Ok(()) = settle(parent, mask) {
                    run(calls, hooks, &far, &Log::new(name, Role::Hook));
                }
                sys::exit_now(0)
            }
            Forked::Parent { child } => {
                Ok(Self { helper: Helper::new(child), answers: Some(answers) })
            }
        }
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

/// Parts with the parent's session, and ties itself to the parent's life.
fn settle(parent: Pid, mask: &SigSet) -> io::Result<()> {
    // No terminal reaches it, and it can be ended with all that it has started.
    setsid()?;
    stderr::open_own()?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() != Some(parent) {
        return Err(io::Error::other("the parent has gone"));
    }
    set_signal_mask(mask)
}

fn run<'a>(
    calls: impl Iterator<Item = &'a Call>,
    hooks: &mut ParentHooks,
    answers: &OwnedFd,
    log: &Log,
) {
    for call in calls {
        let answer = call.make(hooks, log);
        // Once the last call is answered, nobody waits for the rest.
        let _ = io::stdout().flush();
        sys::flush_c_streams();
        if retry_on_intr(|| rustix::io::write(answers, &[answer.to_byte()])).is_err() {
            return;
        }
    }
}
