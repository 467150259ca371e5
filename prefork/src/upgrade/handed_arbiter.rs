//! What the arbiter of several pools hands to the next program, as a part of the handover.

use std::os::fd::RawFd;

use prefork_core::{
    Time,
    pools::{HandedPool, PoolsChange, Wishes},
};
use serde::{Deserialize, Serialize};

use super::handover::HandedProcess;

/// What an arbiter knows of its pools, and the ways between it and their parents.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HandedArbiter {
    pub(super) pools: Vec<HandedMember>,
    /// Rung by the parents of pools.
    pub(super) bell: RawFd,
    /// Whether one more upgrade was asked for meanwhile.
    pub(super) again: bool,
    /// Whether one more reload was; earlier libraries pass these on.
    #[serde(default)]
    pub(super) reload_again: bool,
    /// What this is for; earlier libraries upgrade alone.
    #[serde(default)]
    pub(super) change: PoolsChange,
    /// When that began.
    #[serde(default)]
    pub(super) began: Option<Time>,
    #[serde(flatten)]
    pub(super) process: HandedProcess,
}

impl HandedArbiter {
    /// What was asked for meanwhile.
    pub(super) const fn wishes(&self) -> Wishes {
        Wishes { reload: self.reload_again, upgrade: self.again }
    }

    pub(super) fn parents(&self) -> impl Iterator<Item = &HandedParent> {
        self.pools.iter().filter_map(|member| member.parent.as_ref())
    }

    /// The descriptors of all ways to its pools and between these.
    pub(super) fn ways(&self) -> Vec<RawFd> {
        let parents = self.parents().flat_map(|parent| [parent.page, parent.call]);
        let between = self.pools.iter().filter_map(|member| member.way);
        let between = between.flat_map(|(taking, leading)| [taking, leading]);
        [self.bell].into_iter().chain(parents).chain(between).collect()
    }
}

/// One of its pools.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HandedMember {
    pub(super) pool: HandedPool,
    pub(super) parent: Option<HandedParent>,
    /// Both ends of the way by which it takes connections of other pools.
    pub(super) way: Option<(RawFd, RawFd)>,
}

/// The parent of a pool, and the way to it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct HandedParent {
    pub(super) pid: i32,
    pub(super) page: RawFd,
    pub(super) call: RawFd,
}
