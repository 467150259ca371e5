//! What a pool needs of children, for whoever shares them out.

/// How many children a pool has, and how many it would like to have.
///
/// [`Supervisor::need`](crate::Supervisor::need) answers with it, and [`Arbiter::report`](crate::Arbiter::report) takes it.
/// Where it goes from one process to another, through memory that both have, `ceiling` must be written last and read first:
/// else `alive` may be of a time before that ceiling held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// How many processes there are, those that leave included.
    pub alive: u32,
    /// How many of those that stay are not idle: at work, starting, or not known to have nothing to do.
    pub busy: u32,
    /// How many there would be without a ceiling, those that stand in for others included.
    pub wanted: u32,
    /// The ceiling that holds for the pool: more are not started than that. `None` if it knows of none.
    pub ceiling: Option<u32>,
    /// How many bytes a child takes on average, rounded up; 0 where that is not measured.
    pub child_memory: u64,
}
