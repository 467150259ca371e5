//! What the kernel reports of connections by `sock_diag(7)`, where the program's descriptors cannot be duplicated: as in
//! containers whose seccomp profile knows no `pidfd_getfd(2)`.
//!
//! It reports the same, but for how data is acknowledged, which has to be read of all connections: only where it matters.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
};

use prefork_core::program::Facts;
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
        netlink::{self, SocketAddrNetlink},
        recv, sendto, socket_with,
    },
};

use super::{Listeners, acknowledging, held::Client, listeners::Place, tcp::TcpInfo};

/// Connections by the inodes of their sockets.
pub(super) type Table = HashMap<u64, (Client, Facts)>;

/// Looks sockets up by their inodes, and remembers where the connections of TCP lead: the kernel finds one by its addresses
/// without searching all.
#[derive(Debug, Default)]
pub(super) struct SockDiag {
    /// The addresses of sockets that were looked up; `None` of those that did not come by the listeners.
    known: HashMap<u64, Option<Addresses>>,
}

/// The local address and the client's.
type Addresses = (SocketAddr, SocketAddr);

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
/// In a byte, as the kernel has them there.
const AF_UNIX: u8 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
/// Of `linux/inet_diag.h`: `struct tcp_info`.
const INET_DIAG_INFO: u16 = 2;
/// Of `linux/unix_diag.h`.
const UDIAG_SHOW_NAME: u32 = 1;
const UDIAG_SHOW_RQLEN: u32 = 0x10;
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_RQLEN: u16 = 4;
const UNIX_DIAG_SHUTDOWN: u16 = 6;
const RCV_SHUTDOWN: u8 = 1;
/// `struct nlmsghdr`, `struct inet_diag_msg`, and `struct unix_diag_msg`.
const HEADER: usize = 16;
const INET_MESSAGE: usize = 72;
const UNIX_MESSAGE: usize = 16;

impl SockDiag {
    /// Returns what the kernel reports of those of these sockets that came by the listeners.
    ///
    /// # Errors
    ///
    /// If the kernel refuses that.
    pub(super) fn read(&mut self, listeners: &Listeners, inodes: &[u64]) -> io::Result<Table> {
        let mut table = Table::with_capacity(inodes.len());
        let mut buffer = vec![0; 64 * 1024];
        let mut known = HashMap::with_capacity(inodes.len());
        let mut is_new = false;
        // Each answer is read to its end before the next question.
        let socket = open()?;
        for &inode in inodes {
            match self.known.get(&inode) {
                Some(&Some(addresses)) => {
                    ask(&socket, &find_request(addresses))?;
                    receive(&socket, &mut buffer, |row| {
                        if let Some((found, _, client, facts)) = inet_row(row)
                            && found == inode
                        {
                            table.insert(inode, (Client::Ip(client), facts));
                            known.insert(inode, Some(addresses));
                        }
                    })?;
                }
                Some(None) => drop(known.insert(inode, None)),
                None => is_new = true,
            }
        }
        if is_new {
            for listener in listeners.addresses() {
                ask(&socket, &dump_request(listener))?;
                receive(&socket, &mut buffer, |row| {
                    if let Some((inode, local, client, facts)) = inet_row(row)
                        && listeners.accepted(&Place::Ip(local))
                    {
                        table.insert(inode, (Client::Ip(client), facts));
                        known.insert(inode, Some((local, client)));
                    }
                })?;
            }
        }
        if listeners.has_unix() {
            read_unix(&socket, listeners, inodes, &mut table, &mut buffer)?;
        }
        // Those of UNIX sockets, which have no addresses, are looked up each time.
        for &inode in inodes.iter().filter(|inode| !table.contains_key(inode)) {
            if !self.known.get(&inode).is_some_and(Option::is_some) {
                known.insert(inode, None);
            }
        }
        if table.values().any(|(_, facts)| facts.exchange.is_some_and(|it| it.is_unclear())) {
            let acked = acknowledging::of_all()?;
            for (inode, (_, facts)) in &mut table {
                if let (Some(exchange), Some(&acked)) = (&mut facts.exchange, acked.get(inode)) {
                    exchange.acked = acked;
                }
            }
        }
        let held: HashSet<u64> = inodes.iter().copied().collect();
        known.retain(|inode, _| held.contains(inode));
        self.known = known;
        Ok(table)
    }
}

