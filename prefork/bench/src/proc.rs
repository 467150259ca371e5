//! Looking at processes through `/proc`.

use std::fs;

/// Pids of the living children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// CPU time in nanoseconds, and how often the process was put on a processor: all its threads.
pub fn schedstat(pid: u32) -> (u64, u64) {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return (0, 0) };
    threads.flatten().fold((0, 0), |(time, times), thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        let mut fields = text.split_whitespace().map(|field| field.parse().unwrap_or(0));
        (time + fields.next().unwrap_or(0), times + fields.nth(1).unwrap_or(0))
    })
}

/// CPU time of a process and its living children, in nanoseconds.
pub fn tree_cpu(pid: u32) -> u64 {
    [pid].into_iter().chain(children(pid)).map(|pid| schedstat(pid).0).sum()
}

/// Memory that no other process shares, in kB.
pub fn private_kb(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    text.lines()
        .filter(|line| line.starts_with("Private_"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}
