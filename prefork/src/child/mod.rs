//! The child: what its main loop is handed, and how its life goes.

mod accept;
mod life;
mod listener;
mod stop;
mod work;

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use prefork_core::{Generation, SlotId};

pub(crate) use life::{Seat, Talk, live};
pub use listener::Listener;
pub(crate) use stop::{By, Stop};
pub(crate) use work::Work;

use crate::{
    AccessLog,
    log::Log,
    os::{Poller, Report, Reporter, Tether},
};

/// What a main loop knows of the process it runs in, and how it takes work.
///
/// Using any of [`accept`](Self::accept), [`should_stop`](Self::should_stop) and
/// [`stop_fd`](Self::stop_fd) promises that the loop leaves when it is asked to: from then on
/// `SIGTERM` asks, and no longer ends the process. A loop that breaks the promise is ended after
/// [`graceful_timeout`](crate::Args::graceful_timeout).
#[derive(Debug)]
pub struct Child {
    slot: SlotId,
    generation: Generation,
    stop: Stop,
    work: Work,
    tether: Option<Tether>,
    reporter: Option<Reporter>,
    said_ready: bool,
    said_worked: bool,
    poller: Option<Poller>,
    access_log: AccessLog,
    log: Log,
}

impl Child {
    pub(crate) fn new(seat: ChildParts) -> Self {
        let ChildParts { slot, generation, stop, work, tether, reporter, access_log, log } = seat;
        // Where there is no parent to tell, all has been said.
        let silent = reporter.is_none();
        Self {
            slot,
            generation,
            stop,
            work,
            tether,
            reporter,
            said_ready: silent,
            said_worked: silent,
            poller: None,
            access_log,
            log,
        }
    }

    /// Returns the pid of this process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Returns the place of this child in the pool, 0 to `max_children - 1`.
    ///
    /// No other living child has the same one; a later child gets it again.
    #[must_use]
    pub const fn slot(&self) -> u32 {
        self.slot.0
    }

    /// Returns the generation of this child; the first is 1.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation.0
    }

    /// Tells whether the child has been asked to leave.
    ///
    /// For loops that take their work from elsewhere than a socket: check it between two jobs.
    ///
    /// # Signals
    ///
    /// From the first call on, `SIGTERM` no longer ends the process but makes this return `true`.
    /// System calls that it interrupts are restarted, but for those that never are, such as sleeps
    /// and `poll` (see `signal(7)`).
    pub fn should_stop(&mut self) -> bool {
        self.stop.attend();
        self.say_ready();
        self.stop.is_asked()
    }

    /// Returns a descriptor that becomes readable when the child is asked to leave, and stays so.
    ///
    /// For loops that wait in `poll` or in an async runtime. Do not read from it. A runtime must be
    /// started in the main loop, after the fork.
    pub fn stop_fd(&mut self) -> BorrowedFd<'_> {
        self.stop.attend();
        self.say_ready();
        self.stop.fd()
    }

    /// Says that the child is at work on what `label` describes: `"GET /index.html"`, a job's name.
    ///
    /// For loops that take their work from elsewhere than [`accept`](Self::accept), which says by
    /// itself that a connection is being served; there it adds the label. The scoreboard shows at
    /// most 96 bytes of it to whoever may read the file, so leave secrets out. Without a scoreboard
    /// it only tells the parent, once, that this child works.
    pub fn busy(&mut self, label: &str) {
        self.work.begin(label);
        self.say_worked();
    }

    /// Says that the child has finished its work and waits for more.
    ///
    /// [`accept`](Self::accept) does so by itself.
    pub fn idle(&mut self) {
        self.work.end();
        self.say_ready();
    }

    /// Returns this child's slot of the scoreboard, for reporting more than
    /// [`busy`](Self::busy) and [`idle`](Self::idle) do; `None` without a scoreboard.
    pub const fn scoreboard(&mut self) -> Option<&mut prefork_scoreboard::Slot> {
        self.work.slot()
    }

    /// Returns the access log.
    pub const fn access_log(&mut self) -> &mut AccessLog {
        &mut self.access_log
    }

    /// Tells the parent once that this child waits for work.
    fn say_ready(&mut self) {
        if !self.said_ready {
            self.said_ready = self.try_say(Report::Ready);
        }
    }

    /// Tells the parent once that this child has taken work.
    fn say_worked(&mut self) {
        if !self.said_worked {
            self.said_worked = self.try_say(Report::Worked);
        }
    }

    /// Says something if the parent has room for it; else the next occasion will do.
    fn try_say(&self, report: Report) -> bool {
        self.reporter.as_ref().is_none_or(|reporter| reporter.try_say(report))
    }

    /// What becomes readable when the child is to leave, or its parent is gone.
    fn stops(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let tether = self.tether.as_ref().map(|tether| tether.read.as_fd());
        [Some(self.stop.fd()), tether].into_iter().flatten()
    }

    /// The poller, made when it is first needed: after the fork.
    fn poller(&mut self) -> io::Result<&mut Poller> {
        let poller = match self.poller.take() {
            Some(poller) => poller,
            None => Poller::new(self.stops())?,
        };
        Ok(self.poller.insert(poller))
    }
}

/// What a [`Child`] is made of.
#[derive(Debug)]
pub(crate) struct ChildParts {
    pub(crate) slot: SlotId,
    pub(crate) generation: Generation,
    pub(crate) stop: Stop,
    pub(crate) work: Work,
    pub(crate) tether: Option<Tether>,
    pub(crate) reporter: Option<Reporter>,
    pub(crate) access_log: AccessLog,
    pub(crate) log: Log,
}
