//! A pool as its arbiter knows it.

use std::time::Duration;

use prefork_core::{
    Quota,
    pools::{MadeOf, PoolIdentity, PoolKind, Presence},
};
use serde::{Deserialize, Serialize};

/// It. An arbiter that becomes another program leaves this too, so that a pool whose settings are wrong by then can go on as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Seated {
    pub(crate) name: String,
    pub(crate) kind: PoolKind,
    /// Where it listens.
    pub(crate) addresses: Vec<String>,
    /// With which permissions, if these are UNIX sockets.
    pub(crate) mode: Option<u32>,
    /// The pools to which it hands connections.
    pub(crate) hands_to: Vec<String>,
    /// What it may have of the ceiling.
    pub(crate) quota: Quota,
    /// How long it may take to stop.
    pub(crate) stop: Duration,
    /// What it is made of, as this program has read that.
    #[serde(skip)]
    pub(crate) made_of: MadeOf,
}

impl Seated {
    pub(crate) fn is_on_demand(&self) -> bool {
        self.kind == PoolKind::OnDemand
    }

    pub(crate) fn presence(&self) -> Presence {
        if self.is_on_demand() { Presence::OnDemand } else { Presence::Always }
    }

    /// By what it is known again in another program; `members` are all pools of the daemon.
    pub(crate) fn identity(&self, members: &[Self]) -> PoolIdentity {
        let Self { name, kind, addresses, hands_to, .. } = self;
        PoolIdentity {
            name: name.clone(),
            is_role: *kind == PoolKind::Role,
            addresses: addresses.clone(),
            hands_to: hands_to.clone(),
            takes: members.iter().any(|other| other.hands_to.contains(name)),
            sleeps: Some(self.is_on_demand()),
        }
    }
}
