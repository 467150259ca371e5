//! Waiting for conditions.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// How long any condition may take that has no limit of its own, on a machine with all cores busy: 20 s.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(2);

/// Waits until the condition holds, and fails the test with `what` if it does not within `limit`.
///
/// # Panics
///
/// Panics after `limit`.
///
/// # Examples
///
/// ```
/// use prefork_testing::{PATIENCE, wait_until};
///
/// let mut looks = 0;
/// wait_until(PATIENCE, "it was looked three times", || {
///     looks += 1;
///     looks == 3
/// });
/// ```
#[track_caller]
pub fn wait_until(limit: Duration, what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within(limit, condition), "waited {limit:?} in vain until {what}");
}

/// Waits until the condition holds; returns whether it does within `limit`.
pub(crate) fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !condition() {
        if begun.elapsed() >= limit {
            return false;
        }
        sleep(PAUSE);
    }
    true
}
