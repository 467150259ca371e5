#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod columns;
mod condition;
mod hands;
mod human;
mod json;
mod json_metrics;
mod memory;
pub mod metrics;
mod owner;
mod pools;
mod queue_times;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
mod summary;
pub mod words;

use std::{
    error::Error,
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use prefork_scoreboard::{
    Board, Class, Column, Fault, Kind, Life, Record, SlotError, Status, Tally, Value,
    metrics::{Reading, Store},
};

pub use columns::figure;
pub use condition::{Condition, DaemonState};
pub use human::{bytes, duration, fine_duration, plural};
pub use json::{Shown, pretty};
pub use json_metrics::ShownMetrics;
pub use metrics::{Exposition, Format};
pub use owner::{Change, Listener, Outcome, Owner, Queue, Sign};
pub use pools::{PoolView, PoolsView, ShownPools, up_of_process};
pub use queue_times::QueueTimes;
pub use words::state;

/// Which slots are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slots {
    /// Those that are somebody's.
    Taken,
    /// The empty ones too.
    All,
}

impl Slots {
    /// Whether this one is among them.
    #[must_use]
    pub fn show(self, row: &Row) -> bool {
        match self {
            Self::Taken => row.status != Status::Empty,
            Self::All => true,
        }
    }
}

/// A board at about one moment.
#[derive(Debug, Clone)]
pub struct View {
    /// The path, safe for a terminal.
    pub path: String,
    /// Whether one process has made it for its children, or anybody claims slots.
    pub kind: Kind,
    /// What it is about, where those who made it have declared that.
    pub title: Option<String>,
    /// Its columns besides those of every board.
    pub columns: Vec<Column>,
    /// The pid of who has made it, where it says so.
    pub creator: Option<u32>,
    /// Whether that still runs.
    pub creator_life: Life,
    /// What it publishes about itself.
    pub owner: Owner,
    /// When it was last seen to decide anything, and what it is doing.
    pub sign: Sign,
    /// How long ago it was started; `None` if that is not known, or was on another boot.
    pub up: Option<Duration>,
    /// When it was made.
    pub created: SystemTime,
    /// How long ago that was; `None` for a board of another boot.
    pub age: Option<Duration>,
    /// How many slots there are of each class; those of processes that are gone count as that alone.
    pub tally: Tally,
    /// One for each slot, in order.
    pub rows: Vec<Row>,
    /// What the program counts itself, or why that could not be read: see [`View::read_metrics`].
    pub metrics: Option<Result<Reading, String>>,
}

/// A slot.
#[derive(Debug, Clone)]
pub struct Row {
    /// Which one, from 0.
    pub slot: usize,
    /// What was found in it.
    pub status: Status,
    /// Whose it is.
    pub pid: Option<u32>,
    /// Whether that process still runs.
    pub life: Life,
    /// Whether it was asked to leave.
    pub is_leaving: bool,
    /// Which generation of children it belongs to.
    pub generation: u64,
    /// How many requests it has served.
    pub requests: u64,
    /// How long ago it was started.
    pub age: Option<Duration>,
    /// How many requests it has in hand.
    pub in_hand: u32,
    /// How many it can have at once.
    pub concurrency: u32,
    /// How long the client had waited until its connection was accepted, of the connection that was accepted last; `None` where
    /// that is not known.
    pub queued: Option<Duration>,
    /// For how long it has had a request in hand; of several the one that is shown.
    pub request_time: Option<Duration>,
    /// How long ago it reported last.
    pub since_update: Option<Duration>,
    /// Resident memory in bytes, of a process that is certain enough to be the one meant.
    pub memory: Option<u64>,
    /// For whom it is at work.
    pub client: String,
    /// What it says that it is doing.
    pub label: String,
    /// What it has in the columns of the board; `None` if that is being written.
    pub values: Option<Vec<Value>>,
}

impl View {
    /// Reads a board, which is shown under this path.
    ///
    /// # Errors
    ///
    /// Fails if the file has become shorter than its header says.
    pub fn read(board: &Board, path: &str) -> Result<Self, ReadError> {
        let owner = Owner::new(&board.facts()?);
        let snapshot = board.snapshot()?;
        let life = |record: &Record| match snapshot.gone().binary_search(&record.slot()) {
            Ok(_) => Life::Gone,
            Err(_) => board.life_of(record),
        };
        let mut rows: Vec<_> = snapshot.records().iter().map(|it| Row::new(it, life(it))).collect();
        for row in rows.iter_mut().filter(|row| row.status != Status::Empty) {
            row.values = board.values(row.slot)?;
        }
        let creator_life = board.creator_life();
        if (board.kind(), creator_life) == (Kind::Owned, Life::Gone) {
            // Children end with their parent. What runs still is seen to run, except in another pid namespace.
            let unseen = rows.iter_mut().filter(|row| row.life == Life::Unknown);
            unseen.filter(|row| row.status != Status::Empty).for_each(|row| row.life = Life::Gone);
        }
        let tally = count(&rows);
        Ok(Self {
            path: path.to_owned(),
            kind: board.kind(),
            title: board.title().map(str::to_owned),
            columns: board.columns().cloned().collect(),
            creator: board.creator(),
            creator_life,
            owner,
            // Last, so that an owner that is about to do something has had its time.
            sign: Sign::read(board)?,
            up: board.creator_age(),
            created: board.created(),
            age: board.age(),
            tally,
            rows,
            metrics: None,
        })
    }

