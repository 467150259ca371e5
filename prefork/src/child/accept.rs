//! Accepting connections until asked to leave.

use std::{
    io,
    os::fd::{BorrowedFd, RawFd},
    time::Duration,
};

use prefork_sockets::is_deaf;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{SocketType, sockopt},
};

use super::{Child, INSIDE, Listener};
use crate::{
    disconnect::Accepted,
    logs::ClientMessage,
    sockets::hand_over::{Ended, Unfit},
    sys::refused::Refusable,
    system::os::{Shortage, Source},
};

/// How long a child without free descriptors waits before it tries again.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// How often a child looks again whether a socket listens that has listened, 1 s in all, before it gives up.
const MOST_DEAF: u32 = 10;

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
    /// With [`one_shot`](crate::Args::one_shot) there is one connection, and `None` after it. By then `listener` has no sockets that listen any
    /// more.
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
        self.accept_or_refuse(listener, |_, connection| drop(connection))
    }

    /// Waits for the next connection, as [`accept`](Self::accept) does, and calls `refuse` with each whose client has waited
    /// longer than [`queue_limit`](crate::Args::queue_limit) allows. Without that nobody is refused.
    ///
    /// `refuse` is to answer at once and close, in microseconds: others wait meanwhile. It is not a request of the child's: the
    /// board does not show it, and no limit counts it. Where the client has sent something that is not read, closing
    /// resets the connection, and the client may not see the answer: read what is there, without waiting.
    ///
    /// # Errors
    ///
    /// Those of [`accept`](Self::accept).
    ///
    /// # Signals
    ///
    /// As with [`accept`](Self::accept).
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::Args;
    /// use std::{io::{Read, Write}, time::Duration};
    ///
    /// const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\
    ///     Connection: close\r\n\r\n";
    ///
    /// let args = Args::new()
    ///     .queue_limit(Duration::from_millis(500))
    ///     .after_init(|init| Ok(init.listen("127.0.0.1:0")?))
    ///     .main_loop(|child, listener| {
    ///         while let Some((mut connection, _peer)) = child.accept_or_refuse(listener, |_, (mut late, _)| {
    ///             // What has come of the request, and no more.
    ///             if late.set_nonblocking(true).is_ok() {
    ///                 let _ = late.read(&mut [0; 8192]);
    ///                 let _ = late.write_all(BUSY);
    ///             }
    ///         })? {
    ///             let _ = connection.write_all(b"hello\n");
    ///         }
    ///         Ok(())
    ///     });
    /// # drop(args);
    /// ```
    pub fn accept_or_refuse<L: Listener + ?Sized>(
        &mut self,
        listener: &L,
        mut refuse: impl FnMut(&mut Self, L::Connection),
    ) -> io::Result<Option<L::Connection>> {
        let refuse = &mut refuse;
        self.require_here()?;
        self.stop.attend();
        if self.is_spent() {
            self.work.end();
            return Ok(None);
        }
        self.poller(listener)?;
        self.wait_for_work();
        self.starvation.begin();
        self.deaf = 0;
        loop {
            if self.stop.is_asked() {
                return self.drain(listener, refuse);
            }
            let socket = match self.poller(listener)?.wait()? {
                Source::Listener(socket) => socket,
                Source::Stop => return self.drain(listener, refuse),
                Source::Call => {
                    self.access_log.follow();
                    continue;
                }
            };
            match self.accept_at(listener, socket)? {
                Ok(connection) => {
                    if let Some(connection) = self.admit::<L>(connection, refuse) {
                        return self.take(listener, connection).map(Some);
                    }
                }
                Err(HeldUp::Again) => {}
                Err(HeldUp::Pause) => {
                    if pause(self.stops())? {
                        return self.drain(listener, refuse);
                    }
                    self.listen_again(listener);
                }
            }
        }
    }

    /// Accepts from the socket that the poller has named.
    pub(super) fn accept_at<L: Listener + ?Sized>(
        &mut self,
        listener: &L,
        socket: RawFd,
    ) -> io::Result<Result<L::Connection, HeldUp>> {
        match listener.accept_from(INSIDE, socket) {
            Some(Ok(connection)) => Ok(Ok(connection)),
            Some(Err(error)) if Ended::is_behind(&error) && has_any(listener)? => {
                self.log.write(&ClientMessage::HandOversEnded { error: &error });
                Ok(Err(HeldUp::Again))
            }
            Some(Err(error)) => self.held_up(error).map(Err),
            // It is one of these: the poller waits at no other.
            None => self.held_up(Errno::BADF.into()).map(Err),
        }
    }

    /// Decides what follows from a failed accept, where the child can go on.
    fn held_up(&mut self, error: io::Error) -> io::Result<HeldUp> {
        if let Some(unfit) = Unfit::behind(&error) {
            self.complain(unfit);
            return Ok(HeldUp::Again);
        }
        match accept_failure(&error) {
            AcceptFailure::Again => Ok(HeldUp::Again),
            AcceptFailure::Pause => {
                self.say_starved(&error);
                Ok(HeldUp::Pause)
            }
            // Another child has shut it down. If the parent knows the socket, it has it listen again.
            AcceptFailure::Deaf
                if self.deaf < MOST_DEAF && !Ended::is_behind(&error) && self.ring() =>
            {
                self.deaf += 1;
                Ok(HeldUp::Pause)
            }
            AcceptFailure::Deaf | AcceptFailure::Fail => Err(error).if_refused("accept4(2)"),
        }
    }

    /// Notes after a pause whether all listen that did not.
    pub(super) fn listen_again<L: Listener + ?Sized>(&mut self, listener: &L) {
        if self.deaf > 0 && all_listen(listener) {
            self.deaf = 0;
        }
    }

    /// Takes a connection in hand.
    pub(super) fn take<L: Listener + ?Sized>(
        &mut self,
        listener: &L,
        connection: L::Connection,
    ) -> io::Result<L::Connection> {
        self.starvation.end();
        let queued = self.queueing.last();
        self.work.accepted(L::peer(INSIDE, &connection), queued, || {
            let (socket, client) = L::socket(INSIDE, &connection);
            Accepted::new(socket, client).ok()
        });
        self.say_worked();
        self.note_client(listener)?;
        Ok(connection)
    }

    pub(super) fn say_starved(&mut self, error: &io::Error) {
        if self.starvation.is_new() {
            let short = Shortage::behind(error);
            self.log.write(&ClientMessage::CannotAccept { error, shortage: &short });
        }
    }
}

