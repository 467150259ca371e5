//! That the child has been asked to leave, for all that runs in it.

use std::{
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;

/// Whether the child has been asked to leave.
///
/// For what takes long: a WebSocket that is to be told goodbye, a stream that never ends, a poll that waits for news. The child
/// waits for it, and is ended after [`graceful_timeout`](prefork::Args::graceful_timeout) if the daemon stops.
///
/// # Examples
///
/// ```
/// use axum::{Router, routing::get};
/// use prefork_tokio::Stop;
/// use std::time::Duration;
///
/// let router: Router = Router::new().route("/news", get(async || {
///     let stop = Stop::of_this_child();
///     tokio::select! {
///         () = stop.asked() => "nothing new\n",
///         () = tokio::time::sleep(Duration::from_secs(60)) => "something\n",
///     }
/// }));
/// # drop(router);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    is_asked: AtomicBool,
    changed: Notify,
}

/// A process has one: a child is asked once, and whatever runs in it is concerned.
static OF_THIS_CHILD: OnceLock<Stop> = OnceLock::new();

impl Stop {
    /// Returns that of the child in which this is called: in any handler, and in whatever it calls.
    ///
    /// Where no child runs, as in tests of a handler, it is never asked.
    ///
    /// # Fork
    ///
    /// To be called in the main loop and not before the fork.
    #[must_use]
    pub fn of_this_child() -> Self {
        OF_THIS_CHILD.get_or_init(Self::default).clone()
    }

    /// Returns whether the child has been asked to leave.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        // Acquire: pairs with the release in `ask`.
        self.0.is_asked.load(Ordering::Acquire)
    }

    /// Waits until the child is asked to leave.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped, and it can be called again.
    pub async fn asked(&self) {
        let mut changed = pin!(self.0.changed.notified());
        // Before the look: who asks after it is noticed.
        changed.as_mut().enable();
        if !self.is_asked() {
            changed.await;
        }
    }

    /// Asks all.
    pub(crate) fn ask(&self) {
        if !self.0.is_asked.swap(true, Ordering::AcqRel) {
            self.0.changed.notify_waiters();
        }
    }
}
