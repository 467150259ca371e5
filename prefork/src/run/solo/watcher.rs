//! The watcher: the parent's hands where there are no children.

use std::{
    fmt::Display,
    io,
    os::fd::AsFd,
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use prefork_core::{
    Action, ChangeNotice, ChildNotice, Event, Hangups, Hook, Notice, Request, Stage, Supervisor,
    Time, Verdict,
};
use prefork_daemonize::Readiness;
use rustix::event::{PollFd, PollFlags};

use super::{SLOT, bell::Bell};
use crate::{
    ErrorChain,
    args::check::Settings,
    board::Outcome,
    child::Stop,
    hooks::{self, BeforeShutdown, Ready},
    logs::log::Log,
    logs::notices::{self, About},
    logs::{ChangeMessage, HookMessage, ProcessMessage},
    manager::{Occasion, Reporting},
    parent::{
        asked::{Asked, asked},
        ready,
    },
    sockets::listeners::Listeners,
    start::RuntimeFiles,
    start::logs::reopen_error_log,
    start::pid_file::KeptPidFile,
    system::clock,
};

/// What is called once, when the loop is about to run.
pub(super) struct Launch<'a> {
    pub(super) ready: Option<Ready>,
    pub(super) readiness: &'a mut Option<Readiness>,
}

/// The parent's hands where the parent has no children.
pub(super) struct Watcher {
    pub(super) settings: Settings,
    pub(super) supervisor: Supervisor,
    pub(super) bell: Arc<Bell>,
    pub(super) stop: Stop,
    pub(super) listeners: Listeners,
    pub(super) reopen_access_log: Arc<AtomicBool>,
    pub(super) runtime_files: RuntimeFiles,
    pub(super) before_shutdown: Option<BeforeShutdown>,
    pub(super) reporting: Reporting,
    pub(super) hangups: Hangups,
    /// When the daemon was started.
    pub(super) began: Time,
    pub(super) log: Log,
}

impl Watcher {
    /// Starts the pool of one; returns the verdict if the stop came before the loop.
    pub(super) fn begin(&mut self, launch: &mut Launch<'_>) -> Option<Verdict> {
        self.reporting.keep(&self.listeners);
        self.take_in();
        let spawned = Event::Spawned { slot: SLOT, pid: process::id() };
        for event in [Event::Start, spawned, Event::Ready { slot: SLOT }] {
            self.supervisor.handle(clock::now(), event);
        }
        let verdict = self.obey(Some(launch));
        // A stop before the loop has begun keeps it from beginning.
        if verdict.is_none() && self.supervisor.is_stopping() { self.wait() } else { verdict }
    }

    /// Watches until the loop has ended, and hands back what is to be removed.
    pub(super) fn watch(mut self) -> RuntimeFiles {
        let _ = self.wait();
        self.log_stopped("the main loop has ended");
        self.runtime_files
    }

    /// Waits until all is over; returns how, if it could wait at all.
    fn wait(&mut self) -> Option<Verdict> {
        loop {
            if let Err(error) = self.sleep() {
                self.log.write(&ProcessMessage::CannotWait { error: &error });
                return None;
            }
            self.take_in();
            if let Some(verdict) = self.obey(None) {
                return Some(verdict);
            }
        }
    }

    /// Sleeps until something happens or is due.
    fn sleep(&mut self) -> io::Result<()> {
        let pid_file_due = self.runtime_files.pid_file.as_ref().and_then(KeptPidFile::due);
        let deadlines = [self.supervisor.deadline(), self.reporting.due(), pid_file_due];
        let due = deadlines.into_iter().flatten().min();
        if let Some(board) = &mut self.runtime_files.board {
            if self.supervisor.is_stopping() {
                board.about.phase(Stage::Stopping);
            }
            board.rest(due, &self.log);
        }
        let pid_file = self.runtime_files.pid_file.as_ref();
        let mut fds: Vec<_> = [self.bell.as_fd()]
            .into_iter()
            .chain(pid_file.and_then(KeptPidFile::fd))
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        clock::sleep(&mut fds, due).map(drop)
    }

    fn take_in(&mut self) {
        let now = clock::now();
        for (signal, sender) in self.bell.take_signals() {
            match asked(signal, sender, &mut self.hangups, &self.log) {
                Asked::For { request, reason } => self.request(now, request, &reason),
                Asked::ByTerminal(Some(request)) => self.request(now, request, &signal),
                Asked::ByTerminal(None) | Asked::ChildrenEnded | Asked::Nothing => {}
            }
        }
        if let Some(pid_file) = &mut self.runtime_files.pid_file {
            pid_file.check(now, &self.log);
        }
        for event in self.bell.take() {
            if let Event::Exited { .. } = event
                && !self.supervisor.is_stopping()
            {
                // A loop that returns has ended the daemon, and nobody replaces it.
                self.supervisor.handle(now, Event::Requested(Request::StopGracefully));
            }
            self.supervisor.handle(now, event);
        }
        self.reporting.advance(now);
        self.supervisor.advance(now);
    }

