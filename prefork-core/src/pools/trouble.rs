//! What is wrong with pools, in one line for who looks at the daemon as a whole.

use super::{PoolId, Pools, PoolsAction, Presence, stage::Pool};
use crate::ReloadEnd;

/// The worst of what is wrong, the pool in question, and how many others have the same trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolsTrouble {
    /// What it is.
    pub kind: TroubleKind,
    /// The first pool that has it.
    pub pool: PoolId,
    /// How many others have it too.
    pub others: usize,
}

/// What is wrong with a pool, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// Its parent has ended or could not be started, and no other one serves yet.
    Lost,
    /// The last reload has refused its settings, and those before are in force.
    SettingsRefused,
    /// The new children of the last reload did not work, and old ones stay.
    ReloadFailed,
    /// It has refused the program that the daemon runs, and goes on with an old one.
    NotUpgraded,
}

impl TroubleKind {
    const ALL: [Self; 4] =
        [Self::Lost, Self::SettingsRefused, Self::ReloadFailed, Self::NotUpgraded];

    fn is_of(self, pool: &Pool) -> bool {
        match self {
            Self::Lost => pool.is_lost && pool.presence == Presence::Always,
            Self::SettingsRefused => pool.reloads.state.last == ReloadEnd::SettingsRefused,
            Self::ReloadFailed => pool.reloads.state.last == ReloadEnd::Failed,
            Self::NotUpgraded => pool.has_refused,
        }
    }
}

impl Pools {
    /// Shows what is wrong, if that is something else than before.
    pub(super) fn decide_trouble(&mut self) {
        if self.is_stopping() {
            return;
        }
        let trouble = TroubleKind::ALL.into_iter().find_map(|kind| {
            let mut having = self.ids().filter(|(_, pool)| kind.is_of(pool)).map(|(id, _)| id);
            let pool = having.next()?;
            Some(PoolsTrouble { kind, pool, others: having.count() })
        });
        if trouble != self.shown {
            self.shown = trouble;
            self.actions.push_back(PoolsAction::Trouble(trouble));
        }
    }
}
