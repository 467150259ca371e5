//! How long clients have waited before this child has accepted them, and which of them it refuses for that.
//!
//! Nothing is asked of the kernel where nobody has asked for it: see `prefork_core::QueueGate` for what is decided.

use std::{os::fd::BorrowedFd, time::Duration};

use prefork_core::{Admission, QueueGate, QueueLimit, QueueTimes, Waited};
use prefork_sockets::{side, waited};

use super::{Child, INSIDE, Listener};
use crate::{
    channels::{OwnPage, Reporter},
    system::clock,
};

/// What a child does about how long clients have waited.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queueing {
    /// Whether it finds out.
    measures: bool,
    gate: Option<QueueGate>,
    /// How long the client had waited that was accepted last.
    last: Option<Duration>,
    /// What has become of all whose time was known.
    times: QueueTimes,
}

impl Queueing {
    pub(crate) fn new(measures: bool, limit: Option<QueueLimit>) -> Self {
        Self { measures, gate: limit.map(QueueGate::new), last: None, times: QueueTimes::default() }
    }

    /// Returns how long the client had waited that was accepted last.
    pub(super) const fn last(&self) -> Option<Duration> {
        self.last
    }

    /// Whether clients are being refused.
    fn is_refusing(&self) -> bool {
        self.gate.is_some_and(|gate| gate.is_refusing(clock::now()))
    }

    /// Decides what becomes of the client of a connection that was accepted this moment.
    fn admit(&mut self, connection: BorrowedFd<'_>, page: Option<OwnPage>) -> Admission {
        if !self.measures {
            return Admission::Serve;
        }
        let found = waited(connection);
        self.last = found.and_then(|found| found.time);
        let admission = match &mut self.gate {
            None => Admission::Serve,
            Some(gate) => {
                let unknown = || Waited { time: None, side: side(connection) };
                gate.admit(clock::now(), found.unwrap_or_else(unknown))
            }
        };
        if let Some(page) = page
            && self.times.count(self.last, admission)
        {
            page.show_queue_times(&self.times);
        }
        admission
    }
}

impl Child {
    /// Returns how long the client had waited whose connection was accepted last: from its last data, or where none had
    /// come from when it had connected, until the child has accepted it.
    ///
    /// `None` unless [`queue_time`](crate::Args::queue_time) or [`queue_limit`](crate::Args::queue_limit) is set, and of a
    /// UNIX socket, for which the kernel keeps no time. It is counted in units of the kernel's clock, 1 to 10 ms. Further
    /// requests on a connection do not change it.
    ///
    /// # Examples
    ///
    /// ```
    /// use prefork::Args;
    /// use std::{io::Write, time::Duration};
    ///
    /// let args = Args::new()
    ///     .queue_time(true)
    ///     .after_init(|init| Ok(init.listen("127.0.0.1:0")?))
    ///     .main_loop(|child, listener| {
    ///         while let Some((mut connection, _peer)) = child.accept(listener)? {
    ///             let queued = child.queued().unwrap_or_default();
    ///             let is_hurried = queued > Duration::from_millis(100);
    ///             let _ = connection.write_all(if is_hurried { b"in short\n" } else { b"at length\n" });
    ///         }
    ///         Ok(())
    ///     });
    /// # drop(args);
    /// ```
    #[must_use]
    pub const fn queued(&self) -> Option<Duration> {
        self.queueing.last()
    }

    /// Returns whether the pool has more to do than it can, so that the program had better shorten what can be shortened:
    /// close connections after the answer that it would keep, wait for slow clients for a shorter time, leave out what costs much.
    ///
    /// That is so once connections have waited and no child was free for a second, whatever keeps the pool from growing, and until
    /// a second has gone by without; and while this child [refuses](crate::Args::queue_limit) clients. The parent decides it where
    /// it follows the load, for which it has to have a scoreboard: elsewhere only the latter counts. Asking costs
    /// a few nanoseconds and no system call, and no child is woken for it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use prefork::{Args, Waited};
    /// # use std::{io, net::TcpStream, time::Duration};
    /// # fn serve(_: &mut TcpStream, _is_last: bool) -> io::Result<()> { Ok(()) }
    /// const KEPT_FOR: Duration = Duration::from_secs(60);
    ///
    /// let args = Args::new()
    ///     .after_init(|init| Ok(init.listen("127.0.0.1:0")?))
    ///     .main_loop(|child, listener| {
    ///         while let Some((mut connection, _peer)) = child.accept(listener)? {
    ///             while child.wait_readable(&connection, KEPT_FOR)? == Waited::Readable {
    ///                 // Others wait for this child: the answer says that the connection is closed after it.
    ///                 let is_last = child.should_stop() || child.is_overloaded();
    ///                 if serve(&mut connection, is_last).is_err() || is_last {
    ///                     break;
    ///                 }
    ///                 child.keep_alive();
    ///             }
    ///         }
    ///         Ok(())
    ///     });
    /// # drop(args);
    /// ```
    #[must_use]
    pub fn is_overloaded(&self) -> bool {
        let is_pressed = self.reporter.as_ref().is_some_and(|it| it.page().is_pressed());
        is_pressed || self.queueing.is_refusing()
    }

    /// Returns a connection to be served, of one that was accepted this moment. One that has waited too long is left to
    /// `refuse`, one of a client that has gone is closed.
    pub(super) fn admit<L: Listener + ?Sized>(
        &mut self,
        connection: L::Connection,
        refuse: &mut dyn FnMut(&mut Self, L::Connection),
    ) -> Option<L::Connection> {
        let page = self.reporter.as_ref().map(Reporter::page);
        page.into_iter().for_each(OwnPage::count_accepted);
        match self.queueing.admit(L::socket(INSIDE, &connection).0, page) {
            Admission::Serve => Some(connection),
            Admission::Refuse => {
                refuse(self, connection);
                None
            }
            Admission::Abandoned => None,
        }
    }
}

#[cfg(test)]
mod tests;
