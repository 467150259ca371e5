//! What a supervisor has done, counted for statistics.

/// How often a supervisor has done what operators count.
///
/// It begins at zero with each supervisor, one that was adopted too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Children that ended early without having worked.
    pub early_deaths: u64,
    /// Children that were asked to leave because there were too many.
    pub retired: u64,
    /// Children that were asked to leave because others serve in their place: old ones of a reload, old in
    /// age, or tired.
    pub replaced: u64,
    /// Those of them that are of an older generation than a reload or an upgrade has begun.
    pub replaced_old_generation: u64,
    /// Those of them that were older than [`Config::max_lifetime`](crate::Config::max_lifetime).
    pub replaced_old_age: u64,
    /// Requests that took longer than [`Config::request_timeout`](crate::Config::request_timeout).
    pub timeouts: u64,
    /// Children that were asked to leave, have not, and were interrupted.
    pub cut_short: u64,
    /// Children that did not reach their main loop in time.
    pub stuck_starts: u64,
    /// Children that were asked to leave because the pool had little memory left.
    pub retired_for_memory: u64,
    /// Children that were killed because the pool had hardly any memory left, and they grew.
    pub ended_for_memory: u64,
    /// Calls of hooks that took longer than [`Config::hook_timeout`](crate::Config::hook_timeout).
    pub hook_timeouts: u64,
    /// Reloads that have replaced all children.
    pub reloads: u64,
    /// Reloads whose settings were refused, or whose new children did not work.
    pub reloads_failed: u64,
    /// Upgrades that have come to nothing.
    pub upgrades_refused: u64,
}
