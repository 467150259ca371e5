//! The child: what its main loop is handed, and how its life goes.

mod accept;
mod body;
mod copy;
mod counting;
mod desk;
mod drain;
mod hand_to;
mod in_flight;
mod lend;
mod life;
mod limits;
mod listener;
mod main_loop;
mod one_client;
mod own_setting;
mod own_words;
mod parts;
mod queueing;
mod reporting;
mod requests;
mod role_lock;
mod single;
mod starvation;
mod stop;
mod try_accept;
mod wait_readable;
mod work;

use std::{io, os::fd::BorrowedFd, time::Duration};

use prefork_core::{Allowance, Generation, SlotId};
use prefork_scoreboard::metrics::Cells;

pub(crate) use body::Body;
use drain::Drain;
pub use in_flight::{InFlight, InHand};
pub use lend::Lent;
pub(crate) use life::{ChildContext, live};
pub(crate) use limits::Limits;
pub(crate) use listener::INSIDE;
pub use listener::Listener;
pub(crate) use main_loop::{Plain, With};
pub(crate) use one_client::Clients;
pub(crate) use own_setting::{OwnSetting, OwnValue, handed};
pub(crate) use parts::ChildParts;
pub(crate) use queueing::Queueing;
pub use requests::Requests;
use starvation::Starvation;
pub(crate) use stop::{By, Stop, stops};
pub use try_accept::TryAccept;
pub use wait_readable::Waited;
pub(crate) use work::Work;

use crate::{
    AccessLog,
    channels::{Report, Reporter},
    disconnect::Accepted,
    logs::log::Log,
    sockets::hand_over::Outlets,
    system::clock,
    system::os::{Poller, Stale, Tether},
};

/// What a main loop knows of the process it runs in, and how it takes work.
///
/// Using any of [`accept`](Self::accept), [`accept_fd`](Self::accept_fd), [`try_accept`](Self::try_accept), [`lend`](Self::lend),
/// [`replaced_after`](Self::replaced_after), [`should_stop`](Self::should_stop), [`stop_fd`](Self::stop_fd) and
/// [`wait_readable`](Self::wait_readable) promises that the loop leaves when it is asked to: from then on
/// `SIGTERM` asks, and no longer ends the process. A loop that breaks the promise is ended after
/// [`graceful_timeout`](crate::Args::graceful_timeout).
///
/// # Fork
///
/// It is of use in the child alone. Code that forks and does not execute another program makes a copy of the child:
/// there, methods that can fail do, with an error that says so; [`should_stop`](Self::should_stop) is true,
/// [`stop_fd`](Self::stop_fd) is readable, [`replaced_after`](Self::replaced_after) yields nothing,
/// [`scoreboard_slot`](Self::scoreboard_slot) is `None`, and what only reports does nothing. The first of them logs one line.
/// When its main loop returns the copy exits, without [`child_exit`](crate::Args::child_exit).
#[derive(Debug)]
pub struct Child {
    /// As the process was when the child was made: a program may want it with every request.
    pid: u32,
    /// Whether this is a copy that was found out.
    is_cut_off: bool,
    slot: SlotId,
    generation: Generation,
    stop: Stop,
    work: Work,
    tether: Option<Tether>,
    /// The way to the parent; none where there is no parent.
    reporter: Option<Reporter>,
    drain: Drain,
    /// The ways to other pools.
    outlets: Outlets,
    /// How often it is logged that something else than a connection was handed over.
    complaints: Allowance,
    starvation: Starvation,
    /// How often in a row a socket did not listen.
    deaf: u32,
    concurrency: u32,
    clients: Clients,
    queueing: Queueing,
    /// Settings of the program's own.
    own: Vec<OwnSetting>,
    /// Whether it is in its main loop.
    has_entered: bool,
    said_ready: bool,
    said_worked: bool,
    poller: Poller,
    cells: Cells,
    access_log: AccessLog,
    log: Log,
}

