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

/// What woke a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The child was asked to leave, or its parent is gone.
    Stop,
    /// Somebody was asked to leave: it may be this child.
    Wake,
    /// A connection waits at the listener with this descriptor.
    Listener(RawFd),
}

const STOP: u64 = u64::MAX;
const WAKE: u64 = u64::MAX - 1;

/// An epoll descriptor with what a child waits for.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    listeners: Vec<RawFd>,
}

impl Poller {
    /// Makes a poller that wakes when one of `stops` becomes readable or hangs up, and every time that
    /// `wake` is written to.
    pub(crate) fn new<'a>(
        stops: impl Iterator<Item = BorrowedFd<'a>>,
        wake: Option<BorrowedFd<'_>>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        for stop in stops {
            epoll::add(&epoll, stop, EventData::new_u64(STOP), EventFlags::IN)?;
        }
        if let Some(wake) = wake {
            let every_time = EventFlags::IN | EventFlags::ET;
            epoll::add(&epoll, wake, EventData::new_u64(WAKE), every_time)?;
        }
        Ok(Self { epoll, listeners: Vec::new() })
    }

    /// Adds a listener, once, and makes it non-blocking.
    ///
    /// `O_NONBLOCK` belongs to the open file and so to every process that holds it; accepted
    /// connections do not inherit it on Linux (see `accept(2)`).
    pub(crate) fn add(&mut self, listener: BorrowedFd<'_>) -> io::Result<()> {
        let fd = listener.as_raw_fd();
        if self.listeners.contains(&fd) {
            return Ok(());
        }
        let flags = fcntl_getfl(listener)?;
        if !flags.contains(OFlags::NONBLOCK) {
            fcntl_setfl(listener, flags | OFlags::NONBLOCK)?;
        }
        let data = EventData::new_u64(u64::from(fd.unsigned_abs()));
        epoll::add(&self.epoll, listener, data, EventFlags::IN | EventFlags::EXCLUSIVE)?;
        self.listeners.push(fd);
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
                    (WAKE, None) => other = Some(Source::Wake),
                    (WAKE, Some(_)) => {}
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
