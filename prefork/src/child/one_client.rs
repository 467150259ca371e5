//! Children that serve one client and end, so that nobody meets a process that has served somebody else.
//!
//! The child keeps to that itself, as it alone knows what it takes. Once it has accepted a connection, the listening sockets
//! that it has accepted from are gone: behind their numbers is something that does not listen, for whatever code the
//! client's request makes it run.

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
};

use super::{Child, INSIDE, Listener};
use crate::{sys, sys::refused::Refusable, system::os::Stale};

/// How many clients a child serves, and whether it has had the one that it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clients {
    Any,
    One,
    /// It has accepted the connection of its only one.
    Accepted,
    /// Its only one is a job, or what else the main loop has reported without accepting it.
    Reported,
}

impl Clients {
    pub(crate) const fn of(one_shot: bool) -> Self {
        if one_shot { Self::One } else { Self::Any }
    }
}

impl Child {
    /// Whether the child has had its only client.
    pub(super) const fn is_spent(&self) -> bool {
        match self.clients {
            Clients::Any | Clients::One => false,
            Clients::Accepted | Clients::Reported => true,
        }
    }

    pub(super) const fn serves_one_client(&self) -> bool {
        !matches!(self.clients, Clients::Any)
    }

    /// Notes that a connection was accepted from one of these. If it is that of the only client, there will be no other.
    pub(super) fn note_client<L: Listener + ?Sized>(&mut self, listener: &L) -> io::Result<()> {
        if self.clients != Clients::One {
            return Ok(());
        }
        self.clients = Clients::Accepted;
        // Before they are replaced: what is registered stays as long as anybody has the socket.
        if let Err(Stale) = self.poller.leave()? {
            self.replace_poller()?;
        }
        let mut sockets: Vec<RawFd> = Vec::new();
        listener.each(INSIDE, &mut |socket| {
            sockets.push(socket.as_raw_fd());
            Ok(())
        })?;
        let replace = |socket| sys::replace_descriptor(socket, self.stop.fd());
        sockets.into_iter().try_for_each(replace).of_call("dup3(2)")
    }

    /// Notes that work was reported which is no connection that was accepted here.
    pub(super) fn note_reported_client(&mut self) {
        if self.clients == Clients::One {
            self.clients = Clients::Reported;
        }
    }

    /// Notes that nothing is in hand. Who has reported the only client is to leave then.
    pub(super) fn note_reported_end(&self) {
        if self.clients == Clients::Reported {
            self.stop.ask();
        }
    }
}
