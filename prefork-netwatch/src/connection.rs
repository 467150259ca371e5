//! A connection as a table of the kernel's shows it.

use crate::Endpoint;
use std::fmt;

/// The protocol of a connection, under the names that netstat(8) gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Proto {
    /// TCP through an IPv4 socket.
    Tcp,
    /// TCP through an IPv6 socket; the peer may speak IPv4 if the socket accepts both.
    Tcp6,
    /// A UNIX stream socket.
    Unix,
}

impl Proto {
    /// Returns the name: `tcp`, `tcp6` or `unix`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tcp6 => "tcp6",
            Self::Unix => "unix",
        }
    }
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The state of a connection, that of TCP: see RFC 9293, 3.3.2.
///
/// UNIX sockets have no such states. They are shown in the one of TCP that means the same:
/// [`CloseWait`](Self::CloseWait) if the peer has shut down its sending side,
/// [`FinWait2`](Self::FinWait2) if this side has, [`Closing`](Self::Closing) if both have, and
/// [`Close`](Self::Close) if there is no peer any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Both sides may send.
    Established,
    /// This side connects.
    SynSent,
    /// The peer connects.
    SynRecv,
    /// This side has closed.
    FinWait1,
    /// This side has closed, which the peer has acknowledged.
    FinWait2,
    /// Both have closed, this side first; the socket is gone.
    TimeWait,
    /// There is no connection (any more).
    Close,
    /// The peer has closed, this side has not.
    CloseWait,
    /// Both have closed, the peer first.
    LastAck,
    /// No connection but a socket that listens for some.
    Listen,
    /// Both have closed at the same time.
    Closing,
}

impl State {
    /// All states, in the order of the numbers that the kernel gives them, which begin with 1.
    pub(crate) const ALL: [Self; 11] = [
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait1,
        Self::FinWait2,
        Self::TimeWait,
        Self::Close,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::Closing,
    ];

    /// Takes the number of the kernel's `tcp_states.h`. `NEW_SYN_RECV`, 12, is one of a few that
    /// never belong to a process, and has no state here.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// The number as a bit of a set.
    pub(crate) const fn bit(self) -> u32 {
        let number = match self {
            Self::Established => 1,
            Self::SynSent => 2,
            Self::SynRecv => 3,
            Self::FinWait1 => 4,
            Self::FinWait2 => 5,
            Self::TimeWait => 6,
            Self::Close => 7,
            Self::CloseWait => 8,
            Self::LastAck => 9,
            Self::Listen => 10,
            Self::Closing => 11,
        };
        1 << number
    }

    /// Returns whether the state is one of a connection that some process may still have in hand.
    pub(crate) const fn may_be_held(self) -> bool {
        match self {
            Self::Established
            | Self::FinWait1
            | Self::FinWait2
            | Self::Close
            | Self::CloseWait
            | Self::LastAck
            | Self::Closing => true,
            Self::SynSent | Self::SynRecv | Self::TimeWait | Self::Listen => false,
        }
    }
}

/// A connection as a table of the kernel's shows it at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The protocol.
    pub proto: Proto,
    /// This side's address.
    pub local: Endpoint,
    /// The peer's address.
    pub foreign: Endpoint,
    /// The state.
    pub state: State,
    /// The inode of the socket, as `/proc/PID/fd` has it; 0 while no process has the connection:
    /// before it is accepted, or after it was closed.
    pub inode: u64,
    /// The process that has the connection, if the table names one, which only `netstat -p` does.
    pub pid: Option<u32>,
    /// The index of the network interface that the socket is bound to, 0 if it is not or if the
    /// table does not show that.
    pub interface: u32,
}

impl Connection {
    /// Returns whether both are rows of one connection, or of two that had the same addresses.
    pub(crate) fn has_addresses_of(&self, other: &Self) -> bool {
        self.proto == other.proto && self.local == other.local && self.foreign == other.foreign
    }
}
