//! Which slots of a board are left from processes that are gone.

use crate::board::Board;
use crate::claim::{is_abandoned, is_empty};
use crate::format::WORDS;
use crate::header::Kind;

/// How the slots of one board are told from those of the dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Census {
    /// By pid and start of the process.
    Asked,
    /// The board is of another boot, so no process of it is left.
    OtherBoot,
    /// Not at all: an owner empties the slots of its dead, or pids of the board mean other processes here.
    Unasked,
}

impl Census {
    pub(crate) fn of(board: &Board) -> Self {
        match board.kind() {
            Kind::Owned => Self::Unasked,
            Kind::Shared if !board.is_of_this_boot() => Self::OtherBoot,
            Kind::Shared if board.is_of_this_namespace() => Self::Asked,
            Kind::Shared => Self::Unasked,
        }
    }

    pub(crate) fn is_gone(self, copy: &[u64; WORDS]) -> bool {
        !is_empty(copy)
            && match self {
                Self::Asked => is_abandoned(copy),
                Self::OtherBoot => true,
                Self::Unasked => false,
            }
    }
}
