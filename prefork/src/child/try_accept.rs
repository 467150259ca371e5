//! Accepting in loops that wait elsewhere: async runtimes, event loops of other languages.
//!
//! What such a loop waits for is the child's epoll descriptor itself. An epoll descriptor that another one waits for
//! has no sleeper of its own, so `EPOLLEXCLUSIVE` there spares nobody: the kernel wakes each child that sleeps, and
//! puts it back to sleep as soon as a sibling has taken the connection. Measured, that is a few microseconds for each
//! child and connection. It also spreads connections that stay over all children, where an exclusive wake-up would give them
//! to the warmest.

use std::{io, os::fd::BorrowedFd, time::Duration};

use super::{
    Child, Listener,
    accept::{HeldUp, PAUSE},
    drain::Drained,
};
use crate::system::os::{Source, Stale};

/// What [`Child::try_accept`] has found.
#[derive(Debug)]
pub enum TryAccept<C> {
    /// A connection that waited. It is blocking.
    Connection(C),
    /// No connection waits: wait for the descriptor of [`Child::accept_fd`].
    Nothing,
    /// None can be accepted before this time is over, as the process or the system is out of descriptors or memory, which
    /// is logged. Until the next call the descriptor becomes readable only when the child is asked to leave.
    Pause(Duration),
    /// The child has been asked to leave, and nobody waits for it: finish what is in hand, and return.
    Stop,
}

