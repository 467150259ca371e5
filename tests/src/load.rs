//! Clients that ask without end.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use crate::get;

/// Clients at work, each on a thread of its own, one request after the other.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Tally>>,
}

/// What clients have seen.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many requests were answered with 200.
    pub answered: usize,
    /// What went wrong with the others.
    pub failures: Vec<String>,
}

impl Load {
    /// Starts `clients` clients that ask for `path`.
    #[must_use]
    pub fn start(clients: usize, address: SocketAddr, path: &str) -> Self {
        Self::bounded(clients, usize::MAX, address, path)
    }

    /// Starts `clients` clients that ask for `path`, each no more than `requests` times.
    #[must_use]
    pub fn bounded(clients: usize, requests: usize, address: SocketAddr, path: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let (stop, path) = (stop.clone(), path.to_owned());
            thread::spawn(move || ask(requests, address, &path, &stop))
        };
        let clients = (0..clients).map(client).collect();
        Self { stop, clients }
    }

    /// Lets every client finish the request in hand, and returns what they have seen.
    #[must_use]
    pub fn stop(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        self.join()
    }

    /// Waits until every client has asked as often as it may, and returns what they have seen.
    #[must_use]
    pub fn finish(mut self) -> Tally {
        self.join()
    }

    fn join(&mut self) -> Tally {
        let mut sum = Tally::default();
        for client in self.clients.drain(..) {
            let tally = client.join().expect("a client does not panic");
            sum.answered += tally.answered;
            sum.failures.extend(tally.failures);
        }
        sum
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn ask(requests: usize, address: SocketAddr, path: &str, stop: &AtomicBool) -> Tally {
    let mut tally = Tally::default();
    for _ in 0..requests {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        match get(address, path) {
            Ok(reply) if reply.status == 200 => tally.answered += 1,
            Ok(reply) => tally.failures.push(format!("{reply:?}")),
            Err(error) => tally.failures.push(error.to_string()),
        }
    }
    tally
}
