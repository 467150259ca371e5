//! What is reported.

use crate::{Connection, Endpoint, Proto};
use std::fmt;

/// What was seen of the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Seen {
    /// The peer has said that it sends no more: a FIN in TCP.
    ///
    /// It may have closed the connection, or only its sending side, and still be waiting for the
    /// answer. TCP does not say which until something is sent.
    PeerClosed,
    /// The connection is no more, while the process still holds its descriptor: reset by the peer,
    /// timed out, or, in UNIX, closed by the peer on both sides.
    Gone,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::PeerClosed => "peer closed",
            Self::Gone => "gone",
        })
    }
}

/// The end of a connection, reported once for each connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The process that holds the connection: the first of those asked about.
    pub pid: u32,
    /// The protocol.
    pub proto: Proto,
    /// This side's address.
    pub local: Endpoint,
    /// The peer's address.
    pub foreign: Endpoint,
    /// What was seen.
    pub seen: Seen,
}

impl Event {
    pub(crate) fn new(pid: u32, connection: &Connection, seen: Seen) -> Self {
        Self {
            pid,
            proto: connection.proto,
            local: connection.local.clone(),
            foreign: connection.foreign.clone(),
            seen,
        }
    }

    /// Returns the host of this side as text: an IP address, the name of a UNIX socket, or empty.
    #[must_use]
    pub fn local_host(&self) -> String {
        host(&self.local)
    }

    /// Returns the port of this side, if this is TCP.
    #[must_use]
    pub const fn local_port(&self) -> Option<u16> {
        self.local.port()
    }

    /// Returns the host of the peer as text: an IP address, the name of a UNIX socket, or empty.
    #[must_use]
    pub fn foreign_host(&self) -> String {
        host(&self.foreign)
    }

    /// Returns the port of the peer, if this is TCP.
    #[must_use]
    pub const fn foreign_port(&self) -> Option<u16> {
        self.foreign.port()
    }
}

fn host(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Ip(address) => address.ip().to_string(),
        Endpoint::Unix(name) => name.to_string(),
        Endpoint::Unnamed => String::new(),
    }
}

/// Shows `4711 tcp 192.0.2.1:80 198.51.100.7:50000 gone`.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, proto, local, foreign, seen } = self;
        write!(f, "{pid} {proto} {local} {foreign} {seen}")
    }
}
