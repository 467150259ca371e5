//! The arbiter: it waits, reports what has happened to the pools, and does what is decided.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use prefork_core::{
    Exit, Hangups, Request, Rung, Time,
    pools::{PoolId, Pools, PoolsAction, PoolsChange, PoolsEvent, PoolsVerdict},
};
use prefork_daemonize::Readiness;
use rustix::{
    event::{PollFd, PollFlags},
    process::{Pid, Signal},
};

use super::{
    pool_process::PoolProcess,
    roster::RosterFile,
    start::Starting,
    watch::Watching,
    ways::{self, Way},
};
use crate::{
    ErrorChain,
    args::check::Settings,
    logs::{ArbiterMessage, ChangeMessage},
    logs::{log::Log, stderr},
    manager::{Occasion, Reporting},
    parent::asked::{Asked, asked},
    parent::reap,
    program::Invocation,
    seat::{Desk, Seated},
    sockets::listeners::{ARBITERS, Listeners},
    start::RuntimeFiles,
    start::logs::reopen_error_log,
    start::pid_file::KeptPidFile,
    system::clock,
    system::os::{LeftOpen, Signals},
    upgrade::{Leftovers, Probe},
};

/// The process above the pools.
pub(super) struct Arbiter<'a> {
    pub(super) settings: Settings,
    pub(super) pools: Pools,
    /// By the numbers of the pools.
    pub(super) seats: Vec<PoolProcess>,
    /// What there is to know of those that are to stay.
    pub(super) members: Vec<Seated>,
    /// Where the command finds all of it.
    pub(super) roster: Option<RosterFile>,
    /// Whether they share memory.
    pub(super) shares_memory: bool,
    /// When the last change of the whole began, and why it was refused.
    pub(super) change_began: Time,
    pub(super) reason: String,
    pub(super) began: Time,
    pub(super) stop_began: Option<Time>,
    /// Whether a process may have ended without a signal.
    pub(super) must_reap: bool,
    pub(super) invocation: Invocation,
    /// Tries the program that this process may become.
    pub(super) probe: Option<Probe>,
    /// Were killed, and are not reaped.
    pub(super) leftovers: Leftovers,
    pub(super) signals: Signals,
    pub(super) hangups: Hangups,
    /// Rung by the parents of pools.
    pub(super) bell: OwnedFd,
    pub(super) listeners: Listeners,
    pub(super) left_open: LeftOpen,
    pub(super) watching: Watching,
    pub(super) reporting: Reporting,
    pub(super) readiness: &'a mut Option<Readiness>,
    pub(super) runtime_files: RuntimeFiles,
    pub(super) log: Log,
}

