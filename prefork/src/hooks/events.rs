//! What hooks of the parent are given about children.

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
    /// How long it has lived.
    pub uptime: Duration,
    /// How many requests it has answered, as far as that is possible; 0 without a scoreboard.
    pub requests: u64,
    /// How long it had been at a request; none if it had none in hand, and without a scoreboard.
    pub in_hand: Option<Duration>,
    /// What it had in hand, as it said itself by [`Child::busy`](crate::Child::busy); empty where `in_hand` is none.
    pub label: String,
    /// The address of the client that was accepted; empty where that is not known.
    pub client: String,
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
    /// How long it has been doing that.
    pub busy: Duration,
}
