//! What `/proc` tells of the sockets of processes.

use std::fs;

/// A state of `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// Returns the ports at which the sockets of a process listen, in order.
///
/// # Panics
///
/// Panics if it is gone.
#[must_use]
#[track_caller]
pub fn listening_ports(pid: u32) -> Vec<u16> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process lives");
    let targets = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    let mine: Vec<String> = targets.map(|target| target.to_string_lossy().into_owned()).collect();
    let mut ports = Vec::new();
    for table in ["tcp", "tcp6"] {
        // Where there is no IPv6, there is no such file.
        let table = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
        let listening = rows
            .filter(|row| row.get(3) == Some(&LISTEN))
            .filter(|row| mine.contains(&format!("socket:[{}]", row[9])));
        let port = |row: Vec<&str>| u16::from_str_radix(row[1].rsplit_once(':')?.1, 16).ok();
        ports.extend(listening.filter_map(port));
    }
    ports.sort_unstable();
    ports
}

/// Returns how many sockets a process has open; none if it is gone.
#[must_use]
pub fn sockets(pid: u32) -> usize {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}
