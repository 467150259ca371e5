//! How much memory a process has, with all that it has started.

use std::fs;

/// Beyond so many, processes that one has started are not counted.
const MOST: usize = 256;

/// Returns the resident memory in bytes, shared pages too (see `proc_pid_statm(5)`), of a process and of those that its main
/// thread has started, and theirs: a process may only look after the program that does the work.
pub(crate) fn resident(pid: u32) -> Option<u64> {
    let mut bytes = resident_alone(pid)?;
    let mut started = started_by(pid);
    let mut at = 0;
    while let Some(pid) = started.get(at).copied()
        && at < MOST
    {
        bytes = bytes.saturating_add(resident_alone(pid).unwrap_or(0));
        started.extend(started_by(pid));
        at += 1;
    }
    Some(bytes)
}

fn resident_alone(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

/// Returns whom the main thread of a process has started: see `proc_tid_children(5)`.
fn started_by(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn this_process_has_some() {
        assert!(resident(std::process::id()).is_some_and(|bytes| bytes > 1 << 16));
        assert_eq!(resident(0), None);
    }

    #[test]
    fn what_a_process_has_started_counts_too() {
        let mut shell = Command::new("sh")
            .args(["-c", "cat; true"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("started");
        let pid = shell.id();
        while started_by(pid).is_empty() {
            std::thread::yield_now();
        }
        let alone = resident_alone(pid).expect("it runs");
        assert!(resident(pid).is_some_and(|bytes| bytes > alone));
        drop(shell.stdin.take());
        shell.wait().expect("reaped");
    }
}
