//! Connections as sock_diag(7) shows them.

mod exchange;
pub(crate) mod lookup;
mod wire;

use crate::{Connection, Filter, Proto, Source, SourceError};
use exchange::{Exchange, Found};
#[cfg(any(test, fuzzing))]
use wire::{Framed, Message};

/// Reads connections through netlink, where the kernel sorts out what is of interest: see
/// `sock_diag(7)`.
///
/// The best source: it reads in binary what passes the filter and no more, finds a single
/// connection without searching, and is the only one that shows when the peer of a UNIX stream
/// socket has gone.
///
/// Each reading opens a socket of its own, so nothing is inherited over fork and no answer can be
/// left over from an earlier question.
#[derive(Debug, Default)]
pub struct SockDiag {
    buffer: Vec<u8>,
}

impl SockDiag {
    /// Makes the source; nothing is opened yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { buffer: Vec::new() }
    }

    fn dump(
        &mut self,
        proto: Proto,
        filter: &Filter,
        rows: &mut Vec<Connection>,
    ) -> Result<(), SourceError> {
        let ports = filter.ports(proto).filter(|ports| ports.len() <= wire::MAX_PORTS);
        let exchange = Exchange::open(proto, &mut self.buffer)?;
        exchange.dump(
            |sequence| wire::dump_request(proto, ports.as_deref(), sequence),
            filter,
            rows,
        )
    }
}

impl Source for SockDiag {
    fn read(&mut self, filter: &Filter, rows: &mut Vec<Connection>) -> Result<(), SourceError> {
        for proto in [Proto::Tcp, Proto::Tcp6, Proto::Unix] {
            if filter.wants(proto) {
                self.dump(proto, filter, rows)?;
            }
        }
        Ok(())
    }

    fn find(&mut self, connection: &Connection) -> Result<Option<Connection>, SourceError> {
        let Some(request) = wire::find_request(connection, 1) else {
            // A UNIX socket is in the table for as long as a process has it.
            return Ok(None);
        };
        Exchange::open(connection.proto, &mut self.buffer)?
            .find(&request, 1, connection)
            .map(Found::row)
    }

    fn finds_directly(&self) -> bool {
        true
    }

    fn find_all(
        &mut self,
        connections: &[Connection],
        rows: &mut Vec<Connection>,
    ) -> Result<bool, SourceError> {
        let mut is_sure = true;
        for proto in [Proto::Tcp, Proto::Tcp6] {
            let mut wanted = connections.iter().filter(|it| it.proto == proto).zip(1..).peekable();
            if wanted.peek().is_none() {
                continue;
            }
            let mut exchange = Exchange::open(proto, &mut self.buffer)?;
            for (connection, sequence) in wanted {
                let Some(request) = wire::find_request(connection, sequence) else {
                    is_sure = false;
                    continue;
                };
                match exchange.find(&request, sequence, connection)? {
                    Found::It(row) => rows.push(row),
                    Found::Other => {}
                    Found::Nothing => is_sure = false,
                }
            }
        }
        Ok(is_sure)
    }
}

/// Parses messages that the kernel sent through a socket of sock_diag, one after another.
///
/// Everything but connections of TCP and of UNIX stream sockets is left out. Behind a message that
/// makes no sense there is nothing more.
#[cfg(any(test, fuzzing))]
pub(crate) fn parse(bytes: &[u8]) -> impl Iterator<Item = Connection> {
    wire::messages(bytes).filter_map(|framed| match framed {
        Ok(Framed { message: Message::Row(row), .. }) => Some(row),
        Ok(_) | Err(_) => None,
    })
}
