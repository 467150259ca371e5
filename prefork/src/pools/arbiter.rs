//! The arbiter: it waits, reports what has happened to the pools, and does what is decided.

use std::{
    fmt::Display,
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use prefork_core::{
    Exit, Hangups, Request, Rung, Time,
    pools::{
        PoolId, Pools, PoolsAction, PoolsConfig, PoolsEvent, PoolsNotice, PoolsVerdict, Presence,
    },
};
use prefork_daemonize::Readiness;
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, eventfd},
    process::{Pid, Signal},
};

use super::{check::Seated, start::Starting};
use crate::{
    AnyListener, ErrorChain, Init, Returned, RunError,
    args::check::Settings,
    logs::describe::{Ended, Span},
    logs::log::{Log, Role},
    logs::{ArbiterMessage, ChangeMessage},
    manager::{Occasion, Reporting},
    parent::asked::{Asked, asked},
    parent::reap,
    program::Image,
    run::{Prepared, open_signals, own_stderr},
    seat::Desk,
    sockets::listeners::Listeners,
    start::logs::reopen_error_log,
    start::pid_file::KeptPidFile,
    start::{Initialized, RuntimeFiles, initialize},
    system::clock,
    system::helper::Helper,
    system::os::{LeftOpen, Signals, terminal},
};

/// Makes the sockets of all pools, in their order.
pub(super) fn listen(init: &mut Init, members: &[Seated]) -> crate::Result<Vec<AnyListener>> {
    let addresses = members.iter().flat_map(|member| &member.addresses);
    let sockets = addresses.map(|address| init.listen_any(address));
    Ok(sockets.collect::<io::Result<_>>()?)
}

/// Lets the pools serve until all is over.
pub(super) fn serve(
    prepared: Prepared<Vec<AnyListener>>,
    members: &[Seated],
    stop_timeout: Duration,
    readiness: &mut Option<Readiness>,
) -> Result<Returned, RunError> {
    own_stderr()?;
    let Prepared { basis, activated, after_init, opened, .. } = prepared;
    let settings = &basis.settings;
    let invocation = basis.invocation.map_err(RunError::system("find the program that runs"))?;
    let signals = open_signals()?;
    let hangups = terminal::hangups(signals.hangups());
    let log = Log::new(&settings.name, Role::Parent);
    let pools = seat_all(members, settings.start_timeout, stop_timeout);
    let initialized = initialize(settings, activated, after_init, opened)?;
    let Initialized { state, mut listeners, left_open, runtime_files, .. } = initialized;
    // The arbiter keeps one copy of each.
    drop(state);
    listeners.settle_terms();
    let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
    let bell = eventfd(0, flags).map_err(|error| RunError::system("open a bell")(error.into()))?;
    let mut next_socket = 0;
    let seats = members.iter().map(|member| {
        let first = next_socket;
        next_socket += member.addresses.len();
        PoolProcess {
            name: member.name.clone(),
            sockets: first..next_socket,
            helper: None,
            desk: None,
        }
    });
    let mut arbiter = Arbiter {
        settings: settings.clone(),
        pools,
        seats: seats.collect(),
        began: clock::now(),
        stop_began: None,
        must_reap: true,
        image: invocation.image,
        signals,
        hangups,
        bell,
        listeners,
        left_open,
        reporting: settings.manager.report_pools(members.len(), stop_timeout, &log),
        readiness,
        runtime_files,
        log,
    };
    let names: Vec<_> = members.iter().map(|member| &*member.name).collect();
    arbiter.log.write(&ArbiterMessage::Starting { name: &settings.name, pools: &names.join(", ") });
    arbiter.reporting.on(Occasion::Starting);
    let verdict = arbiter.run().map_err(RunError::system("wait for events"))?;
    let Arbiter { listeners, runtime_files, log, .. } = arbiter;
    listeners.disarm();
    drop(listeners);
    runtime_files.remove(&log);
    let name = |PoolId(number): PoolId| members[number as usize].name.clone();
    match verdict {
        PoolsVerdict::Stopped => Ok(Returned::Stopped),
        PoolsVerdict::PoolDied(pool, exit) => Err(RunError::PoolDied {
            pool: name(pool),
            last: Ended(exit).to_string(),
            error_log: settings.error_log_path.clone(),
        }),
        PoolsVerdict::StartTimedOut(pool) => {
            Err(RunError::PoolNotReady { pool: name(pool), limit: settings.start_timeout })
        }
    }
}

fn seat_all(members: &[Seated], start_timeout: Duration, stop_timeout: Duration) -> Pools {
    let mut config = PoolsConfig::default();
    (config.start_timeout, config.stop_timeout) = (start_timeout, stop_timeout);
    let mut pools = Pools::new(config);
    for member in members {
        pools.add(if member.is_on_demand { Presence::OnDemand } else { Presence::Always });
    }
    pools
}

/// A pool, with its process if it has one.
struct PoolProcess {
    name: String,
    /// Which of the sockets are its own.
    sockets: std::ops::Range<usize>,
    helper: Option<Helper>,
    desk: Option<Desk>,
}

