//! The processes that the parent has beside its children, and what becomes of each when it ends.

use std::os::fd::BorrowedFd;

use prefork_core::{Exit, Hook, Time};
use rustix::process::Pid;

use crate::{
    board::ParentBoard,
    hooks::{HookCalls, Made},
    logs::log::Log,
    status::Service,
    upgrade::{Leftovers, Probe, Read, Reading},
};

/// All of them.
pub(super) struct Helpers {
    /// Tries the program that this process may become.
    pub(super) probe: Option<Probe>,
    /// Reads the settings again.
    pub(super) reading: Option<Reading>,
    /// Call code of the program.
    pub(super) calls: HookCalls,
    /// Serves the status page.
    pub(super) status: Option<Service>,
    /// Were killed, or end by themselves, and are not reaped.
    leftovers: Leftovers,
}

/// What has ended with a process that was reaped.
pub(super) enum Ended {
    /// The probe, and why.
    Probe(String),
    /// The reading of the settings, and what came of it.
    Reading(Read),
    /// The call of a hook.
    Call(Made),
    /// Nothing that anybody waits for.
    Nothing,
}

impl Helpers {
    pub(super) fn new(status: Option<Service>) -> Self {
        Self {
            probe: None,
            reading: None,
            calls: HookCalls::default(),
            status,
            leftovers: Leftovers::default(),
        }
    }

    /// What to wait for.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let probe = self.probe.iter().flat_map(Probe::fds);
        probe.chain(self.reading.iter().flat_map(Reading::fds)).chain(self.calls.fds())
    }

    /// When a process is to be forked; one for the status page not while the daemon stops.
    pub(super) fn due(&self, is_stopping: bool) -> Option<Time> {
        let status = self.status.as_ref().filter(|_| !is_stopping).and_then(Service::due);
        [self.calls.due(), status].into_iter().flatten().min()
    }

    /// Lets go of a pid that is about to be nobody's of ours any more.
    pub(super) fn note_reaped(&mut self, pid: Pid) {
        self.leftovers.forget(pid);
        self.calls.note_reaped(pid);
        if let Some(probe) = &mut self.probe {
            probe.helper_mut().note_reaped(pid);
        }
        if let Some(reading) = &mut self.reading {
            reading.helper_mut().note_reaped(pid);
        }
    }

    /// Takes out the process that has had this pid, if it is one of these.
    pub(super) fn claim(&mut self, pid: Pid, exit: Exit, log: &Log) -> Ended {
        if let Some(probe) = self.probe.take_if(|probe| probe.helper().pid() == pid) {
            return Ended::Probe(probe.why("the new program", exit));
        }
        if let Some(reading) = self.reading.take_if(|reading| reading.helper().pid() == pid) {
            return Ended::Reading(reading.end(exit));
        }
        if let Some(made) = self.calls.reaped(pid, log) {
            return Ended::Call(made);
        }
        if let Some(status) = &mut self.status {
            status.reaped(pid);
        }
        Ended::Nothing
    }

    /// Ends the probe, if there is one.
    pub(super) fn end_probe(&mut self) {
        if let Some(probe) = self.probe.take() {
            // Dropping it kills it.
            self.leftovers.take_over(probe.helper());
        }
    }

    /// Ends the settings process, if there is one.
    pub(super) fn end_reading(&mut self) {
        if let Some(reading) = self.reading.take() {
            // Dropping it kills it.
            self.leftovers.take_over(reading.helper());
        }
    }

    /// Ends the call of a hook that is being made or comes next; returns it, if there is one.
    pub(super) fn end_call(&mut self, hook: Hook, log: &Log) -> Option<Made> {
        let (made, helper) = self.calls.end(hook, log);
        helper.iter().for_each(|helper| self.leftovers.take_over(helper));
        made
    }

    /// Lets the processes end that have made all their calls.
    pub(super) fn dismiss_finished(&mut self, log: &Log) {
        for helper in self.calls.take_finished(log) {
            self.leftovers.take_over(&helper);
        }
    }

    /// Has the process of a hook begin again that outlives its calls.
    pub(super) fn renew_call(&mut self, hook: Hook) {
        if let Some(helper) = self.calls.renew(hook) {
            self.leftovers.take_over(&helper);
        }
    }

    /// Serves the status page with the board that is there now.
    pub(super) fn renew_status(&mut self, board: Option<&ParentBoard>, log: &Log) {
        if let Some(status) = &mut self.status {
            let leaving = status.renew(board, log);
            leaving.iter().for_each(|helper| self.leftovers.take_over(helper));
        }
    }

    /// Ends all but the probe and the status process, without waiting: they hold what this process holds, and
    /// the next program would not know of them. What hooks have not finished waits.
    pub(super) fn end_for_upgrade(&mut self) {
        self.interrupt_calls();
        self.end_reading();
        // The next program reaps them.
        self.leftovers.kill();
    }

    /// Ends all of them, at the end of the daemon, and reaps them.
    pub(super) fn end_all(&mut self, log: &Log) {
        self.end_probe();
        self.end_reading();
        self.interrupt_calls();
        let status = self.status.as_mut().and_then(Service::release);
        status.iter().for_each(|helper| self.leftovers.take_over(helper));
        self.leftovers.end(log);
    }

    fn interrupt_calls(&mut self) {
        for helper in self.calls.interrupt() {
            self.leftovers.take_over(&helper);
        }
    }
}
