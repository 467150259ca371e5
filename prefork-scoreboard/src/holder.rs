//! Whose slot it is, apart from what that process is doing.

use crate::clock::Monotonic;
use crate::process::plausible_pid;
use crate::record::Record;
use std::time::SystemTime;

/// Which process a slot belongs to, of which generation, and since when.
///
/// For a parent that knows these by itself and need not take a child's word for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    pub(crate) slot: usize,
    pub(crate) pid: Option<u32>,
    pub(crate) generation: u32,
    pub(crate) started: Option<Monotonic>,
    pub(crate) started_wall: Option<SystemTime>,
    pub(crate) process_start: u64,
    pub(crate) logs: u32,
}

impl Holder {
    /// Returns the same slot, of the process with this pid and of this generation.
    #[must_use]
    pub fn of_process(self, pid: u32, generation: u64) -> Self {
        Self {
            pid: plausible_pid(u64::from(pid)),
            generation: shown_generation(generation),
            ..self
        }
    }

    /// Returns the same process, of which it is known that it writes to no older logs than those of this edition:
    /// see [`Record::logs`].
    #[must_use]
    pub const fn with_logs(self, logs: u32) -> Self {
        Self { logs, ..self }
    }

    /// Returns of which generation the process is; 0 for a claimed slot.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation as u64
    }

    /// Returns when the slot was assigned, if that was of this boot.
    #[must_use]
    pub const fn started(&self) -> Option<Monotonic> {
        self.started
    }

    /// Returns a record of what `report` says its process is doing, as one of this process: pid,
    /// generation and start are not taken from it, nor what its parent has decided of it.
    ///
    /// A process that is there cannot report that its slot is empty: then it is shown as stalled,
    /// as with any record that makes no sense.
    #[must_use]
    pub fn doing(&self, report: &Record) -> Record {
        report.clone().of(self)
    }
}

/// A generation as a record has it: one beyond 4294967295 as that.
pub(crate) fn shown_generation(generation: u64) -> u32 {
    u32::try_from(generation).unwrap_or(u32::MAX)
}
