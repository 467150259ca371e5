//! Trees of Debian's packages, for machines and containers.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::{FlockOperation, flock};

use crate::{Lack, skip};

/// Returns a tree of a release with these packages, separated by commas; `None`, said, where it cannot be made.
///
/// The first time takes a minute or two, and a Debian mirror. `folder` is kept, and has trees of these packages alone.
///
/// # Panics
///
/// Panics if what should work does not.
pub(crate) fn tree(folder: &Path, suite: &str, packages: &str) -> Option<PathBuf> {
    fs::create_dir_all(folder).expect("the folder can be made");
    // One at a time: each test program may be the first.
    let _lock = lock(folder);
    let tree = folder.join(suite);
    if tree.exists() {
        return Some(tree);
    }
    let unfinished = folder.join("unfinished");
    let _ = fs::remove_dir_all(&unfinished);
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", &format!("--include={packages}"), suite]);
    if !debootstrap.arg(&unfinished).output().expect("debootstrap runs").status.success() {
        skip(Lack::Missing("debootstrap has failed: a Debian mirror is needed"));
        return None;
    }
    fs::rename(&unfinished, &tree).expect("renamed");
    Some(tree)
}

/// Waits until no other process is making something in a folder; nobody else does as long as this is kept.
pub(crate) fn lock(folder: &Path) -> File {
    let lock = File::create(folder.join("lock")).expect("the lock can be made");
    flock(&lock, FlockOperation::LockExclusive).expect("locked");
    lock
}
