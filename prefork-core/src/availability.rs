//! Whether a daemon wants clients, and how many: what probes and load balancers are answered.

use std::fmt::{self, Display};

/// The least weight of a daemon that serves, in percent.
const LEAST_WEIGHT: u8 = 5;

/// How far a daemon is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Not all of its first children have begun.
    #[default]
    Starting,
    /// It serves.
    Serving,
    /// It was asked to stop.
    Stopping,
}

/// How much of a pool is in use, as far as a scoreboard says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolUse {
    /// Children that can have requests in hand, whether they have or not.
    pub serving: u32,
    /// How many of them are at work; one with many requests at once is so in part.
    pub at_work: f64,
    /// Children that there may be.
    pub max_children: u32,
}

/// Whether a daemon wants clients.
///
/// # Examples
///
/// ```
/// use prefork_core::{Availability, Stage, PoolUse};
///
/// let pool = PoolUse { serving: 4, at_work: 3.0, max_children: 4 };
/// let quarter = Availability::judge(Stage::Serving, Some(pool));
/// assert_eq!((quarter.is_ready(), quarter.weight()), (true, 25));
/// let starting = Availability::judge(Stage::Starting, Some(pool));
/// assert_eq!((starting.is_ready(), starting.weight()), (false, 0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Availability {
    /// It takes more; so much of it is free, 0 to 1, as far as that is known.
    Open {
        /// The part that is free.
        free: Option<f64>,
    },
    /// All children that there may be are at work: others wait.
    Full {
        /// How many there may be.
        max_children: u32,
    },
    /// No child serves, as when all end as soon as they have begun.
    Unserved,
    /// Not all of its first children have begun.
    Starting,
    /// It was asked to stop.
    Stopping,
}

impl Availability {
    /// Judges a daemon at this stage; `pool` is `None` where no scoreboard says what its children do.
    #[must_use]
    pub fn judge(stage: Stage, pool: Option<PoolUse>) -> Self {
        match (stage, pool) {
            (Stage::Starting, _) => Self::Starting,
            (Stage::Stopping, _) => Self::Stopping,
            (Stage::Serving, None) => Self::Open { free: None },
            (Stage::Serving, Some(PoolUse { serving: 0, .. })) => Self::Unserved,
            (Stage::Serving, Some(PoolUse { at_work, max_children, .. })) => {
                let free = 1.0 - at_work / f64::from(max_children.max(1));
                if free <= 0.0 {
                    Self::Full { max_children }
                } else {
                    Self::Open { free: Some(free.min(1.0)) }
                }
            }
        }
    }

    /// Returns whether new clients are wanted.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        match self {
            Self::Open { .. } => true,
            Self::Full { .. } | Self::Unserved | Self::Starting | Self::Stopping => false,
        }
    }

    /// Returns what part of its usual share of clients a balancer is to send, in percent: what is free.
    ///
    /// That is 0 for a daemon that starts or stops, and 5 at least for one that serves: where all are full, somebody has to have
    /// those who come, and HAProxy, whose weights are 256 at most, makes nothing of 1 % of most of them. It is 100 where
    /// nothing says what is free.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is within 5 and 100"
    )]
    pub fn weight(self) -> u8 {
        match self {
            Self::Open { free: None } => 100,
            Self::Open { free: Some(free) } => {
                (free * 100.0).round().clamp(f64::from(LEAST_WEIGHT), 100.0) as u8
            }
            Self::Full { .. } => LEAST_WEIGHT,
            Self::Unserved | Self::Starting | Self::Stopping => 0,
        }
    }
}

/// For people, on one line.
impl Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { free: None } => f.write_str("ready"),
            Self::Open { free: Some(free) } => write!(f, "ready: {:.0} % is free", free * 100.0),
            Self::Full { max_children } => {
                write!(f, "full: all {max_children} children that there may be are at work")
            }
            Self::Unserved => f.write_str("no child serves"),
            Self::Starting => f.write_str("starting: not all of the first children have begun"),
            Self::Stopping => f.write_str("stopping"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn pool(serving: u32, at_work: f64, max_children: u32) -> Option<PoolUse> {
        Some(PoolUse { serving, at_work, max_children })
    }

    #[test]
    fn only_a_daemon_that_serves_and_has_room_is_ready() {
        let table = [
            (Stage::Serving, None, true, 100, "ready"),
            (Stage::Serving, pool(2, 0.0, 8), true, 100, "ready: 100 % is free"),
            (Stage::Serving, pool(2, 2.0, 8), true, 75, "ready: 75 % is free"),
            // A quarter of a child that can have many requests.
            (Stage::Serving, pool(1, 0.25, 1), true, 75, "ready: 75 % is free"),
            (Stage::Serving, pool(100, 98.0, 100), true, 5, "ready: 2 % is free"),
            (
                Stage::Serving,
                pool(8, 8.0, 8),
                false,
                5,
                "full: all 8 children that there may be are at work",
            ),
            // Stand-ins of a reload, above the maximum.
            (
                Stage::Serving,
                pool(9, 9.0, 8),
                false,
                5,
                "full: all 8 children that there may be are at work",
            ),
            (Stage::Serving, pool(0, 0.0, 8), false, 0, "no child serves"),
            (
                Stage::Starting,
                pool(8, 1.0, 8),
                false,
                0,
                "starting: not all of the first children have begun",
            ),
            (Stage::Stopping, pool(8, 1.0, 8), false, 0, "stopping"),
            (Stage::Starting, None, false, 0, "starting: not all of the first children have begun"),
            (Stage::Stopping, None, false, 0, "stopping"),
        ];
        for (stage, pool, is_ready, weight, text) in table {
            let found = Availability::judge(stage, pool);
            let shown = (found.is_ready(), found.weight(), found.to_string());
            assert_eq!(shown, (is_ready, weight, text.to_owned()), "{stage:?} {pool:?}");
        }
    }

    #[test]
    fn nonsense_about_a_pool_stays_within_what_is_possible() {
        for pool in [pool(1, -5.0, 8), pool(1, f64::NAN, 8), pool(1, f64::INFINITY, 0)] {
            let found = Availability::judge(Stage::Serving, pool);
            assert!((5..=100).contains(&found.weight()), "{pool:?}: {found:?}");
        }
    }
}
