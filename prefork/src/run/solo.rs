//! A daemon without children: the main loop runs in the parent itself.
//!
//! The loop has the main thread. A second thread, the watcher, sleeps until a signal comes or the
//! loop returns, and lets the same supervisor decide that decides for a pool: the loop is its one
//! child. So signals, hooks, time limits and the pid file mean here what they mean there. What
//! cannot be done to a loop that runs in one's own process is to end it; when that is decided, the
//! watcher takes the whole daemon down in order, files and exit status included, around it.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use nix::sys::signal::Signal;
use prefork_core::{
    Action, Config, Event, Exit, Generation, Hangups, Hook, Notice, Request, SlotId, Supervisor,
    Time, Verdict,
};
use prefork_daemonize::Readiness;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};

use super::prepared::Prepared;
use crate::{
    Ended, RunError,
    args::check::Settings,
    board::Phase,
    child::{By, Child, ChildParts, Failed, Stop, Work, stops},
    hooks,
    hooks::{BeforeShutdown, ParentHooks, Ready},
    logs::log::{Log, Role},
    logs::notices::{self, About},
    logs::{ChangeMessage, HookMessage, ProcessMessage},
    manager::{Begun, Occasion, Reporting},
    parent::ready,
    parent::{
        Basis,
        asked::{Asked, asked},
    },
    sockets::listeners::Listeners,
    start::logs::reopen_error_log,
    start::pid_file::KeptPidFile,
    start::{Initialized, Introduction, RuntimeFiles, drop_privileges, identity, initialize},
    sys,
    system::clock,
    system::os::{Poller, hangups_now, requesting_signals, terminal, unblock_answered_signals},
};

/// The one place in this pool.
const SLOT: SlotId = SlotId(0);
const GENERATION: Generation = Generation(1);

/// Brings the daemon up, runs the main loop, and takes the daemon down.
pub(crate) fn serve<S>(
    prepared: Prepared<S>,
    readiness: &mut Option<Readiness>,
) -> Result<Ended, RunError> {
    let Prepared { basis, activated, after_init, mut body } = prepared;
    let Basis { settings, users, mut access_log, hooks, invocation, .. } = basis;
    let settings = &settings;
    let hangups = terminal::hangups(hangups_now());
    let bell = Arc::new(Bell::new().map_err(RunError::system("set up signals"))?);
    let Initialized { state, mut runtime_files, listeners, .. } =
        initialize(settings, activated, after_init)?;
    if let Some(board) = &mut runtime_files.board {
        board.about.introduce(identity(settings, invocation.as_ref().ok()));
        board.about.places(listeners.places());
        board.about.phase(Phase::Serving);
    }
    let log = Log::new(&settings.name, Role::Parent);
    log.write(&ChangeMessage::Starting {
        daemon: &Introduction {
            settings,
            users: &users,
            invocation: invocation.as_ref().ok(),
            listeners: &listeners,
        },
    });
    let slot = runtime_files.board.as_ref().and_then(|board| board.public().enter(SLOT, &log));
    let stop = Stop::new(By::Thread, None).map_err(RunError::system("open an event descriptor"))?;
    // Before the change of user, as the new one may not open it.
    access_log.make_own(&log).map_err(RunError::system("open the access log once more"))?;
    // This process is what children are elsewhere. Now, while it has but one thread.
    drop_privileges(&users.children)?;
    let config = pool_of_one(settings, hooks.set());
    let ParentHooks { ready, before_shutdown, .. } = hooks;
    let outliving = listeners.outliving();
    let mut watcher = Watcher {
        settings: settings.clone(),
        reporting: settings.manager.report(&config, Begun::Alone, &log),
        supervisor: Supervisor::new(config),
        bell: bell.clone(),
        stop: stop.clone(),
        listeners,
        reopen_access_log: access_log.reopen_on_request(),
        runtime_files,
        before_shutdown,
        hangups,
        began: clock::now(),
        log: log.clone(),
    };
    if let Some(Verdict::Stopped) = watcher.begin(&mut Launch { ready, readiness }) {
        drop(state);
        watcher.log_stopped("the main loop has not begun");
        watcher.runtime_files.remove(&log);
        return Ok(Ended::Stopped);
    }
    let watcher = thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || watcher.watch())
        .map_err(RunError::system("start a thread"))?;
    let poller = Poller::new(stops(&stop, None)).map_err(RunError::system("wait for events"))?;
    let mut child = Child::new(ChildParts {
        slot: SLOT,
        generation: GENERATION,
        stop,
        work: Work::alone(slot),
        tether: None,
        reporter: None,
        poller,
        outliving,
        limits: settings.limits,
        access_log,
        log: log.clone(),
    });
    let outcome = body.run(&mut child, &state, &log).map_err(Failed::into_error);
    bell.ring_for_end();
    let runtime_files = watcher.join().unwrap_or_default();
    drop(child);
    drop(state);
    drop(body);
    runtime_files.remove(&log);
    outcome.map(|()| Ended::Stopped)
}

