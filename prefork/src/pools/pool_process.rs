//! A pool as its arbiter has it.

use prefork_core::pools::PoolIdentity;

use super::{heard::Heard, ways::Way};
use crate::{
    seat::{Desk, Upgrades},
    system::helper::Helper,
};

/// A pool, with its process if it has one.
pub(super) struct PoolProcess {
    pub(super) identity: PoolIdentity,
    /// The way on which it takes connections of others, if any hands it some.
    pub(super) way: Option<Way>,
    /// Which of the sockets are its own.
    pub(super) sockets: std::ops::Range<usize>,
    pub(super) helper: Option<Helper>,
    pub(super) desk: Option<Desk>,
    pub(super) heard: Option<Heard>,
    /// What had become of its upgrades when it was asked for one.
    pub(super) asked: Option<Upgrades>,
}

impl PoolProcess {
    pub(super) const fn new(
        identity: PoolIdentity,
        way: Option<Way>,
        sockets: std::ops::Range<usize>,
    ) -> Self {
        Self { identity, way, sockets, helper: None, desk: None, heard: None, asked: None }
    }
}