    /// Reads what the processes count that share the board at this path, if there is a file for it beside the board.
    pub fn read_metrics_beside(&mut self, board: &Path) {
        let mut beside = board.as_os_str().to_owned();
        beside.push(".metrics");
        if fs::symlink_metadata(&beside).is_ok() {
            let lives = |pid| {
                let has_slot = |row: &Row| row.pid == Some(pid) && row.life != Life::Gone;
                self.rows.iter().any(has_slot)
            };
            let read = Store::at(&beside).and_then(|store| store.read(lives));
            self.metrics = Some(read.map_err(|error| with_cause(&error)));
        }
    }

    /// Reads what the program counts itself, if it has declared anything and runs.
    ///
    /// Only its user and root may; then, too, nothing that is read is trusted.
    pub fn read_metrics(&mut self) {
        let (Some(descriptor), Some(pid)) = (self.owner.metrics, self.creator) else { return };
        if self.creator_life == Life::Running {
            let read = Store::of_process(pid, descriptor).and_then(|store| store.read(|_| true));
            self.metrics = Some(read.map_err(|error| with_cause(&error)));
        }
    }

    /// Returns whether the board is what a daemon has left behind that does not run any more.
    #[must_use]
    pub fn is_left_behind(&self) -> bool {
        match (self.kind, self.creator_life) {
            (Kind::Owned, Life::Gone) => true,
            (Kind::Owned, Life::Running | Life::Unknown) | (Kind::Shared, _) => self.age.is_none(),
        }
    }

    /// Returns whether the board is that of a daemon with children, rather than of processes of any kind, whose makers have
    /// given it a title, or that share it.
    #[must_use]
    pub fn is_of_daemon(&self) -> bool {
        match self.kind {
            Kind::Owned => self.title.is_none(),
            Kind::Shared => false,
        }
    }

    /// Returns so many of those whose slots they are: `1 child`, `3 children`, `3 processes`.
    #[must_use]
    pub fn processes(&self, count: usize) -> String {
        if self.is_of_daemon() {
            plural(count, "child", "children")
        } else {
            plural(count, "process", "processes")
        }
    }

    /// Returns the name by which it goes: that of the daemon, or the title.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.owner.name.as_deref().or(self.title.as_deref())
    }

    /// Returns how many slots there are.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.rows.len()
    }

    /// Returns the slots that are somebody's.
    pub fn taken(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.status != Status::Empty)
    }

    /// Returns how many were asked to leave, and finish what they have in hand.
    #[must_use]
    pub fn leaving(&self) -> usize {
        self.rows.iter().filter(|row| row.is_leaving).count()
    }

    /// Returns how long the request has taken that has taken the longest, of those in hand.
    #[must_use]
    pub fn longest_request(&self) -> Option<Duration> {
        self.rows.iter().filter_map(|row| row.request_time).max()
    }
}

/// Renders an error with its cause.
fn with_cause(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Counts slots by what is in them, those of processes that are gone apart.
pub(crate) fn count(rows: &[Row]) -> Tally {
    let mut tally = Tally::default();
    for row in rows {
        match row.life {
            Life::Gone => tally.gone += 1,
            Life::Running | Life::Unknown => tally.add(row.class()),
        }
    }
    tally
}

/// Why a board could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A slot.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// What stands before the slots.
    #[error(transparent)]
    Header(#[from] Fault),
}

impl Row {
    fn new(record: &Record, life: Life) -> Self {
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
            in_hand: record.in_hand(),
            concurrency: record.concurrency(),
            queued: record.queued(),
            request_time: record.request_time(),
            since_update: record.since_update(),
            memory,
            client: record.client().to_owned(),
            label: record.label().to_owned(),
            values: Some(Vec::new()),
        }
    }

    /// Returns what kind of thing it is doing.
    #[must_use]
    pub fn class(&self) -> Class {
        self.status.class()
    }

    /// Returns what it is doing, in words.
    #[must_use]
    pub fn doing(&self) -> String {
        let leaving = if self.is_leaving { " (leaving)" } else { "" };
        format!("{}{leaving}", state(self.status))
    }
}
