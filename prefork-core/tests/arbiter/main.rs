//! One ceiling over many pools, in a simulated world: each pool hears of what it may have some time later, and is heard of
//! some time after that; its requests take as long as they take.

mod memory;
mod properties;
mod rules;
mod world;

use std::time::Duration;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
