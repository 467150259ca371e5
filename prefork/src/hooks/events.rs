//! What hooks of the parent are told of children.

use std::time::Duration;

use prefork_core::Exit;

/// A child that has ended; see [`Args::on_child_exit`](crate::Args::on_child_exit).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChildExit {
    /// The pid that it had; free for others by now.
    pub pid: u32,
    /// The slot that it had.
    pub slot: u32,
    /// The generation it was of.
    pub generation: u32,
    /// How it ended.
    pub exit: Exit,
    /// What it last said that it was doing, as the scoreboard has it; empty without one.
    pub label: String,
}

/// A child that has been at work on one request for too long; see
/// [`Args::on_timeout`](crate::Args::on_timeout).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HungChild {
    /// Its pid.
    pub pid: u32,
    /// Its slot.
    pub slot: u32,
    /// What it says that it is doing.
    pub label: String,
    /// For how long it has been doing that.
    pub busy: Duration,
}
