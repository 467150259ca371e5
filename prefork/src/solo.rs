//! A daemon without children: the main loop runs in the parent itself.
//!
//! The loop has the main thread. A second thread, the watcher, sleeps until a signal comes or the
//! loop returns, and lets the same supervisor decide that decides for a pool: the loop is its one
//! child. So signals, hooks, time limits and the pid file mean here what they mean there. What
//! cannot be done to a loop that runs in one's own process is to end it; when that is decided, the
//! watcher takes the whole daemon down in order, files and exit status included, around it.

use std::{
    io::{self, Write},
    os::fd::OwnedFd,
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use prefork_core::{
    Action, Config, Event, Exit, Generation, Hook, Notice, Request, SlotId, Supervisor, Verdict,
};
use prefork_daemonize::Readiness;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};
use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM};

use crate::{
    AccessLog, Ended, RunError,
    args::BeforeShutdown,
    check::Settings,
    child::{By, Child, ChildParts, Stop, Work},
    clock, describe, hooks,
    log::{Log, Role},
    os::unblock_answered_signals,
    ready,
    run::{Belongings, Initialized, Program, call, initialize},
    sys,
};

/// The one place in this pool, and who is in it.
const SLOT: SlotId = SlotId(0);
const GENERATION: Generation = Generation(1);

/// Brings the daemon up, runs the main loop, and takes the daemon down.
pub(crate) fn serve<S>(
    settings: &Settings,
    program: Program<S>,
    access_log: AccessLog,
    readiness: &mut Option<Readiness>,
) -> Result<Ended, RunError> {
    let Program { after_init, mut main_loop, before_shutdown } = program;
    let bell = Arc::new(Bell::new().map_err(RunError::system("set up signals"))?);
    let Initialized { state, belongings, .. } = initialize(settings, after_init)?;
    let stop = Stop::new(By::Thread).map_err(RunError::system("open an event descriptor"))?;
    let mut config = Config::new(1, 1).expect("one of one is within limits");
    config.graceful_timeout = settings.graceful_timeout;
    let mut watcher = Watcher {
        settings: settings.clone(),
        supervisor: Supervisor::new(config),
        bell: bell.clone(),
        stop: stop.clone(),
        belongings,
        before_shutdown,
        log: Log::new(&settings.name, Role::Parent),
    };
    if let Some(Verdict::Stopped) = watcher.begin(readiness) {
        drop(state);
        watcher.belongings.remove(settings);
        return Ok(Ended::Stopped);
    }
    let log = watcher.log.clone();
    let slot = watcher.belongings.board.as_mut().and_then(|board| {
        board.assign(SLOT, GENERATION, &log);
        board.enter_here(SLOT, &log)
    });
    let watcher = thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || watcher.watch())
        .map_err(RunError::system("start a thread"))?;
    let parts = ChildParts {
        slot: SLOT,
        generation: GENERATION,
        stop,
        work: Work::alone(slot),
        tether: None,
        reporter: None,
        access_log,
        log,
    };
    let mut child = Child::new(parts);
    let outcome = call("main_loop", || main_loop(&mut child, &state));
    bell.ring_for_end();
    let belongings = watcher.join().unwrap_or_default();
    drop(child);
    drop(state);
    drop(main_loop);
    belongings.remove(settings);
    outcome.map(|()| Ended::Stopped)
}

/// What wakes the watcher.
#[derive(Debug)]
struct Bell {
    wake: Arc<OwnedFd>,
    stop_gracefully: Arc<AtomicBool>,
    stop_now: Arc<AtomicBool>,
    loop_ended: AtomicBool,
}

