//! Many requests at once in one child, begun and put down by any of its threads.

use std::{
    fmt::{self, Display},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prefork_scoreboard::{Maker, Slot};

use super::{Child, desk::Desk, limits::Usage};
use crate::{
    channels::{Report, Reporter},
    logs::{log::Log, stderr},
    system::clock,
};

impl Child {
    /// Returns how many requests this child can have in hand at once: [`Args::concurrency`](crate::Args::concurrency).
    #[must_use]
    pub const fn concurrency(&self) -> u32 {
        self.concurrency
    }

    /// Returns the way to report many requests at once, from any thread or task.
    ///
    /// For main loops that serve by threads, by an async runtime, or by a server that does so itself. Each request is
    /// [begun](InFlight::begin), and in hand until its guard is dropped: when it is answered, when its thread panics,
    /// when the future is dropped that holds it because its client has hung up. Requests are counted singly, for
    /// [`max_requests`](crate::Args::max_requests) and on the scoreboard; each has all its time, see
    /// [`request_timeout`](crate::Args::request_timeout); and the size of the pool follows from how many are in hand of
    /// [`concurrency`](Self::concurrency), see [tuning](crate::docs::tuning#many-requests-at-once).
    ///
    /// However often it is called, there is one count. From the first call on the child is one of many requests:
    ///
    /// - [`accept`](Self::accept) takes a connection and reports nothing of it: begin a request for it. What it, or `busy`,
    ///   had in hand before counts for nothing any more.
    /// - [`busy`](Self::busy) begins one request of the main loop's own, or changes the label of that; [`idle`](Self::idle),
    ///   [`keep_alive`](Self::keep_alive) and `accept` put that one down, and
    ///   [`extend_deadline`](Self::extend_deadline) is about it.
    /// - [`scoreboard_slot`](Self::scoreboard_slot) returns `None`, as the record is no one request's.
    /// - [`on_client_disconnect`](crate::Args::on_client_disconnect) is not asked: which of its clients has gone, only
    ///   the child knows.
    ///
    /// It does not by itself promise that the loop leaves when it is asked to: see [`Child`]. When the main loop returns,
    /// requests that are still in hand are cut off.
    ///
    /// # Fork
    ///
    /// In a copy of the child nothing is counted, and guards do nothing.
    ///
    /// # Examples
    ///
    /// Threads that serve the connections which the main loop accepts:
    ///
    /// ```
    /// use prefork::{Args, InHand};
    /// use std::{io::Write, net::TcpStream, sync::Mutex, sync::mpsc, thread};
    ///
    /// let args = Args::new()
    ///     .concurrency(8)
    ///     .after_init(|init| Ok(init.listen("127.0.0.1:0")?))
    ///     .main_loop(|child, listener| {
    ///         let in_flight = child.in_flight();
    ///         let (give, take) = mpsc::channel::<(TcpStream, InHand)>();
    ///         let (free, freed) = mpsc::channel();
    ///         let take = Mutex::new(take);
    ///         thread::scope(|scope| {
    ///             // The threads end when this is dropped, and what was accepted is answered.
    ///             let give = give;
    ///             for _ in 0..child.concurrency() {
    ///                 let (take, free) = (&take, free.clone());
    ///                 scope.spawn(move || {
    ///                     while free.send(()).is_ok() {
    ///                         let next = take.lock().map(|take| take.recv());
    ///                         let Ok(Ok((mut connection, in_hand))) = next else { break };
    ///                         // A client that has gone is no reason to end the thread.
    ///                         let _ = connection.write_all(b"hello\n");
    ///                         drop(in_hand);
    ///                     }
    ///                 });
    ///             }
    ///             // A connection for which no thread is free is left to other children.
    ///             while freed.recv().is_ok()
    ///                 && let Some((connection, peer)) = child.accept(listener)?
    ///             {
    ///                 let in_hand = in_flight.begin("hello");
    ///                 in_hand.set_client(peer);
    ///                 give.send((connection, in_hand))?;
    ///             }
    ///             Ok(())
    ///         })
    ///     });
    /// # drop(args);
    /// ```
    pub fn in_flight(&mut self) -> InFlight {
        if self.is_copy() {
            InFlight(None)
        } else {
            self.work.in_flight(self.concurrency, &self.log)
        }
    }
}

/// Begins requests, and knows how many are in hand: see [`Child::in_flight`].
///
/// A copy counts the same requests, in whichever thread it is.
#[derive(Clone, Debug)]
pub struct InFlight(
    /// None in a copy of the child.
    Option<Arc<Shared>>,
);

/// A request in hand: it is answered when this is dropped, in whatever thread, and counts as one.
///
/// One that is forgotten ([`mem::forget`](std::mem::forget)) stays in hand for as long as the child lives.
#[must_use = "the request is answered when this is dropped"]
pub struct InHand {
    shared: Option<Arc<Shared>>,
    place: u32,
}

#[derive(Debug)]
struct Shared {
    maker: Maker,
    reporter: Option<Reporter>,
    log: Log,
    has_worked: AtomicBool,
    /// Whether anything that is shown could be of interest to the parent.
    is_shown: bool,
    /// Held for the time that it takes to note something, never while code of the program runs.
    desk: Mutex<Desk>,
}

impl InFlight {
    pub(super) fn new(
        slot: Option<Slot>,
        reporter: Option<Reporter>,
        usage: Usage,
        concurrency: u32,
        log: Log,
    ) -> Self {
        let is_shown = slot.is_some();
        let page = reporter.as_ref().map(Reporter::page);
        let desk = Mutex::new(Desk::new(slot, page, usage, concurrency));
        let (maker, has_worked) = (Maker::new(), AtomicBool::new(false));
        let shared = Shared { maker, reporter, log, has_worked, is_shown, desk };
        shared.changed();
        Self(Some(Arc::new(shared)))
    }

    /// Begins a request, which `label` describes: `"GET /index.html"`, a job's name.
    ///
    /// The scoreboard shows at most 96 bytes of it, while it is the request that has been in hand for longest, to all who
    /// may read the file: leave secrets out. It never waits and never refuses, not even beyond
    /// [`concurrency`](Child::concurrency): the program itself takes no more than that.
    ///
    /// # Examples
    ///
    /// In a future, the guard is dropped with it, whether it has come to its end or not:
    ///
    /// ```
    /// # async fn respond() {}
    /// async fn serve(in_flight: prefork::InFlight) {
    ///     let _in_hand = in_flight.begin("GET /");
    ///     respond().await;
    /// }
    /// # drop(serve);
    /// ```
    pub fn begin(&self, label: &str) -> InHand {
        let Some(shared) = self.here() else { return InHand { shared: None, place: 0 } };
        let now = clock::now();
        let place = shared.desk().begin(now, label);
        shared.has_begun();
        InHand { shared: Some(shared.clone()), place }
    }

    /// Has others see the texts of requests in hand that were changed: a text by itself wakes nobody, so that else it is seen when a
    /// request begins or ends. It costs the parent a wake-up.
    pub fn publish(&self) {
        if let Some(shared) = self.here() {
            shared.changed();
        }
    }

    /// Returns how many requests are in hand; 0 in a copy of the child.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.here().map_or(0, |shared| shared.desk().count())
    }

    /// Notes how long the client has waited of a connection that was accepted, to be shown with the next request.
    pub(super) fn note_queued(&self, queued: Option<Duration>) {
        if queued.is_some()
            && let Some(shared) = self.here()
        {
            shared.desk().note_queued(queued);
        }
    }

    /// Returns how many requests were finished.
    pub(super) fn finished(&self) -> u64 {
        self.here().map_or(0, |shared| shared.desk().finished())
    }

    /// What is shared, in the process whose it is: in a copy of it another thread may have had the lock.
    fn here(&self) -> Option<&Arc<Shared>> {
        self.0.as_ref().filter(|shared| shared.maker.is_here())
    }
}

