//! What a process is among those of a daemon: a program is to become that and nothing else.

use std::fmt::{self, Display};

use prefork_core::one_line;
use serde::{Deserialize, Serialize};

use super::Inherited;
use crate::RunError;

/// It.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Station {
    /// The parent of a daemon of one pool.
    #[default]
    Alone,
    /// What starts the parents of several pools.
    Arbiter,
    /// The parent of one of several pools.
    Pool(String),
}

impl Display for Station {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alone => f.write_str("a daemon of one pool"),
            Self::Arbiter => f.write_str("a daemon of several pools"),
            Self::Pool(name) => write!(f, "the pool {} of a daemon of several", one_line(name)),
        }
    }
}

impl Inherited {
    /// Makes sure that what was left is for a program like this.
    pub(crate) fn require(&self, station: &Station) -> Result<(), RunError> {
        let was = &self.handover.station;
        if was == station {
            return Ok(());
        }
        Err(RunError::OtherKind { is: station.to_string(), was: was.to_string() })
    }
}