fn read_unix(
    socket: &OwnedFd,
    listeners: &Listeners,
    inodes: &[u64],
    table: &mut Table,
    buffer: &mut [u8],
) -> io::Result<()> {
    for &inode in inodes {
        // The kernel's numbers of UNIX sockets have 32 bits there.
        let Ok(short) = u32::try_from(inode) else { continue };
        ask(socket, &unix_request(short))?;
        receive(socket, buffer, |row| {
            if let Some((local, facts)) = unix_row(row, short)
                && listeners.accepted(&Place::Unix(local))
            {
                table.insert(inode, (Client::Local, facts));
            }
        })?;
    }
    Ok(())
}

fn open() -> io::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
    Ok(socket_with(family, kind, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG))?)
}

fn ask(socket: &OwnedFd, request: &[u8]) -> io::Result<()> {
    sendto(socket, request, SendFlags::DONTWAIT, &SocketAddrNetlink::new(0, 0))?;
    Ok(())
}

/// Hands out what the messages of an answer carry.
fn receive(socket: &OwnedFd, buffer: &mut [u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
    loop {
        // The kernel has the next part ready when one was read.
        let (length, _) = recv(socket, &mut *buffer, RecvFlags::DONTWAIT)?;
        let mut rest = &buffer[..length];
        if rest.is_empty() {
            return Ok(());
        }
        while let (Some(size), Some(kind), Some(flags)) =
            (word(rest, 0), half(rest, 4), half(rest, 6))
        {
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            let Some(carried) = rest.get(HEADER..size) else { return Err(malformed()) };
            match kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => {
                    let errno = word(carried, 0).map_or(0, u32::cast_signed).saturating_neg();
                    return match Errno::from_raw_os_error(errno) {
                        // It is of another family, or was closed meanwhile.
                        Errno::NOENT => Ok(()),
                        other => Err(other.into()),
                    };
                }
                _ => each(carried),
            }
            // The answer about one socket is one message.
            if flags & 2 == 0 {
                return Ok(());
            }
            rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message of sock_diag is cut off")
}

fn request(flags: u16, body: &[u8]) -> Vec<u8> {
    let length = HEADER + body.len();
    let mut message = Vec::with_capacity(length);
    message.extend(u32::try_from(length).unwrap_or(0).to_ne_bytes());
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    // No number and no sender: one question follows another.
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// Asks for all connections that came by a listener, with `struct tcp_info`.
fn dump_request(listener: SocketAddr) -> Vec<u8> {
    let nowhere = (Ipv6Addr::UNSPECIFIED, 0).into();
    request(NLM_F_DUMP, &inet_body(listener.is_ipv6(), (listener, nowhere), [0; 32]))
}

/// Asks for one connection.
fn find_request((local, client): Addresses) -> Vec<u8> {
    // What came from IPv4 to a socket of IPv6 is found by its addresses of IPv4 as well.
    let mut ips = [0; 32];
    for (at, address) in [(0, local), (16, client)] {
        match address.ip() {
            IpAddr::V4(ip) => ips[at..at + 4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => ips[at..at + 16].copy_from_slice(&ip.octets()),
        }
    }
    request(0, &inet_body(local.is_ipv6(), (local, client), ips))
}

/// A `struct inet_diag_req_v2`.
fn inet_body(is_ipv6: bool, (local, client): Addresses, ips: [u8; 32]) -> Vec<u8> {
    let family = if is_ipv6 { AF_INET6 } else { AF_INET };
    let mut body = vec![family, IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0];
    // In whatever state, but those in which no process has them: TIME_WAIT, LISTEN, and those before a connection.
    let states: u32 = !(1 << 2 | 1 << 3 | 1 << 6 | 1 << 10 | 1 << 12);
    body.extend(states.to_ne_bytes());
    body.extend(local.port().to_be_bytes());
    body.extend(client.port().to_be_bytes());
    body.extend(ips);
    // On whatever interface, whatever its cookie.
    body.extend([0; 4]);
    body.extend([u8::MAX; 8]);
    body
}

/// Reads a `struct inet_diag_msg`: its inode, both addresses, and what is known of it.
fn inet_row(row: &[u8]) -> Option<(u64, SocketAddr, SocketAddr, Facts)> {
    let family = *row.first()?;
    let address = |port: usize, ip: usize| {
        let port = u16::from_be_bytes(*row.get(port..)?.first_chunk()?);
        let ip = match family {
            AF_INET => IpAddr::from(Ipv4Addr::from(*row.get(ip..)?.first_chunk::<4>()?)),
            AF_INET6 => Ipv6Addr::from(*row.get(ip..)?.first_chunk::<16>()?).to_canonical(),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    };
    let (local, client) = (address(4, 8)?, address(6, 24)?);
    let inode = word(row, 68)?.into();
    let info = attributes(row.get(INET_MESSAGE..)?).find(|(kind, _)| *kind == INET_DIAG_INFO);
    let info = TcpInfo(info?.1);
    let facts = Facts {
        unread: word(row, 56)?,
        unsent: word(row, 60)?,
        peer_closed: info.peer_closed(),
        exchange: info.exchange(),
    };
    (info.is_connection() && inode != 0).then_some((inode, local, client, facts))
}

/// Asks for one socket.
fn unix_request(inode: u32) -> Vec<u8> {
    let mut body = vec![AF_UNIX, 0, 0, 0];
    body.extend(u32::MAX.to_ne_bytes());
    body.extend(inode.to_ne_bytes());
    body.extend((UDIAG_SHOW_NAME | UDIAG_SHOW_RQLEN).to_ne_bytes());
    body.extend([u8::MAX; 8]);
    request(0, &body)
}

/// Reads a `struct unix_diag_msg` of a connection: where it is bound, and what is known of it.
fn unix_row(row: &[u8], inode: u32) -> Option<(Vec<u8>, Facts)> {
    const ESTABLISHED: u8 = 1;
    if row.first() != Some(&AF_UNIX) || row.get(2) != Some(&ESTABLISHED) || word(row, 4)? != inode {
        return None;
    }
    let mut name = None;
    let mut facts = Facts { unread: 0, unsent: 0, peer_closed: false, exchange: None };
    for (kind, value) in attributes(row.get(UNIX_MESSAGE..)?) {
        match kind {
            UNIX_DIAG_NAME => name = Some(value),
            UNIX_DIAG_RQLEN => (facts.unread, facts.unsent) = (word(value, 0)?, word(value, 4)?),
            UNIX_DIAG_SHUTDOWN => facts.peer_closed = value.first()? & RCV_SHUTDOWN != 0,
            _ => {}
        }
    }
    let name = name?;
    // A path may have its 0 at the end.
    let name =
        if name.first() == Some(&0) { name } else { name.strip_suffix(&[0]).unwrap_or(name) };
    Some((name.to_vec(), facts))
}

fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (length, kind) = (usize::from(half(rest, 0)?), half(rest, 2)?);
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_or_of_something_else_is_no_row() {
        let mut row = vec![AF_INET, 1, 0, 0];
        row.resize(INET_MESSAGE, 1);
        row.extend([164, 0, 2, 0]);
        row.resize(INET_MESSAGE + 164, 1);
        if cfg!(target_endian = "little") {
            assert!(inet_row(&row).is_some());
        }
        for length in 0..row.len() {
            assert_eq!(inet_row(&row[..length]), None, "{length}");
        }
        let mut unix = vec![AF_UNIX, 1, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        unix.extend([7, 0, 0, 0, b'/', b's', 0, 0]);
        if cfg!(target_endian = "little") {
            assert_eq!(unix_row(&unix, 7).expect("whole").0, b"/s");
        }
        assert_eq!(unix_row(&unix, 8), None);
        for length in 0..unix.len() - 1 {
            assert_eq!(unix_row(&unix[..length], 7), None, "{length}");
        }
    }
}
