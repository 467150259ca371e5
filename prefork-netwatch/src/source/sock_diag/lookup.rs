//! Looking up what single sockets are connected to.

use super::exchange::Exchange;
use super::wire::{self, Part};
use crate::{InetSocket, Proto, SourceError, Transport, UnixName, UnixSocket};
use std::ops::ControlFlow;

/// Hands out the sockets of TCP or UDP of one kind until `each` breaks off, but for those that no process can hold any more.
pub(crate) fn each_inet(
    transport: Transport,
    proto: Proto,
    buffer: &mut Vec<u8>,
    mut each: impl FnMut(InetSocket) -> ControlFlow<()>,
) -> Result<(), SourceError> {
    let mut exchange = Exchange::open(proto, buffer)?;
    exchange.ask(&wire::inet_request(transport, proto, 1), 1, |payload| {
        let socket = wire::inet_socket(transport, proto, payload)?;
        Ok(match socket.map_or(ControlFlow::Continue(()), &mut each) {
            ControlFlow::Continue(()) => Part::More,
            ControlFlow::Break(()) => Part::Last,
        })
    })
}

/// Looks up a UNIX socket by its inode.
pub(crate) fn find_unix(inode: u64) -> Result<Option<UnixSocket>, SourceError> {
    // As in `struct unix_diag_req`, where an inode has 32 bits.
    let Ok(inode) = u32::try_from(inode) else { return Ok(None) };
    let (mut buffer, mut found) = (Vec::new(), None);
    let mut exchange = Exchange::open(Proto::Unix, &mut buffer)?;
    exchange.ask(&wire::unix_request(inode, 1), 1, |payload| {
        found = Some(wire::unix_socket(payload)?);
        Ok(Part::Last)
    })?;
    Ok(found)
}

/// Finds the name of the socket that listens, at which a connection waits to be accepted.
pub(crate) fn find_backlog(client: u64) -> Result<Option<UnixName>, SourceError> {
    let (mut buffer, mut found) = (Vec::new(), None);
    let mut exchange = Exchange::open(Proto::Unix, &mut buffer)?;
    exchange.ask(&wire::backlogs_request(1), 1, |payload| {
        let (name, waiting) = wire::backlog(payload)?;
        if waiting.into_iter().any(|inode| u64::from(inode) == client) {
            found = name;
            return Ok(Part::Last);
        }
        Ok(Part::More)
    })?;
    Ok(found)
}
