//! What can go wrong, one enum a family of operations.

mod columns;
mod slots;

use prefork_core::one_line;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

pub use columns::{ColumnError, DescriptionFault};
pub use slots::{ClaimError, EnterError, SlotError};

/// Why a scoreboard could not be created.
#[derive(Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The number of slots is out of range.
    #[error("a scoreboard has 1 to {max} slots, not {slots}; ask for a number in that range")]
    Slots {
        /// The number asked for.
        slots: usize,
        /// The most there may be: [`MAX_SLOTS`](crate::format::MAX_SLOTS).
        max: usize,
    },
    /// The path names no file.
    #[error("{path} cannot be a scoreboard: the path must end with a file name", path = one_line(path))]
    NoFileName {
        /// The path asked for.
        path: PathBuf,
    },
    /// The directory of the path does not exist.
    #[error("cannot create scoreboard {path}: its directory does not exist; create it first", path = one_line(path))]
    NoDirectory {
        /// The path asked for.
        path: PathBuf,
    },
    /// A running process owns the board at this path.
    #[error("scoreboard {path} is in use by {}; stop that one first or choose another path", owner(*.pid), path = one_line(path))]
    Held {
        /// The path of the board.
        path: PathBuf,
        /// The owner as the board has it, for a message only: it is not to be trusted.
        pid: Option<u32>,
    },
    /// A living process has a slot of the shared board at this path.
    #[error("scoreboard {path} is shared and process {pid} has a slot of it; choose another path", path = one_line(path))]
    Shared {
        /// The path of the board.
        path: PathBuf,
        /// The process, for a message only: it is not to be trusted.
        pid: u32,
    },
    /// A board of another version is at this path. It may be in use: this version cannot read by whom.
    #[error("scoreboard {path} is of version {found}, supported is {supported}; choose another path, or remove it once no process uses it", path = one_line(path))]
    Version {
        /// The path of the board.
        path: PathBuf,
        /// The version found.
        found: u32,
        /// The version this crate writes.
        supported: u32,
    },
    /// The header of the shared board at this path is damaged, and a living process has a slot of it.
    #[error("the header of scoreboard {path} is damaged and process {pid} still reports there; end it or choose another path", path = one_line(path))]
    Damaged {
        /// The path of the board.
        path: PathBuf,
        /// The process, for a message only: it is not to be trusted.
        pid: u32,
    },
    /// The shared board at this path lacks a column, and a living process has a slot of it.
    #[error("scoreboard {path} has no column \"{column}\", and process {pid} has a slot of it; choose another path, or wait until no process uses it", path = one_line(path), column = one_line(column))]
    Columns {
        /// The path of the board.
        path: PathBuf,
        /// The column as it would be declared: kind, name and unit.
        column: String,
        /// The process, for a message only: it is not to be trusted.
        pid: u32,
    },
    /// The mode would let others write, or its user not read and write.
    #[error(
        "a scoreboard cannot have the mode {mode:#o}; ask for 0o600, with 0o040 or 0o004 added for those who may read it"
    )]
    Mode {
        /// The mode asked for.
        mode: u32,
    },
    /// The title or a column cannot be as declared.
    #[error("{reason}")]
    Description {
        /// What is wrong.
        reason: DescriptionFault,
    },
    /// Another process is creating a board at this path at this moment.
    #[error("scoreboard {path} is being created by another process; start only one", path = one_line(path))]
    Creating {
        /// The path of the board.
        path: PathBuf,
    },
    /// What is at the path is no scoreboard, and so is left alone.
    #[error("{path} exists and {reason}; remove it or choose another path", path = one_line(path))]
    Foreign {
        /// The path in question, that of the board or of the temporary file next to it.
        path: PathBuf,
        /// What is wrong with it.
        reason: Foreign,
    },
    /// There is no room for the board.
    #[error("cannot reserve {bytes} bytes for scoreboard {path}; make room or ask for fewer slots", path = one_line(path))]
    Space {
        /// The path of the board.
        path: PathBuf,
        /// The size of the board.
        bytes: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// A system call failed.
    #[error("cannot {action} scoreboard {path}", path = one_line(path))]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The path of the board.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

fn owner(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// Why a file is not replaced by a scoreboard.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Foreign {
    /// It is a symbolic link.
    #[error("is a symbolic link")]
    SymbolicLink,
    /// It is a directory, a FIFO, a device or a socket.
    #[error("is not a regular file")]
    NotRegular,
    /// It has other names than this one.
    #[error("has {links} hard links")]
    Linked {
        /// How many names it has.
        links: u64,
    },
    /// It belongs to somebody else.
    #[error("belongs to user {uid}")]
    Owner {
        /// Whose it is.
        uid: u32,
    },
    /// It is neither empty nor a scoreboard.
    #[error("is not a scoreboard")]
    Contents,
}

/// Why a scoreboard could not be opened.
#[derive(Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It could not be opened or read.
    #[error("cannot {action} scoreboard {path}", path = one_line(path))]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The path of the board.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The path leads to something that cannot be a board.
    #[error("{path} cannot be a scoreboard: it {reason}", path = one_line(path))]
    Foreign {
        /// The path in question.
        path: PathBuf,
        /// What is wrong with it.
        reason: Foreign,
    },
    /// What was handed over is not a board of this process with its lock.
    #[error("what was handed over as scoreboard {path} is not that of this process", path = one_line(path))]
    NotOurs {
        /// The path of the board.
        path: PathBuf,
    },
    /// The header is not that of a board.
    #[error("{path} is no scoreboard that can be read: {reason}", path = one_line(path))]
    Header {
        /// The path in question.
        path: PathBuf,
        /// What is wrong with it.
        reason: HeaderFault,
    },
}

