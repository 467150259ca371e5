//! Processes of the parent's own that are on their way out: probes and errands.

use std::time::Duration;

use rustix::{
    event::{PollFd, PollFlags},
    process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, waitpid},
};

use crate::clock;

/// How long they may take to end once they are killed.
const PATIENCE: Duration = Duration::from_secs(1);

/// Those that have not been reaped yet.
///
/// They hold what the parent holds, the listening sockets among it. Whoever waits for the end of the daemon
/// is to find these closed.
#[derive(Debug, Default)]
pub(crate) struct Leftovers(Vec<Pid>);

impl Leftovers {
    /// Notes one that ends, or was killed.
    pub(crate) fn note(&mut self, pid: Pid) {
        self.0.push(pid);
    }

    /// Forgets one that was reaped.
    pub(super) fn forget(&mut self, pid: Pid) {
        self.0.retain(|other| *other != pid);
    }

    /// Kills and reaps all of them.
    pub(crate) fn end(&mut self) {
        let deadline = clock::now() + PATIENCE;
        for pid in self.0.drain(..) {
            // Not reaped: the pid is still its own.
            let _ = kill_process(pid, Signal::KILL);
            let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
            while let Ok(None) = waitpid(Some(pid), WaitOptions::NOHANG)
                && clock::now() < deadline
            {
                let _ = clock::sleep(&mut [PollFd::new(&process, PollFlags::IN)], Some(deadline));
            }
        }
    }
}
