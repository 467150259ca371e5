//! Clients that ask without end.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use crate::get;

/// Clients at work, each on a thread of its own, one request after the other.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Tally>>,
}

/// What clients have seen.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many requests were answered with 200, and as expected.
    pub answered: usize,
    /// What went wrong with the others.
    pub failures: Vec<String>,
}

/// What clients ask for, and what is right.
#[derive(Clone, Debug)]
struct Question {
    path: String,
    /// What is appended to the path.
    numbering: Numbering,
    /// The body of a right answer, where only one is.
    body: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum Numbering {
    None,
    /// `?n=CLIENT-NUMBER`, both from 0 on.
    Query,
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
        let question = Question { path: path.into(), numbering: Numbering::None, body: None };
        Self::ask(clients, requests, address, &question)
    }

    /// Starts `clients` clients that ask for `path`; any other answer than `body` is a failure.
    #[must_use]
    pub fn expecting(clients: usize, address: SocketAddr, path: &str, body: &str) -> Self {
        let question =
            Question { path: path.into(), numbering: Numbering::None, body: Some(body.into()) };
        Self::ask(clients, usize::MAX, address, &question)
    }

    /// Starts `clients` clients that ask for `path?n=CLIENT-NUMBER`, no two requests the same. Each
    /// counts from 0, failures too.
    #[must_use]
    pub fn numbered(clients: usize, address: SocketAddr, path: &str) -> Self {
        let question = Question { path: path.into(), numbering: Numbering::Query, body: None };
        Self::ask(clients, usize::MAX, address, &question)
    }

    fn ask(clients: usize, requests: usize, address: SocketAddr, question: &Question) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let client = |client| {
            let (stop, answered, question) = (stop.clone(), answered.clone(), question.clone());
            thread::spawn(move || question.ask(client, requests, address, &stop, &answered))
        };
        let clients = (0..clients).map(client).collect();
        Self { stop, answered, clients }
    }

    /// Returns how many requests were answered so far, by all clients.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Lets every client finish the request in hand, and returns what they have seen.
    #[must_use]
    pub fn stop(self) -> Tally {
        sum(self.stop_each())
    }

    /// The same, for each client.
    #[must_use]
    pub fn stop_each(mut self) -> Vec<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        self.join()
    }

    /// Whether every client has asked as often as it may.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.clients.iter().all(JoinHandle::is_finished)
    }

    /// Waits until every client has asked as often as it may, and returns what they have seen.
    #[must_use]
    pub fn finish(mut self) -> Tally {
        sum(self.join())
    }

    fn join(&mut self) -> Vec<Tally> {
        let join = |client: JoinHandle<Tally>| client.join().expect("a client does not panic");
        self.clients.drain(..).map(join).collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Question {
    fn ask(
        &self,
        client: usize,
        requests: usize,
        address: SocketAddr,
        stop: &AtomicBool,
        answered: &AtomicUsize,
    ) -> Tally {
        let mut tally = Tally::default();
        for number in 0..requests {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let path = match self.numbering {
                Numbering::None => self.path.clone(),
                Numbering::Query => format!("{}?n={client}-{number}", self.path),
            };
            match get(address, &path) {
                Ok(reply) if reply.status == 200 && self.is_right(&reply.body) => {
                    tally.answered += 1;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(reply) => tally.failures.push(format!("{reply:?}")),
                Err(error) => tally.failures.push(error.to_string()),
            }
        }
        tally
    }

    fn is_right(&self, body: &str) -> bool {
        self.body.as_ref().is_none_or(|right| right == body)
    }
}

fn sum(tallies: Vec<Tally>) -> Tally {
    let mut sum = Tally::default();
    for tally in tallies {
        sum.answered += tally.answered;
        sum.failures.extend(tally.failures);
    }
    sum
}
