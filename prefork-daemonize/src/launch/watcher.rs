//! The process between the two forks: parent of the daemon until the launcher is answered.

use std::io;
use std::os::fd::AsFd;

use rustix::process::{PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, setsid, waitpid};

use super::channel::{Channel, Received};
use super::message::{Message, Step};
use crate::pid::Pid;
use crate::sys::{self, Forked};
use crate::threads::SingleThreaded;
use crate::wait::{Deadline, readable};

/// Starts a session and forks once more; returns only in the daemon.
///
/// The daemon is no session leader, so no terminal that it opens becomes its own (setsid(2)).
/// All signals are blocked here and stay so: neither a handler of the caller nor a stray
/// signal may run or end this process.
pub(crate) fn become_daemon(proof: &SingleThreaded, launcher: &Channel) {
    if let Err(error) = setsid() {
        give_up(launcher, Step::Session, &error.into());
    }
    match sys::fork(proof) {
        Ok(Forked::Child) => {}
        Ok(Forked::Parent(daemon)) => watch(daemon, launcher),
        Err(error) => give_up(launcher, Step::Fork, &error),
    }
}

/// Reports to the launcher which step failed, then ends.
pub(crate) fn give_up(launcher: &Channel, step: Step, error: &io::Error) -> ! {
    // A launcher that is gone needs no report.
    let _ = launcher.send(&Message::Failed(step, error.raw_os_error().unwrap_or(0)));
    sys::exit_now(1)
}

/// Waits for the end of the daemon or for the word of the launcher, whichever is first.
fn watch(daemon: Pid, launcher: &Channel) -> ! {
    let _ = launcher.send(&Message::Forked(daemon));
    // The child is ours and not yet reaped, so its number cannot mean another process.
    let pidfd = match pidfd_open(daemon.for_rustix(), PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(error) => {
            let _ = kill_process(daemon.for_rustix(), Signal::KILL);
            give_up(launcher, Step::Watch, &error.into());
        }
    };
    let mut asked = false;
    // Once: to a daemon that stops gracefully a second one may say that it should hurry.
    let mut ask = || {
        if !std::mem::replace(&mut asked, true) {
            terminate(daemon);
        }
    };
    loop {
        if let Err(error) = readable(&[launcher.as_fd(), pidfd.as_fd()], Deadline::NEVER) {
            ask();
            give_up(launcher, Step::Watch, &error);
        }
        match launcher.receive() {
            Ok(Received::Message(Some(Message::Stop))) => ask(),
            Ok(Received::Message(Some(Message::Noted))) => sys::exit_now(0),
            Ok(Received::Message(_) | Received::Nothing) => {}
            // The launcher was killed or has reported a failure: what it started must
            // not live on behind that.
            Ok(Received::Closed) | Err(_) => {
                ask();
                sys::exit_now(0);
            }
        }
        if let Ok(Some((_, status))) = waitpid(Some(daemon.for_rustix()), WaitOptions::NOHANG) {
            let ended = match (status.exit_status(), status.terminating_signal()) {
                (Some(status), _) => Message::Exited(status),
                (None, Some(signal)) => Message::Killed(signal),
                (None, None) => continue,
            };
            let _ = launcher.send(&ended);
            sys::exit_now(0);
        }
    }
}

/// Asks the daemon to end; it may have ended already, which is as good.
fn terminate(daemon: Pid) {
    let _ = kill_process(daemon.for_rustix(), Signal::TERM);
}
