//! Waiting for the next request on a connection that is kept, or for the request to leave.

use std::{
    io, iter,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
};

use super::Child;
use crate::{
    system::clock::{self, Slept},
    system::os::{Source, Stale},
};

/// What [`Child::wait_readable`] has waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "what is to be done depends on it"]
pub enum Waited {
    /// Something can be read, be it the end of the connection or its failure.
    Readable,
    /// The child has been asked to leave, and nothing can be read.
    Stop,
    /// The time is over, and nothing can be read.
    TimedOut,
}

impl Child {
    /// Waits until something can be read from `connection`, the child is asked to leave, or so much time has passed.
    ///
    /// For connections that are kept between two requests, after [`keep_alive`](Self::keep_alive): a child that waits in
    /// `read(2)` leaves when the client sends something or a time limit for reading is over, and so long a reload takes. Here it
    /// leaves at once. What the client has sent by then can be read first: it is answered, with word that the connection
    /// will be closed (`Connection: close`).
    ///
    /// The kernel is asked. So look first into what was read ahead, as by a `BufReader`, or decrypted. A client that sends
    /// slowly still takes a time limit for reading.
    ///
    /// # Errors
    ///
    /// Fails if `connection` cannot be waited for (see `poll(2)`), or the child cannot set up its own waiting; and in a copy
    /// of the child.
    ///
    /// # Signals
    ///
    /// As with [`accept`](Self::accept). Other signals that are handled do not end it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use prefork::{Args, Waited};
    /// # use std::{io, net::TcpStream, time::Duration};
    /// # fn read_request(_: &mut TcpStream) -> io::Result<Option<String>> { Ok(None) }
    /// # fn answer(_: &mut TcpStream, _: &str, _is_last: bool) -> io::Result<()> { Ok(()) }
    /// const KEPT_FOR: Duration = Duration::from_secs(60);
    ///
    /// let args = Args::new()
    ///     .after_init(|init| Ok(init.listen("127.0.0.1:0")?))
    ///     .main_loop(|child, listener| {
    ///         while let Some((mut connection, _peer)) = child.accept(listener)? {
    ///             while child.wait_readable(&connection, KEPT_FOR)? == Waited::Readable {
    ///                 let Ok(Some(request)) = read_request(&mut connection) else { break };
    ///                 child.busy(&request);
    ///                 let is_last = child.should_stop();
    ///                 if answer(&mut connection, &request, is_last).is_err() || is_last {
    ///                     break;
    ///                 }
    ///                 child.keep_alive();
    ///             }
    ///         }
    ///         Ok(())
    ///     });
    /// # drop(args);
    /// ```
    pub fn wait_readable(
        &mut self,
        connection: impl AsFd,
        timeout: Duration,
    ) -> io::Result<Waited> {
        self.wait_for(Some(connection.as_fd()), timeout)
    }

    /// Waits until the child is asked to leave ([`Waited::Stop`]), or so much time has passed ([`Waited::TimedOut`]).
    ///
    /// For loops that do something from time to time, as a scheduler does.
    ///
    /// # Errors
    ///
    /// Fails if the child cannot set up its own waiting; and in a copy of the child.
    ///
    /// # Signals
    ///
    /// As with [`accept`](Self::accept). Other signals that are handled do not end it.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::{Args, Waited};
    /// use std::time::Duration;
    ///
    /// let args = Args::new().main_loop(|child, ()| {
    ///     while child.wait(Duration::from_secs(60))? == Waited::TimedOut {
    ///         // what is due every minute
    ///     }
    ///     Ok(())
    /// });
    /// # drop(args);
    /// ```
    pub fn wait(&mut self, time: Duration) -> io::Result<Waited> {
        self.wait_for(None, time)
    }

    fn wait_for(
        &mut self,
        connection: Option<BorrowedFd<'_>>,
        timeout: Duration,
    ) -> io::Result<Waited> {
        self.require_here()?;
        self.stop.attend();
        self.say_ready();
        // A connection that comes meanwhile is for another child to take.
        if let Err(Stale) = self.poller.leave()? {
            self.replace_poller()?;
        }
        let deadline = clock::now() + timeout;
        let mut leaves = false;
        loop {
            self.access_log.follow();
            leaves |= self.stop.is_asked();
            let now = clock::now();
            let is_last_look = leaves || now >= deadline;
            let until = if leaves { now } else { deadline };
            let fds = iter::once(self.poller.descriptor()?).chain(connection);
            let mut fds: Vec<_> =
                fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
            match clock::sleep(&mut fds, Some(until))? {
                Slept::Watching => {}
                // Two descriptors are more than it may have by now.
                Slept::Blindly => return Err(Errno::INVAL.into()),
            }
            let words = fds[0].revents();
            let connection = fds.get(1).map_or(PollFlags::empty(), PollFd::revents);
            if connection.contains(PollFlags::NVAL) {
                return Err(Errno::BADF.into());
            }
            if !connection.is_empty() {
                return Ok(Waited::Readable);
            }
            if is_last_look {
                return Ok(if leaves { Waited::Stop } else { Waited::TimedOut });
            }
            // Who calls may mean others, and a parent that has gone says so without a word.
            leaves = !words.is_empty() && self.poller.look()? == Some(Source::Stop);
        }
    }
}
