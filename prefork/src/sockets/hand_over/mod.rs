//! Connections that children of one pool hand to children of another.
//!
//! What has looked at a request knows best who should answer it. So a child passes on the connection itself, with the bytes
//! that it has read of it, and is free for the next client.
//!
//! The way is a pair of UNIX sockets (`SOCK_SEQPACKET`) for each pool that takes connections, made and kept by what has
//! started both daemons. It comes as the sockets of a service manager do, by `LISTEN_FDS` and these names:
//!
//! - `hand-over`: the end at which connections are taken;
//! - `hand-over-to=NAME`: the end that leads to the pool of that name.
//!
//! A connection goes from child to child. The parents hold both ends only to leave them to later children and to the next
//! program, and receive nothing from them: what comes is closed where it was received, and closing may wait.
//!
//! One message is one connection: [`HEADER`], what was read, and one descriptor. Who sends it may be anybody who has taken
//! over a child of another pool, so a receiver believes nothing of it: see `judge.rs`. How many messages are under way is
//! bounded by the kernel (`wmem_default`, and `RLIMIT_NOFILE` of the sender's user): then the sender keeps its connection.
//! Neither end can send the other way.

mod elsewhere;
mod handed;
mod judge;
mod outlets;
mod taker;

use std::os::fd::AsFd;

use rustix::net::{AddressFamily, SocketType, sockopt};

pub(crate) use handed::Either;
pub use handed::{Came, Handed};
pub(crate) use judge::Unfit;
pub use outlets::{HandOverError, NotHanded};
pub(crate) use outlets::{Outlet, Outlets};
pub use taker::HandOvers;
pub(crate) use taker::{Ended, has_hung_up};

/// What each message begins with.
const HEADER: [u8; 8] = *b"handed-1";

/// How many bytes that were read can go with a connection.
const MOST_BYTES: usize = 64 << 10;

/// The name of the end at which connections are taken.
pub(crate) const TAKES: &str = "hand-over";

/// With what the names of the ends begin that lead to other pools.
const LEADS_TO: &str = "hand-over-to=";

/// The name of the end that leads to a pool.
pub(crate) fn name_of_outlet(pool: &str) -> String {
    format!("{LEADS_TO}{pool}")
}

/// Which end a descriptor of this name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End<'a> {
    /// That at which connections are taken.
    Takes,
    /// That which leads to this pool.
    LeadsTo(&'a str),
}

impl<'a> End<'a> {
    /// Returns which end it is; `None` if it is none, whatever its name says.
    pub(crate) fn of(name: Option<&'a str>, socket: impl AsFd) -> Option<Self> {
        let name = name?;
        let end = match name.strip_prefix(LEADS_TO) {
            Some(pool) => Self::LeadsTo(pool),
            None if name == TAKES => Self::Takes,
            None => return None,
        };
        let is_end = sockopt::socket_domain(&socket) == Ok(AddressFamily::UNIX)
            && sockopt::socket_type(&socket) == Ok(SocketType::SEQPACKET)
            && sockopt::socket_acceptconn(&socket) == Ok(false);
        is_end.then_some(end)
    }
}

#[cfg(test)]
mod tests;
