//! What lies between an arbiter and the parent of one of its pools.
//!
//! An arbiter starts each pool's parent by executing the program once more, and hands it a *seat*: the sockets of that
//! pool, and a page of memory with two eventfds, by which the two tell each other what they have to. What is told is in
//! the page, and the newest counts; the eventfds only wake. Neither end ever waits for the other.
//!
//! - `order.rs`: the variable of the environment by which the program knows which pool it is to be.
//! - `link.rs`: the page and the eventfds, as the parent of a pool has them.
//! - `desk.rs`: the same, as the arbiter has them, one for each pool that is awake.
//! - `seated.rs`: what an arbiter knows of a pool, awake or not.
//!
//! After an upgrade of a pool the variable is still there, and the numbers in it still mean the page and the eventfds. The
//! sockets are in the handover then.

mod desk;
mod link;
mod order;
mod seated;

use std::{io, os::fd::OwnedFd};

use prefork_core::ReloadEnd;

use crate::sys::SharedFigures;
pub(crate) use desk::{Desk, Upgrades};
pub(crate) use link::Link;
pub(crate) use order::{Order, POOL_VARIABLE, PassedSocket, Seat};
pub(crate) use seated::Seated;

/// Maps a page that this process, or an old program in it, was handed.
fn open_page(memory: &OwnedFd) -> io::Result<SharedFigures> {
    let page = SharedFigures::of_both(memory)?;
    if page.get().len() < word::COUNT {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(page)
}

/// As what the end of a reload stands in the page.
const RELOAD_ENDS: [ReloadEnd; 3] =
    [ReloadEnd::Done, ReloadEnd::SettingsRefused, ReloadEnd::Failed];

/// What stands where in the page.
mod word {
    /// How many processes the pool may have, and 1; 0 while nothing was said.
    pub(super) const CEILING: usize = 0;
    /// Whether all children are in their main loops.
    pub(super) const READY: usize = 1;
    /// How many processes the pool has.
    pub(super) const ALIVE: usize = 2;
    /// How many of them are at work.
    pub(super) const BUSY: usize = 3;
    /// How many it would have if it could have any number.
    pub(super) const WANTED: usize = 4;
    /// Whether the whole daemon ends, so that nobody else serves those who wait at the sockets.
    pub(super) const ENDING: usize = 5;
    /// Which ceiling the pool keeps to, and 1; 0 for none.
    pub(super) const KNOWN: usize = 6;
    /// How often the pool's parent has become another program.
    pub(super) const UPGRADES: usize = 7;
    /// How often it was to, and has refused.
    pub(super) const REFUSALS: usize = 8;
    /// How many requests to reload the pool's parent has taken in, of those of the arbiter.
    pub(super) const RELOADS_TAKEN: usize = 9;
    /// Whether a reload goes on.
    pub(super) const RELOADING: usize = 10;
    /// How the last one has ended: its place among `RELOAD_ENDS`.
    pub(super) const RELOAD_END: usize = 11;
    /// How many requests to reload the arbiter has sent.
    pub(super) const RELOADS_ASKED: usize = 12;
    /// How many bytes a child takes.
    pub(super) const CHILD_MEMORY: usize = 13;
    /// Whether the arbiter wants to know that.
    pub(super) const SHARES_MEMORY: usize = 14;
    /// How many words there are, with some to spare.
    pub(super) const COUNT: usize = 16;
}
