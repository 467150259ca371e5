//! What `/proc` reports of the sockets of processes.

use std::{fs, net::SocketAddr};

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

/// Returns how many connections wait to be accepted at an address of IPv4; none if nobody listens there.
///
/// # Panics
///
/// Panics if the address is one of IPv6.
#[must_use]
#[track_caller]
pub fn waiting_at(address: SocketAddr) -> usize {
    let SocketAddr::V4(address) = address else { panic!("{address} is not one of IPv4") };
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let address =
        format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port());
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let mut listening =
        rows.filter(|row| row.get(1) == Some(&address.as_str()) && row[3] == LISTEN);
    let queue = listening.next().and_then(|row| {
        let (_, waiting) = row[4].split_once(':')?;
        usize::from_str_radix(waiting, 16).ok()
    });
    queue.unwrap_or(0)
}

/// Returns how many sockets a process has open; none if it is gone.
#[must_use]
pub fn sockets(pid: u32) -> usize {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}
