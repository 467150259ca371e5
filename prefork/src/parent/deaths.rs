//! Lines about children that have died, which wait until the dead are replaced.
//!
//! Finding out whether memory was short means reading a dozen files of control groups, and even a plain line is
//! formatted and written with a lock: that is not to stand between a death and the fork that replaces it.

use prefork_core::{Exit, Notice, OutOfMemory};
use rustix::process::Pid;

use super::Parent;
use crate::{
    logs::describe::{self, Killed, SIGKILL},
    system::clock,
    system::os::memory_counts,
};

/// The lines, and what is known to explain them.
#[derive(Debug)]
pub(super) struct Deaths {
    held_back: Vec<(Notice, Option<Pid>)>,
    memory: OutOfMemory,
}

impl Deaths {
    pub(super) fn new() -> Self {
        Self { held_back: Vec::new(), memory: OutOfMemory::since(memory_counts()) }
    }

    /// Holds a notice back, if it is about a death or follows from one; tells whether it is.
    pub(super) fn hold_back(&mut self, notice: Notice, pid: Option<Pid>) -> bool {
        let is_about_a_death = matches!(
            notice,
            Notice::DiedAbnormally { .. } | Notice::MoreDied { .. } | Notice::Throttled { .. }
        );
        if is_about_a_death {
            self.held_back.push((notice, pid));
        }
        is_about_a_death
    }
}

impl Parent<'_> {
    /// Logs the deaths whose lines were held back.
    pub(super) fn log_deaths(&mut self) {
        let Deaths { held_back, memory } = &mut self.deaths;
        if held_back.is_empty() {
            return;
        }
        let mut counts = None;
        for (notice, pid) in held_back.drain(..) {
            let detail = match how(notice) {
                Some(exit) if exit == SIGKILL => {
                    let counts = counts.get_or_insert_with(memory_counts).clone();
                    Killed(memory.explain(clock::now(), counts)).to_string()
                }
                Some(_) | None => String::new(),
            };
            describe::tell(&self.log, notice, pid, &detail);
        }
    }
}

/// How the child has ended that a notice is about, or the last one of several.
const fn how(notice: Notice) -> Option<Exit> {
    match notice {
        Notice::DiedAbnormally { exit, .. } | Notice::MoreDied { last: exit, .. } => Some(exit),
        _ => None,
    }
}
