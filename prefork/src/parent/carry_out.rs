//! Doing what the supervisor decides.

use std::time::Duration;

use nix::sys::signal::Signal as Name;
use prefork_core::{
    Action, ChildNotice, Event, Generation, Notice, PoolNotice, Progress, RequestCount, SlotId,
    Stage, Verdict,
};
use rustix::process::Signal;

use super::{Parent, deaths, table::number};
use crate::{
    HungChild, RunError,
    channels::Bell,
    hooks::Call,
    logs::notices::{self, About},
    logs::{PoolMessage, describe::Children},
    manager::Occasion,
    parent::ready,
    status::counters::Counter,
    sys::Forked,
    system::clock,
    system::os::{dumps_core, fork},
};

/// What ends the parent's loop.
pub(super) enum Done {
    /// The daemon is over.
    Over(Verdict),
    /// This process is a child just forked.
    Forked { slot: SlotId, generation: Generation, bell: Bell },
}

impl Parent<'_> {
    pub(super) fn carry_out(&mut self, action: Action) -> Result<Option<Done>, RunError> {
        // Nothing but their replacement comes before the dead are logged.
        if !matches!(action, Action::Spawn { .. } | Action::Show(_) | Action::Log(_)) {
            self.log_deaths();
        }
        match action {
            Action::Spawn { slot, generation } => return Ok(self.spawn(slot, generation)),
            Action::Retire { slot } => self.ask(slot),
            Action::Interrupt { slot } => self.interrupt(slot),
            Action::Abort { slot } => self.signal(slot, Signal::ABORT),
            Action::LookForCoreDump { slot } => self.look_for_core_dump(slot),
            Action::Kill { slot } => self.signal(slot, Signal::KILL),
            Action::AnnounceReady => {
                let children = self.supervisor.alive();
                ready::announce(self.readiness, &mut self.supervisor, children, &self.log);
                self.reporting.on(Occasion::Ready);
                self.show_phase(Stage::Serving);
                if let Some(link) = &self.link {
                    link.ready();
                }
            }
            Action::Drain => self.drain(),
            Action::ReopenLogs => self.reopen_logs(),
            Action::ArmNudge => self.arm(),
            Action::Observe => self.look(),
            Action::Measure { children } => self.measure(children),
            Action::Press(pressure) => {
                self.channels.pages.press(pressure, self.supervisor.slots());
            }
            Action::CheckConnections => self.check_connections(),
            Action::LookAtWork => self.look_at_work(),
            Action::EndDescendants => self.end_descendants(),
            Action::ReadSettings => self.read_settings(),
            Action::EndReading => self.helpers.end_reading(),
            Action::Probe => self.start_probe(),
            Action::EndProbe => self.helpers.end_probe(),
            Action::Upgrade => self.upgrade(),
            Action::RunHook(hook) => self.run_hook(hook),
            Action::Examine { slot, busy } => self.examine(slot, busy),
            Action::AskDemand { is_failing } => {
                self.call_hook(clock::now(), Call::Demand { is_failing });
            }
            Action::EndHook(hook) => self.end_hook(hook),
            Action::CheckRuntimeFiles => self.check_runtime_files(),
            Action::Show(progress) => self.show(progress),
            Action::Log(notice) if deaths::is_about_a_death(notice) => {
                self.deaths.hold_back(notice);
            }
            Action::Log(notice) => {
                self.log_deaths();
                self.log_notice(notice);
            }
            Action::Exit(verdict) => return Ok(Some(Done::Over(verdict))),
        }
        Ok(None)
    }

    /// Forks a child, in which this returns that it is one.
    fn spawn(&mut self, slot: SlotId, generation: Generation) -> Option<Done> {
        if self.lacks_state(slot) {
            return None;
        }
        let edition = self.channels.handout.edition();
        let assigned = self.channels.pages.assign(slot, generation, edition);
        self.descendants.assign(slot);
        self.prepare_leaf(slot);
        let id = self.table.next_bell(slot);
        let forked = self.channels.bells.make(id).and_then(|bell| Ok((fork()?, bell)));
        match forked {
            Ok((Forked::Child, bell)) => return Some(Done::Forked { slot, generation, bell }),
            // The parent's copy of the bell is closed with this.
            Ok((Forked::Parent { child }, _bell)) => {
                self.table.insert(child, generation, id);
                if let (Some(board), Some(assigned)) = (&mut self.runtime_files.board, &assigned) {
                    let count = RequestCount::new(clock::now());
                    board.assign((slot, child, generation), assigned, count, edition, &self.log);
                }
                self.show_cannot_fork(None);
                self.cut_short.remove(&slot);
                self.counters.count(Counter::Spawns);
                let pid = number(child);
                self.supervisor.handle(clock::now(), Event::Spawned { slot, pid });
                let (child_pid, children) = (pid, Children(self.supervisor.alive()));
                let started = PoolMessage::ChildStarted { child_pid, slot, generation, children };
                self.log.write(&started);
            }
            Err(error) => {
                self.channels.clear(slot);
                self.descendants.release(slot);
                self.counters.count(Counter::SpawnFailures);
                self.fork_error = Some(error);
                self.supervisor.handle(clock::now(), Event::SpawnFailed { slot });
            }
        }
        None
    }

    /// Finds out whether a kill would cut a core dump of a child.
    fn look_for_core_dump(&mut self, slot: SlotId) {
        let is_dumped = self.table.pid(slot).is_some_and(dumps_core);
        let event =
            if is_dumped { Event::CoreDumpFound { slot } } else { Event::NoCoreDump { slot } };
        self.supervisor.handle(clock::now(), event);
    }

    /// Asks a child to leave, by a signal only if it would not notice otherwise.
    fn ask(&mut self, slot: SlotId) {
        if let Some(child_pid) = self.table.pid(slot) {
            self.log.write(&PoolMessage::ChildRetiring { child_pid, slot });
        }
        self.channels.ask(slot);
        if let Some(board) = &mut self.runtime_files.board {
            board.mark_leaving(slot, &self.channels.pages, &self.log);
        }
        if self.table.needs_signal(slot) {
            self.signal(slot, Signal::TERM);
        }
    }

    /// Signals a child, if it has not ended.
    pub(super) fn signal(&mut self, slot: SlotId, signal: Signal) {
        if let Err(error) = self.table.signal(slot, signal)
            && let Some(child_pid) = self.table.pid(slot)
        {
            let signal = Name::try_from(signal.as_raw()).map_or("a signal", Name::as_str);
            let message =
                PoolMessage::CannotSignal { child_pid, slot, signal: &signal, error: &error };
            self.log.write(&message);
        }
    }

    /// Closes the doors; children that leave take what is already inside.
    ///
    /// Where this pool alone ends, they stay open: its next parent serves those who wait.
    fn drain(&mut self) {
        if self.link.as_ref().is_some_and(|link| !link.is_daemon_ending()) {
            return;
        }
        self.channels.pages.drain(self.supervisor.slots());
        self.listeners.close_doors(&self.log);
    }

    /// Shows how far the daemon has come: to the service manager, and on the scoreboard.
    fn show(&mut self, progress: Progress) {
        self.reporting.on(Occasion::Progress(progress));
        self.report_refusal(progress);
        self.show_on_board(progress);
    }

    /// Lets the next look at the pid file wait for no hint.
    fn check_runtime_files(&mut self) {
        if let Some(pid_file) = &mut self.runtime_files.pid_file {
            pid_file.doubt(clock::now());
        }
    }

    /// Logs a notice, with what is known here beside it.
    fn log_notice(&mut self, notice: Notice) {
        if self.log_upgrade(notice) {
            return;
        }
        let about = match notice {
            Notice::Child(child, ChildNotice::CutShort { .. }) => {
                self.cut_short.insert(child.slot);
                About { in_hand: self.in_hand(child.slot), ..About::default() }
            }
            Notice::Child(child, ChildNotice::Hung { .. } | ChildNotice::EndedForMemory { .. }) => {
                About { in_hand: self.in_hand(child.slot), ..About::default() }
            }
            Notice::Pool(PoolNotice::SpawnDelayed { .. }) => {
                let fork_error = self.fork_error.take();
                self.show_cannot_fork(fork_error.as_ref());
                About { fork_error, ..About::default() }
            }
            _ => About::default(),
        };
        notices::log(&self.log, notice, &about);
    }

    /// Lets the program look at a child that is about to be ended.
    fn examine(&mut self, slot: SlotId, busy: Duration) {
        let Some(pid) = self.table.pid(slot) else { return };
        let hung = HungChild { pid: number(pid), slot: slot.0, label: self.label(slot), busy };
        self.call_hook(clock::now(), Call::OnTimeout(slot, hung));
    }

    /// What a child says that it is doing.
    pub(super) fn label(&self, slot: SlotId) -> String {
        let record =
            self.runtime_files.board.as_ref().and_then(|_| self.channels.pages.record(slot));
        record.map(|record| record.label().to_owned()).unwrap_or_default()
    }
}
