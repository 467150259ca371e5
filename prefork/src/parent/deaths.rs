//! Lines about children that have died, which wait until the dead are replaced.
//!
//! Finding out whether memory was short means reading a dozen files of control groups, and even a plain line is
//! formatted and written with a lock: that is not to stand between a death and the fork that replaces it.

use prefork_core::{Exit, Notice, OutOfMemory};

use crate::{
    logs::describe::{self, Killed, SIGKILL},
    logs::log::Log,
    system::clock,
    system::os::memory_counts,
};

/// The lines, and what is known to explain them.
#[derive(Debug)]
pub(super) struct Deaths {
    held_back: Vec<Notice>,
    memory: OutOfMemory,
}

impl Deaths {
    pub(super) fn new() -> Self {
        Self { held_back: Vec::new(), memory: OutOfMemory::since(memory_counts()) }
    }

    /// Holds a notice back.
    pub(super) fn hold_back(&mut self, notice: Notice) {
        self.held_back.push(notice);
    }

    /// Logs what was held back.
    pub(super) fn log(&mut self, log: &Log) {
        let mut counts = None;
        for notice in self.held_back.drain(..) {
            let detail = match how(notice) {
                Some(exit) if exit == SIGKILL => {
                    let counts = counts.get_or_insert_with(memory_counts).clone();
                    Killed(self.memory.explain(clock::now(), counts)).to_string()
                }
                Some(_) | None => String::new(),
            };
            describe::tell(log, notice, &detail);
        }
    }
}

/// Whether a notice is about a death, or follows from one.
pub(super) const fn is_about_a_death(notice: Notice) -> bool {
    matches!(
        notice,
        Notice::DiedAbnormally { .. } | Notice::MoreDied { .. } | Notice::Throttled { .. }
    )
}

/// How the child has ended that a notice is about, or the last one of several.
const fn how(notice: Notice) -> Option<Exit> {
    match notice {
        Notice::DiedAbnormally { exit, .. } | Notice::MoreDied { last: exit, .. } => Some(exit),
        _ => None,
    }
}