    /// Does what a signal asks for, which stands as the reason in a log that is opened again.
    fn request(&mut self, now: Time, request: Request, reason: &dyn Display) {
        match request {
            Request::StopGracefully | Request::StopNow => {
                self.supervisor.handle(now, Event::Requested(request));
            }
            Request::Reload => {
                if let Some(pid_file) = &mut self.runtime_files.pid_file {
                    pid_file.doubt(now);
                }
                self.log.write(&ChangeMessage::NothingToReload);
                self.reporting.on(Occasion::NothingToReload);
            }
            Request::Reopen => {
                let reopened = reopen_error_log(&self.settings, reason, &self.log);
                if let Some(board) = &mut self.runtime_files.board {
                    let failed = |error| Outcome::Failed(ErrorChain(&error).to_string());
                    board.about.reopening(now);
                    board
                        .about
                        .reopening_ended(now, reopened.map_or_else(failed, |()| Outcome::Done));
                }
                self.reporting.on(Occasion::NothingToReload);
                // The access log belongs to the loop, which does it with its next line.
                self.reopen_access_log.store(true, Ordering::Release);
            }
            Request::Upgrade => self.log.write(&ChangeMessage::NothingToUpgrade),
            Request::More | Request::Fewer => self.log.write(&ChangeMessage::NothingToResize),
        }
    }

    fn obey(&mut self, mut launch: Option<&mut Launch<'_>>) -> Option<Verdict> {
        while let Some(action) = self.supervisor.next_action() {
            match action {
                // It is about to run, on the other thread.
                Action::Spawn { .. } => {}
                // Decided before its end was known.
                Action::Retire { .. }
                | Action::Interrupt { .. }
                | Action::Abort { .. }
                | Action::Kill { .. }
                    if self.bell.has_loop_ended() => {}
                Action::Drain => self.listeners.close_doors(&self.log),
                Action::Retire { .. } if self.stop.is_attended() => self.stop.ask(),
                Action::Retire { .. }
                | Action::Interrupt { .. }
                | Action::Abort { .. }
                | Action::Kill { .. } => self.leave(),
                Action::AnnounceReady => self.announce(launch.as_deref_mut()),
                // A pool of one has a fixed size, and its one child nobody replaces.
                Action::ArmNudge
                | Action::Examine { .. }
                | Action::Observe
                | Action::Press(_)
                | Action::AskDemand { .. }
                | Action::LookForCoreDump { .. }
                | Action::CheckConnections
                | Action::LookAtWork
                | Action::Measure { .. }
                | Action::EndDescendants
                | Action::ReopenLogs
                | Action::ReadSettings
                | Action::EndReading
                | Action::Probe
                | Action::EndProbe
                | Action::Upgrade => {}
                Action::RunHook(hook) => self.run_hook(hook, launch.as_deref_mut()),
                // A thread cannot be ended; it ends with the process.
                Action::EndHook(_) => {}
                Action::CheckRuntimeFiles => {}
                Action::Show(progress) => self.reporting.on(Occasion::Progress(progress)),
                Action::Log(notice) => self.log_notice(notice),
                Action::Exit(verdict) => return Some(verdict),
            }
        }
        None
    }

    fn log_notice(&self, notice: Notice) {
        match notice {
            // The one that the supervisor counts is no process.
            Notice::Change(ChangeNotice::Stopping { request, .. }) => {
                let notice = Notice::Change(ChangeNotice::Stopping { request, alive: 0 });
                notices::log(&self.log, notice, &About::default());
            }
            Notice::Change(ChangeNotice::Escalated { .. }) => {
                self.log.write(&ChangeMessage::LoopStays);
            }
            // The next line is about that.
            Notice::Child(_, ChildNotice::CutShort { .. }) => {}
            notice => notices::log(&self.log, notice, &About::default()),
        }
    }

    pub(super) fn log_stopped(&self, how: &str) {
        ready::log_stopped(self.supervisor.departure(), &how, self.began, &self.log);
    }

    fn announce(&mut self, launch: Option<&mut Launch<'_>>) {
        let Some(launch) = launch else { return };
        ready::announce(launch.readiness, &mut self.supervisor, 0, &self.log);
        self.reporting.on(Occasion::Ready);
    }

    fn run_hook(&mut self, hook: Hook, launch: Option<&mut Launch<'_>>) {
        match hook {
            // Before the loop, on its thread.
            Hook::Ready => {
                if let Some(ready) = launch.and_then(|launch| launch.ready.take()) {
                    hooks::call_and_log(hook, &self.log, ready);
                }
                self.supervisor.handle(clock::now(), Event::HookEnded(hook));
            }
            Hook::BeforeShutdown => self.run_before_shutdown(),
            // There is nothing for which these could be called.
            Hook::OnChildExit
            | Hook::OnTimeout
            | Hook::AutoReloadHandler
            | Hook::OnClientDisconnect
            | Hook::Demand => {}
        }
    }

    /// Runs the hook on a thread of its own, which is not waited for longer than it may take.
    fn run_before_shutdown(&mut self) {
        let hook = Hook::BeforeShutdown;
        let Some(code) = self.before_shutdown.take() else { return };
        let (log, bell) = (self.log.clone(), self.bell.clone());
        let run = move || {
            hooks::call_and_log(hook, &log, code);
            bell.ring_for_hook();
        };
        if let Err(error) = thread::Builder::new().name(hook.name().to_owned()).spawn(run) {
            self.log.write(&HookMessage::NotRun { hook, error: &error });
            self.supervisor.handle(clock::now(), Event::HookEnded(hook));
        }
    }

    /// Ends the daemon around a loop that cannot be asked.
    fn leave(&mut self) {
        drop(std::mem::replace(&mut self.listeners, Listeners::new(Vec::new())));
        self.log_stopped("the main loop was cut off");
        std::mem::take(&mut self.runtime_files).remove(&self.log);
        // It flushes standard output too, unless the loop holds that.
        process::exit(0);
    }
}