impl Child {
    /// Returns a descriptor that becomes readable when a connection waits at `listener`, or the child is asked to leave.
    ///
    /// For loops that wait in a runtime or an event loop of their own. Then call [`try_accept`](Self::try_accept) with the same
    /// listener until it returns no connection. It may have nothing, as other children are woken too; so wait for it
    /// in whatever way you like, edge-triggered or not, but do not read from it, and do not change it.
    ///
    /// It stays the same descriptor as long as the listeners stay open. The listeners are made non-blocking, for every process
    /// that holds them. For tokio there is the crate `prefork-tokio`, which does all this.
    ///
    /// # Errors
    ///
    /// Fails if `listener` is not a listening socket or an empty list of them, or the child cannot set up
    /// its own waiting; and in a copy of the child.
    ///
    /// # Signals
    ///
    /// As with [`accept`](Self::accept): from the first call on `SIGTERM` only asks, and the parent asks without a signal.
    pub fn accept_fd<L: Listener + ?Sized>(&mut self, listener: &L) -> io::Result<BorrowedFd<'_>> {
        self.require_here()?;
        self.stop.attend();
        // One that has had its only client waits at no listener any more.
        if !self.is_spent() {
            self.poller(listener)?;
        }
        self.say_ready();
        self.poller.descriptor()
    }

    /// Takes a connection that waits at `listener`, without waiting for one.
    ///
    /// Where the child has been asked to leave because the daemon stops, it takes those that wait already, as
    /// [`accept`](Self::accept) does, and then returns [`TryAccept::Stop`]. With [`one_shot`](crate::Args::one_shot) that is
    /// what comes after the first connection.
    ///
    /// Unlike `accept` it reports nothing of what the child has in hand, as that may be much at once. Of clients that have waited
    /// longer than [`queue_limit`](crate::Args::queue_limit) allows it closes the connections, and goes on with the next.
    ///
    /// # Errors
    ///
    /// Those of [`accept`](Self::accept).
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::{Args, TryAccept};
    /// use rustix::event::{PollFd, PollFlags, poll};
    /// use std::io::Write;
    ///
    /// let args = Args::new()
    ///     .after_init(|init| Ok(init.listen("127.0.0.1:0")?))
    ///     .main_loop(|child, listener| {
    ///         let ready = child.accept_fd(listener)?.try_clone_to_owned()?;
    ///         loop {
    ///             match child.try_accept(listener)? {
    ///                 TryAccept::Connection((mut connection, _peer)) => {
    ///                     let _ = connection.write_all(b"hello\n");
    ///                 }
    ///                 // Whatever else this loop waits for is waited for here too.
    ///                 TryAccept::Nothing => {
    ///                     poll(&mut [PollFd::new(&ready, PollFlags::IN)], None)?;
    ///                 }
    ///                 TryAccept::Pause(time) => {
    ///                     poll(&mut [PollFd::new(&ready, PollFlags::IN)], Some(&time.try_into()?))?;
    ///                 }
    ///                 TryAccept::Stop => return Ok(()),
    ///             }
    ///         }
    ///     });
    /// # drop(args);
    /// ```
    pub fn try_accept<L: Listener + ?Sized>(
        &mut self,
        listener: &L,
    ) -> io::Result<TryAccept<L::Connection>> {
        self.require_here()?;
        self.stop.attend();
        if self.is_spent() {
            return Ok(TryAccept::Stop);
        }
        self.poller(listener)?;
        self.say_ready();
        self.access_log.follow();
        self.listen_again(listener);
        self.starvation.begin();
        loop {
            if self.stop.is_asked() {
                return self.try_leave(listener);
            }
            let socket = match self.poller(listener)?.look()? {
                Some(Source::Listener(socket)) => socket,
                Some(Source::Stop) => return self.try_leave(listener),
                Some(Source::Call) => continue,
                None => return Ok(TryAccept::Nothing),
            };
            match self.accept_at(listener, socket)? {
                Ok(connection) => {
                    if let Some(connection) = self.admit::<L>(connection, &mut close) {
                        return self.taken(listener, connection);
                    }
                }
                Err(HeldUp::Again) => {}
                Err(HeldUp::Pause) => return self.try_later(),
            }
        }
    }

    /// Waits at no listener until the next [`try_accept`](Self::try_accept), as a child that has as much in hand as it can.
    ///
    /// Until then the descriptor of [`accept_fd`](Self::accept_fd) becomes readable only when somebody is asked to leave;
    /// [`should_stop`](Self::should_stop) says whether it is this child. Connections wait for others, or for this one.
    ///
    /// # Errors
    ///
    /// Fails if the child cannot change what it waits for, and in a copy of the child.
    pub fn pause_accepting(&mut self) -> io::Result<()> {
        self.require_here()?;
        if let Err(Stale) = self.poller.leave()? {
            self.replace_poller()?;
        }
        // It is readable for as long as there is something that nobody has looked at.
        while let Some(Source::Call | Source::Listener(_)) = self.poller.look()? {}
        Ok(())
    }

    fn taken<L: Listener + ?Sized>(
        &mut self,
        listener: &L,
        connection: L::Connection,
    ) -> io::Result<TryAccept<L::Connection>> {
        self.starvation.end();
        self.deaf = 0;
        self.work.note_queued(self.queueing.last());
        self.say_worked();
        self.note_client(listener)?;
        Ok(TryAccept::Connection(connection))
    }

    /// Takes what waits when the daemon stops.
    fn try_leave<L: Listener + ?Sized>(
        &mut self,
        listener: &L,
    ) -> io::Result<TryAccept<L::Connection>> {
        loop {
            match self.try_drain(listener)? {
                Drained::Connection(connection) => {
                    if let Some(connection) = self.admit::<L>(connection, &mut close) {
                        return self.taken(listener, connection);
                    }
                }
                Drained::Nothing => return Ok(TryAccept::Stop),
                Drained::Starved(error) => {
                    self.say_starved(&error);
                    return self.try_later();
                }
            }
        }
    }

    fn try_later<C>(&mut self) -> io::Result<TryAccept<C>> {
        self.pause_accepting()?;
        Ok(TryAccept::Pause(PAUSE))
    }
}

/// Refuses a client without a word.
fn close<C>(_: &mut Child, connection: C) {
    drop(connection);
}

#[cfg(test)]
mod tests;
