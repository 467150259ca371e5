//! Quotas that cannot be kept.

use std::collections::BTreeMap;

use super::{MOST_WEIGHT, Quota};
use crate::pools::PoolId;

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
            Self::NoCeiling | Self::CeilingBelowMinimums { .. } => None,
            Self::NothingLeft { pool, .. }
            | Self::MinimumAboveMaximum { pool, .. }
            | Self::NoMaximum { pool }
            | Self::Weight { pool, .. }
            | Self::Twice { pool } => Some(*pool),
        }
    }
}

/// Returns quotas by pool, if they can be kept.
pub(super) fn checked(
    ceiling: u32,
    quotas: impl IntoIterator<Item = (PoolId, Quota)>,
) -> Result<BTreeMap<PoolId, Quota>, ArbiterError> {
    let mut checked = BTreeMap::new();
    for (pool, quota) in quotas {
        let Quota { minimum, maximum, weight } = quota;
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
    let minimums = checked.values().map(|quota| u64::from(quota.minimum)).sum();
    let without = checked.iter().find(|(_, quota)| quota.minimum == 0).map(|(pool, _)| *pool);
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
        _ => Ok(checked),
    }
}
