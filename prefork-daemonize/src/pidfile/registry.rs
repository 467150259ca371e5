//! The pid files that this very process owns.
//!
//! The kernel does not show a process its own record locks, and takes them away when the
//! process closes any descriptor of the file. So code that is to look at a pid file asks here
//! first whether it is our own, and does not open it then.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::nofollow::FileId;
use crate::pid::Pid;

static OWNED: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct Entry {
    identity: FileId,
    /// A forked child inherits this list, and owns nothing of it.
    owner: Pid,
    path: PathBuf,
}

pub(crate) fn remember(identity: FileId, path: PathBuf) {
    let owner = Pid::current();
    let mut owned = lock();
    owned.retain(|entry| entry.owner == owner);
    owned.push(Entry { identity, owner, path });
}

pub(crate) fn forget(identity: FileId) {
    lock().retain(|entry| entry.identity != identity);
}

/// Returns whether this process owns that file as its pid file.
pub(crate) fn is_ours(identity: FileId) -> bool {
    let me = Pid::current();
    lock().iter().any(|entry| entry.owner == me && entry.identity == identity)
}

/// Returns a pid file that this process owns.
pub(crate) fn held_here() -> Option<PathBuf> {
    let me = Pid::current();
    lock().iter().find(|entry| entry.owner == me).map(|entry| entry.path.clone())
}

fn lock() -> MutexGuard<'static, Vec<Entry>> {
    // Nothing panics while it is held, and the list is whole between any two calls.
    OWNED.lock().unwrap_or_else(PoisonError::into_inner)
}
