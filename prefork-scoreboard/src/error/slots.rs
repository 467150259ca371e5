//! What can go wrong with one slot, and on the way to one.

use crate::enter::variables;
use crate::error::OpenError;
use prefork_core::one_line;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Why a slot could not be read or written through the file.
#[derive(Error)]
#[non_exhaustive]
pub enum SlotError {
    /// The board has no such slot.
    #[error("scoreboard {path} has {slots} slots, so there is no slot {slot}: the first is 0", path = one_line(path))]
    NoSuchSlot {
        /// The path of the board.
        path: PathBuf,
        /// The slot asked for.
        slot: usize,
        /// How many there are.
        slots: usize,
    },
    /// The board was made on a machine with smaller pages.
    #[error("the slots of scoreboard {path} are {stride} bytes apart, but pages here have {page}", path = one_line(path))]
    PageSize {
        /// The path of the board.
        path: PathBuf,
        /// The distance between two slots in bytes.
        stride: usize,
        /// The page size of this machine in bytes.
        page: usize,
    },
    /// The file has become too short to hold the slot.
    #[error("scoreboard {path} was truncated and has lost slot {slot}; create it again", path = one_line(path))]
    Truncated {
        /// The path of the board.
        path: PathBuf,
        /// The slot asked for.
        slot: usize,
    },
    /// A system call failed.
    #[error("cannot {action} slot {slot} of scoreboard {path}", path = one_line(path))]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The path of the board.
        path: PathBuf,
        /// The slot asked for.
        slot: usize,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Why a process could not claim a slot.
#[derive(Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// The board has an owner who assigns the slots.
    #[error("the slots of scoreboard {path} are assigned by its owner: claim on a shared board", path = one_line(path))]
    Owned {
        /// The path of the board.
        path: PathBuf,
    },
    /// All slots belong to living processes.
    #[error("all {slots} slots of scoreboard {path} are taken; try later or create a larger one", path = one_line(path))]
    Full {
        /// The path of the board.
        path: PathBuf,
        /// How many there are.
        slots: usize,
    },
    /// The lock of the board was not to be had in time.
    #[error("scoreboard {path} has been locked for {waited:?}; try later", path = one_line(path))]
    Locked {
        /// The path of the board.
        path: PathBuf,
        /// How long the call waited.
        waited: Duration,
    },
    /// The board was made in another pid namespace, where pids mean other processes.
    #[error("scoreboard {path} is of another pid namespace: share a board within one only", path = one_line(path))]
    Namespace {
        /// The path of the board.
        path: PathBuf,
    },
    /// The board is left over from another boot.
    #[error("scoreboard {path} is of another boot; let `Board::open_or_create` replace it", path = one_line(path))]
    Boot {
        /// The path of the board.
        path: PathBuf,
    },
    /// The path does not lead to this board any more.
    #[error("scoreboard {path} was removed or replaced; open it again", path = one_line(path))]
    Replaced {
        /// The path of the board.
        path: PathBuf,
    },
    /// The board cannot be opened for writing. It reads as its cause does, with the path.
    #[error(transparent)]
    Open {
        /// What is wrong.
        #[from]
        source: OpenError,
    },
    /// A slot could not be read or mapped. It reads as its cause does, with the path.
    #[error(transparent)]
    Slot {
        /// What is wrong.
        #[from]
        source: SlotError,
    },
    /// The lock failed.
    #[error("cannot lock scoreboard {path}", path = one_line(path))]
    Lock {
        /// The path of the board.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Why a program could not enter a slot.
#[derive(Error)]
#[non_exhaustive]
pub enum EnterError {
    /// Nobody assigns the slots of the board.
    #[error("the slots of scoreboard {path} are claimed and not assigned; claim one", path = one_line(path))]
    Shared {
        /// The path of the board.
        path: PathBuf,
    },
    /// The board has no path by which a program could open it.
    #[error("programs cannot enter a scoreboard without a name; create it at a path")]
    Unnamed,
    /// The supervisor that has made the board is gone.
    #[error("scoreboard {path} has no owner that runs; let the supervisor start this program", path = one_line(path))]
    NoOwner {
        /// The path of the board.
        path: PathBuf,
    },
    /// The board was made in another pid namespace, where pids mean other processes.
    #[error("scoreboard {path} is of another pid namespace; run the program in that of its supervisor", path = one_line(path))]
    Namespace {
        /// The path of the board.
        path: PathBuf,
    },
    /// The owner has not assigned the slot.
    #[error("slot {slot} of scoreboard {path} is assigned to nobody; let the supervisor start this program", path = one_line(path))]
    Unassigned {
        /// The path of the board.
        path: PathBuf,
        /// The slot asked for.
        slot: usize,
    },
    /// Another process has entered the slot, or is about to.
    #[error("slot {slot} of scoreboard {path} is entered by {}; a slot is one process's", other(*.pid), path = one_line(path))]
    Taken {
        /// The path of the board.
        path: PathBuf,
        /// The slot asked for.
        slot: usize,
        /// The process, for a message only: it is not to be trusted.
        pid: Option<u32>,
    },
    /// One of the two environment variables is set, and this one is not.
    #[error(
        "environment variable {variable} is not set; set {} and {}, or neither",
        variables::PATH,
        variables::SLOT
    )]
    Unset {
        /// The variable that is missing.
        variable: &'static str,
    },
    /// The environment variable for the slot is no number.
    #[error(
        "environment variable {} is {}, which is no number of a slot",
        variables::SLOT,
        one_line(value)
    )]
    Number {
        /// Its value.
        value: OsString,
    },
    /// The board cannot be opened for writing. It reads as its cause does, with the path.
    #[error(transparent)]
    Open {
        /// What is wrong.
        #[from]
        source: OpenError,
    },
    /// A slot could not be read or mapped. It reads as its cause does, with the path.
    #[error(transparent)]
    Slot {
        /// What is wrong.
        #[from]
        source: SlotError,
    },
}

fn other(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

prefork_core::debug_as_chain!(SlotError, ClaimError, EnterError);
