//! How far reloads have come.

/// How the last reload has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReloadEnd {
    /// Well, or there was none.
    #[default]
    Done,
    /// The settings were refused, and those in force stay.
    SettingsRefused,
    /// The new children did not work, and old ones stay.
    Failed,
}

/// The reloads of one pool. A rollout after an upgrade is one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reloads {
    /// Whether one goes on, or was asked for.
    pub goes_on: bool,
    /// How the last one has ended.
    pub last: ReloadEnd,
}
