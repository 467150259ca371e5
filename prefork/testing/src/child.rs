//! The children of a daemon, as its scoreboard or `/proc` shows them.

use std::path::Path;

use prefork_scoreboard::{Board, Class, Record, Status};

use crate::proc;

/// A child of a daemon, at the moment in which it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Child {
    /// Its pid.
    pub pid: u32,
    /// What it does; [`ChildStatus::Unknown`] without a board.
    pub status: ChildStatus,
    /// Its slot, where there is a board.
    pub slot: Option<usize>,
    /// Its generation, where there is a board: reloads and upgrades have counted.
    pub generation: Option<u64>,
    /// How many requests it has in hand, where there is a board.
    pub in_hand: Option<u32>,
    /// How many it can have in hand, where there is a board.
    pub concurrency: Option<u32>,
    /// How many children there were when it was looked at, but for those that leave.
    pub(crate) among: usize,
}

/// What a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildStatus {
    /// It has not begun to serve.
    Starting,
    /// It waits for a request.
    Idle,
    /// It works on a request, or on several.
    Busy,
    /// It was asked to leave, and finishes what it has in hand. Of a reload and an upgrade that was waited for, that is known
    /// without a board, too.
    Leaving,
    /// There is no board, or it does not say.
    Unknown,
}

/// Returns the children of a daemon that are alive, by slot, or by pid where there is no board, and last those that leave. Of
/// `outgoing` that is known, board or not; who of them has left is taken out.
pub(crate) fn children(daemon: u32, board: &Path, outgoing: &mut Vec<u32>) -> Vec<Child> {
    let mut children = living(daemon, board);
    outgoing.retain(|pid| children.iter().any(|child| child.pid == *pid));
    for child in children.iter_mut().filter(|child| outgoing.contains(&child.pid)) {
        child.status = ChildStatus::Leaving;
    }
    children.sort_by_key(Child::is_leaving);
    let among = children.iter().filter(|child| !child.is_leaving()).count();
    children.iter_mut().for_each(|child| child.among = among);
    children
}

fn living(daemon: u32, board: &Path) -> Vec<Child> {
    let parents = parents(daemon);
    let mut living = proc::all();
    living.retain(|process| parents.contains(&process.parent) && !process.is_zombie());
    let Some(records) = records(board) else {
        living.retain(|process| process.command_line().ends_with("[child]"));
        let mut children: Vec<Child> =
            living.iter().map(|process| Child::of_proc(process.pid)).collect();
        children.sort_unstable_by_key(|child| child.pid);
        return children;
    };
    // A board is what processes say: the kernel knows whose child one is.
    let is_there = |pid| living.iter().any(|process| process.pid == pid);
    records.iter().filter_map(Child::of_record).filter(|child| is_there(child.pid)).collect()
}

/// Returns the processes of which children are a daemon's: its own, and the parents of its pools, where it has several.
pub(crate) fn parents(daemon: u32) -> Vec<u32> {
    let mut pools = proc::children(daemon);
    pools.retain(|process| !process.is_zombie() && process.command_line().ends_with("[parent]"));
    pools.iter().map(|process| process.pid).chain([daemon]).collect()
}

fn records(board: &Path) -> Option<Vec<Record>> {
    Some(Board::open(board).ok()?.snapshot().ok()?.records().to_vec())
}

impl Child {
    /// Returns whether it is known to leave.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.status == ChildStatus::Leaving
    }

    const fn of_proc(pid: u32) -> Self {
        let status = ChildStatus::Unknown;
        let (slot, generation, in_hand, concurrency) = (None, None, None, None);
        Self { pid, status, slot, generation, in_hand, concurrency, among: 0 }
    }

    fn of_record(record: &Record) -> Option<Self> {
        if record.status() == Status::Empty {
            return None;
        }
        Some(Self {
            pid: record.pid()?,
            status: status(record),
            slot: Some(record.slot()),
            generation: Some(record.generation()),
            in_hand: Some(record.in_hand()),
            concurrency: Some(record.concurrency()),
            among: 0,
        })
    }
}

fn status(record: &Record) -> ChildStatus {
    if record.is_leaving() {
        return ChildStatus::Leaving;
    }
    match record.status().class() {
        Class::Starting => ChildStatus::Starting,
        Class::Idle => ChildStatus::Idle,
        Class::Busy => ChildStatus::Busy,
        Class::Draining => ChildStatus::Leaving,
        Class::Empty | Class::Stalled => ChildStatus::Unknown,
    }
}
