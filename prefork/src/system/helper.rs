//! Processes that the parent has beside its children: a probe, hook processes, the status process of the status page.

use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, kill_process_group, pidfd_open, pidfd_send_signal,
};

/// One of them, as the process that has forked it knows it.
#[derive(Debug)]
pub(crate) struct Helper {
    pid: Pid,
    maker: Pid,
    reaped: bool,
}

impl Helper {
    /// Takes note of one that this process has just forked.
    pub(crate) fn new(pid: Pid) -> Self {
        Self { pid, maker: getpid(), reaped: false }
    }

    pub(crate) const fn pid(&self) -> Pid {
        self.pid
    }

    /// Notes that a process has ended and was reaped, which may be this one.
    pub(crate) fn note_reaped(&mut self, pid: Pid) {
        self.reaped |= self.pid == pid;
    }

    /// Whether it is this process's, and not reaped, so that its pid is its own. A child forked meanwhile has
    /// a copy of this, and nothing to do with it.
    pub(crate) fn is_ours(&self) -> bool {
        !self.reaped && getpid() == self.maker
    }

    /// Sends it a signal, if it is ours. Where no descriptor can be had for the moment, it is not sent.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.is_ours()
            && let Ok(process) = pidfd_open(self.pid, PidfdFlags::empty())
        {
            let _ = pidfd_send_signal(process, signal);
        }
    }

    /// Kills it, if it is ours; reaping it is left to the parent's loop.
    pub(crate) fn kill(&self) {
        if self.is_ours() {
            kill_unreaped(self.pid);
        }
    }

    /// Kills it with the group that it leads, if it is ours.
    pub(crate) fn kill_group(&self) {
        if self.is_ours() {
            // While the pid is its own, so is the group. Before it leads one, there is only the process.
            let _ = kill_process_group(self.pid, Signal::KILL);
            self.kill();
        }
    }
}

/// Kills a process of this one's own that is not reaped, by a descriptor for the moment. Where none can be had, it is
/// killed later, with whatever is left over.
pub(crate) fn kill_unreaped(pid: Pid) {
    if let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) {
        let _ = pidfd_send_signal(process, Signal::KILL);
    }
}
