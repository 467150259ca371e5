//! What is printed of a daemon whose test has failed.

use std::{fs, path::Path};

use crate::reaper;

/// How many lines of each file.
const LINES: usize = 40;

/// Returns the last lines of a text, indented.
pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(LINES)..];
    shown.iter().map(|line| format!("  {line}\n")).collect()
}

/// Prints how it was started, which processes it has and how its files end. Standard error is captured by `cargo test`, and shown
/// with the failure.
pub(crate) fn print(command: &str, mark: &str, directory: &Path) {
    eprintln!("---- daemon in {}, which is kept\n  {command}", directory.display());
    eprintln!("---- its processes (pid, parent, state)");
    for process in reaper::marked(mark) {
        let (pid, parent, state) = (process.pid, process.parent, process.state);
        eprintln!("  {pid} {parent} {state} {}", process.command_line());
    }
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        // Not the program, which is a link, nor the board.
        let is_file = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file());
        let content = if is_file { fs::read(&path).unwrap_or_default() } else { Vec::new() };
        if !content.is_empty() && !content.contains(&0) {
            let content = String::from_utf8_lossy(&content);
            eprint!("---- {}\n{}", path.display(), last_lines(&content));
        }
    }
}
