//! How much is simulated.
//!
//! `PREFORK_SIMULATION=100` runs a hundred times as many cases of each property; with `--nocapture` every
//! million events is printed.

use std::{
    env,
    sync::atomic::{AtomicU64, Ordering},
};

const MILLION: u64 = 1_000_000;

static EVENTS: AtomicU64 = AtomicU64::new(0);

/// Returns how many cases are run of a property, of which so many are usual.
pub(crate) fn cases(usual: u32) -> u32 {
    match env::var("PREFORK_SIMULATION") {
        Ok(factor) => usual.saturating_mul(factor.parse().expect("PREFORK_SIMULATION is a number")),
        Err(_) => usual,
    }
}

/// Counts the events of a world that has come to its end.
pub(crate) fn add(events: u64) {
    let before = EVENTS.fetch_add(events, Ordering::Relaxed);
    let after = before + events;
    if before / MILLION != after / MILLION {
        println!("{} million events simulated", after / MILLION);
    }
}
