//! The tables of the kernel, by the best way to them that there is.

use crate::{Connection, Filter, ProcNet, SockDiag, Source, SourceError};

/// Reads through [`SockDiag`], and through [`ProcNet`] from the moment on in which it is found that a kernel or a sandbox
/// refuses that: see [`Watch::fall_back`](crate::Watch::fall_back).
///
/// [`Netstat`](crate::Netstat) is not among them: it reads nothing else, and its caller waits for another program.
#[derive(Debug)]
pub enum Tables {
    /// By netlink.
    SockDiag(SockDiag),
    /// By files.
    ProcNet(ProcNet),
}

impl Tables {
    /// Makes the best source.
    #[must_use]
    pub const fn new() -> Self {
        Self::SockDiag(SockDiag::new())
    }

    /// Returns the next best source where this one will not work the next time either; `None` if the error passes, or
    /// none is left.
    pub(crate) fn after(&self, error: &SourceError) -> Option<Self> {
        match self {
            Self::SockDiag(_) if error.is_for_good() => Some(Self::ProcNet(ProcNet::new())),
            Self::SockDiag(_) | Self::ProcNet(_) => None,
        }
    }
}

impl Default for Tables {
    fn default() -> Self {
        Self::new()
    }
}

impl Source for Tables {
    fn read(&mut self, filter: &Filter, rows: &mut Vec<Connection>) -> Result<(), SourceError> {
        match self {
            Self::SockDiag(source) => source.read(filter, rows),
            Self::ProcNet(source) => source.read(filter, rows),
        }
    }

    fn find(&mut self, connection: &Connection) -> Result<Option<Connection>, SourceError> {
        match self {
            Self::SockDiag(source) => source.find(connection),
            Self::ProcNet(source) => source.find(connection),
        }
    }

    fn finds_directly(&self) -> bool {
        match self {
            Self::SockDiag(source) => source.finds_directly(),
            Self::ProcNet(source) => source.finds_directly(),
        }
    }

    fn find_all(
        &mut self,
        connections: &[Connection],
        rows: &mut Vec<Connection>,
    ) -> Result<bool, SourceError> {
        match self {
            Self::SockDiag(source) => source.find_all(connections, rows),
            Self::ProcNet(source) => source.find_all(connections, rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::{Endpoint, Proto};

    fn refused(kind: io::ErrorKind) -> SourceError {
        SourceError::Netlink { action: "open", proto: Proto::Tcp, source: kind.into() }
    }

    #[test]
    fn a_source_that_will_not_come_back_is_given_up_for_the_next_one() {
        let best = Tables::new();
        let next = best.after(&refused(io::ErrorKind::PermissionDenied)).expect("another one");
        assert!(matches!(next, Tables::ProcNet(_)), "{next:?}");
        assert!(next.after(&refused(io::ErrorKind::PermissionDenied)).is_none());
        assert!(best.after(&refused(io::ErrorKind::OutOfMemory)).is_none());
        let broken_off = SourceError::BrokenOff { proto: Proto::Tcp, tries: 3 };
        assert!(best.after(&broken_off).is_none());
    }

    #[test]
    fn all_of_them_see_the_same_connections() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let filter = Filter::listening([Endpoint::of_socket(&listener).expect("an address")]);
        let _client = std::net::TcpStream::connect(listener.local_addr().expect("bound"));
        let _server = listener.accept().expect("accepted");
        for mut source in [Tables::new(), Tables::ProcNet(ProcNet::new())] {
            let mut rows = Vec::new();
            source.read(&filter, &mut rows).expect("read");
            // While the table changes, the kernel may show a row twice.
            rows.dedup_by_key(|row| row.inode);
            assert_eq!(rows.len(), 1, "{source:?}: {rows:?}");
        }
    }
}
