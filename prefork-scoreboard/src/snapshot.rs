//! All slots of a board at about one moment.

use crate::clock::Monotonic;
use crate::record::Record;
use crate::state::Class;
use std::fmt;

/// How many slots are of which class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Tally {
    /// Slots that are nobody's.
    pub empty: usize,
    /// Slots whose process is not serving yet.
    pub starting: usize,
    /// Slots whose process waits for work.
    pub idle: usize,
    /// Slots whose process is at work.
    pub busy: usize,
    /// Slots whose process is on the way out.
    pub draining: usize,
    /// Slots without a state that can be believed.
    pub stalled: usize,
    /// Slots of a shared board whose process is gone without giving them back; they are in no other count.
    pub gone: usize,
}

impl Tally {
    /// Counts one more slot.
    pub const fn add(&mut self, class: Class) {
        let count = match class {
            Class::Empty => &mut self.empty,
            Class::Starting => &mut self.starting,
            Class::Idle => &mut self.idle,
            Class::Busy => &mut self.busy,
            Class::Draining => &mut self.draining,
            Class::Stalled => &mut self.stalled,
        };
        *count += 1;
    }

    /// Returns how many slots were counted.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.taken() + self.empty + self.gone
    }

    /// Returns how many of them are somebody's who lives, as far as that is known.
    #[must_use]
    pub const fn taken(&self) -> usize {
        self.starting + self.idle + self.busy + self.draining + self.stalled
    }
}

/// The records of all slots, and their tally.
///
/// It is a buffer too: [`Board::snapshot_into`](crate::Board::snapshot_into) fills an old one again
/// and allocates nothing if the board has not more slots than the one before. Slots are read one
/// after the other, so each record is of one moment, but no two need be of the same.
///
/// It prints as a line of letters, as Apache's server status does: `_W..S`. The slot of a process that is gone is an `x`.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub(crate) records: Vec<Record>,
    pub(crate) gone: Vec<usize>,
    pub(crate) tally: Tally,
    pub(crate) begun: Option<Monotonic>,
}

impl Snapshot {
    /// Makes an empty buffer.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            records: Vec::new(),
            gone: Vec::new(),
            tally: Tally {
                empty: 0,
                starting: 0,
                idle: 0,
                busy: 0,
                draining: 0,
                stalled: 0,
                gone: 0,
            },
            begun: None,
        }
    }

    /// Returns the records in the order of their slots, one for each.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Returns the slots of a shared board whose process was gone when they were read, in order: their records say what
    /// it was doing last. On an owned board there are none; [`Board::life_of`](crate::Board::life_of) knows of both.
    #[must_use]
    pub fn gone(&self) -> &[usize] {
        &self.gone
    }

    /// Returns how many slots are of which class.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Returns when the reading began, or `None` for a buffer that was never filled.
    #[must_use]
    pub const fn begun(&self) -> Option<Monotonic> {
        self.begun
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.records.iter().try_for_each(|record| match self.gone.binary_search(&record.slot()) {
            Ok(_) => f.write_str("x"),
            Err(_) => write!(f, "{}", record.status()),
        })
    }
}