/// What is wrong with the header of a file.
#[derive(Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeaderFault {
    /// It does not begin with the bytes every board begins with.
    #[error("it does not begin like one")]
    Magic,
    /// It is of a version this crate does not know.
    #[error("its version is {found}, supported is {supported}")]
    Version {
        /// The version found.
        found: u32,
        /// The version this crate reads.
        supported: u32,
    },
    /// The checksum does not match.
    #[error("the checksum of its header is wrong")]
    Checksum,
    /// The kind is unknown.
    #[error("its kind is {found}, known are 1 and 2")]
    Kind {
        /// The number found.
        found: u32,
    },
    /// The distance between two slots is out of range.
    #[error("its slots are {found} bytes apart, which is no power of two from 4096 to 1048576")]
    Stride {
        /// The number found.
        found: u32,
    },
    /// The size of a record is not that of this version.
    #[error("its records are {found} bytes long, those of this version are 256")]
    RecordSize {
        /// The number found.
        found: u32,
    },
    /// The number of slots is out of range.
    #[error("it claims {found} slots, allowed are 1 to 65536")]
    Slots {
        /// The number found.
        found: u32,
    },
    /// The file is shorter than its header says.
    #[error("it is {found} bytes long, but must be at least {expected}")]
    Truncated {
        /// The least size in bytes.
        expected: u64,
        /// The size found.
        found: u64,
    },
}

