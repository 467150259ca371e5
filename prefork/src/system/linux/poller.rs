//! How a child waits for connections, or for the request to leave.
//!
//! Any number of children waiting in `poll(2)` on one listener all wake for every connection. With
//! `EPOLLEXCLUSIVE` (see `epoll_ctl(2)`) the kernel wakes one, and of those that wait it prefers the
//! one that began last: the warmest, while the others go idle. Each child has an epoll descriptor
//! of its own, made after the fork; one from before would be shared.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
    },
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
};

use crate::{sys, sys::refused::Refusable};

/// Is called with each socket of some that listen.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(BorrowedFd<'_>) -> io::Result<()>;

/// What woke a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The child was asked to leave, or its parent is gone.
    Stop,
    /// Somebody was asked to leave: it may be this child.
    Call,
    /// A connection waits at the listener with this descriptor.
    Listener(RawFd),
}

impl Source {
    fn of(data: u64) -> io::Result<Self> {
        match data {
            STOP => Ok(Self::Stop),
            CALL => Ok(Self::Call),
            fd => RawFd::try_from(fd).map(Self::Listener).map_err(io::Error::other),
        }
    }
}

const STOP: u64 = u64::MAX;
const CALL: u64 = u64::MAX - 1;

/// An epoll descriptor with what a child waits for.
#[derive(Debug)]
pub(crate) struct Poller {
    /// None where it was closed, or a new one could not be had.
    epoll: Option<OwnedFd>,
    /// The listeners in the order in which they were added, some of them perhaps more than once.
    listeners: Vec<RawFd>,
}

/// A listener was closed that a poller still waits at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stale;

