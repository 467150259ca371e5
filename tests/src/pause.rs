//! Waiting for conditions.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

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
