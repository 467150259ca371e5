//! What `/proc` tells of TCP sockets.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
};

/// States of `/proc/net/tcp`.
const ESTABLISHED: &str = "01";
const CLOSE_WAIT: &str = "08";
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

/// Returns how many connections have come to an address of IPv4, those that wait to be accepted included.
///
/// # Panics
///
/// Panics if it is none.
#[must_use]
#[track_caller]
pub fn connections(address: SocketAddr) -> usize {
    let IpAddr::V4(ip) = address.ip() else { panic!("{address} is no address of IPv4") };
    let local = format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port());
    let table = fs::read_to_string("/proc/self/net/tcp").expect("/proc can be read");
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.get(1) == Some(&local.as_str()))
        .filter(|row| row.get(3).is_some_and(|state| [ESTABLISHED, CLOSE_WAIT].contains(state)))
        .count()
}
