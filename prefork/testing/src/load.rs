//! Clients that ask without end.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{self, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    PATIENCE, Tally,
    http::get_and_report,
    tally::{Asked, Terms},
};

/// How long an answer may take before it is late, unless somebody says otherwise.
const LATE_AFTER: Duration = Duration::from_secs(1);

/// How long the first requests are waited for: a server that takes none is tested, too.
const UNTIL_SENT: Duration = Duration::from_secs(1);

/// How long a client waits after a failure: one that is refused is told so at once.
const AFTER_FAILURE: Duration = Duration::from_millis(1);

/// Clients that are about to ask: [`Daemon::clients`](crate::Daemon::clients).
#[derive(Clone, Debug)]
#[must_use]
pub struct Clients {
    address: SocketAddr,
    count: usize,
    requests: usize,
    numbering: Numbering,
    give_up_after: Duration,
    terms: Terms,
}

/// What is appended to a path.
#[derive(Clone, Copy, Debug)]
enum Numbering {
    None,
    /// `?n=CLIENT-NUMBER`, both from 0 on.
    Query,
}

impl Clients {
    /// Makes so many clients of whoever listens at an address.
    pub fn of(address: SocketAddr, count: usize) -> Self {
        let terms = Terms { late_after: LATE_AFTER, body: None };
        let (requests, numbering) = (usize::MAX, Numbering::None);
        Self { address, count, requests, numbering, give_up_after: PATIENCE, terms }
    }

    /// Lets each client ask so often and no more; without end by default.
    pub fn requests(mut self, requests: usize) -> Self {
        self.requests = requests;
        self
    }

    /// Takes answers for late that take longer; 1 s by default.
    pub fn late_after(mut self, time: Duration) -> Self {
        self.terms.late_after = time;
        self
    }

    /// Lets clients give a request up after this time; 20 s by default. It is lost then.
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.give_up_after = time;
        self
    }

    /// Takes every answer for wrong that has another body, apart from white space around it; any body is right by default. A status of less than 200, or of 400
    /// and more, is always wrong.
    pub fn expecting(mut self, body: impl Into<String>) -> Self {
        self.terms.body = Some(body.into());
        self
    }

    /// Appends `?n=CLIENT-NUMBER` to the path, so that no two requests are the same. Each client counts from 0, failures too.
    pub fn numbered(mut self) -> Self {
        self.numbering = Numbering::Query;
        self
    }

    /// Starts them, each on a thread of its own, to ask for `path` by `GET`, one request after the other and each over a
    /// connection of its own. Returns once each has sent its first request, so that what comes next comes under load; or after
    /// a second, if they cannot.
    #[must_use]
    pub fn ask(self, path: &str) -> Load {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let start = Instant::now();
        let (sent, all_sent) = mpsc::channel();
        let client = |number| {
            let sent = sent.clone();
            let client = Client {
                number,
                path: path.to_owned(),
                stop: stop.clone(),
                answered: answered.clone(),
                clients: self.clone(),
            };
            thread::spawn(move || client.ask(start, sent))
        };
        let clients = (0..self.count).map(client).collect();
        drop(sent);
        // Nothing is ever sent: each gives its end up.
        let _ = all_sent.recv_timeout(UNTIL_SENT);
        Load { stop, answered, clients }
    }
}

/// Clients at work. When it is dropped, each stops after the request in hand.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Tally>>,
}

impl Load {
    /// Returns how many requests were answered as they should be so far, by all clients.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more requests were answered as they should be.
    ///
    /// # Panics
    ///
    /// Panics after 20 s.
    #[track_caller]
    pub fn wait_for_answers(&self, count: usize) {
        let goal = self.answered() + count;
        let what = format!("{count} more requests are answered");
        crate::wait_until(PATIENCE, &what, || self.answered() >= goal);
    }

    /// Lets every client finish the request in hand, and returns what all have seen.
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

    /// Returns whether every client has asked as often as it may.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.clients.iter().all(JoinHandle::is_finished)
    }

    /// Waits until every client has asked as often as it may, and returns what all have seen.
    ///
    /// Clients without [`requests`](Clients::requests) never have.
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

/// One client.
#[derive(Debug)]
struct Client {
    number: usize,
    path: String,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Clients,
}

impl Client {
    fn ask(&self, start: Instant, sent: Sender<()>) -> Tally {
        let mut tally = Tally::default();
        let mut sent = Some(sent);
        let Clients { address, requests, numbering, give_up_after, terms, .. } = &self.clients;
        for request in 0..*requests {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let path = match numbering {
                Numbering::None => self.path.clone(),
                Numbering::Query => format!("{}?n={}-{request}", self.path, self.number),
            };
            let begun = Instant::now();
            let came = get_and_report(*address, &path, *give_up_after, || drop(sent.take()));
            sent = None;
            if tally.note(Asked { start, begun }, came, terms) {
                self.answered.fetch_add(1, Ordering::Relaxed);
            } else {
                thread::sleep(AFTER_FAILURE);
            }
        }
        tally
    }
}

fn sum(tallies: Vec<Tally>) -> Tally {
    let mut sum = Tally::default();
    tallies.into_iter().for_each(|tally| sum.add(tally));
    sum
}
