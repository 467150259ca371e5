//! What a supervisor has done, counted for statistics.

/// How often a supervisor has done what is no news for an operator.
///
/// It begins at zero with each supervisor, one that was adopted too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deeds {
    /// Children that ended early without having worked.
    pub early_deaths: u64,
    /// Children that were asked to leave because there were too many.
    pub retired: u64,
    /// Children that were asked to leave because others serve in their place: old ones of a reload, old in
    /// age, or tired.
    pub replaced: u64,
}
