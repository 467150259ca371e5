//! Looking at a board, or at a file that may be anything.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use prefork_core::one_line;
use prefork_daemonize::Pid;
use prefork_scoreboard::{Board, Kind, Standing, format::MAGIC};
use prefork_view::{Condition, View};
use rustix::fs::{Mode, OFlags};

use crate::{exit::Exit, failure::Failure, output};

/// What the kernel says where somebody may not: see `errno(3)`.
const EACCES: i32 = rustix::io::Errno::ACCESS.raw_os_error();

/// More than any pid file has to say.
const BEGINNING: u64 = 32;

/// Reads the board at a path.
pub(crate) fn read(path: &Path) -> Result<View, Failure> {
    let board = Board::open(path)?;
    Ok(View::read(&board, &one_line(path).to_string())?)
}

/// Reads the board at a path, and what the program counts itself, which its user and root alone may.
pub(crate) fn read_all(path: &Path) -> Result<View, Failure> {
    let mut view = read(path)?;
    match view.kind {
        Kind::Owned => view.read_metrics(),
        Kind::Shared => view.read_metrics_beside(path),
    }
    Ok(view)
}

/// Says that what the program counts could not be read, which is no failure of what could.
pub(crate) fn warn_of_missing(view: &View) {
    if let Some(Err(error)) = &view.metrics {
        let is_refused = error.ends_with(&io::Error::from_raw_os_error(EACCES).to_string());
        let hint = if is_refused { "; only its user and root can read that" } else { "" };
        output::warn(&format!("what the program counts itself is missing: {error}{hint}"));
    }
}

/// Returns how to exit after a board was shown.
pub(crate) fn exit(view: &View) -> Exit {
    if view.is_left_behind() { Exit::NotRunning } else { Exit::Done }
}

/// Reads the first bytes, without following a link or waiting for the other end of a FIFO.
pub(crate) fn beginning(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let mut bytes = Vec::new();
    file.take(BEGINNING).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns what is wrong with the process that holds a pid file, as far as the kernel shows it.
pub(crate) fn trouble(pid: Pid) -> Option<String> {
    let pid = pid.as_raw().unsigned_abs();
    Condition::of_process(Standing::of(pid)).trouble(pid)
}

/// Returns whether bytes are those of a pid file. An empty file is what a daemon leaves that was killed before it wrote
/// its pid.
pub(crate) fn is_pid(bytes: &[u8]) -> bool {
    bytes.trim_ascii().iter().all(u8::is_ascii_digit)
}

/// Returns whether a file begins like a board, damaged or not.
pub(crate) fn begins_like_a_board(path: &Path) -> bool {
    beginning(path).is_ok_and(|bytes| bytes.starts_with(&MAGIC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_files_hold_digits() {
        for yes in [&b"123\n"[..], b"123", b"", b"\n"] {
            assert!(is_pid(yes), "{yes:?}");
        }
        for no in [&b"12abc"[..], b"-1\n", b"1 2", b"\0"] {
            assert!(!is_pid(no), "{no:?}");
        }
    }
}
