//! Accepting connections until asked to leave.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, retry_on_intr},
};

use super::{Child, INSIDE, Listener};
use crate::{listeners::is_deaf, os::Source, sys::listening};

/// How many connections are taken besides, that were about to be established when they were counted.
const ENTERING: u32 = 64;

/// How many connections are taken at the most, of those that wait at a socket whose queue the kernel
/// does not tell.
const MOST_UNKNOWN: u32 = 4096;

/// How long a child without free descriptors waits before it tries again.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// How often a child looks again whether a socket listens that has listened, 1 s in all, before it gives up.
const MOST_DEAF: u32 = 10;

/// How often it does so, 5 s in all, when it has been asked to leave and somebody still waits.
const MOST_PAUSES: u32 = 50;

impl Child {
    /// Waits for the next connection; `None` when the child has been asked to leave.
    ///
    /// However many children wait on one listener, one of them is woken for a connection.
    /// Connections that were aborted before they could be accepted are passed over. When the
    /// process or the system is out of descriptors or memory, that is logged once, until it is over,
    /// and tried again every 100 ms, in which time other children may take the connection.
    ///
    /// Each call may be about other listeners; one that always is about the same costs least. They are
    /// made non-blocking, for every process that holds them; accepted connections are blocking. They
    /// must stay open as long as the child accepts from them.
    ///
    /// # Errors
    ///
    /// Fails if `listener` is not a listening socket or an empty list of them, or the child cannot set up
    /// its own waiting; and in a copy of the child.
    ///
    /// # Signals
    ///
    /// From the first call on, `SIGTERM` no longer ends the process but makes this return `None`. The
    /// parent asks without a signal, so the request in hand is never interrupted.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::Args;
    /// use std::{io::Write, net::TcpListener};
    ///
    /// let args = Args::new()
    ///     .after_init(|_init| Ok(TcpListener::bind("127.0.0.1:0")?))
    ///     .main_loop(|child, listener| {
    ///         while let Some((mut connection, _peer)) = child.accept(listener)? {
    ///             // A client that has gone is no reason to end the child.
    ///             let _ = connection.write_all(b"hello\n");
    ///         }
    ///         Ok(())
    ///     });
    /// # drop(args);
    /// ```
    pub fn accept<L: Listener + ?Sized>(
        &mut self,
        listener: &L,
    ) -> io::Result<Option<L::Connection>> {
        self.require_here()?;
        self.stop.attend();
        self.poller(listener)?;
        self.wait_for_work();
        self.starvation.begin();
        let mut deaf = 0;
        loop {
            if self.stop.is_asked() {
                return self.drain(listener);
            }
            let socket = match self.poller(listener)?.wait()? {
                Source::Listener(socket) => socket,
                Source::Stop => return self.drain(listener),
                Source::Call => continue,
            };
            // It is one of these: the poller waits at no other.
            let accepted =
                listener.accept_from(INSIDE, socket).unwrap_or_else(|| Err(Errno::BADF.into()));
            let error = match accepted {
                Ok(connection) => return Ok(Some(self.take::<L>(connection))),
                Err(error) => error,
            };
            match verdict(&error) {
                Verdict::Again => {}
                Verdict::Pause => {
                    self.say_starved(&error);
                    if pause(self.stops())? {
                        return self.drain(listener);
                    }
                }
                // Another child has shut it down. If the parent knows the socket, it has it listen again.
                Verdict::Deaf if deaf < MOST_DEAF && self.ring() => {
                    if pause(self.stops())? {
                        return self.drain(listener);
                    }
                    deaf = if all_listen(listener) { 0 } else { deaf + 1 };
                }
                Verdict::Deaf | Verdict::Fail => return Err(error),
            }
        }
    }

    /// Takes a connection in hand.
    fn take<L: Listener + ?Sized>(&mut self, connection: L::Connection) -> L::Connection {
        self.starvation.end();
        self.usage.count_request();
        self.work.accepted(L::peer(INSIDE, &connection));
        self.say_worked();
        connection
    }

