//! Accepting connections until asked to leave.

use std::{io, os::fd::AsRawFd};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::{Child, Listener};
use crate::{os::Source, sys};

/// How many connections are taken besides, that were about to be established when they were counted.
const ENTERING: u32 = 64;

/// How many connections are taken at the most, of those that wait at a socket whose queue the kernel
/// does not tell.
const MOST_UNKNOWN: u32 = 4096;

/// How long a child without free descriptors waits before it tries again.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

impl Child {
    /// Waits for the next connection; `None` when the child has been asked to leave.
    ///
    /// However many children wait on one listener, one of them is woken for a connection.
    /// Connections that were aborted before they could be accepted are passed over. When the
    /// process or the system is out of descriptors or memory, that is logged once and tried again
    /// every 100 ms, in which time other children may take the connection.
    ///
    /// The listener is made non-blocking, for every process that holds it; accepted connections are
    /// blocking. It must stay open as long as the child accepts from it.
    ///
    /// # Errors
    ///
    /// Fails if `listener` is not a listening socket, or the child cannot set up its own waiting.
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
        self.stop.attend();
        let poller = self.poller()?;
        listener.each(&mut |socket| poller.add(socket))?;
        self.idle();
        let mut starved = false;
        loop {
            if self.stop.is_asked() {
                return Ok(self.drain(listener));
            }
            let socket = match self.poller()?.wait()? {
                Source::Listener(socket) => socket,
                Source::Stop => return Ok(self.drain(listener)),
                Source::Wake => continue,
            };
            // A socket of an earlier call with other listeners: not for this one.
            let Some(accepted) = listener.accept_from(socket) else {
                self.pause()?;
                continue;
            };
            match accepted {
                Ok(connection) => return Ok(Some(self.take::<L>(connection))),
                Err(error) => match verdict(&error) {
                    Verdict::Again => {}
                    Verdict::Pause => {
                        if !std::mem::replace(&mut starved, true) {
                            self.log.error(format_args!("cannot accept a connection: {error}"));
                        }
                        self.pause()?;
                    }
                    Verdict::Fail => return Err(error),
                },
            }
        }
    }

    /// Takes a connection in hand.
    fn take<L: Listener + ?Sized>(&mut self, connection: L::Connection) -> L::Connection {
        self.usage.count_request();
        self.work.accepted(L::peer(&connection));
        self.say_worked();
        connection
    }

    /// Takes one of the connections that waited when the daemon began to stop; nobody else will.
    ///
    /// A child that is merely replaced leaves them to its siblings. Their number is taken once, so
    /// that clients who keep coming to a socket that the parent cannot close do not keep the child.
    fn drain<L: Listener + ?Sized>(&mut self, listener: &L) -> Option<L::Connection> {
        if !self.stop.is_draining() {
            return None;
        }
        let mut sockets = Vec::new();
        let mut waiting = 0u32;
        let _ = listener.each(&mut |socket| {
            sockets.push(socket.as_raw_fd());
            waiting = waiting.saturating_add(
                sys::accept_queue(socket).map_or(MOST_UNKNOWN, |queue| queue.waiting),
            );
            Ok(())
        });
        let left = self.left_to_drain.get_or_insert(waiting.saturating_add(ENTERING));
        if *left == 0 {
            return None;
        }
        *left -= 1;
        let accepted = sockets.into_iter().find_map(|fd| listener.accept_from(fd)?.ok())?;
        Some(self.take::<L>(accepted))
    }

    /// Waits a moment, or until asked to leave.
    fn pause(&self) -> io::Result<()> {
        let mut stops: Vec<_> =
            self.stops().map(|stop| PollFd::from_borrowed_fd(stop, PollFlags::IN)).collect();
        match poll(&mut stops, Some(&PAUSE)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// What follows from a failed accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The connection is gone, taken by another child or by its client.
    Again,
    /// Nothing can be accepted now.
    Pause,
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
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Verdict::Pause,
        _ => Verdict::Fail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_accept_are_sorted() {
        let sorted = |errno: Errno| verdict(&errno.into());
        assert_eq!(sorted(Errno::AGAIN), Verdict::Again);
        assert_eq!(sorted(Errno::CONNABORTED), Verdict::Again);
        assert_eq!(sorted(Errno::MFILE), Verdict::Pause);
        assert_eq!(sorted(Errno::NOMEM), Verdict::Pause);
        assert_eq!(sorted(Errno::BADF), Verdict::Fail);
        assert_eq!(sorted(Errno::INVAL), Verdict::Fail);
        assert_eq!(verdict(&io::Error::other("?")), Verdict::Fail);
    }
}