impl Arbiter<'_> {
    pub(super) fn run(&mut self) -> io::Result<PoolsVerdict> {
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
            PoolsAction::Start(pool, ceiling) => self.start(pool, ceiling),
            PoolsAction::Ceiling(PoolId(number), ceiling) => {
                if let Some(desk) = &self.seats[number as usize].desk {
                    desk.say_ceiling(ceiling);
                }
            }
            PoolsAction::Stop(pool, rung) => self.stop(pool, rung),
            PoolsAction::Replace(pool) => self.signal(pool, Signal::TERM),
            PoolsAction::Probe => self.start_probe(),
            PoolsAction::EndProbe => self.end_probe(),
            PoolsAction::Upgrade => self.upgrade(),
            PoolsAction::UpgradePool(pool) => self.ask(pool, PoolsChange::Upgrade),
            PoolsAction::ReloadPool(pool) => self.ask(pool, PoolsChange::Reload),
            PoolsAction::Report(change, state) => self.report(change, state),
            PoolsAction::Trouble(trouble) => self.show_trouble(trouble),
            PoolsAction::Show(progress) => self.reporting.on(Occasion::Progress(progress)),
            PoolsAction::Ready => {
                // From here on errors are in the log alone.
                drop(stderr::take_original());
                // Before: who sees that it is ready may change files at once.
                self.watching.begin(&self.invocation, false, &self.log);
                self.log.write(&ArbiterMessage::PoolsReady { awake: self.pools.awake() });
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

    fn start(&mut self, id: PoolId, ceiling: Option<u32>) {
        let Self { invocation, settings, signals, bell, left_open, log, listeners, .. } = self;
        let shares_memory = &self.shares_memory;
        let in_background = settings.daemonize;
        let image = &invocation.image;
        let mask = &signals.held_back();
        let starting = Starting { image, in_background, mask, bell, left_open, log };
        let number = id.0 as usize;
        let seat = &self.seats[number];
        let own = listeners.iter().skip(seat.sockets.start).take(seat.sockets.len());
        let own = own.map(|listening| {
            let name = listening.activated.clone().unwrap_or_else(|| ARBITERS.to_owned());
            (listening.socket.as_fd(), name)
        });
        let sockets: Vec<_> = own.chain(ways::of(&self.seats, seat)).collect();
        let pool = &*seat.identity.name;
        let started = Desk::new().and_then(|desk| {
            desk.say_memory_shared(*shares_memory);
            if let Some(ceiling) = ceiling {
                desk.say_ceiling(ceiling);
            }
            Ok((starting.start(pool, &desk, &sockets)?, desk))
        });
        let seat = &mut self.seats[number];
        let pool = &*seat.identity.name;
        match started {
            Ok((helper, desk)) => {
                let pool_pid = helper.pid();
                self.log.write(&ArbiterMessage::PoolStarted { pool, pool_pid });
                (seat.helper, seat.desk, seat.asked) = (Some(helper), Some(desk), None);
                self.pools.handle(clock::now(), PoolsEvent::Started(id));
            }
            Err(error) => {
                self.log.write(&ArbiterMessage::CannotFork { pool, error: &error });
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

    /// Sends a signal to the parent of a pool.
    pub(super) fn signal(&self, PoolId(number): PoolId, signal: Signal) {
        self.seats[number as usize].helper.iter().for_each(|helper| helper.signal(signal));
    }

    /// Passes a signal on to the parents of all pools.
    fn pass_on(&self, signal: Signal) {
        self.seats.iter().filter_map(|seat| seat.helper.as_ref()).for_each(|it| it.signal(signal));
    }

    /// Sleeps until something happens, or something is due.
    fn wait(&mut self) -> io::Result<()> {
        let now = clock::now();
        let kept = self.runtime_files.pid_file.as_ref();
        let due = [
            self.pools.deadline(),
            self.reporting.due(),
            kept.and_then(KeptPidFile::due),
            self.watching.due(),
        ];
        let due = due.into_iter().flatten().min();
        let mut fds: Vec<_> = [self.signals.as_fd(), self.bell.as_fd()]
            .into_iter()
            .chain(kept.and_then(KeptPidFile::fd))
            .chain(self.probe.iter().flat_map(Probe::fds))
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        let files = self.watching.fd().map(|fd| {
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            fds.len() - 1
        });
        let first = fds.len();
        let sockets: Vec<_> = self.listeners.iter().map(|listening| &listening.socket).collect();
        let mut waiting = Vec::new();
        for id in self.pools.sleeping(now) {
            let seat = &self.seats[id.0 as usize];
            let own = sockets[seat.sockets.clone()].iter().map(AsFd::as_fd);
            for fd in own.chain(seat.way.as_ref().and_then(Way::waiting)) {
                fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN | PollFlags::RDHUP));
                waiting.push(id);
            }
        }
        clock::sleep(&mut fds, due)?;
        let queued: Vec<_> = fds[first..]
            .iter()
            .zip(waiting)
            // One that has been shut down meanwhile brings nobody.
            .filter(|(fd, _)| !fd.revents().is_empty() && !fd.revents().contains(PollFlags::RDHUP))
            .map(|(_, id)| id)
            .collect();
        if files.is_some_and(|files| !fds[files].revents().is_empty()) {
            self.watching.stirred(clock::now());
        }
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
        while has_ended && let Some(end) = reap::next(|pid| self.note_reaped(pid))? {
            ended.push(end);
        }
        self.read_probe(now);
        self.take_bell(now);
        for (pid, exit) in ended {
            let is_its =
                |seat: &&mut PoolProcess| seat.helper.as_ref().is_some_and(|it| it.pid() == pid);
            let place = (0..).zip(&mut self.seats).find(|(_, seat)| is_its(seat));
            let Some((number, seat)) = place else {
                // Others are orphans.
                self.probe_ended(now, pid, exit);
                continue;
            };
            (seat.helper, seat.desk, seat.heard) = (None, None, None);
            // A child of it may have left them so that nobody can come in, or it is woken without end.
            if !self.pools.is_stopping() {
                self.listeners.mend(now, &self.log);
            }
            self.pools.handle(now, PoolsEvent::Ended(PoolId(number), exit));
        }
        if let Some(pid_file) = &mut self.runtime_files.pid_file {
            pid_file.check(now, &self.log);
        }
        self.check_files(now);
        self.reporting.advance(now);
        self.pools.advance(now);
        Ok(())
    }

    /// Lets go of a pid that is about to be nobody's any more.
    fn note_reaped(&mut self, pid: Pid) {
        self.leftovers.forget(pid);
        let probe = self.probe.as_mut().map(Probe::helper_mut);
        let parents = self.seats.iter_mut().filter_map(|seat| seat.helper.as_mut());
        parents.chain(probe).for_each(|it| it.note_reaped(pid));
    }

    fn requested(&mut self, request: Request, reason: &str) {
        match request {
            Request::StopGracefully | Request::StopNow => {
                let now = clock::now();
                if self.stop_began.is_none() {
                    self.stop_began = Some(now);
                    self.watching.end();
                    self.log.write(&ArbiterMessage::Stopping { awake: self.pools.awake() });
                    self.reporting.on(Occasion::Progress(prefork_core::Progress::Stopping));
                    // Also of those that sleep.
                    self.listeners.close_doors(&self.log);
                }
                self.pools.handle(now, PoolsEvent::Requested(request));
            }
            Request::Reopen => {
                // A failure is logged.
                let _ = reopen_error_log(&self.settings, &reason, &self.log);
                self.pass_on(Signal::USR1);
            }
            Request::Reload | Request::Upgrade => {
                self.pools.handle(clock::now(), PoolsEvent::Requested(request));
            }
            Request::More | Request::Fewer => self.log.write(&ArbiterMessage::NoResize),
        }
    }
}
