//! Waiting for conditions.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// How long any condition may take that has no limit of its own, on a machine with all cores busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until the condition holds, and fails the test with `what` if it does not within `limit`.
///
/// # Panics
///
/// Panics after `limit`.
#[track_caller]
pub fn wait_until(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < limit, "waited {limit:?} in vain until {what}");
        sleep(Duration::from_millis(2));
    }
}

/// Looks for `time` whether the condition ever fails, and fails the test with `what` if it does.
///
/// # Panics
///
/// Panics as soon as the condition does not hold.
#[track_caller]
pub fn holds_for(time: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        assert!(condition(), "{:?} after the start of the watch: not {what}", begun.elapsed());
        sleep(Duration::from_millis(5));
    }
}