impl InHand {
    /// Changes the label, as when the first line of the request was read.
    pub fn set_label(&self, label: &str) {
        if let Some(shared) = self.here() {
            shared.desk().set_label(self.place, label);
        }
    }

    /// Reports for whom the request is, in at most 64 bytes.
    ///
    /// A [`SocketAddr`](std::net::SocketAddr) goes as it is, a path with [`display`](std::path::Path::display).
    pub fn set_client(&self, client: impl Display) {
        if let Some(shared) = self.here() {
            let client = client.to_string();
            shared.desk().set_client(self.place, &client);
        }
    }

    /// Asks for more time for this request: `by` from now, if that is longer than
    /// [`request_timeout`](crate::Args::request_timeout) gives, and no less than it was given already.
    ///
    /// The others have the usual time.
    pub fn extend_deadline(&self, by: Duration) {
        if let Some(shared) = self.here() {
            let until = clock::now() + by;
            shared.desk().extend(self.place, until);
        }
    }

    fn here(&self) -> Option<&Shared> {
        self.shared.as_deref().filter(|shared| shared.maker.is_here())
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let Some(shared) = self.here() else { return };
        let now = clock::now();
        let found = shared.desk().end(now, self.place);
        shared.changed();
        found.report(shared.reporter.as_ref(), &shared.log);
    }
}

impl fmt::Debug for InHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InHand").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        // Nothing in there panics half-way; and if it did, what is counted is better than none.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports that work was taken: the first time by itself, and else if the parent wants to know.
    fn has_begun(&self) {
        self.changed();
        // A load first, as a swap would take the cache line from all other threads each time.
        if !self.has_worked.load(Ordering::Relaxed)
            && !self.has_worked.swap(true, Ordering::Relaxed)
        {
            if let Some(reporter) = &self.reporter {
                reporter.report(Report::Worked);
            }
            drop(stderr::take_original());
        }
    }

    /// Makes the parent look at the record, which has changed, if it wants to know.
    fn changed(&self) {
        if let Some(reporter) = self.reporter.as_ref().filter(|_| self.is_shown) {
            reporter.changed();
        }
    }
}

#[cfg(test)]
mod tests;
