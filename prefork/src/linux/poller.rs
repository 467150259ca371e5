//! How a child waits for connections, or to be told to leave.
//!
//! Any number of children waiting in `poll(2)` on one listener all wake for every connection. With
//! `EPOLLEXCLUSIVE` (see `epoll_ctl(2)`) the kernel wakes one, and of those that wait it prefers the
//! one that began last: the warmest, while the others go idle. Each child has an epoll descriptor
//! of its own, made after the fork; one from before would be shared.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

use rustix::{
    event::epoll::{self, CreateFlags, EventData, EventFlags},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
};

use crate::{Listener, child::INSIDE};

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

const STOP: u64 = u64::MAX;
const CALL: u64 = u64::MAX - 1;

/// An epoll descriptor with what a child waits for.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    /// The listeners in the order in which they were added, some of them perhaps more than once.
    listeners: Vec<RawFd>,
}

impl Poller {
    /// Makes a poller that wakes when a connection waits at one of these listeners, when one of `stops`
    /// becomes readable, and with every `call`.
    ///
    /// # Errors
    ///
    /// Fails if there is no listener: it would wait for nothing.
    pub(crate) fn new<'a, L: Listener + ?Sized>(
        listener: &L,
        stops: impl Iterator<Item = BorrowedFd<'a>>,
        call: Option<BorrowedFd<'_>>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        for stop in stops {
            epoll::add(&epoll, stop, EventData::new_u64(STOP), EventFlags::IN)?;
        }
        if let Some(call) = call {
            let every_time = EventFlags::IN | EventFlags::ET;
            epoll::add(&epoll, call, EventData::new_u64(CALL), every_time)?;
        }
        let mut poller = Self { epoll, listeners: Vec::new() };
        listener.each(INSIDE, &mut |socket| poller.add(socket))?;
        if poller.listeners.is_empty() {
            let problem = "no listeners to accept from";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        Ok(poller)
    }

    /// Whether it waits at these listeners, in this order, and at no others.
    pub(crate) fn waits_at<L: Listener + ?Sized>(&self, listener: &L) -> io::Result<bool> {
        let (mut waits, mut at) = (self.listeners.iter(), true);
        listener.each(INSIDE, &mut |socket| {
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
        epoll::add(&self.epoll, listener, data, EventFlags::IN | EventFlags::EXCLUSIVE)?;
        Ok(())
    }

    /// Waits until something happens.
    ///
    /// A connection is reported before a stop: the wake-up may have been meant for this child
    /// alone, and if it left without looking, the connection would wait for the next one to come.
    pub(crate) fn wait(&self) -> io::Result<Source> {
        let mut space = [MaybeUninit::<epoll::Event>::uninit(); 8];
        loop {
            let (events, _) = match epoll::wait(&self.epoll, &mut space, None) {
                Ok(events) => events,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let mut other = None;
            for event in events.iter() {
                match (event.data.u64(), other) {
                    (STOP, _) => other = Some(Source::Stop),
                    (CALL, None) => other = Some(Source::Call),
                    (CALL, Some(_)) => {}
                    (fd, _) => {
                        return RawFd::try_from(fd).map(Source::Listener).map_err(io::Error::other);
                    }
                }
            }
            if let Some(other) = other {
                return Ok(other);
            }
        }
    }
}