/// What has happened to the file of a board in use.
#[derive(Error)]
#[non_exhaustive]
pub enum Fault {
    /// The path leads nowhere.
    #[error("scoreboard {path} was removed", path = one_line(path))]
    Removed {
        /// The path of the board.
        path: PathBuf,
    },
    /// The path leads to another file.
    #[error("scoreboard {path} was replaced by another file", path = one_line(path))]
    Replaced {
        /// The path of the board.
        path: PathBuf,
    },
    /// The file has become shorter.
    #[error("scoreboard {path} was cut from {expected} to {found} bytes", path = one_line(path))]
    Truncated {
        /// The path of the board.
        path: PathBuf,
        /// Its size at creation.
        expected: u64,
        /// Its size now.
        found: u64,
    },
    /// The header is not the one that was written.
    #[error("the header of scoreboard {path} was overwritten", path = one_line(path))]
    Overwritten {
        /// The path of the board.
        path: PathBuf,
    },
    /// A system call failed.
    #[error("cannot examine scoreboard {path}", path = one_line(path))]
    Io {
        /// The path of the board.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

prefork_core::debug_as_chain!(CreateError, Foreign, OpenError, HeaderFault, Fault);

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use super::*;

    const EVIL: &str = "/dev/shm/\u{1b}[31m\n\u{202e}evil";

    #[track_caller]
    fn assert_shown(error: &dyn std::error::Error) {
        let text = error.to_string();
        assert!(text.contains("/dev/shm/\\u{1b}[31m\\n\\u{202e}evil"), "{text:?}");
        assert!(!text.contains(|char: char| char.is_control() || char == '\u{202e}'), "{text:?}");
    }

    fn path() -> PathBuf {
        EVIL.into()
    }

    fn source() -> io::Error {
        ErrorKind::Other.into()
    }

    #[test]
    fn no_error_shows_a_path_as_it_is() {
        let reason = Foreign::Contents;
        let (name, known) = ("sent".to_owned(), vec!["read".to_owned()]);
        let all: [&dyn std::error::Error; 42] = [
            &CreateError::NoFileName { path: path() },
            &CreateError::NoDirectory { path: path() },
            &CreateError::Held { path: path(), pid: None },
            &CreateError::Shared { path: path(), pid: 1 },
            &CreateError::Version { path: path(), found: 2, supported: 1 },
            &CreateError::Damaged { path: path(), pid: 1 },
            &CreateError::Columns { path: path(), column: name.clone(), pid: 1 },
            &CreateError::Creating { path: path() },
            &CreateError::Foreign { path: path(), reason },
            &CreateError::Space { path: path(), bytes: 1, source: source() },
            &CreateError::Io { action: "lock", path: path(), source: source() },
            &ColumnError::Missing { path: path(), name: name.clone(), known },
            &ColumnError::Text { path: path(), name: name.clone() },
            &ColumnError::Number { path: path(), name },
            &OpenError::Io { action: "read", path: path(), source: source() },
            &OpenError::Foreign { path: path(), reason },
            &OpenError::NotOurs { path: path() },
            &OpenError::Header { path: path(), reason: HeaderFault::Magic },
            &SlotError::NoSuchSlot { path: path(), slot: 1, slots: 1 },
            &SlotError::PageSize { path: path(), stride: 1, page: 1 },
            &SlotError::Truncated { path: path(), slot: 1 },
            &SlotError::Io { action: "map", path: path(), slot: 1, source: source() },
            &ClaimError::Owned { path: path() },
            &ClaimError::Full { path: path(), slots: 1 },
            &ClaimError::Locked { path: path(), waited: Duration::ZERO },
            &ClaimError::Namespace { path: path() },
            &ClaimError::Boot { path: path() },
            &ClaimError::Replaced { path: path() },
            &ClaimError::Lock { path: path(), source: source() },
            &ClaimError::from(OpenError::NotOurs { path: path() }),
            &ClaimError::from(SlotError::Truncated { path: path(), slot: 1 }),
            &EnterError::Shared { path: path() },
            &EnterError::NoOwner { path: path() },
            &EnterError::Namespace { path: path() },
            &EnterError::Unassigned { path: path(), slot: 1 },
            &EnterError::Taken { path: path(), slot: 1, pid: None },
            &EnterError::Number { value: EVIL.into() },
            &Fault::Removed { path: path() },
            &Fault::Replaced { path: path() },
            &Fault::Truncated { path: path(), expected: 1, found: 1 },
            &Fault::Overwritten { path: path() },
            &Fault::Io { path: path(), source: source() },
        ];
        all.into_iter().for_each(assert_shown);
    }
}
