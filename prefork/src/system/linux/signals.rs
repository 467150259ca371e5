//! Signals of the parent, read from a descriptor.
//!
//! The parent blocks the signals it answers to and reads them from a `signalfd(2)`. So no code runs
//! between two instructions of ours, no signal can slip by between a check and a sleep, and no
//! handler is installed that children would inherit: what a child does with its signals is exactly
//! what the program had set before. The descriptor is never shared: a child closes its copy first
//! thing, and reads of a `signalfd` concern the signals of the reader alone.

use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd},
};

use nix::{
    libc,
    sys::{
        signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask},
        signalfd::{SfdFlags, SignalFd},
    },
};

use prefork_core::HangupsAtStart;

use crate::{sys, sys::refused::Refusable};

/// The signals that the parent answers to.
const ANSWERED: [Signal; 9] = [
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGCHLD,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

/// The sender of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Process(SendingProcess),
    /// The kernel by itself, for a terminal or a child.
    Kernel,
}

/// A process that has sent a signal, as the kernel reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SendingProcess {
    /// 0 for one outside this pid namespace.
    pub(crate) pid: u32,
    /// The user that it ran as; `nobody`'s (`/proc/sys/kernel/overflowuid`) where that is none of this user namespace.
    pub(crate) uid: u32,
}

impl SendingProcess {
    /// Reads its name, to be shown; `None` if it has ended, or cannot be seen from here.
    ///
    /// Another process may have its number by then, so nothing is decided by it. Of `/proc/PID` this file takes no lock
    /// of the process's memory, so that no sender can make the reader wait.
    pub(crate) fn name(self) -> Option<String> {
        let Self { pid, .. } = self;
        let name = if pid == 0 { None } else { fs::read(format!("/proc/{pid}/comm")).ok() };
        let name = String::from_utf8_lossy(&name?).trim_end().to_owned();
        (!name.is_empty()).then_some(name)
    }
}

/// The open signal descriptor, with the mask that was in force before.
#[derive(Debug)]
pub(crate) struct Signals {
    fd: SignalFd,
    before: SigSet,
    child_before: SigAction,
    hangups: HangupsAtStart,
}

impl Signals {
    /// Blocks the answered signals and opens the descriptor.
    pub(crate) fn open() -> io::Result<Self> {
        let answered: SigSet = ANSWERED.into_iter().collect();
        let mut before = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&answered), Some(&mut before))?;
        // They may have been blocked when this program was started; children and the end of the program must
        // not inherit that.
        let mut hangups = HangupsAtStart::Heeded;
        for signal in ANSWERED {
            before.remove(signal);
            if let (Signal::SIGHUP, SigHandler::SigIgn) = (signal, heed(signal)?) {
                hangups = HangupsAtStart::Ignored;
            }
        }
        let child_before = heed_ends_alone()?;
        let fd = SignalFd::with_flags(&answered, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .of_call("signalfd4(2)")?;
        Ok(Self { fd, before, child_before, hangups })
    }

    /// Takes the next signal that waits, with its sender.
    pub(crate) fn next(&self) -> io::Result<Option<(Signal, Sender)>> {
        loop {
            match self.fd.read_signal() {
                Ok(Some(info)) => {
                    let number = i32::try_from(info.ssi_signo).map_err(io::Error::other)?;
                    // The codes of kill(2), sigqueue(3) and tgkill(2) (see `sigaction(2)`).
                    let sender = match info.ssi_code {
                        libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL => {
                            Sender::Process(SendingProcess { pid: info.ssi_pid, uid: info.ssi_uid })
                        }
                        _ => Sender::Kernel,
                    };
                    return Ok(Some((Signal::try_from(number)?, sender)));
                }
                Ok(None) => return Ok(None),
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What `SIGHUP` did when the daemon was started.
    pub(crate) const fn hangups(&self) -> HangupsAtStart {
        self.hangups
    }

    /// Takes over what it did then from the old program: what is executed finds what that has set.
    pub(crate) const fn take_over(&mut self, hangups: HangupsAtStart) {
        self.hangups = hangups;
    }

    /// The old mask, for children.
    pub(crate) const fn before(&self) -> &SigSet {
        &self.before
    }

    /// The old mask, and the signals that somebody sends because something is to be done: for a program that will answer them
    /// as soon as it can, and is not to be ended by one that comes before.
    pub(crate) fn held_back(&self) -> SigSet {
        let mut mask = self.before;
        requesting_signals().for_each(|signal| mask.add(signal));
        mask
    }

    /// Restores in a child what `SIGCHLD` did before, ignores `SIGHUP` if it was ignored then, and closes the
    /// child's copy of the descriptor; returns the old mask, to be set when the child is ready for signals.
    pub(crate) fn leave_to_child(self) -> io::Result<SigSet> {
        sys::set_disposition(Signal::SIGCHLD, &self.child_before)?;
        if self.hangups == HangupsAtStart::Ignored {
            let ignored = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
            sys::set_disposition(Signal::SIGHUP, &ignored)?;
        }
        Ok(self.before)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Makes sure that a signal is not ignored: an ignored one is dropped even while it is blocked, and
/// ignoring `SIGCHLD` makes the kernel reap children behind our back. Returns what it did before.
fn heed(signal: Signal) -> io::Result<SigHandler> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    let before = sys::set_disposition(signal, &default)?;
    match before.handler() {
        SigHandler::SigDfl | SigHandler::SigIgn => {}
        SigHandler::Handler(_) | SigHandler::SigAction(_) => {
            // The program's own handler. It never runs in the parent, where the signal is blocked,
            // and it is the program's choice for its children.
            sys::set_disposition(signal, &before)?;
        }
    }
    Ok(before.handler())
}

/// Finds out what `SIGHUP` does, before anything is done about it.
pub(crate) fn hangups_now() -> HangupsAtStart {
    if sys::is_ignored(Signal::SIGHUP) { HangupsAtStart::Ignored } else { HangupsAtStart::Heeded }
}

/// Makes the kernel send `SIGCHLD` when a child ends, and not when one stops or continues (see
/// `SA_NOCLDSTOP` in `sigaction(2)`), which it could do a hundred thousand times a second; returns what the
/// signal did before.
fn heed_ends_alone() -> io::Result<SigAction> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    let before = sys::set_disposition(Signal::SIGCHLD, &default)?;
    let flags = before.flags() | SaFlags::SA_NOCLDSTOP;
    let only_ends = SigAction::new(before.handler(), flags, before.mask());
    sys::set_disposition(Signal::SIGCHLD, &only_ends)?;
    Ok(before)
}

/// Blocks every signal and returns the old mask.
pub(crate) fn block_all_signals() -> io::Result<SigSet> {
    let mut before = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
    Ok(before)
}

/// Sets the signal mask.
pub(crate) fn set_signal_mask(mask: &SigSet) -> io::Result<()> {
    Ok(pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(mask), None)?)
}

/// Those of the answered signals that somebody sends because something is to be done.
pub(crate) fn requesting_signals() -> impl Iterator<Item = Signal> {
    ANSWERED.into_iter().filter(|signal| *signal != Signal::SIGCHLD)
}

/// Unblocks the signals that are answered, where they are answered by handlers.
pub(crate) fn unblock_answered_signals() -> io::Result<()> {
    let answered: SigSet = ANSWERED.into_iter().collect();
    Ok(pthread_sigmask(SigmaskHow::SIG_UNBLOCK, Some(&answered), None)?)
}
