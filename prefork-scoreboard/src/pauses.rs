//! Waiting for a lock that cannot be waited for with an end.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long to wait for another process that holds a lock, which takes milliseconds unless it was stopped.
const WAIT: Duration = Duration::from_secs(5);

/// The first pause; each later one is twice as long as the one before.
const FIRST: Duration = Duration::from_millis(1);

/// The longest pause, so that a crowd that waits takes no processor from the one it waits for.
const LONGEST: Duration = Duration::from_millis(64);

/// Pauses between attempts, which grow, and have an end.
#[derive(Debug)]
pub(crate) struct Pauses {
    begun: Instant,
    next: Duration,
}

impl Pauses {
    pub(crate) fn begin() -> Self {
        Self { begun: Instant::now(), next: FIRST }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Sleeps before one more attempt; returns false, at once, if there has been time enough.
    #[must_use]
    pub(crate) fn pause(&mut self) -> bool {
        if self.elapsed() >= WAIT {
            return false;
        }
        sleep(self.next);
        self.next = (self.next * 2).min(LONGEST);
        true
    }
}
