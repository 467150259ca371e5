//! Sending a signal to a child.
//!
//! The board says which process the child is, and whoever can write the board says what it says. So a process is signalled
//! only if the kernel has it as a child of the daemon's, and by a descriptor that was opened before that was asked: no
//! other process can be meant, whatever has become of the pid.

use std::{fs, io, path::Path};

use prefork_scoreboard::{Kind, Life};
use prefork_view::{Row, View};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::look::read;

/// The signals that are offered, each with its key, its name and what it does to a child.
pub(super) const OFFERED: [(char, Signal, &str, &str); 4] = [
    ('t', Signal::TERM, "TERM", "leave after the request in hand"),
    ('i', Signal::INT, "INT", "end now"),
    ('a', Signal::ABORT, "ABRT", "end with a core dump"),
    ('k', Signal::KILL, "KILL", "end without a chance to clear up"),
];

/// A child as it was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) slot: usize,
    pub(super) pid: u32,
    generation: u64,
    pub(super) label: String,
}

impl Target {
    /// Chooses the child of a slot; `None` if there is none.
    pub(super) fn of(row: &Row) -> Option<Self> {
        let (slot, generation, label) = (row.slot, row.generation, row.label.clone());
        Some(Self { slot, pid: row.pid?, generation, label })
    }

    /// Whether it is that child which has the slot.
    pub(super) fn is(&self, row: &Row) -> bool {
        (self.slot, Some(self.pid), self.generation) == (row.slot, row.pid, row.generation)
    }
}

/// Sends the signal if it is still the same child; returns what is to be said about it.
pub(super) fn send(board: &Path, target: &Target, (name, signal): (&str, Signal)) -> String {
    match try_send(board, target, signal) {
        Ok(()) => format!("sent SIG{name} to child {}", target.pid),
        Err(why) => format!("nothing was sent to child {}: {why}", target.pid),
    }
}

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
enum Unsent {
    #[error("it has ended")]
    Ended,
    #[error("the board has another child in its slot by now")]
    Replaced,
    #[error("it is no child of the process that has made the board")]
    Foreign,
    #[error("the board cannot be read")]
    NoBoard,
    #[error("{0}")]
    System(#[from] io::Error),
}

fn try_send(board: &Path, target: &Target, signal: Signal) -> Result<(), Unsent> {
    let pid = i32::try_from(target.pid).ok().and_then(Pid::from_raw).ok_or(Unsent::Ended)?;
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(rustix::io::Errno::SRCH) => return Err(Unsent::Ended),
        Err(error) => return Err(Unsent::System(error.into())),
    };
    let view = read(board).map_err(|_failure| Unsent::NoBoard)?;
    check(&view, target, parent(target.pid))?;
    match pidfd_send_signal(process, signal) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::SRCH) => Err(Unsent::Ended),
        Err(error) => Err(Unsent::System(error.into())),
    }
}

/// Whether the board still has that child, and the process is one of the daemon's.
fn check(view: &View, target: &Target, parent: Option<u32>) -> Result<(), Unsent> {
    let row = view.rows.iter().find(|row| target.is(row)).ok_or(Unsent::Replaced)?;
    if row.life == Life::Gone {
        return Err(Unsent::Ended);
    }
    let daemon = view.creator.filter(|_| view.kind == Kind::Owned);
    if daemon.is_none() || parent != daemon || view.creator_life != Life::Running {
        return Err(Unsent::Foreign);
    }
    Ok(())
}

/// Returns the parent of a process: see `proc_pid_stat(5)`.
fn parent(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program may contain anything.
    let (_, fields) = text.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use prefork_view::samples::view;

    use super::*;

    #[test]
    fn only_the_same_child_of_the_same_daemon_is_signalled() {
        let target = Target::of(&view().rows[1]).expect("a child");
        let refused = |view: &View, parent| {
            check(view, &target, parent).err().map(|why| why.to_string()).unwrap_or_default()
        };
        assert_eq!(refused(&view(), Some(3999)), "");
        let foreign = "it is no child of the process that has made the board";
        assert_eq!(refused(&view(), Some(1)), foreign);
        assert_eq!(refused(&view(), None), foreign);
        let change = |change: fn(&mut View)| {
            let mut view = view();
            change(&mut view);
            refused(&view, Some(3999))
        };
        assert_eq!(change(|view| view.kind = Kind::Shared), foreign);
        assert_eq!(change(|view| view.creator_life = Life::Gone), foreign);
        assert_eq!(change(|view| view.creator = Some(4)), foreign);
        assert_eq!(change(|view| view.rows[1].life = Life::Gone), "it has ended");
        let replaced = "the board has another child in its slot by now";
        assert_eq!(change(|view| view.rows[1].pid = Some(5)), replaced);
        assert_eq!(change(|view| view.rows[1].generation += 1), replaced);
        assert_eq!(change(|view| view.rows.truncate(1)), replaced);
    }

    #[test]
    fn the_parent_of_a_process_is_the_kernels_word() {
        let own = std::process::id();
        assert_eq!(parent(own), Some(std::os::unix::process::parent_id()));
        assert_eq!(parent(0), None);
    }
}
