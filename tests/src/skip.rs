//! Leaving out what cannot be tested here, aloud.

use std::{env, path::Path};

/// Tells whether the test runs as root, and prints that it is skipped if not.
#[must_use]
pub fn require_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("SKIPPED: needs root");
    }
    is_root
}

/// Tells whether a program (or, with a slash in the name, a file) is there, and prints that the
/// test is skipped if not.
#[must_use]
pub fn require_tool(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = if name.contains('/') {
        Path::new(name).exists()
    } else {
        env::split_paths(&path).any(|folder| folder.join(name).exists())
    };
    if !is_there {
        println!("SKIPPED: {name} is not installed");
    }
    is_there
}