fn pool_of_one(settings: &Settings, hooks: Vec<Hook>) -> Config {
    let mut config = Config::new(1, 1).expect("one of one is within limits");
    config.graceful_timeout = settings.graceful_timeout;
    config.hook_timeout = settings.hook_timeout;
    config.hooks = hooks;
    config
}

/// What is called once, when the loop is about to run.
struct Launch<'a> {
    ready: Option<Ready>,
    readiness: &'a mut Option<Readiness>,
}

/// What wakes the watcher.
#[derive(Debug)]
struct Bell {
    wake: Arc<OwnedFd>,
    /// Which signals have come.
    raised: Vec<(Signal, Arc<AtomicBool>)>,
    loop_ended: AtomicBool,
    hook_ended: AtomicBool,
}

impl Bell {
    /// From now on, signals ring instead of ending the process.
    fn new() -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let mut raised = Vec::new();
        for signal in requesting_signals() {
            let flag = Arc::default();
            sys::raise_on_signal(signal as i32, Arc::clone(&flag), wake.clone())?;
            raised.push((signal, flag));
        }
        unblock_answered_signals()?;
        let (loop_ended, hook_ended) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { wake, raised, loop_ended, hook_ended })
    }

    fn ring_for_end(&self) {
        // Release: pairs with the acquire in `has_loop_ended`.
        self.loop_ended.store(true, Ordering::Release);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    fn ring_for_hook(&self) {
        // Release: pairs with the acquire in `take`.
        self.hook_ended.store(true, Ordering::Release);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    fn has_loop_ended(&self) -> bool {
        self.loop_ended.load(Ordering::Acquire)
    }

    /// Takes the signals that have come since the last call.
    fn take_signals(&self) -> Vec<Signal> {
        // Emptied before the flags are read: what rings in between rings again.
        let _ = rustix::io::read(&self.wake, &mut [0u8; 8]);
        let came = |(_, flag): &&(_, Arc<AtomicBool>)| flag.swap(false, Ordering::Acquire);
        self.raised.iter().filter(came).map(|(signal, _)| *signal).collect()
    }

    /// Takes what else has rung since the last call.
    fn take(&self) -> Vec<Event> {
        let mut events = Vec::new();
        if self.hook_ended.swap(false, Ordering::Acquire) {
            events.push(Event::HookEnded(Hook::BeforeShutdown));
        }
        if self.has_loop_ended() {
            events.push(Event::Exited { slot: SLOT, exit: Exit::Code(0) });
        }
        events
    }
}

/// The parent's hands where the parent has no children.
struct Watcher {
    settings: Settings,
    supervisor: Supervisor,
    bell: Arc<Bell>,
    stop: Stop,
    listeners: Listeners,
    reopen_access_log: Arc<AtomicBool>,
    runtime_files: RuntimeFiles,
    before_shutdown: Option<BeforeShutdown>,
    reporting: Reporting,
    hangups: Hangups,
    /// When the daemon was started.
    began: Time,
    log: Log,
}

impl Watcher {
    /// Starts the pool of one; returns the verdict if the stop came before the loop.
    fn begin(&mut self, launch: &mut Launch<'_>) -> Option<Verdict> {
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
    fn watch(mut self) -> RuntimeFiles {
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
                board.about.phase(Phase::Stopping);
            }
            board.rest(due, &self.log);
        }
        let pid_file = self.runtime_files.pid_file.as_ref();
        let mut fds: Vec<_> = [self.bell.wake.as_fd()]
            .into_iter()
            .chain(pid_file.and_then(KeptPidFile::fd))
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        clock::sleep(&mut fds, due).map(drop)
    }

    fn take_in(&mut self) {
        let now = clock::now();
        for signal in self.bell.take_signals() {
            // A flag does not show who has raised it.
            match asked(signal, None, &mut self.hangups, &self.log) {
                Asked::For(request) | Asked::ByTerminal(Some(request)) => {
                    self.request(now, request);
                }
                Asked::ByTerminal(None) | Asked::ChildrenEnded => {}
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

    fn request(&mut self, now: Time, request: Request) {
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
                reopen_error_log(&self.settings, &Signal::SIGUSR1, &self.log);
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
                | Action::CheckConnections
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
            Notice::Stopping { request, .. } => {
                let notice = Notice::Stopping { request, alive: 0 };
                notices::log(&self.log, notice, &About::default());
            }
            Notice::Escalated { .. } => {
                self.log.write(&ChangeMessage::LoopStays);
            }
            // The next line is about that.
            Notice::CutShort { .. } => {}
            notice => notices::log(&self.log, notice, &About::default()),
        }
    }

    fn log_stopped(&self, how: &str) {
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
            | Hook::OnClientDisconnect => {}
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
