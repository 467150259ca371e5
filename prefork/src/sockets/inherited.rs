//! Listening sockets that another program has left.

use std::{net::SocketAddr, os::fd::OwnedFd, path::Path};

use prefork_daemonize::SocketFileId;
use prefork_sockets::{listens, tcp_address};

use super::listeners::KnownBy;

/// A listening socket that was left.
#[derive(Debug)]
pub(crate) struct InheritedListener {
    pub(crate) known_by: KnownBy,
    pub(crate) activated: Option<String>,
    pub(crate) file: Option<SocketFileId>,
    pub(crate) socket: OwnedFd,
}

impl InheritedListener {
    /// Whether it is what listening on one of these addresses has led to, or would.
    pub(crate) fn is_tcp(&self, wanted: &[SocketAddr]) -> bool {
        let KnownBy::Tcp(asked) = &self.known_by else { return false };
        let is_bound = || tcp_address(&self.socket).is_some_and(|bound| wanted.contains(&bound));
        // Earlier libraries have noted the addresses of datagram sockets too.
        listens(&self.socket) && (asked == wanted || is_bound())
    }

    /// Whether it is what listening at this path has led to.
    pub(crate) fn is_unix(&self, wanted: &Path) -> bool {
        let KnownBy::Unix(asked) = &self.known_by else { return false };
        listens(&self.socket) && asked == wanted
    }
}
