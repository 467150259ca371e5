//! The supervisor in a simulated world.
//!
//! Every run of a property is a list of steps drawn by proptest. One that fails is shrunk and printed, and its
//! seed is noted in `proptest-regressions`, so that it repeats exactly. The world checks its invariants
//! after every event (see `world.rs`).

mod arbitrary;
mod count;
mod life;
mod orphans;
mod progress;
mod properties;
mod rollouts;
mod stories;
mod world;

use std::time::Duration;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
