//! Waits for the next connection without taking the wake-up of whoever is to accept it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::event::epoll;

use crate::sys::PollOnce;

/// What waits at the listening sockets of a program.
#[derive(Debug)]
pub(crate) struct Arm {
    sockets: Vec<OwnedFd>,
    way: Way,
    is_armed: bool,
}

#[derive(Debug)]
enum Way {
    Once(PollOnce),
    /// Where the kernel refuses the other: a connection that was accepted at once ends no wait, and each further one wakes this
    /// process for a moment.
    Epoll(OwnedFd),
}

/// Since when a connection is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    Already,
    /// This moment.
    Since,
}

impl Arm {
    /// Waits from now on.
    pub(crate) fn new(sockets: Vec<OwnedFd>) -> io::Result<Self> {
        let once = PollOnce::new(sockets.len()).and_then(|mut once| {
            once.wait(&sockets)?;
            Ok(once)
        });
        let way = match once {
            Ok(once) => Way::Once(once),
            Err(_) => Way::by_epoll(&sockets)?,
        };
        Ok(Self { sockets, way, is_armed: true })
    }

    /// What becomes readable when one has come, while it [waits](Self::wait).
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        match &self.way {
            Way::Once(once) => once.fd(),
            Way::Epoll(epoll) => epoll.as_fd(),
        }
    }

    /// Waits for the next connection, if it does not already.
    pub(crate) fn wait(&mut self) -> io::Result<Waits> {
        if std::mem::replace(&mut self.is_armed, true) {
            return Ok(Waits::Already);
        }
        match &mut self.way {
            Way::Once(once) => once.wait(&self.sockets)?,
            Way::Epoll(epoll) => set(epoll, &self.sockets, EVENTS)?,
        }
        Ok(Waits::Since)
    }

    /// Waits for none from then on.
    pub(crate) fn stop_waiting(&mut self) -> io::Result<()> {
        self.is_armed = false;
        match &self.way {
            // It has ended.
            Way::Once(_) => Ok(()),
            Way::Epoll(epoll) => set(epoll, &self.sockets, epoll::EventFlags::empty()),
        }
    }
}

impl Way {
    fn by_epoll(sockets: &[OwnedFd]) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for socket in sockets {
            epoll::add(&epoll, socket, epoll::EventData::new_u64(0), EVENTS)?;
        }
        Ok(Self::Epoll(epoll))
    }
}

/// Not exclusive: that could take the wake-up of the program.
const EVENTS: epoll::EventFlags = epoll::EventFlags::IN.union(epoll::EventFlags::ONESHOT);

fn set(epoll: &OwnedFd, sockets: &[OwnedFd], events: epoll::EventFlags) -> io::Result<()> {
    for socket in sockets {
        epoll::modify(epoll, socket, epoll::EventData::new_u64(0), events)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
