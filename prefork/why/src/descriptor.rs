//! What a descriptor leads to.

use std::{fmt, net::SocketAddr};

use prefork_netwatch::{State, Transport};

use crate::{Hidden, Other, Others};

/// A descriptor of a process, and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Descriptor {
    /// Its number.
    pub number: i32,
    /// What it leads to.
    pub target: Target,
}

/// What a descriptor leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// A socket of TCP or UDP.
    Inet(Inet),
    /// A UNIX socket.
    Unix(Unix),
    /// A socket of another kind, or one of which nothing more is known, and why.
    Socket {
        /// Its inode.
        inode: u64,
        /// What hides the rest.
        reason: &'static str,
    },
    /// A pipe without a name.
    Pipe {
        /// Its inode.
        inode: u64,
        /// Who else holds the other end.
        others: Others,
    },
    /// A file, a directory, a device or a FIFO.
    File {
        /// Its path, as the process has opened it, safe to be shown.
        path: String,
    },
    /// Something of the kernel's, as `eventfd` or `timerfd`.
    Kernel {
        /// What the kernel calls it.
        kind: String,
    },
    /// Nothing: it is not open.
    Closed,
    /// It is not shown.
    Hidden(Hidden),
}

/// A socket of TCP or UDP.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inet {
    /// Its protocol.
    pub transport: Transport,
    /// This side's address.
    pub local: SocketAddr,
    /// The peer's address; `None` without a peer.
    pub peer: Option<SocketAddr>,
    /// The state of the connection.
    pub state: State,
    /// The name that `/etc/services` has for the peer's port, or for the own one where it listens.
    pub service: Option<String>,
    /// Bytes written that the peer has not acknowledged.
    pub unsent: u64,
    /// Bytes that wait to be read.
    pub unread: u64,
    /// How often data was sent again that the peer does not acknowledge.
    pub resent: u32,
    /// The process that has the other end, if that is on this machine and shown.
    pub held_by: Option<Other>,
}

/// A UNIX socket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unix {
    /// Whether it listens.
    pub listens: bool,
    /// Its own name: a path, or `@` and an abstract name.
    pub name: Option<String>,
    /// The name of the socket to which it is connected.
    pub peer_name: Option<String>,
    /// What is at the other end.
    pub peer: UnixEnd,
}

/// What is at the other end of a UNIX socket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnixEnd {
    /// Nothing: it is not connected, or its peer has closed.
    None,
    /// A connection that the server has not accepted.
    NotAccepted,
    /// A socket of these processes.
    Held(Others),
}

impl Inet {
    /// Returns whether this is a question for the address of a name: DNS.
    #[must_use]
    pub fn is_name_resolution(&self) -> bool {
        self.peer.is_some_and(|peer| peer.port() == 53)
    }
}

impl Unix {
    /// Returns whether the peer answers for names: that of systemd-resolved, or of nscd.
    #[must_use]
    pub fn is_name_resolution(&self) -> bool {
        self.peer_name.as_ref().is_some_and(|name| {
            name.starts_with("/run/systemd/resolve/") || name.ends_with("/run/nscd/socket")
        })
    }
}

impl Target {
    /// Returns one word for it: `tcp`, `udp`, `name resolution`, `unix`, `socket`, `pipe`, `file`, `kernel`, `closed` or
    /// `hidden`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Inet(socket) if socket.is_name_resolution() => "name resolution",
            Self::Unix(socket) if socket.is_name_resolution() => "name resolution",
            Self::Inet(socket) => transport(socket.transport),
            Self::Unix(_) => "unix",
            Self::Socket { .. } => "socket",
            Self::Pipe { .. } => "pipe",
            Self::File { .. } => "file",
            Self::Kernel { .. } => "kernel",
            Self::Closed => "closed",
            Self::Hidden(_) => "hidden",
        }
    }

    /// Returns whether it is a socket at which somebody may connect.
    #[must_use]
    pub fn listens(&self) -> bool {
        match self {
            Self::Inet(socket) => socket.state == State::Listen,
            Self::Unix(socket) => socket.listens,
            Self::Socket { .. }
            | Self::Pipe { .. }
            | Self::File { .. }
            | Self::Kernel { .. }
            | Self::Closed
            | Self::Hidden(_) => false,
        }
    }
}

/// Returns its name, in lower case as `/etc/services` has it.
pub(crate) const fn transport(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

/// Shows `7 = tcp 10.0.0.5:5432 (postgresql)`.
impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.number, self.target)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(socket) => socket.fmt(f),
            Self::Unix(socket) => socket.fmt(f),
            Self::Socket { inode, reason } => write!(f, "a socket ({inode}; {reason})"),
            Self::Pipe { others, .. } => write!(f, "a pipe, other end: {others}"),
            Self::File { path } => f.write_str(path),
            Self::Kernel { kind } => f.write_str(kind),
            Self::Closed => f.write_str("closed"),
            Self::Hidden(hidden) => write!(f, "unknown ({hidden})"),
        }
    }
}

impl fmt::Display for Inet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service = self.service.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        let name = transport(self.transport);
        match self.peer {
            None if self.state == State::Listen => {
                return write!(f, "listening at {name} {}{service}", self.local);
            }
            None => return write!(f, "{name} {} without a peer", self.local),
            Some(peer) => write!(f, "{name} {peer}{service} from {}", self.local)?,
        }
        if self.is_name_resolution() {
            f.write_str(", name resolution (DNS)")?;
        }
        if let Some(other) = &self.held_by {
            write!(f, ", held by {other}")?;
        }
        match (self.transport, self.state) {
            (Transport::Udp, _) | (_, State::Established) => {}
            (_, State::SynSent) => f.write_str(", which does not answer to connect")?,
            (_, State::CloseWait) => f.write_str(", which has closed its side")?,
            (_, State::Close) => f.write_str(", which has ended the connection")?,
            (_, state) => write!(f, ", state {state:?}")?,
        }
        if self.unread > 0 {
            write!(f, ", {} bytes wait to be read", self.unread)?;
        }
        if self.unsent > 0 && self.state != State::SynSent {
            write!(f, ", {} bytes not acknowledged", self.unsent)?;
        }
        if self.resent > 0 {
            write!(f, ", sent again {} times", self.resent)?;
        }
        Ok(())
    }
}

impl fmt::Display for Unix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.peer_name.as_ref().or(self.name.as_ref());
        let name = name.map(|name| format!(" {name}")).unwrap_or_default();
        if self.listens {
            return write!(f, "listening at unix{name}");
        }
        write!(f, "unix{name}")?;
        if self.is_name_resolution() {
            f.write_str(", name resolution")?;
        }
        match &self.peer {
            UnixEnd::None => f.write_str(", without a peer"),
            UnixEnd::NotAccepted => f.write_str(", which has not accepted the connection"),
            UnixEnd::Held(others) => write!(f, ", other end: {others}"),
        }
    }
}
