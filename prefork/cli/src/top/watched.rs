//! What is watched: a board, or one after the other those of a daemon's pools.

use std::path::{Path, PathBuf};

use prefork_view::{PoolsView, View};

use crate::{
    failure::Failure,
    find::{Found, Pooled},
    look::read,
    pools,
};

/// It, as far as it is known at the moment.
#[derive(Debug)]
pub(super) enum Watched {
    Board(PathBuf),
    Pools {
        found: Found,
        /// The name of the pool that is shown, and its board.
        chosen: String,
        board: PathBuf,
    },
}

/// One pool of several, in the line that shows all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tab {
    pub(super) words: String,
    pub(super) is_chosen: bool,
}

/// Which pool is to be shown next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Next,
    Previous,
}

impl Watched {
    /// Begins with the first pool that has a board.
    pub(super) fn new(found: Found) -> Result<Self, Failure> {
        let Some(daemon) = found.pooled() else { return Ok(Self::Board(found.into_board()?)) };
        let first = boards(&daemon).into_iter().next();
        let (chosen, board) = first.ok_or(Failure::NoPoolAwake { daemon: daemon.name })?;
        Ok(Self::Pools { found, chosen, board })
    }

    /// Returns the board that is shown.
    pub(super) fn board(&self) -> &Path {
        match self {
            Self::Board(board) | Self::Pools { board, .. } => board,
        }
    }

    /// Looks at it.
    pub(super) fn look(&mut self) -> (Result<View, Failure>, Vec<Tab>) {
        let Self::Pools { found, chosen, board } = self else {
            return (read(self.board()), Vec::new());
        };
        let Some(daemon) = found.pooled() else { return (read(board), Vec::new()) };
        // It has another one when its parent has read another path.
        if let Some((_, path)) = boards(&daemon).into_iter().find(|(name, _)| name == chosen) {
            *board = path;
        }
        let all = pools::view(&daemon);
        let tabs = tabs(&all, chosen);
        let view = all.pools.into_iter().find(|pool| pool.name == *chosen);
        match view.and_then(|pool| pool.view) {
            Some(view) => (Ok(view), tabs),
            None => (Err(Failure::PoolHasNoProcess { pool: chosen.clone() }), tabs),
        }
    }

    /// Goes to another pool that has a board; returns whether there is one.
    pub(super) fn step(&mut self, step: Step) -> bool {
        let Self::Pools { found, chosen, board } = self else { return false };
        let mut all = found.pooled().map(|daemon| boards(&daemon)).unwrap_or_default();
        if step == Step::Previous {
            all.reverse();
        }
        let place = all.iter().position(|(name, _)| name == chosen).map_or(0, |place| place + 1);
        let place = if place < all.len() { place } else { 0 };
        match all.into_iter().nth(place).filter(|(name, _)| name != chosen) {
            Some(next) => {
                (*chosen, *board) = next;
                true
            }
            None => false,
        }
    }
}

fn boards(daemon: &Pooled) -> Vec<(String, PathBuf)> {
    let board = |pool: &crate::find::Member| Some((pool.name.clone(), pool.found.board.clone()?));
    daemon.pools.iter().filter_map(board).collect()
}

fn tabs(daemon: &PoolsView, chosen: &str) -> Vec<Tab> {
    let tab = |pool: &prefork_view::PoolView| {
        let words = match &pool.view {
            Some(view) => {
                format!("{} {}, {} busy", pool.name, pools::children(view), view.tally.busy)
            }
            None => format!("{} {}", pool.name, pool.presence),
        };
        Tab { words, is_chosen: pool.name == chosen }
    };
    daemon.pools.iter().map(tab).collect()
}
