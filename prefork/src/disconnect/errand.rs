//! A process in which code of the program decides about clients that have gone.
//!
//! It is forked from the parent and knows all that the parent knows, but what it changes is lost with it.
//! It tells its verdicts one by one, so that the first does not wait for the last.

use std::{
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use nix::sys::signal::SigSet;
use prefork_core::Time;
use rustix::{
    io::{Errno, retry_on_intr},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal, setsid},
};

use super::{OnDisconnect, handler::Kind, watch::Gone};
use crate::{
    Report,
    helper::Helper,
    hooks,
    log::{Log, Role},
    os::{Title, fork, set_signal_mask},
    sys::{self, Forked},
};

/// How long it may take for each.
const PATIENCE: Duration = Duration::from_secs(30);

/// The bytes that stand for verdicts.
const CANCEL: u8 = b'c';
const NOTHING: u8 = b'n';

/// What the parent does with what code has decided.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The request is to be given up.
    Cancel(Gone),
    Nothing,
}

/// An errand that is being run.
#[derive(Debug)]
pub(crate) struct Errand {
    helper: Helper,
    verdicts: Option<OwnedFd>,
    /// What is not decided yet, in the order in which it will be.
    open: std::vec::IntoIter<Gone>,
    due: Time,
}

impl Errand {
    /// Sends one.
    ///
    /// # Errors
    ///
    /// What prevents it, and what it was to decide.
    pub(crate) fn send(
        gone: Vec<Gone>,
        kind: &Kind,
        title: &mut Title,
        name: &str,
        mask: &SigSet,
        now: Time,
    ) -> Result<Self, (io::Error, Vec<Gone>)> {
        match Self::fork(&gone, kind, title, name, mask) {
            Ok((pid, verdicts)) => {
                let (verdicts, open) = (Some(verdicts), gone.into_iter());
                Ok(Self { helper: Helper::new(pid), verdicts, open, due: now + PATIENCE })
            }
            Err(error) => Err((error, gone)),
        }
    }

    fn fork(
        gone: &[Gone],
        kind: &Kind,
        title: &mut Title,
        name: &str,
        mask: &SigSet,
    ) -> io::Result<(Pid, OwnedFd)> {
        let (verdicts, far) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&verdicts, true)?;
        let sender = getpid();
        match fork()? {
            Forked::Child => {
                drop(verdicts);
                title.become_errand();
                // No terminal reaches it.
                let tied =
                    setsid().is_ok() && set_parent_process_death_signal(Some(Signal::KILL)).is_ok();
                if tied && getppid() == Some(sender) && set_signal_mask(mask).is_ok() {
                    run(gone, kind, &far, &Log::new(name, Role::Parent));
                }
                let _ = io::stdout().flush();
                sys::flush_c_streams();
                sys::exit_now(0)
            }
            Forked::Parent { child } => Ok((child, verdicts)),
        }
    }

    /// What to wait for before [`hear`](Self::hear).
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.verdicts.as_ref().map(AsFd::as_fd)
    }

    /// The process.
    pub(crate) const fn helper(&self) -> &Helper {
        &self.helper
    }

    pub(crate) const fn helper_mut(&mut self) -> &mut Helper {
        &mut self.helper
    }

    /// When it has taken too long.
    pub(crate) const fn due(&self) -> Time {
        self.due
    }

    /// Takes the next verdict that has come in.
    pub(crate) fn hear(&mut self, now: Time) -> Option<Verdict> {
        let fd = self.verdicts.as_ref()?;
        let mut byte = [0];
        match retry_on_intr(|| rustix::io::read(fd, &mut byte)) {
            Ok(1) => {
                let gone = self.open.next()?;
                self.due = now + PATIENCE;
                Some(if byte[0] == CANCEL { Verdict::Cancel(gone) } else { Verdict::Nothing })
            }
            Err(Errno::AGAIN) => None,
            Ok(_) | Err(_) => {
                self.verdicts = None;
                None
            }
        }
    }

    /// Returns what is not decided: first the one that it has been at.
    pub(crate) fn take_open(&mut self) -> impl Iterator<Item = Gone> + use<> {
        std::mem::replace(&mut self.open, Vec::new().into_iter())
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        self.helper.kill();
    }
}

fn run(gone: &[Gone], kind: &Kind, verdicts: &OwnedFd, log: &Log) {
    for gone in gone {
        let verdict = match kind {
            Kind::Always(verdict) => *verdict,
            Kind::Asked(code) => hooks::call(|| code(&gone.disconnect)).unwrap_or_else(|failure| {
                let error = failure.into_error();
                log.error(format_args!("on_client_disconnect failed: {}", Report(&*error)));
                OnDisconnect::Nothing
            }),
        };
        let byte = match verdict {
            OnDisconnect::Cancel => CANCEL,
            OnDisconnect::Nothing => NOTHING,
        };
        if retry_on_intr(|| rustix::io::write(verdicts, &[byte])).is_err() {
            return;
        }
    }
}
