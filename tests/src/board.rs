//! What the scoreboard of a daemon shows.

use prefork::scoreboard::{Board, Record, Status};

use crate::{PATIENCE, Scene, wait_until};

/// Returns what the board of [`Launch::board`](crate::Launch::board) shows of the children.
///
/// # Panics
///
/// Panics if there is none.
#[must_use]
#[track_caller]
pub fn records(scene: &Scene) -> Vec<Record> {
    let board = Board::open(scene.path("scoreboard")).expect("a board");
    let snapshot = board.snapshot().expect("whole");
    let taken = snapshot.records().iter().filter(|record| record.status() != Status::Empty);
    taken.cloned().collect()
}

/// Returns how many requests all children have in hand, as the board shows it.
///
/// # Panics
///
/// Panics if there is no board.
#[must_use]
#[track_caller]
pub fn in_hand(scene: &Scene) -> u32 {
    records(scene).iter().map(Record::in_hand).sum()
}

/// Waits until the board shows that so many are in hand.
///
/// # Panics
///
/// Panics after [`PATIENCE`].
#[track_caller]
pub fn wait_for_in_hand(scene: &Scene, count: u32) {
    wait_until(PATIENCE, &format!("{count} are in hand"), || in_hand(scene) == count);
}
