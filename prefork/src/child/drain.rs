//! Taking the connections that wait when the daemon stops: nobody else will.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use prefork_sockets::{accept_queue, is_closed};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::retry_on_intr,
    net::sockopt,
};

use super::{
    Child, INSIDE, Listener,
    accept::{AcceptFailure, accept_failure, is_seqpacket, pause},
};

/// How many connections are taken from a socket that still lets newcomers in, where the kernel does not say how many wait.
const MOST_UNKNOWN: u32 = 64;

/// How many connections are taken that other pools have handed over, of which the kernel does not say how many wait either:
/// more than its default has room for.
const MOST_HANDED: u32 = 1024;

/// How often a child without free descriptors tries again, 5 s in all, while somebody may still wait.
const MOST_PAUSES: u32 = 50;

/// What is taken of what waits.
#[derive(Debug, Default)]
pub(super) struct Drain {
    /// The sockets that outlive the daemon, by their cookies: clients that wait there are left to its next start.
    outliving: Vec<u64>,
    /// How many connections may still be taken, of each socket that was asked.
    left: Vec<(RawFd, u32)>,
    /// How often nothing could be accepted since the last connection.
    pauses: u32,
}

impl Drain {
    pub(super) const fn new(outliving: Vec<u64>) -> Self {
        Self { outliving, left: Vec::new(), pauses: 0 }
    }

    /// Returns how many connections may still be taken from a socket.
    ///
    /// All that wait, where no more come. Of a socket that the parent could not close, or does not know, as many as wait
    /// when it is first asked, so that clients who keep coming do not keep the child.
    fn left(&mut self, socket: BorrowedFd<'_>) -> &mut u32 {
        let fd = socket.as_raw_fd();
        let known = self.left.iter().position(|(known, _)| *known == fd);
        let place = known.unwrap_or_else(|| {
            self.left.push((fd, self.most(socket)));
            self.left.len() - 1
        });
        &mut self.left[place].1
    }

    fn most(&self, socket: BorrowedFd<'_>) -> u32 {
        let outlives = !self.outliving.is_empty()
            && sockopt::socket_cookie(socket).is_ok_and(|cookie| self.outliving.contains(&cookie));
        if outlives {
            0
        } else if is_seqpacket(socket) {
            MOST_HANDED
        } else if is_closed(socket) {
            u32::MAX
        } else {
            accept_queue(socket).map_or(MOST_UNKNOWN, |queue| queue.waiting)
        }
    }

    /// Counts an attempt to take a connection from a socket that was asked.
    fn count(&mut self, fd: RawFd) {
        if let Some((_, left)) = self.left.iter_mut().find(|(known, _)| *known == fd) {
            *left = left.saturating_sub(1);
        }
    }
}

/// What asking for one of the connections that waited has come to.
#[derive(Debug)]
pub(super) enum Drained<C> {
    Connection(C),
    /// None is left.
    Nothing,
    /// Somebody may wait, and nothing can be accepted now.
    Starved(io::Error),
}

impl Child {
    /// Takes one of the connections that waited when the daemon began to stop; `None` if there is none left.
    ///
    /// A child that is merely replaced leaves them to its siblings.
    pub(super) fn drain<L: Listener + ?Sized>(
        &mut self,
        listener: &L,
        refuse: &mut dyn FnMut(&mut Self, L::Connection),
    ) -> io::Result<Option<L::Connection>> {
        loop {
            match self.try_drain(listener)? {
                Drained::Connection(connection) => {
                    if let Some(connection) = self.admit::<L>(connection, refuse) {
                        return self.take(listener, connection).map(Some);
                    }
                }
                Drained::Nothing => return Ok(None),
                Drained::Starved(error) => {
                    self.say_starved(&error);
                    // It has been asked to leave, and now only wants to know that its parent is there.
                    let tether = self.tether.as_ref().map(|tether| tether.parent.as_fd());
                    if pause(tether)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The same, without waiting and without taking it in hand.
    pub(super) fn try_drain<L: Listener + ?Sized>(
        &mut self,
        listener: &L,
    ) -> io::Result<Drained<L::Connection>> {
        if !self.stop.is_draining() {
            return Ok(Drained::Nothing);
        }
        let mut sockets = Vec::new();
        listener.each(INSIDE, &mut |socket| {
            sockets.push((socket.as_raw_fd(), *self.drain.left(socket)));
            Ok(())
        })?;
        for (socket, left) in sockets {
            match self.drain_one(listener, socket, left)? {
                Drained::Nothing => {}
                Drained::Connection(connection) => {
                    self.drain.pauses = 0;
                    return Ok(Drained::Connection(connection));
                }
                Drained::Starved(error) if self.drain.pauses < MOST_PAUSES => {
                    self.drain.pauses += 1;
                    return Ok(Drained::Starved(error));
                }
                Drained::Starved(_) => {}
            }
        }
        Ok(Drained::Nothing)
    }

    /// Takes one of the `left` connections that may be taken from one socket.
    fn drain_one<L: Listener + ?Sized>(
        &mut self,
        listener: &L,
        socket: RawFd,
        left: u32,
    ) -> io::Result<Drained<L::Connection>> {
        for _ in 0..left {
            let error = match listener.accept_from(INSIDE, socket) {
                Some(Ok(connection)) => {
                    self.drain.count(socket);
                    return Ok(Drained::Connection(connection));
                }
                Some(Err(error)) => error,
                None => return Ok(Drained::Nothing),
            };
            match accept_failure(&error) {
                AcceptFailure::Again if error.kind() == io::ErrorKind::WouldBlock => break,
                AcceptFailure::Again => self.drain.count(socket),
                // accept(2) says so whether somebody waits or not.
                AcceptFailure::Pause if may_be_waited_at(listener, socket)? => {
                    return Ok(Drained::Starved(error));
                }
                AcceptFailure::Pause | AcceptFailure::Deaf => break,
                AcceptFailure::Fail => return Err(error),
            }
        }
        Ok(Drained::Nothing)
    }
}

/// Returns whether somebody waits at the socket with this descriptor; of a UNIX socket that was shut down the kernel does not
/// say that nobody does.
fn may_be_waited_at<L: Listener + ?Sized>(listener: &L, fd: RawFd) -> io::Result<bool> {
    let mut is_ready = false;
    listener.each(INSIDE, &mut |socket| {
        if socket.as_raw_fd() == fd {
            let mut fds = [PollFd::from_borrowed_fd(socket, PollFlags::IN)];
            is_ready = retry_on_intr(|| poll(&mut fds, Some(&Timespec::default())))? > 0;
        }
        Ok(())
    })?;
    Ok(is_ready)
}
