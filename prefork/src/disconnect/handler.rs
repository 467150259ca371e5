//! What is reported of a client that has gone, and what can be done about it.

use std::{
    fmt::{self, Display},
    time::Duration,
};

use prefork_core::one_line;
use prefork_netwatch::{Event, Proto, Seen};

use crate::Result;

/// A client that has gone while a child worked for it; see
/// [`Args::on_client_disconnect`](crate::Args::on_client_disconnect).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Disconnect {
    /// The pid of the child.
    pub pid: u32,
    /// The slot of the child.
    pub slot: u32,
    /// The protocol of the connection.
    pub proto: Proto,
    /// The address at this side: an IP address, the path of a UNIX socket, or empty.
    pub local_host: String,
    /// The port at this side, if there is one.
    pub local_port: Option<u16>,
    /// The address of the client: an IP address, the path of a UNIX socket, or empty.
    pub foreign_host: String,
    /// The port of the client, if there is one.
    pub foreign_port: Option<u16>,
    /// What was seen of the client's end.
    pub seen: Seen,
    /// What the child says that it is doing.
    pub label: String,
    /// How long it has been at it.
    pub busy: Duration,
}

impl Disconnect {
    /// Returns the address of the client, or over what it was connected.
    pub(crate) fn client(&self) -> String {
        match (self.foreign_host.as_str(), self.foreign_port) {
            ("", _) => self.proto.to_string(),
            (host, Some(port)) if host.contains(':') => format!("[{host}]:{port}"),
            (host, Some(port)) => format!("{host}:{port}"),
            (host, None) => host.to_owned(),
        }
    }

    pub(super) fn new(event: &Event, slot: u32, label: String, busy: Duration) -> Self {
        Self {
            pid: event.pid,
            slot,
            proto: event.proto,
            local_host: event.local_host(),
            local_port: event.local_port(),
            foreign_host: event.foreign_host(),
            foreign_port: event.foreign_port(),
            seen: event.seen,
            label,
            busy,
        }
    }
}

/// Shows `192.0.2.1:4711 of child 42 (GET /report) is gone`.
impl Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of child {}", self.client(), self.pid)?;
        if !self.label.is_empty() {
            write!(f, " ({})", one_line(&self.label))?;
        }
        let is_gone = self.seen == Seen::Gone;
        f.write_str(if is_gone { " is gone" } else { " has closed its side" })
    }
}

/// What is done about a client that has gone while a child worked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnDisconnect {
    /// The child gives the job up: it is asked to leave, so that
    /// [`Child::should_stop`](crate::Child::should_stop) returns `true`; if it is still at it 200 ms later,
    /// it is interrupted (`SIGINT`), and a second later killed. Its successor is started at once.
    Cancel,
    /// Nothing more: all has been done.
    Nothing,
}

/// What [`Args::on_client_disconnect`](crate::Args::on_client_disconnect) takes: an [`OnDisconnect`], or a
/// closure that is given the client and returns one.
///
/// It cannot be implemented elsewhere.
pub trait DisconnectHandler: sealed::Sealed {
    #[doc(hidden)]
    fn into_handler(self) -> Handler;
}

impl DisconnectHandler for OnDisconnect {
    fn into_handler(self) -> Handler {
        Handler(Kind::Always(self))
    }
}

impl<F: Fn(&Disconnect) -> Result<OnDisconnect> + 'static> DisconnectHandler for F {
    fn into_handler(self) -> Handler {
        Handler(Kind::Asked(Box::new(self)))
    }
}

mod sealed {
    use super::{Disconnect, OnDisconnect, Result};

    pub trait Sealed {}

    impl Sealed for OnDisconnect {}
    impl<F: Fn(&Disconnect) -> Result<OnDisconnect> + 'static> Sealed for F {}
}

/// A handler in its only form.
pub struct Handler(pub(crate) Kind);

/// Its two kinds.
pub(crate) enum Kind {
    Always(OnDisconnect),
    Asked(Code),
}

/// Code of the program.
type Code = Box<dyn Fn(&Disconnect) -> Result<OnDisconnect>>;

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disconnect() -> Disconnect {
        Disconnect {
            pid: 42,
            slot: 0,
            proto: Proto::Tcp,
            local_host: "127.0.0.1".into(),
            local_port: Some(80),
            foreign_host: "192.0.2.1".into(),
            foreign_port: Some(4711),
            seen: Seen::Gone,
            label: "GET /\u{1b}".into(),
            busy: Duration::ZERO,
        }
    }

    #[test]
    fn a_client_is_described_in_one_line() {
        let mut it = disconnect();
        assert_eq!(it.to_string(), "192.0.2.1:4711 of child 42 (GET /\\u{1b}) is gone");
        it.foreign_host = "2001:db8::1".into();
        it.label = String::new();
        it.seen = Seen::PeerClosed;
        assert_eq!(it.to_string(), "[2001:db8::1]:4711 of child 42 has closed its side");
        it.foreign_host = String::new();
        it.proto = Proto::Unix;
        it.foreign_port = None;
        assert_eq!(it.to_string(), "unix of child 42 has closed its side");
    }
}