impl Bell {
    /// From now on, signals ring instead of ending the process.
    fn new() -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let bell = Self {
            wake,
            stop_gracefully: Arc::default(),
            stop_now: Arc::default(),
            loop_ended: AtomicBool::new(false),
        };
        sys::raise_on_signal(SIGTERM, bell.stop_gracefully.clone(), bell.wake.clone())?;
        sys::raise_on_signal(SIGINT, bell.stop_now.clone(), bell.wake.clone())?;
        sys::raise_on_signal(SIGQUIT, bell.stop_now.clone(), bell.wake.clone())?;
        unblock_answered_signals()?;
        Ok(bell)
    }

    fn ring_for_end(&self) {
        // Release: pairs with the acquire in `has_loop_ended`.
        self.loop_ended.store(true, Ordering::Release);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    fn has_loop_ended(&self) -> bool {
        self.loop_ended.load(Ordering::Acquire)
    }

    /// Takes what has rung since the last call.
    fn heard(&self) -> Vec<Event> {
        // Emptied before the flags are read: what rings in between rings again.
        let _ = rustix::io::read(&self.wake, &mut [0u8; 8]);
        let mut events = Vec::new();
        if self.stop_gracefully.swap(false, Ordering::Acquire) {
            events.push(Event::Requested(Request::StopGracefully));
        }
        if self.stop_now.swap(false, Ordering::Acquire) {
            events.push(Event::Requested(Request::StopNow));
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
    belongings: Belongings,
    before_shutdown: Option<BeforeShutdown>,
    log: Log,
}

impl Watcher {
    /// Starts the pool of one; returns the verdict if the stop came before the loop.
    fn begin(&mut self, readiness: &mut Option<Readiness>) -> Option<Verdict> {
        self.take_in();
        for event in [Event::Start, Event::Spawned { slot: SLOT }, Event::Ready { slot: SLOT }] {
            self.supervisor.handle(clock::now(), event);
        }
        self.obey(readiness)
    }

    /// Watches until the loop has ended, and hands back what is to be removed.
    fn watch(mut self) -> Belongings {
        loop {
            let mut fds = [PollFd::new(&*self.bell.wake, PollFlags::IN)];
            if let Err(error) = clock::sleep(&mut fds, self.supervisor.deadline()) {
                self.log.error(format_args!("cannot wait for signals: {error}"));
                return self.belongings;
            }
            self.take_in();
            if self.obey(&mut None).is_some() {
                return self.belongings;
            }
        }
    }

    fn take_in(&mut self) {
        let now = clock::now();
        for event in self.bell.heard() {
            if let Event::Exited { .. } = event
                && !self.supervisor.is_stopping()
            {
                // A loop that returns has ended the daemon, and nobody replaces it.
                self.supervisor.handle(now, Event::Requested(Request::StopGracefully));
            }
            self.supervisor.handle(now, event);
        }
        self.supervisor.advance(now);
    }

    fn obey(&mut self, readiness: &mut Option<Readiness>) -> Option<Verdict> {
        while let Some(action) = self.supervisor.next_action() {
            match action {
                // It is about to run, on the other thread.
                Action::Spawn { .. } => {}
                // Decided before its end was known.
                Action::Ask { .. } | Action::Interrupt { .. } | Action::Kill { .. }
                    if self.bell.has_loop_ended() => {}
                Action::Ask { .. } if self.stop.is_attended() => self.stop.ask(),
                Action::Ask { .. } | Action::Interrupt { .. } | Action::Kill { .. } => self.leave(),
                Action::AnnounceReady => {
                    ready::announce(readiness, &mut self.supervisor, 0, &self.log);
                }
                // A pool of one has a fixed size.
                Action::ArmNudge | Action::Look => {}
                Action::RunHook(Hook::BeforeShutdown) => {
                    hooks::run_before_shutdown(&mut self.before_shutdown, &self.log);
                }
                Action::Log(Notice::Stopping { request, .. }) => {
                    // The one that the supervisor counts is no process.
                    describe::tell(&self.log, Notice::Stopping { request, alive: 0 }, None);
                }
                Action::Log(notice) => describe::tell(&self.log, notice, None),
                Action::Exit(verdict) => return Some(verdict),
            }
        }
        None
    }

    /// Ends the daemon around a loop that cannot be asked.
    fn leave(&mut self) {
        std::mem::take(&mut self.belongings).remove(&self.settings);
        let _ = io::stdout().flush();
        process::exit(0);
    }
}