impl Poller {
    /// Makes a poller that wakes when one of `stops` becomes readable.
    pub(crate) fn new<'a>(stops: impl Iterator<Item = BorrowedFd<'a>>) -> io::Result<Self> {
        let poller = Self {
            epoll: Some(epoll::create(CreateFlags::CLOEXEC).of_call("epoll_create1(2)")?),
            listeners: Vec::new(),
        };
        poller.add_stops(stops)?;
        Ok(poller)
    }

    /// Makes another one that wakes for what this one wakes for, for another thread.
    pub(crate) fn share(&self) -> io::Result<Self> {
        let epoll = self.epoll.as_ref().map(OwnedFd::try_clone).transpose()?;
        Ok(Self { epoll, listeners: Vec::new() })
    }

    /// Makes it wake when one of these becomes readable.
    pub(crate) fn add_stops<'a>(
        &self,
        mut stops: impl Iterator<Item = BorrowedFd<'a>>,
    ) -> io::Result<()> {
        let add = |stop| epoll::add(self.epoll()?, stop, EventData::new_u64(STOP), EventFlags::IN);
        stops.try_for_each(add).of_call("epoll_ctl(2)")
    }

    /// Makes it wake every time that `call` is written to, even after this process has closed it.
    pub(crate) fn add_call(&self, call: BorrowedFd<'_>) -> io::Result<()> {
        let every_time = EventFlags::IN | EventFlags::ET;
        epoll::add(self.epoll()?, call, EventData::new_u64(CALL), every_time)
            .of_call("epoll_ctl(2)")
    }

    /// Goes on with an epoll descriptor that waits for these alone.
    pub(crate) fn replace<'a>(
        &mut self,
        stops: impl Iterator<Item = BorrowedFd<'a>>,
    ) -> io::Result<()> {
        // Closed first, so that a process without free descriptors has this one.
        self.epoll = None;
        *self = Self::new(stops)?;
        Ok(())
    }

    /// Waits for nothing any more: every later wait fails.
    pub(crate) fn close(&mut self) {
        self.epoll = None;
        self.listeners.clear();
    }

    /// Gives up the listeners that it waits at, unless they are these, in this order.
    pub(crate) fn leave_unless_at(
        &mut self,
        each: impl Fn(Visit<'_>) -> io::Result<()>,
    ) -> io::Result<Result<(), Stale>> {
        if self.listeners.is_empty() || self.waits_at(each)? {
            return Ok(Ok(()));
        }
        self.leave()
    }

    /// Gives up all listeners that it waits at.
    pub(crate) fn leave(&mut self) -> io::Result<Result<(), Stale>> {
        let mut listeners = std::mem::take(&mut self.listeners);
        listeners.sort_unstable();
        listeners.dedup();
        let epoll = self.epoll()?;
        let leave =
            |fd| sys::borrow_descriptor(fd).is_some_and(|fd| epoll::delete(epoll, fd).is_ok());
        // What has another listener's number by now is not taken out in its place: see `epoll_ctl(2)`.
        Ok(if listeners.into_iter().all(leave) { Ok(()) } else { Err(Stale) })
    }

    /// Waits at these listeners too, if it waits at none.
    ///
    /// # Errors
    ///
    /// Fails if there is no listener: it would wait for nothing.
    pub(crate) fn wait_at(&mut self, each: impl Fn(Visit<'_>) -> io::Result<()>) -> io::Result<()> {
        if !self.listeners.is_empty() {
            return Ok(());
        }
        each(&mut |socket| self.add(socket))?;
        if self.listeners.is_empty() {
            let problem = "no listeners to accept from";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        Ok(())
    }

    /// Returns what is readable when something has happened.
    ///
    /// # Errors
    ///
    /// Fails if it waits for nothing any more.
    pub(crate) fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.epoll()?.as_fd())
    }

    fn epoll(&self) -> Result<&OwnedFd, Errno> {
        self.epoll.as_ref().ok_or(Errno::BADF)
    }

    /// Whether it waits at these listeners, in this order, and at no others.
    pub(crate) fn waits_at(&self, each: impl Fn(Visit<'_>) -> io::Result<()>) -> io::Result<bool> {
        let (mut waits, mut at) = (self.listeners.iter(), true);
        each(&mut |socket| {
            at &= waits.next() == Some(&socket.as_raw_fd());
            Ok(())
        })?;
        Ok(at && waits.next().is_none())
    }

    /// Adds a listener and makes it non-blocking.
    ///
    /// `O_NONBLOCK` belongs to the open file and so to every process that holds it; accepted
    /// connections do not inherit it on Linux (see `accept(2)`).
    fn add(&mut self, listener: BorrowedFd<'_>) -> io::Result<()> {
        let fd = listener.as_raw_fd();
        let is_there = self.listeners.contains(&fd);
        self.listeners.push(fd);
        if is_there {
            return Ok(());
        }
        let flags = fcntl_getfl(listener)?;
        if !flags.contains(OFlags::NONBLOCK) {
            fcntl_setfl(listener, flags | OFlags::NONBLOCK)?;
        }
        let data = EventData::new_u64(u64::from(fd.unsigned_abs()));
        epoll::add(self.epoll()?, listener, data, EventFlags::IN | EventFlags::EXCLUSIVE)?;
        Ok(())
    }

    /// Waits until something happens.
    ///
    /// Events are taken one at a time: the kernel then reports what is ready in turn (see "round robin" in
    /// `epoll_wait(2)`), so that clients at one listener do not wait for as long as another is busy. And a child that has
    /// slept gets first what has woken it. That it must look at, before anything else and before it leaves: where that
    /// is a connection, the wake-up was for this child alone.
    pub(crate) fn wait(&self) -> io::Result<Source> {
        loop {
            if let Some(source) = self.next(None)? {
                return Ok(source);
            }
        }
    }

    /// Returns what has happened, if anything has.
    pub(crate) fn look(&self) -> io::Result<Option<Source>> {
        self.next(Some(&Timespec::default()))
    }

    /// Returns what happens next; `None` if nothing does in that time, or a signal comes.
    fn next(&self, within: Option<&Timespec>) -> io::Result<Option<Source>> {
        let mut space = [MaybeUninit::<epoll::Event>::uninit(); 1];
        let (events, _) = match epoll::wait(self.epoll()?, &mut space, within) {
            Ok(events) => events,
            Err(Errno::INTR) => return Ok(None),
            Err(error) => return Err(error).of_call("epoll_pwait(2)"),
        };
        events.first().map(|event| Source::of(event.data.u64())).transpose()
    }
}
