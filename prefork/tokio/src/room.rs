//! What a child has in hand, and whether it can take more.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use prefork::{Child, InFlight, InHand};
use tokio::sync::Notify;

/// How many requests a child has in hand, of how many it can.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    in_flight: InFlight,
    most: u32,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// How many connections were accepted whose first request has not come.
    expected: AtomicU32,
    /// Something has come to its end.
    freed: Notify,
}

/// One request in hand; it is answered, or given up, when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    /// None while it is dropped.
    in_hand: Option<InHand>,
    shared: Arc<Shared>,
}

/// A connection whose first request is about to come, until this is dropped.
///
/// Without these a child would take a burst of connections before it has read the first request.
#[derive(Debug)]
pub(crate) struct Expected(Arc<Shared>);

impl Room {
    pub(crate) fn of(child: &mut Child) -> Self {
        Self { most: child.concurrency(), in_flight: child.in_flight(), shared: Arc::default() }
    }

    pub(crate) fn is_full(&self) -> bool {
        // Relaxed: what is missed here wakes the loop that asks.
        let expected = self.shared.expected.load(Ordering::Relaxed);
        self.in_flight.count().saturating_add(expected) >= self.most
    }

    /// Waits until something has come to its end since the last time that this was asked.
    pub(crate) async fn freed(&self) {
        self.shared.freed.notified().await;
    }

    /// Takes a request in hand.
    pub(crate) fn begin(&self, label: &str) -> Held {
        Held { in_hand: Some(self.in_flight.begin(label)), shared: self.shared.clone() }
    }

    /// Keeps room for a request.
    pub(crate) fn expect(&self) -> Expected {
        self.shared.expected.fetch_add(1, Ordering::Relaxed);
        Expected(self.shared.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Before anybody is woken to see it.
        self.in_hand = None;
        self.shared.freed.notify_one();
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.0.expected.fetch_sub(1, Ordering::Relaxed);
        self.0.freed.notify_one();
    }
}
