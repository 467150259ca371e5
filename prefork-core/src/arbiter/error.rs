//! Quotas that cannot be kept.

use std::collections::BTreeMap;

use super::{Ceiling, MOST_WEIGHT, Quota};
use crate::{in_memory_units, pools::PoolId};

/// Why a ceiling cannot be shared by such quotas.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArbiterError {
    /// Nobody could have any children.
    #[error("the ceiling is 0: pools need at least 1 child")]
    NoCeiling,
    /// Not all could have their minimum.
    #[error("the ceiling ({ceiling}) is less than the minimums of all pools together ({minimums})")]
    CeilingBelowMinimums {
        /// The ceiling.
        ceiling: u32,
        /// The sum of all minimums.
        minimums: u64,
    },
    /// A pool without a minimum could never have a child.
    #[error(
        "the ceiling ({ceiling}) is no more than the minimums of all pools together, which leaves nothing for a pool without one"
    )]
    NothingLeft {
        /// The pool, or the first of them.
        pool: PoolId,
        /// The ceiling.
        ceiling: u32,
    },
    /// The children of all minimums take more than there is.
    #[error(
        "the memory ceiling ({}) is less than the minimums of all pools take together ({})",
        in_memory_units(*.ceiling),
        in_memory_units(*.minimums)
    )]
    MemoryBelowMinimums {
        /// The ceiling, in bytes.
        ceiling: u64,
        /// What the minimums take, in bytes.
        minimums: u64,
    },
    /// There is no room for a child of a pool without a minimum.
    #[error(
        "a child takes {}, but the minimums of all pools leave {} of the memory ceiling ({})",
        in_memory_units(*.child_memory),
        in_memory_units(*.left),
        in_memory_units(*.ceiling)
    )]
    ChildTooLarge {
        /// The pool, or the first of them.
        pool: PoolId,
        /// What a child takes, in bytes.
        child_memory: u64,
        /// What the minimums leave, in bytes.
        left: u64,
        /// The ceiling, in bytes.
        ceiling: u64,
    },
    /// Nobody knows how much memory a child takes.
    #[error("it is not said how much memory a child takes, which a memory ceiling needs")]
    NoChildMemory {
        /// The pool.
        pool: PoolId,
    },
    /// A pool would have more at rest than at the most.
    #[error("minimum ({minimum}) is greater than maximum ({maximum})")]
    MinimumAboveMaximum {
        /// The pool.
        pool: PoolId,
        /// Its minimum.
        minimum: u32,
        /// Its maximum.
        maximum: u32,
    },
    /// A pool could have no children.
    #[error("maximum is 0: a pool needs at least 1 child")]
    NoMaximum {
        /// The pool.
        pool: PoolId,
    },
    /// A weight is out of range.
    #[error("weight is {weight}, not 1 to {MOST_WEIGHT}")]
    Weight {
        /// The pool.
        pool: PoolId,
        /// Its weight.
        weight: u32,
    },
    /// A pool has two quotas.
    #[error("the pool has two quotas")]
    Twice {
        /// The pool.
        pool: PoolId,
    },
}

crate::debug_as_chain!(ArbiterError);

impl ArbiterError {
    /// Returns which pool's quota is wrong; `None` if it is all of them together.
    #[must_use]
    pub const fn pool(&self) -> Option<PoolId> {
        match self {
            Self::NoCeiling
            | Self::CeilingBelowMinimums { .. }
            | Self::MemoryBelowMinimums { .. } => None,
            Self::NothingLeft { pool, .. }
            | Self::ChildTooLarge { pool, .. }
            | Self::NoChildMemory { pool }
            | Self::MinimumAboveMaximum { pool, .. }
            | Self::NoMaximum { pool }
            | Self::Weight { pool, .. }
            | Self::Twice { pool } => Some(*pool),
        }
    }
}

/// Returns quotas by pool, if they can be kept.
pub(super) fn checked(
    ceiling: Ceiling,
    quotas: impl IntoIterator<Item = (PoolId, Quota)>,
) -> Result<BTreeMap<PoolId, Quota>, ArbiterError> {
    let mut checked = BTreeMap::new();
    for (pool, quota) in quotas {
        let Quota { minimum, maximum, weight, child_memory: _ } = quota;
        if maximum == 0 {
            return Err(ArbiterError::NoMaximum { pool });
        }
        if minimum > maximum {
            return Err(ArbiterError::MinimumAboveMaximum { pool, minimum, maximum });
        }
        if !(1..=MOST_WEIGHT).contains(&weight) {
            return Err(ArbiterError::Weight { pool, weight });
        }
        if checked.insert(pool, quota).is_some() {
            return Err(ArbiterError::Twice { pool });
        }
    }
    if let Some(children) = ceiling.children() {
        check_children(children, &checked)?;
    }
    if let Some(memory) = ceiling.memory() {
        check_memory(memory, &checked)?;
    }
    Ok(checked)
}

fn check_children(ceiling: u32, quotas: &BTreeMap<PoolId, Quota>) -> Result<(), ArbiterError> {
    let minimums = quotas.values().map(|quota| u64::from(quota.minimum)).sum();
    let without = quotas.iter().find(|(_, quota)| quota.minimum == 0).map(|(pool, _)| *pool);
    match ceiling {
        0 => Err(ArbiterError::NoCeiling),
        _ if minimums > u64::from(ceiling) => {
            Err(ArbiterError::CeilingBelowMinimums { ceiling, minimums })
        }
        _ if minimums == u64::from(ceiling)
            && let Some(pool) = without =>
        {
            Err(ArbiterError::NothingLeft { pool, ceiling })
        }
        _ => Ok(()),
    }
}

fn check_memory(ceiling: u64, quotas: &BTreeMap<PoolId, Quota>) -> Result<(), ArbiterError> {
    if let Some((pool, _)) = quotas.iter().find(|(_, quota)| quota.child_memory == 0) {
        return Err(ArbiterError::NoChildMemory { pool: *pool });
    }
    let minimum = |quota: &Quota| quota.child_memory.saturating_mul(quota.minimum.into());
    let minimums = quotas.values().map(minimum).fold(0, u64::saturating_add);
    let Some(left) = ceiling.checked_sub(minimums) else {
        return Err(ArbiterError::MemoryBelowMinimums { ceiling, minimums });
    };
    let mut without = quotas.iter().filter(|(_, quota)| quota.minimum == 0);
    match without.find(|(_, quota)| quota.child_memory > left) {
        Some((pool, Quota { child_memory, .. })) => Err(ArbiterError::ChildTooLarge {
            pool: *pool,
            child_memory: *child_memory,
            left,
            ceiling,
        }),
        None => Ok(()),
    }
}
