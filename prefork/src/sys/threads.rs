//! Counting the threads of this process.

use std::{fs, io, os::unix::fs::MetadataExt};

/// Returns how many threads this process has.
///
/// A fork copies only the thread that calls it; a lock that another one holds at that moment stays
/// locked in the child for ever (see `fork(2)`).
pub(crate) fn count() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/task")?.count())
}

/// Fails if this process has another thread than the one that calls.
///
/// Cheaper than [`count`]: a directory has a link for itself, one in its parent, and one for each directory
/// in it.
pub(crate) fn require_one() -> io::Result<()> {
    match fs::metadata("/proc/self/task")?.nlink() {
        3 => Ok(()),
        links => Err(io::Error::other(format!(
            "{} threads are running where only the main one may; hooks must leave none",
            links.saturating_sub(2)
        ))),
    }
}
