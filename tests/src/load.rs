//! Clients that ask without end.

use std::{net::SocketAddr, time::Duration};

use prefork_testing::Clients;

/// Clients at work, each on a thread of its own, one request after the other.
///
/// Those of [`prefork_testing`], of which nothing is late: what a test of this harness waits for has limits of its own.
#[derive(Debug)]
pub struct Load(prefork_testing::Load);

/// What clients have seen.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many requests were answered with 200, and as expected.
    pub answered: usize,
    /// What went wrong with the others.
    pub failures: Vec<String>,
}

impl Load {
    /// Starts `clients` clients that ask for `path`.
    #[must_use]
    pub fn start(clients: usize, address: SocketAddr, path: &str) -> Self {
        Self(of(clients, address).ask(path))
    }

    /// Starts `clients` clients that ask for `path`, each no more than `requests` times.
    #[must_use]
    pub fn bounded(clients: usize, requests: usize, address: SocketAddr, path: &str) -> Self {
        Self(of(clients, address).requests(requests).ask(path))
    }

    /// Starts `clients` clients that ask for `path`; any other answer than `body` is a failure.
    #[must_use]
    pub fn expecting(clients: usize, address: SocketAddr, path: &str, body: &str) -> Self {
        Self(of(clients, address).expecting(body).ask(path))
    }

    /// Starts `clients` clients that ask for `path?n=CLIENT-NUMBER`, no two requests the same. Each
    /// counts from 0, failures too.
    #[must_use]
    pub fn numbered(clients: usize, address: SocketAddr, path: &str) -> Self {
        Self(of(clients, address).numbered().ask(path))
    }

    /// Returns how many requests were answered so far, by all clients.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.0.answered()
    }

    /// Lets every client finish the request in hand, and returns what they have seen.
    #[must_use]
    pub fn stop(self) -> Tally {
        self.0.stop().into()
    }

    /// The same, for each client.
    #[must_use]
    pub fn stop_each(self) -> Vec<Tally> {
        self.0.stop_each().into_iter().map(Tally::from).collect()
    }

    /// Whether every client has asked as often as it may.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits until every client has asked as often as it may, and returns what they have seen.
    #[must_use]
    pub fn finish(self) -> Tally {
        self.0.finish().into()
    }
}

fn of(clients: usize, address: SocketAddr) -> Clients {
    Clients::of(address, clients).late_after(Duration::MAX)
}

impl From<prefork_testing::Tally> for Tally {
    fn from(tally: prefork_testing::Tally) -> Self {
        let failures = tally.failures.into_iter().map(|failure| failure.text).collect();
        Self { answered: tally.answered, failures }
    }
}
