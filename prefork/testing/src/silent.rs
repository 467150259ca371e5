//! Clients that ask and do not read.

use std::{net::TcpStream, time::Duration};

use crate::http;

/// Clients that have asked for something and read nothing of it: [`Daemon::stop_reading`](crate::Daemon::stop_reading).
///
/// Dropping them resets their connections.
#[derive(Debug)]
#[must_use = "they hang up when this is dropped"]
pub struct SilentClients {
    connections: Vec<TcpStream>,
}

impl SilentClients {
    #[track_caller]
    pub(crate) fn ask(
        count: usize,
        address: std::net::SocketAddr,
        path: &str,
        limit: Duration,
    ) -> Self {
        let ask = |_| {
            let asked = http::ask_and_ignore(address, path, limit);
            asked.unwrap_or_else(|error| panic!("{address} takes no request for {path}: {error}"))
        };
        Self { connections: (0..count).map(ask).collect() }
    }

    /// Returns how many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.connections.len()
    }
}

impl Drop for SilentClients {
    fn drop(&mut self) {
        self.connections.drain(..).for_each(http::reset);
    }
}
