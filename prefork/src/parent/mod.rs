//! The parent's hands: it waits, tells the supervisor what happened, and does what that decides.
//!
//! One thread, one `ppoll`, no timer unless the supervisor asks for one. The order within one
//! wake-up matters: what children said is told before their ends, as they said it while they lived,
//! and what operators ask for before the ends too, as a signal to the whole process group reaches
//! parent and children alike. All who ended are taken from the kernel first and the messages read
//! after that, so that nothing the dead have said is missed; the kernel gives their pids to nobody
//! of ours meanwhile, since only this loop forks.

mod carry_out;
mod reap;
mod table;
mod take_in;

use std::{io, os::fd::AsFd, rc::Rc};

use prefork_core::{Config, Event, Generation, SlotId, Supervisor, Verdict};
use prefork_daemonize::Readiness;
use rustix::event::{PollFd, PollFlags};

use crate::{
    AccessLog, RunError,
    args::ParentHooks,
    asks::Asks,
    board::ParentBoard,
    check::Settings,
    child::{Seat, Talk},
    clock,
    init::Listeners,
    log::{Log, Role},
    nudge::Nudge,
    os::{Lifeline, Privileges, Reports, Signals, Title},
};

use carry_out::Done;
use table::Table;

/// The parent of a pool.
pub(crate) struct Parent<'a> {
    settings: Settings,
    privileges: Rc<Privileges>,
    supervisor: Supervisor,
    table: Table,
    signals: Signals,
    reports: Reports,
    lifeline: Lifeline,
    title: Title,
    access_log: AccessLog,
    board: Option<ParentBoard>,
    nudge: Nudge,
    asks: Asks,
    listeners: Listeners,
    hooks: ParentHooks,
    readiness: &'a mut Option<Readiness>,
    /// Why the last fork failed, so that it is said once and not at every attempt.
    fork_error: Option<i32>,
    log: Log,
}

/// What a parent ends as: it is over, or it is not the parent any more but a child just forked.
pub(crate) enum Became {
    Over(Verdict),
    Child(Box<Seat>),
}

/// What a parent is made of.
pub(crate) struct Parts<'a> {
    pub(crate) config: Config,
    pub(crate) signals: Signals,
    pub(crate) title: Title,
    pub(crate) access_log: AccessLog,
    pub(crate) board: Option<ParentBoard>,
    pub(crate) listeners: Listeners,
    pub(crate) hooks: ParentHooks,
    pub(crate) privileges: Rc<Privileges>,
    pub(crate) readiness: &'a mut Option<Readiness>,
}

impl<'a> Parent<'a> {
    pub(crate) fn new(settings: &Settings, parts: Parts<'a>) -> Result<Self, RunError> {
        let Parts { config, signals, title, access_log, board, listeners, .. } = parts;
        let Parts { hooks, privileges, readiness, .. } = parts;
        let slots = config.slots() as usize;
        let share = "share memory with children";
        Ok(Self {
            settings: settings.clone(),
            privileges,
            supervisor: Supervisor::new(config),
            table: Table::default(),
            signals,
            reports: Reports::new().map_err(RunError::system("open a socket pair"))?,
            lifeline: Lifeline::new().map_err(RunError::system("open a pipe"))?,
            title,
            access_log,
            board,
            nudge: Nudge::new().map_err(RunError::system(share))?,
            asks: Asks::new(slots).map_err(RunError::system(share))?,
            listeners,
            hooks,
            readiness,
            fork_error: None,
            log: Log::new(&settings.name, Role::Parent),
        })
    }

    /// Runs the pool until it is over, or this process has become one of its children.
    pub(crate) fn run(mut self) -> Result<Became, RunError> {
        // Strangers that ended before the signal was blocked: nothing will tell of them any more.
        while reap::next().map_err(RunError::system("reap"))?.is_some() {}
        // A request to stop that came during the initialization goes before the first child.
        self.take_in().map_err(RunError::system("take in events"))?;
        self.supervisor.handle(clock::now(), Event::Start);
        loop {
            while let Some(action) = self.supervisor.next_action() {
                match self.carry_out(action)? {
                    None => {}
                    Some(Done::Over(verdict)) => return Ok(Became::Over(verdict)),
                    Some(Done::Forked(slot, generation)) => {
                        return Ok(Became::Child(Box::new(self.into_seat(slot, generation))));
                    }
                }
            }
            self.asks.wake_children();
            self.wait().map_err(RunError::system("wait for events"))?;
            self.take_in().map_err(RunError::system("take in events"))?;
        }
    }

    /// Sleeps until something happens or the supervisor's deadline is reached.
    fn wait(&self) -> io::Result<()> {
        let mut fds = [
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.reports.fd().as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.nudge.fd(), PollFlags::IN),
        ];
        clock::sleep(&mut fds, self.supervisor.deadline())
    }

    /// Turns into what a child needs of the parent. The rest is dropped, as the child's copy of it
    /// is of no use.
    fn into_seat(self, slot: SlotId, generation: Generation) -> Seat {
        // The child's copy of the way to the launcher; the word is the parent's to say.
        drop(self.readiness.take());
        let Self { settings, title, signals, access_log, privileges, .. } = self;
        let Self { lifeline, reports, board, nudge, asks, .. } = self;
        let talk = Talk { lifeline, reports, board, nudge, asks };
        let Settings { name, limits, .. } = settings;
        Seat { slot, generation, name, title, signals, talk, limits, privileges, access_log }
    }
}