struct Arbiter<'a> {
    settings: Settings,
    pools: Pools,
    /// By the numbers of the pools.
    seats: Vec<PoolProcess>,
    began: Time,
    stop_began: Option<Time>,
    /// Whether a process may have ended without a signal.
    must_reap: bool,
    image: Image,
    signals: Signals,
    hangups: Hangups,
    /// Rung by the parents of pools.
    bell: OwnedFd,
    listeners: Listeners,
    left_open: LeftOpen,
    reporting: Reporting,
    readiness: &'a mut Option<Readiness>,
    runtime_files: RuntimeFiles,
    log: Log,
}

impl Arbiter<'_> {
    fn run(&mut self) -> io::Result<PoolsVerdict> {
        self.pools.handle(clock::now(), PoolsEvent::Start);
        loop {
            while let Some(action) = self.pools.next_action() {
                if let PoolsAction::Exit(verdict) = action {
                    self.log_end(verdict);
                    return Ok(verdict);
                }
                self.carry_out(action);
            }
            self.wait()?;
            self.take_in()?;
        }
    }

    fn carry_out(&mut self, action: PoolsAction) {
        match action {
            PoolsAction::Start(pool) => self.start(pool),
            PoolsAction::Stop(pool, rung) => self.stop(pool, rung),
            PoolsAction::Ready => {
                self.log.write(&ArbiterMessage::AllReady { awake: self.pools.awake() });
                if let Some(Err(error)) = self.readiness.take().map(Readiness::ready) {
                    self.log.write(&ChangeMessage::NotAnnounced { error: &ErrorChain(&error) });
                    self.pools.handle(clock::now(), PoolsEvent::Requested(Request::StopNow));
                }
                self.reporting.on(Occasion::Ready);
            }
            PoolsAction::Log(notice) => self.log_notice(notice),
            // By who has asked for actions.
            PoolsAction::Exit(_) => {}
        }
    }

    fn start(&mut self, id: PoolId) {
        let Self { image, signals, bell, left_open, log, listeners, .. } = self;
        let starting = Starting { image, mask: signals.before(), bell, left_open, log };
        let seat = &mut self.seats[id.0 as usize];
        let sockets = listeners.iter().skip(seat.sockets.start).take(seat.sockets.len());
        let sockets: Vec<_> = sockets.collect();
        let started =
            Desk::new().and_then(|desk| Ok((starting.start(&seat.name, &desk, &sockets)?, desk)));
        match started {
            Ok((helper, desk)) => {
                let pool_pid = helper.pid();
                self.log.write(&ArbiterMessage::PoolStarted { pool: &seat.name, pool_pid });
                (seat.helper, seat.desk) = (Some(helper), Some(desk));
                self.pools.handle(clock::now(), PoolsEvent::Started(id));
            }
            Err(error) => {
                self.log.write(&ArbiterMessage::CannotFork { pool: &seat.name, error: &error });
                self.pools.handle(clock::now(), PoolsEvent::StartFailed(id));
            }
        }
    }

    fn stop(&mut self, PoolId(number): PoolId, rung: Rung) {
        let PoolProcess { helper, desk, .. } = &self.seats[number as usize];
        if let Some(desk) = desk {
            // It is to serve those who wait, as nobody else will.
            desk.say_ending();
        }
        let Some(helper) = helper else { return };
        match rung {
            Rung::Retire => helper.signal(Signal::TERM),
            Rung::Interrupt | Rung::Abort => helper.signal(Signal::INT),
            Rung::Kill => helper.kill_group(),
        }
    }

    /// Passes a signal on to the parents of all pools.
    fn pass_on(&self, signal: Signal) {
        self.seats.iter().filter_map(|seat| seat.helper.as_ref()).for_each(|it| it.signal(signal));
    }

    /// Sleeps until something happens, or something is due.
    fn wait(&mut self) -> io::Result<()> {
        let now = clock::now();
        let kept = self.runtime_files.pid_file.as_ref();
        let due = [self.pools.deadline(), self.reporting.due(), kept.and_then(KeptPidFile::due)];
        let due = due.into_iter().flatten().min();
        let mut fds: Vec<_> = [self.signals.as_fd(), self.bell.as_fd()]
            .into_iter()
            .chain(kept.and_then(KeptPidFile::fd))
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        let first = fds.len();
        let sockets: Vec<_> = self.listeners.iter().map(|listening| &listening.socket).collect();
        let mut waiting = Vec::new();
        for id in self.pools.sleeping(now) {
            for socket in &sockets[self.seats[id.0 as usize].sockets.clone()] {
                fds.push(PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN));
                waiting.push(id);
            }
        }
        clock::sleep(&mut fds, due)?;
        let queued: Vec<_> = fds[first..]
            .iter()
            .zip(waiting)
            .filter(|(fd, _)| !fd.revents().is_empty())
            .map(|(_, id)| id)
            .collect();
        for id in queued {
            self.pools.handle(clock::now(), PoolsEvent::Queued(id));
        }
        Ok(())
    }

    fn take_in(&mut self) -> io::Result<()> {
        let mut has_ended = std::mem::take(&mut self.must_reap);
        while let Some((signal, sender)) = self.signals.next()? {
            match asked(signal, sender, &mut self.hangups, &self.log) {
                Asked::For { request, reason } => self.requested(request, &reason),
                Asked::ByTerminal(Some(request)) => {
                    self.requested(request, "the terminal has gone");
                }
                Asked::ByTerminal(None) | Asked::Nothing => {}
                Asked::ChildrenEnded => has_ended = true,
            }
        }
        let now = clock::now();
        let mut ended: Vec<(Pid, Exit)> = Vec::new();
        while has_ended && let Some(end) = reap::next(|pid| note_reaped(&mut self.seats, pid))? {
            ended.push(end);
        }
        self.take_bell(now);
        for (pid, exit) in ended {
            let is_its =
                |seat: &&mut PoolProcess| seat.helper.as_ref().is_some_and(|it| it.pid() == pid);
            let place = (0..).zip(&mut self.seats).find(|(_, seat)| is_its(seat));
            // Others are orphans.
            let Some((number, seat)) = place else { continue };
            (seat.helper, seat.desk) = (None, None);
            self.pools.handle(now, PoolsEvent::Ended(PoolId(number), exit));
        }
        if let Some(pid_file) = &mut self.runtime_files.pid_file {
            pid_file.check(now, &self.log);
        }
        self.reporting.advance(now);
        self.pools.advance(now);
        Ok(())
    }

    /// Takes in what the parents of pools have said.
    fn take_bell(&mut self, now: Time) {
        if rustix::io::read(&self.bell, &mut [0; 8]).is_err() {
            return;
        }
        let ready = (0..)
            .zip(&self.seats)
            .filter(|(_, seat)| seat.desk.as_ref().is_some_and(Desk::is_ready));
        for id in ready.map(|(number, _)| PoolId(number)).collect::<Vec<_>>() {
            self.pools.handle(now, PoolsEvent::Ready(id));
        }
    }

    fn requested(&mut self, request: Request, reason: &str) {
        match request {
            Request::StopGracefully | Request::StopNow => {
                let now = clock::now();
                if self.stop_began.is_none() {
                    self.stop_began = Some(now);
                    self.log.write(&ArbiterMessage::Stopping { awake: self.pools.awake() });
                    self.reporting.on(Occasion::Progress(prefork_core::Progress::Stopping));
                    // Also of those that sleep.
                    self.listeners.close_doors(&self.log);
                }
                self.pools.handle(now, PoolsEvent::Requested(request));
            }
            Request::Reload => self.pass_on(Signal::HUP),
            Request::Reopen => {
                // A failure is logged.
                let _ = reopen_error_log(&self.settings, &reason, &self.log);
                self.pass_on(Signal::USR1);
            }
            Request::Upgrade => self.log.write(&ArbiterMessage::NoUpgrade),
            Request::More | Request::Fewer => self.log.write(&ArbiterMessage::NoResize),
        }
    }

    fn log_notice(&self, notice: PoolsNotice) {
        let name = |PoolId(number): PoolId| &*self.seats[number as usize].name;
        self.log.write(&match notice {
            PoolsNotice::Woken(pool) => ArbiterMessage::PoolWoken { pool: name(pool) },
            PoolsNotice::Asleep(pool) => ArbiterMessage::PoolAsleep { pool: name(pool) },
            PoolsNotice::Lost { pool, exit, lived, pause } => {
                let next: &dyn Display = match &pause {
                    Some(pause) => &format!("starting it again in {}", Span(*pause)),
                    None => &"starting it again",
                };
                let (pool, how, lived) = (name(pool), &Ended(exit), Span(lived));
                self.log.write(&ArbiterMessage::PoolLost { pool, how, lived, next });
                return;
            }
            PoolsNotice::NotStarted { pool, pause } => {
                ArbiterMessage::PoolNotStarted { pool: name(pool), pause: Span(pause) }
            }
            PoolsNotice::Stuck(pool) => ArbiterMessage::PoolStuck { pool: name(pool) },
            PoolsNotice::Killed { pools } => ArbiterMessage::PoolsKilled { pools },
        });
    }

    fn log_end(&self, verdict: PoolsVerdict) {
        match verdict {
            PoolsVerdict::Stopped => {
                let now = clock::now();
                let duration =
                    Span(self.stop_began.map_or(Duration::ZERO, |began| now.since(began)));
                let uptime = Span(now.since(self.began));
                self.log.write(&ArbiterMessage::Stopped { duration, uptime });
            }
            // By what is returned.
            PoolsVerdict::PoolDied(..) | PoolsVerdict::StartTimedOut(_) => {}
        }
    }
}

/// Lets go of a pid that is about to be nobody's any more.
fn note_reaped(seats: &mut [PoolProcess], pid: Pid) {
    seats.iter_mut().filter_map(|seat| seat.helper.as_mut()).for_each(|it| it.note_reaped(pid));
}

/// Logs, in a process that was forked to be the parent of a pool, why it cannot be.
pub(super) fn report_not_executed(pool: &str, error: &io::Error, log: &Log) {
    log.write(&ArbiterMessage::NotExecuted { pool, error });
}
