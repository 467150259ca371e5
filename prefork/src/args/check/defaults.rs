//! The documented defaults.

use std::time::Duration;

pub(super) const PREFORK: u32 = 3;
pub(super) const MAX_CHILDREN: u32 = 150;
pub(super) const MIN_SPARE: u32 = 1;
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(60);
pub(super) const GRACEFUL_TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const HOOK_TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const NETWATCH_INTERVAL: Duration = Duration::from_secs(2);