    /// Takes one of the connections that waited when the daemon began to stop; nobody else will.
    ///
    /// A child that is merely replaced leaves them to its siblings. Their number is taken once, so
    /// that clients who keep coming to a socket that the parent cannot close do not keep the child.
    /// Nor does a lack of descriptors that does not pass.
    fn drain<L: Listener + ?Sized>(&mut self, listener: &L) -> io::Result<Option<L::Connection>> {
        if !self.stop.is_draining() {
            return Ok(None);
        }
        let mut left = self.left_to_drain.unwrap_or_else(|| waiting(listener));
        let mut pauses = 0;
        while left > 0
            && pauses < MOST_PAUSES
            && let Some(socket) = who_is_ready(listener)?
        {
            left -= 1;
            self.left_to_drain = Some(left);
            let error = match listener.accept_from(INSIDE, socket) {
                Some(Ok(connection)) => return Ok(Some(self.take::<L>(connection))),
                Some(Err(error)) => error,
                None => break,
            };
            match verdict(&error) {
                Verdict::Again => {}
                Verdict::Pause => {
                    left += 1;
                    pauses += 1;
                    self.say_starved(&error);
                    // It has been asked to leave, and now only wants to know that its parent is there.
                    let tether = self.tether.as_ref().map(|tether| tether.parent.as_fd());
                    if pause(tether)? {
                        break;
                    }
                }
                // Nobody waits there any more.
                Verdict::Deaf => break,
                Verdict::Fail => return Err(error),
            }
        }
        Ok(None)
    }

    fn say_starved(&mut self, error: &io::Error) {
        if self.starvation.is_new() {
            self.log.error(format_args!("cannot accept a connection: {error}"));
        }
    }
}

/// How many connections may be taken of those that wait now.
fn waiting<L: Listener + ?Sized>(listener: &L) -> u32 {
    let mut waiting = ENTERING;
    let _ = listener.each(INSIDE, &mut |socket| {
        let queue = listening::accept_queue(socket);
        waiting = waiting.saturating_add(queue.map_or(MOST_UNKNOWN, |queue| queue.waiting));
        Ok(())
    });
    waiting
}

/// Tells whether all of these sockets listen.
fn all_listen<L: Listener + ?Sized>(listener: &L) -> bool {
    let all = listener.each(INSIDE, &mut |socket| match is_deaf(socket) {
        Ok(false) => Ok(()),
        Ok(true) => Err(io::ErrorKind::NotConnected.into()),
        Err(error) => Err(error),
    });
    all.is_ok()
}

/// Returns the first socket at which a connection waits.
///
/// A process without free descriptors is told so by `accept(2)` whether one waits or not. They are asked one
/// by one, as `poll(2)` takes no more than a process may have open.
fn who_is_ready<L: Listener + ?Sized>(listener: &L) -> io::Result<Option<RawFd>> {
    let mut ready = None;
    listener.each(INSIDE, &mut |socket| {
        let mut fds = [PollFd::from_borrowed_fd(socket, PollFlags::IN)];
        if ready.is_none() && retry_on_intr(|| poll(&mut fds, Some(&Timespec::default())))? > 0 {
            ready = Some(socket.as_raw_fd());
        }
        Ok(())
    })?;
    Ok(ready)
}

/// Waits a moment, or until one of these becomes readable or hangs up; tells whether one has.
fn pause<'a>(until: impl IntoIterator<Item = BorrowedFd<'a>>) -> io::Result<bool> {
    let until = until.into_iter();
    let mut fds: Vec<_> = until.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
    match poll(&mut fds, Some(&PAUSE)) {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What follows from a failed accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The connection is gone, taken by another child or by its client.
    Again,
    /// Nothing can be accepted now.
    Pause,
    /// The socket does not listen.
    Deaf,
    /// Nothing will ever be accepted.
    Fail,
}

/// Sorts the errors of `accept(2)`, among them the network errors that it passes on.
fn verdict(error: &io::Error) -> Verdict {
    match Errno::from_io_error(error) {
        Some(
            Errno::AGAIN
            | Errno::INTR
            | Errno::CONNABORTED
            | Errno::PROTO
            | Errno::PERM
            | Errno::NETDOWN
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::NETUNREACH
            | Errno::TIMEDOUT,
        ) => Verdict::Again,
        Some(Errno::INVAL) => Verdict::Deaf,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Verdict::Pause,
        _ => Verdict::Fail,
    }
}

#[cfg(test)]
mod tests;
