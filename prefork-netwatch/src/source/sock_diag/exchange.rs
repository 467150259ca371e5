//! One question to the kernel and its answer.

use super::wire::{self, Message};
use crate::{Connection, Filter, Proto, SourceError};
use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// The kernel sends up to 32 KiB at a time, to those who have room for it.
const BUFFER: usize = 64 * 1024;

/// How often an answer may be broken off before this is an error.
const TRIES: u32 = 8;

/// How long the kernel may take for the next part of an answer. It answers within the call, so this
/// is never reached; but a parent must not wait for ever.
const LIMIT: Duration = Duration::from_secs(5);

/// A netlink socket.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    socket: OwnedFd,
    proto: Proto,
    buffer: &'a mut Vec<u8>,
}

/// How a dump came to its end.
enum End {
    Whole,
    BrokenOff,
}

/// What is found where a connection is looked for.
#[derive(Debug)]
pub(super) enum Found {
    It(Connection),
    /// Something else, so that one is not there: the socket that listens for it, as a rule.
    Other,
    /// Nothing; or nobody answers for this family.
    Nothing,
}

impl Found {
    pub(super) fn row(self) -> Option<Connection> {
        match self {
            Self::It(row) => Some(row),
            Self::Other | Self::Nothing => None,
        }
    }
}