impl Child {
    /// Returns the pid of this child.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns the place of this child in the pool; the first is 0.
    ///
    /// No other living child has the same one; a later child gets it again, lowest first. While children
    /// are replaced, there are up to [`max_surge`](crate::Args::max_surge) more of them than
    /// `max_children`, so a table by slots needs as many places more.
    #[must_use]
    pub const fn slot(&self) -> u32 {
        self.slot.0
    }

    /// Returns the generation of this child; the first is 1.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation.0
    }

    /// Returns a setting of the program's own, as it was in force when the child was started:
    /// [`Args::own_setting`](crate::Args::own_setting).
    #[must_use]
    pub fn own_setting(&self, name: &str) -> Option<&str> {
        handed(&self.own, name)
    }

    /// Returns whether the child has been asked to leave.
    ///
    /// For loops that take their work from elsewhere than a socket: check it between two jobs.
    ///
    /// # Signals
    ///
    /// From the first call on, `SIGTERM` no longer ends the process but makes this return `true`. The
    /// parent asks without a signal, so it never interrupts a system call; a `SIGTERM` from elsewhere
    /// does, with what `signal(7)` says of restarting.
    pub fn should_stop(&mut self) -> bool {
        if self.is_copy() {
            return true;
        }
        self.stop.attend();
        self.say_ready();
        self.access_log.follow();
        self.stop.is_asked()
    }

    /// Returns a descriptor that becomes readable when the child is asked to leave, and stays so.
    ///
    /// For loops that wait in `poll` or in an async runtime. Do not read from it. A runtime must be
    /// started in the main loop, after the fork.
    ///
    /// # Signals
    ///
    /// As with [`should_stop`](Self::should_stop), but from the first call on the parent asks by
    /// `SIGTERM`, which makes this readable, and which can interrupt system calls.
    pub fn stop_fd(&mut self) -> BorrowedFd<'_> {
        if self.is_copy() {
            return self.stop.fd();
        }
        self.stop.attend();
        self.say_ready();
        self.report(Report::Polls);
        self.stop.fd()
    }

    /// Its main loop has returned, in order.
    pub(crate) fn leave(&mut self) {
        self.work.leave();
    }

    /// Says that the child is at work on what `label` describes: `"GET /index.html"`, a job's name.
    ///
    /// For loops that take their work from elsewhere than [`accept`](Self::accept), which says by
    /// itself that a connection is being served; there it adds the label. While a request is in hand, it is
    /// one and the same: say [`idle`](Self::idle) or [`keep_alive`](Self::keep_alive) between two. The
    /// scoreboard shows at
    /// most 96 bytes of it to all who may read the file, so leave secrets out. Without a scoreboard
    /// it only reports to the parent, once, that this child works.
    pub fn busy(&mut self, label: &str) {
        if self.is_copy() {
            return;
        }
        self.note_reported_client();
        self.work.begin(label, Accepted::held);
        self.say_worked();
    }

    /// Says that a request is answered, and that the child waits for the next one on the same connection.
    ///
    /// For protocols with several requests a connection, such as HTTP/1.1: say [`busy`](Self::busy) when the
    /// next one comes, which is then counted and has all its time (see
    /// [`request_timeout`](crate::Args::request_timeout)); or go back to [`accept`](Self::accept) to close.
    /// Meanwhile the child can take no other connection, so for the size of the pool it counts as busy.
    /// Wait for the next request by [`wait_readable`](Self::wait_readable), which limits how long that lasts, and leaves at once
    /// when the child is asked to: there is an example.
    pub fn keep_alive(&mut self) {
        if self.is_copy() {
            return;
        }
        self.work.keep_alive();
        self.say_if_tired();
    }

    /// Says that the child has finished its work and waits for more.
    ///
    /// [`accept`](Self::accept) does so by itself.
    pub fn idle(&mut self) {
        if !self.is_copy() {
            self.wait_for_work();
        }
    }

    /// Reports that it waits for work.
    fn wait_for_work(&mut self) {
        self.access_log.follow();
        self.work.end();
        self.note_reported_end();
        self.say_ready();
        self.say_if_tired();
    }

    /// Asks for more time for the request in hand: `by` from now, if that is longer than
    /// [`request_timeout`](crate::Args::request_timeout) gives, and no less than was asked for already.
    ///
    /// The next request has the usual time again.
    ///
    /// # Errors
    ///
    /// Fails if the parent has gone, and in a copy of the child.
    pub fn extend_deadline(&mut self, by: Duration) -> io::Result<()> {
        self.require_here()?;
        self.work.extend(clock::now(), by);
        if self.tether.as_ref().is_some_and(Tether::is_cut) {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the parent has gone"));
        }
        Ok(())
    }

    /// Counts requests, for loops that take their work from elsewhere than [`accept`](Self::accept): the documented `for`
    /// loop of a main loop.
    ///
    /// After so many `requests` the child asks to be replaced, and goes on until its successor serves and it is asked to leave,
    /// for as many requests again at most. What must not be more is counted by the program itself. With
    /// [`one_shot`](crate::Args::one_shot) it is one request, whatever is given here.
    ///
    /// # Examples
    ///
    /// ```
    /// # use prefork::Args;
    /// # fn take_job() -> String { String::new() }
    /// let args = Args::new().main_loop(|child, ()| {
    ///     for _ in child.replaced_after(1000) {
    ///         let job = take_job();
    ///         child.busy(&job);
    ///         // do it
    ///         child.idle();
    ///     }
    ///     Ok(())
    /// });
    /// # drop(args);
    /// ```
    pub fn replaced_after(&mut self, requests: u64) -> Requests {
        if !self.is_copy() {
            self.stop.attend();
            self.say_ready();
        }
        // Without anybody who could be asked for a successor, there are no more than that.
        let (reporter, requests) = match self.serves_one_client() {
            true => (None, 1),
            false => (self.reporter.clone(), requests),
        };
        Requests::new(self.pid, self.stop.clone(), reporter, requests, self.log.clone())
    }

    /// Returns this child's slot of the scoreboard, for reporting more than
    /// [`busy`](Self::busy) and [`idle`](Self::idle) do; `None` without a scoreboard.
    ///
    /// What is reported there is seen when the parent next looks, but does not have it look: a pool
    /// that is to grow at once needs [`accept`](Self::accept), or `busy` and `idle`.
    pub fn scoreboard_slot(&mut self) -> Option<&mut prefork_scoreboard::Slot> {
        if self.is_copy() { None } else { self.work.slot() }
    }

    /// Returns the access log.
    pub const fn access_log(&mut self) -> &mut AccessLog {
        &mut self.access_log
    }

    /// What becomes readable when the child is to leave, or its parent is gone.
    fn stops(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        stops(&self.stop, self.tether.as_ref())
    }

    /// The poller, which waits at these sockets from now on and at no others.
    ///
    /// One that went on waiting at the others would take the wake-up for a connection there, which nobody here
    /// accepts. A socket that was closed meanwhile cannot be taken out of it any more; then another poller is made.
    fn poller<L: Listener + ?Sized>(&mut self, listener: &L) -> io::Result<&Poller> {
        if let Err(Stale) = self.poller.leave_unless_at(|visit| listener.each(INSIDE, visit))? {
            self.replace_poller()?;
        }
        self.poller.wait_at(|visit| listener.each(INSIDE, visit))?;
        Ok(&self.poller)
    }

    /// Makes another poller, which the parent's call does not wake: so the parent has to ask this child by a signal.
    fn replace_poller(&mut self) -> io::Result<()> {
        self.poller.replace(stops(&self.stop, self.tether.as_ref()))?;
        self.report(Report::Polls);
        Ok(())
    }
}