/// Whether there is any socket left to accept from.
fn has_any<L: Listener + ?Sized>(listener: &L) -> io::Result<bool> {
    let mut has_any = false;
    listener.each(INSIDE, &mut |_| {
        has_any = true;
        Ok(())
    })?;
    Ok(has_any)
}

/// Returns whether all of these sockets listen.
fn all_listen<L: Listener + ?Sized>(listener: &L) -> bool {
    let all = listener.each(INSIDE, &mut |socket| match is_deaf(socket) {
        // What other pools hand over comes by a socket that never listens.
        _ if is_seqpacket(socket) => Ok(()),
        Ok(false) => Ok(()),
        Ok(true) => Err(io::ErrorKind::NotConnected.into()),
        Err(error) => Err(error),
    });
    all.is_ok()
}

/// Whether it is one by which other pools hand connections over.
pub(super) fn is_seqpacket(socket: BorrowedFd<'_>) -> bool {
    sockopt::socket_type(socket) == Ok(SocketType::SEQPACKET)
}

/// Waits a moment, or until one of these becomes readable or hangs up; returns whether one has.
pub(super) fn pause<'a>(until: impl IntoIterator<Item = BorrowedFd<'a>>) -> io::Result<bool> {
    let until = until.into_iter();
    let mut fds: Vec<_> = until.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
    let pause = Timespec::try_from(PAUSE).expect("it is short");
    match poll(&mut fds, Some(&pause)) {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What a child does after a failed accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeldUp {
    /// It tries again.
    Again,
    /// It tries again after [`PAUSE`].
    Pause,
}

/// What is behind a failed accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AcceptFailure {
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
pub(super) fn accept_failure(error: &io::Error) -> AcceptFailure {
    match Errno::from_io_error(error) {
        Some(
            Errno::AGAIN
            | Errno::INTR
            | Errno::CONNABORTED
            | Errno::PROTO
            | Errno::NETDOWN
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::NETUNREACH
            | Errno::TIMEDOUT,
        ) => AcceptFailure::Again,
        None if Ended::is_behind(error) => AcceptFailure::Deaf,
        // It was no connection.
        None if Unfit::behind(error).is_some() => AcceptFailure::Again,
        Some(Errno::INVAL) => AcceptFailure::Deaf,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM | Errno::PERM) => {
            AcceptFailure::Pause
        }
        _ => AcceptFailure::Fail,
    }
}

#[cfg(test)]
pub(super) mod tests;