impl<'a> Exchange<'a> {
    pub(super) fn open(proto: Proto, buffer: &'a mut Vec<u8>) -> Result<Self, SourceError> {
        buffer.resize(BUFFER, 0);
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(netlink::SOCK_DIAG),
        );
        match socket {
            Ok(socket) => {
                set_socket_timeout(&socket, Timeout::Recv, Some(LIMIT))
                    .map_err(|errno| failed("prepare", proto, errno))?;
                Ok(Self { socket, proto, buffer })
            }
            Err(errno @ (Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT | Errno::PERM)) => {
                Err(unsupported(proto, errno))
            }
            Err(errno) => Err(failed("open", proto, errno)),
        }
    }

    /// Asks for all connections, again if the answer is broken off.
    pub(super) fn dump(
        mut self,
        request: impl Fn(u32) -> Vec<u8>,
        filter: &Filter,
        rows: &mut Vec<Connection>,
    ) -> Result<(), SourceError> {
        let before = rows.len();
        for sequence in 1..=TRIES {
            rows.truncate(before);
            self.send(&request(sequence))?;
            match self.answer(sequence, filter, rows)? {
                End::Whole => return Ok(()),
                // What is left of this answer has another sequence number than the next.
                End::BrokenOff => {}
            }
        }
        Err(SourceError::BrokenOff { proto: self.proto, tries: TRIES })
    }

    fn answer(
        &mut self,
        sequence: u32,
        filter: &Filter,
        rows: &mut Vec<Connection>,
    ) -> Result<End, SourceError> {
        let mut interrupted = false;
        loop {
            let Some(length) = self.receive()? else { return Ok(End::BrokenOff) };
            for framed in wire::messages(&self.buffer[..length]) {
                let framed = framed.map_err(|wire::Malformed(what)| malformed(self.proto, what))?;
                if framed.sequence != sequence {
                    continue;
                }
                interrupted |= framed.interrupted;
                match framed.message {
                    Message::Row(row) if filter.matches(&row) => rows.push(row),
                    Message::Row(_) | Message::Other | Message::Refused(0) => {}
                    Message::Done(0) if interrupted => return Ok(End::BrokenOff),
                    Message::Done(0) => return Ok(End::Whole),
                    Message::Done(error) | Message::Refused(error) => {
                        return self.refused(error).map(|()| End::BrokenOff);
                    }
                }
            }
        }
    }

    /// Asks for one connection.
    pub(super) fn find(
        &mut self,
        request: &[u8],
        sequence: u32,
        connection: &Connection,
    ) -> Result<Found, SourceError> {
        for _ in 0..TRIES {
            self.send(request)?;
            let Some(length) = self.receive()? else { continue };
            for framed in wire::messages(&self.buffer[..length]) {
                let framed = framed.map_err(|wire::Malformed(what)| malformed(self.proto, what))?;
                if framed.sequence != sequence {
                    continue;
                }
                match framed.message {
                    // Where the connection is no more, the kernel finds the listening socket.
                    Message::Row(row) => {
                        let is_it = row.has_addresses_of(connection);
                        return Ok(if is_it { Found::It(row) } else { Found::Other });
                    }
                    Message::Refused(error) if is(error, Errno::NOENT) => {
                        return Ok(Found::Nothing);
                    }
                    Message::Refused(error) | Message::Done(error) => self.refused(error)?,
                    Message::Other => return Ok(Found::Nothing),
                }
            }
        }
        Err(SourceError::BrokenOff { proto: self.proto, tries: TRIES })
    }

    /// Asks for rows, and hands their payloads out; what is broken off is not asked for again, and nothing that is there is no
    /// error.
    pub(super) fn ask(
        &mut self,
        request: &[u8],
        sequence: u32,
        mut each: impl FnMut(&[u8]) -> Result<wire::Part, wire::Malformed>,
    ) -> Result<(), SourceError> {
        self.send(request)?;
        loop {
            let Some(length) = self.receive()? else {
                return Err(SourceError::BrokenOff { proto: self.proto, tries: 1 });
            };
            match wire::each_row(&self.buffer[..length], sequence, &mut each)
                .map_err(|wire::Malformed(what)| malformed(self.proto, what))?
            {
                wire::Part::More => {}
                wire::Part::Last | wire::Part::Error(0) => return Ok(()),
                wire::Part::Error(error) if self.is_of_one(error) => return Ok(()),
                wire::Part::Error(error) => {
                    self.refused(error)?;
                    return Err(SourceError::BrokenOff { proto: self.proto, tries: 1 });
                }
            }
        }
    }

    /// Whether an error says that one UNIX socket is not there. Of others it says that no module answers.
    fn is_of_one(&self, error: i32) -> bool {
        self.proto == Proto::Unix && is(error, Errno::NOENT)
    }

    /// What an error number in an answer means; `Ok` if trying again may help.
    fn refused(&self, error: i32) -> Result<(), SourceError> {
        let errno = Errno::from_raw_os_error(error.saturating_neg());
        match errno {
            Errno::INTR | Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM | Errno::BUSY => Ok(()),
            // There is no module that answers for this family, or none may be loaded.
            Errno::NOENT | Errno::OPNOTSUPP | Errno::PERM => Err(unsupported(self.proto, errno)),
            errno => Err(failed("be answered by", self.proto, errno)),
        }
    }

    fn send(&self, request: &[u8]) -> Result<(), SourceError> {
        let kernel = SocketAddrNetlink::new(0, 0);
        loop {
            match rustix::net::sendto(&self.socket, request, SendFlags::empty(), &kernel) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed("write to", self.proto, errno)),
            }
        }
    }

    /// Receives what the kernel sent, and returns how much; `None` if some of it was lost.
    fn receive(&mut self) -> Result<Option<usize>, SourceError> {
        loop {
            let received = rustix::net::recvfrom(
                &self.socket,
                &mut self.buffer[..],
                // The true length, of which there may be more than room. The kernel answers while it is asked, and
                // goes on whenever some of it was read (see `netlink(7)`): what is not there now never comes.
                RecvFlags::TRUNC | RecvFlags::DONTWAIT,
            );
            match received {
                Ok((_, _, Some(from))) if !is_kernel(&from) => {}
                Ok((_, length, _)) => {
                    return Ok(Some(length).filter(|length| *length <= self.buffer.len()));
                }
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS | Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(failed("read from", self.proto, errno)),
            }
        }
    }
}

/// Anybody may send to a netlink socket; the kernel has the number 0.
fn is_kernel(from: &SocketAddrAny) -> bool {
    SocketAddrNetlink::try_from(from.clone()).is_ok_and(|from| from.pid() == 0)
}

fn is(error: i32, errno: Errno) -> bool {
    error.saturating_neg() == errno.raw_os_error()
}

fn malformed(proto: Proto, what: &'static str) -> SourceError {
    SourceError::Malformed { proto, what }
}

fn unsupported(proto: Proto, errno: Errno) -> SourceError {
    SourceError::Unsupported { from: "sock_diag", proto, source: errno.into() }
}

fn failed(action: &'static str, proto: Proto, errno: Errno) -> SourceError {
    SourceError::Netlink { action, proto, source: errno.into() }
}
