//! What a board says, taken out of it to be shown.
//!
//! Both the command `prefork` and the daemon's own status page are made of this, each as a module of its
//! own: it is no part of the library's interface. What neither of them shares stays with it.

mod human;
mod json;
mod memory;
pub(crate) mod metrics;
pub(crate) mod words;

use std::time::{Duration, SystemTime};

use prefork::scoreboard::{Board, Class, Kind, Life, Record, SlotError, Status, Tally};

pub(crate) use human::{bytes, duration, plural};
pub(crate) use json::{Shown, pretty};
pub(crate) use metrics::{registry, text};
pub(crate) use words::state;

/// Which slots are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slots {
    Taken,
    All,
}

impl Slots {
    pub(crate) fn show(self, row: &Row) -> bool {
        match self {
            Self::Taken => row.status != Status::Empty,
            Self::All => true,
        }
    }
}

/// A board at about one moment.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// The path, safe for a terminal.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    pub(crate) creator: Option<u32>,
    pub(crate) creator_life: Life,
    pub(crate) created: SystemTime,
    /// `None` for a board of another boot.
    pub(crate) age: Option<Duration>,
    pub(crate) tally: Tally,
    /// One for each slot, in order.
    pub(crate) rows: Vec<Row>,
}

/// A slot.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) slot: usize,
    pub(crate) status: Status,
    pub(crate) pid: Option<u32>,
    pub(crate) life: Life,
    /// Whether it was asked to leave.
    pub(crate) is_leaving: bool,
    pub(crate) generation: u64,
    pub(crate) requests: u64,
    pub(crate) age: Option<Duration>,
    pub(crate) request_time: Option<Duration>,
    pub(crate) since_update: Option<Duration>,
    /// Resident memory in bytes, of a process that is certain enough to be the one meant.
    pub(crate) memory: Option<u64>,
    pub(crate) client: String,
    pub(crate) label: String,
}

impl View {
    /// Reads a board, which is shown under this path.
    pub(crate) fn read(board: &Board, path: &str) -> Result<Self, SlotError> {
        let snapshot = board.snapshot()?;
        Ok(Self {
            path: path.to_owned(),
            kind: board.kind(),
            creator: board.creator(),
            creator_life: board.creator_life(),
            created: board.created(),
            age: board.age(),
            tally: snapshot.tally(),
            rows: snapshot.records().iter().map(|record| Row::new(board, record)).collect(),
        })
    }

    /// Returns how many slots there are.
    pub(crate) fn slots(&self) -> usize {
        self.rows.len()
    }

    /// Returns the slots that are somebody's.
    pub(crate) fn taken(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.status != Status::Empty)
    }

    /// Returns how many were asked to leave, and finish what they have in hand.
    pub(crate) fn leaving(&self) -> usize {
        self.rows.iter().filter(|row| row.is_leaving).count()
    }

    /// Returns how long the request has taken that has taken the longest, of those in hand.
    pub(crate) fn longest_request(&self) -> Option<Duration> {
        self.rows.iter().filter_map(|row| row.request_time).max()
    }
}

impl Row {
    fn new(board: &Board, record: &Record) -> Self {
        let life = board.life_of(record);
        let memory = match life {
            Life::Running => record.pid().and_then(memory::resident),
            Life::Gone | Life::Unknown => None,
        };
        Self {
            slot: record.slot(),
            status: record.status(),
            pid: record.pid(),
            life,
            is_leaving: record.is_leaving(),
            generation: record.generation(),
            requests: record.requests(),
            age: record.started().map(|started| record.read_at().since(started)),
            request_time: record.request_time(),
            since_update: record.since_update(),
            memory,
            client: record.client().to_owned(),
            label: record.label().to_owned(),
        }
    }

    pub(crate) fn class(&self) -> Class {
        self.status.class()
    }

    /// Returns what it is doing, in words.
    pub(crate) fn doing(&self) -> String {
        let leaving = if self.is_leaving { " (leaving)" } else { "" };
        format!("{}{leaving}", state(self.status))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use prefork::scoreboard::{Stall, State};

    use super::*;

    /// A child in the middle of something.
    pub(crate) fn row(slot: usize, status: Status) -> Row {
        let empty = status == Status::Empty;
        let number = slot as u64 + 1;
        let text = |text: &str| if empty { String::new() } else { text.to_owned() };
        Row {
            slot,
            status,
            pid: (!empty).then_some(4000 + u32::try_from(slot).expect("a small number")),
            life: if empty { Life::Unknown } else { Life::Running },
            is_leaving: false,
            generation: u64::from(!empty),
            requests: if empty { 0 } else { number * 1000 },
            age: (!empty).then(|| Duration::from_secs(100 * number)),
            request_time: (status.class() == Class::Busy)
                .then(|| Duration::from_millis(1250 * number)),
            since_update: (!empty).then(|| Duration::from_millis(500)),
            memory: (!empty).then_some(number << 20),
            client: text("192.0.2.1:4711"),
            label: text(&format!("GET /page/{slot}")),
        }
    }

    /// A board on which everything happens.
    pub(crate) fn view() -> View {
        let statuses = [
            Status::Live(State::Idle),
            Status::Live(State::Writing),
            Status::Empty,
            Status::Live(State::Starting),
            Status::Stalled(Stall::HalfWritten),
            Status::Live(State::Draining),
            Status::Live(State::Reading),
            Status::Empty,
        ];
        of_rows(statuses.into_iter().enumerate().map(|(slot, status)| row(slot, status)).collect())
    }

    pub(crate) fn of_rows(rows: Vec<Row>) -> View {
        let mut tally = Tally::default();
        rows.iter().for_each(|row| tally.add(row.class()));
        View {
            path: "/run/hello/board".into(),
            kind: Kind::Owned,
            creator: Some(3999),
            creator_life: Life::Running,
            created: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            age: Some(Duration::from_secs(3723)),
            tally,
            rows,
        }
    }
}
