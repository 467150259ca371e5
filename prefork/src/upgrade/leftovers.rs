//! Processes of the parent's own that are on their way out: probes and hook processes.

use std::time::Duration;

use rustix::{
    event::{PollFd, PollFlags},
    io::retry_on_intr,
    process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid},
};

use crate::{
    logs::PoolMessage,
    logs::log::Log,
    system::clock,
    system::helper::{Helper, kill_unreaped},
};

/// How long they may take to end once they are killed.
const PATIENCE: Duration = Duration::from_secs(1);

/// The pause between two looks where nothing announces their end.
const ROUND: Duration = Duration::from_millis(1);

/// Those that have not been reaped yet.
///
/// They hold what the parent holds, the listening sockets among it, which are to be closed when the daemon
/// has ended.
#[derive(Debug, Default)]
pub(crate) struct Leftovers(Vec<Pid>);

impl Leftovers {
    /// Notes one that ends, or is about to be killed, unless it was reaped already.
    pub(crate) fn take_over(&mut self, helper: &Helper) {
        if helper.is_ours() {
            self.note(helper.pid());
        }
    }

    /// Notes one by its pid.
    pub(crate) fn note(&mut self, pid: Pid) {
        self.0.push(pid);
    }

    /// Forgets one that was reaped.
    pub(crate) fn forget(&mut self, pid: Pid) {
        self.0.retain(|other| *other != pid);
    }

    /// Kills all of them, without waiting for their ends.
    pub(crate) fn kill(&mut self) {
        // Only while it is a child that was not reaped, the pid is certainly its own. The previous program may
        // have reaped it.
        self.0.retain(|pid| is_unreaped(*pid));
        for pid in &self.0 {
            kill_unreaped(*pid);
        }
    }

    /// Kills and reaps all of them; one that is not gone in time, as one that another process traces, is left to
    /// the process that reaps the orphans of the system.
    pub(crate) fn end(&mut self, log: &Log) {
        self.kill();
        let deadline = clock::now() + PATIENCE;
        for pid in self.0.drain(..) {
            let process = pidfd_open(pid, PidfdFlags::empty()).ok();
            while is_unreaped(pid) && clock::now() < deadline {
                let mut end: Vec<_> =
                    process.iter().map(|process| PollFd::new(process, PollFlags::IN)).collect();
                // Without a descriptor to wait for, in short rounds.
                let pause = if end.is_empty() { clock::now() + ROUND } else { deadline };
                let _ = clock::sleep(&mut end, Some(pause.min(deadline)));
                // One that is traced has ended for all but its parent.
                if end.iter().any(|end| !end.revents().is_empty()) && is_unreaped(pid) {
                    break;
                }
            }
            if is_unreaped(pid) {
                log.write(&PoolMessage::Unreaped { child_pid: pid });
            }
        }
    }
}

/// Reaps a child if it has ended; returns whether it is one that has not.
fn is_unreaped(pid: Pid) -> bool {
    matches!(retry_on_intr(|| waitpid(Some(pid), WaitOptions::NOHANG)), Ok(None))
}
