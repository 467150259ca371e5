//! What the program counts in a child.

use prefork_scoreboard::metrics::Cells;

use super::Child;
use crate::{ErrorChain, logs::PoolMessage, logs::log::Log};

impl Child {
    /// Returns where this child counts what was declared by [`Args::metrics`](crate::Args::metrics).
    ///
    /// Make a series once, and keep what it returns: it may go to other threads. The first series that cannot be made is logged; what
    /// would be counted there is dropped. A copy of the child can count in what there is, but makes no series.
    ///
    /// See [metrics](crate::docs::metrics).
    #[must_use]
    pub const fn metrics(&self) -> &Cells {
        &self.cells
    }
}

/// Has the log say what cannot be counted; without a store that is everything.
pub(super) fn begin(cells: Option<Cells>, log: &Log) -> Cells {
    let (cells, log) = (cells.unwrap_or_else(Cells::nowhere), log.clone());
    cells.on_refused(move |error| {
        log.write(&PoolMessage::SeriesRefused { error: &ErrorChain(error) });
    });
    cells
}
