//! The documented defaults.

use std::time::Duration;

use prefork_core::Tuning;

pub(crate) const PREFORK: u32 = 3;
pub(crate) const MAX_CHILDREN: u32 = 150;
pub(crate) const CONCURRENCY: u32 = 1;
pub(crate) const MIN_SPARE: u32 = Tuning::DEFAULT.min_spare;
pub(crate) const SPAWN_STEP: u32 = Tuning::DEFAULT.step;
pub(crate) const CALM_TIME: Duration = Tuning::DEFAULT.calm;
pub(crate) const RETIRE_PACE: Duration = Tuning::DEFAULT.pace;
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(60);
pub(crate) const GRACEFUL_TIMEOUT: Duration = Duration::from_secs(30);
pub(crate) const DEMAND_EVERY: Duration = Duration::from_secs(1);
pub(crate) const HOOK_TIMEOUT: Duration = Duration::from_secs(30);
pub(crate) const NETWATCH_INTERVAL: Duration = Duration::from_secs(2);
pub(crate) const SLEEP_AFTER: Duration = Duration::from_secs(10);
