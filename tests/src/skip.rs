//! Leaving out what cannot be tested here, aloud.

use std::{
    env,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process, thread,
};

use crate::proc;

/// The variable that makes a failure of every test that is left out for want of something.
const FORBIDDEN: &str = "PREFORK_NO_SKIP";

/// Why something is not tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack<'a> {
    /// Something that can be had: a program, a user, a module.
    Missing(&'a str),
    /// What this system does not do, whatever is installed.
    Platform(&'a str),
}

/// Says that the rest of the test is skipped, on the standard error of the whole program: what a test
/// that passes prints is seen by nobody.
///
/// # Panics
///
/// Panics where `PREFORK_NO_SKIP` is set, unless the platform is the reason.
#[track_caller]
pub fn skip(lack: Lack<'_>) {
    let (Lack::Missing(reason) | Lack::Platform(reason)) = lack;
    let thread = thread::current();
    let line = format!("SKIPPED: {}: {reason}\n", thread.name().unwrap_or("a test"));
    // Not by a macro: the output of those is captured.
    let _ = io::stderr().write_all(line.as_bytes());
    let is_forbidden = env::var_os(FORBIDDEN).is_some_and(|value| !value.is_empty());
    match lack {
        Lack::Missing(reason) => assert!(!is_forbidden, "{FORBIDDEN} is set, and {reason}"),
        Lack::Platform(_) => {}
    }
}

/// Returns whether the test runs as root, and prints that it is skipped if not.
///
/// # Panics
///
/// Panics as [`skip`] does.
#[must_use]
#[track_caller]
pub fn require_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip(Lack::Missing("it needs root"));
    }
    is_root
}

/// Returns whether a program (or, with a slash in the name, a file) is there, and prints that the test is
/// skipped if not.
///
/// # Panics
///
/// Panics as [`skip`] does.
#[must_use]
#[track_caller]
pub fn require_tool(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = if name.contains('/') {
        Path::new(name).exists()
    } else {
        env::split_paths(&path).any(|folder| folder.join(name).exists())
    };
    if !is_there {
        skip(Lack::Missing(&format!("{name} is not installed")));
    }
    is_there
}

/// Returns whether other users can come to a file, and prints that the test is skipped if not: a clone in `/root`, say, is
/// root's alone.
///
/// # Panics
///
/// Panics if it is not there.
#[must_use]
#[track_caller]
pub fn require_open_to_others(path: &Path) -> bool {
    let real = path.canonicalize().expect("it is there");
    let closed = real.ancestors().find(|place| {
        let mode = place.metadata().expect("it is there").permissions().mode();
        mode & 0o001 == 0 && (place.is_dir() || mode & 0o004 == 0)
    });
    if let Some(closed) = closed {
        skip(Lack::Platform(&format!("other users cannot come to {}", closed.display())));
    }
    closed.is_none()
}

/// Returns whether `SIGHUP` ends processes that tests start, and prints that the test is skipped if not: it stays ignored
/// in all that a program started by `nohup` starts.
///
/// # Panics
///
/// Panics as [`skip`] does.
#[must_use]
#[track_caller]
pub fn require_hangups() -> bool {
    let ignored = proc::status(process::id(), "SigIgn").expect("this process is there");
    let is_ignored = u64::from_str_radix(&ignored, 16).expect("a mask") & 1 != 0;
    if is_ignored {
        skip(Lack::Platform("SIGHUP is ignored here, as nohup leaves it"));
    }
    !is_ignored
}
