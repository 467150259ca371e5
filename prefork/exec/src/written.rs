//! What a program has written to its client, counted by the kernel, where it may not write any amount.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use prefork::AnyStream;
use prefork_core::program::OutputLimit;
use rustix::net::sockopt::set_socket_linger;

use crate::look::written;

/// The connection of a client to whom no more than so much is written.
pub(crate) struct Written {
    connection: AnyStream,
    limit: OutputLimit,
    due: Instant,
}

impl Written {
    pub(crate) fn new(connection: AnyStream, most: u64) -> Self {
        let due = Instant::now() + OutputLimit::SHORTEST;
        Self { connection, limit: OutputLimit::new(most), due }
    }

    /// Returns when to look.
    pub(crate) const fn due(&self) -> Instant {
        self.due
    }

    /// Looks, if it is time or the program has ended; returns whether it is too much.
    ///
    /// # Errors
    ///
    /// Fails if the kernel does not count it.
    pub(crate) fn is_too_much(&mut self, has_ended: bool) -> io::Result<bool> {
        let now = Instant::now();
        if now < self.due && !has_ended {
            return Ok(false);
        }
        let pause = self.limit.look(written(self.connection.as_fd())?);
        self.due = now + pause.unwrap_or(OutputLimit::LONGEST);
        Ok(pause.is_none())
    }

    /// Has the connection reset where it ends, so that its client does not take what has come for all.
    pub(crate) fn cut(&self) -> io::Result<()> {
        let connection: BorrowedFd<'_> = self.connection.as_fd();
        Ok(set_socket_linger(connection, Some(Duration::ZERO))?)
    }
}
