//! Looking up what single sockets are connected to, by their inodes.

use crate::source::{proc_net, sock_diag::lookup};
use crate::{Connection, Endpoint, Proto, SourceError, State, UnixName};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Instant;

/// The protocol of an [`InetSocket`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A socket of TCP or UDP, as the kernel's tables show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InetSocket {
    /// The protocol.
    pub transport: Transport,
    /// This side's address.
    pub local: SocketAddr,
    /// The peer's address; its port is 0 where there is no peer.
    pub foreign: SocketAddr,
    /// The state; of UDP [`Established`](State::Established) with a peer, and [`Close`](State::Close) without.
    pub state: State,
    /// How many bytes were written to it and not yet acknowledged by the peer.
    pub unsent: u64,
    /// How many bytes wait to be read. Of a socket that listens, how many connections wait to be accepted.
    pub unread: u64,
    /// How often data was sent again that the peer has not acknowledged, since it last has.
    pub resent: u32,
    /// The inode, 0 while no process holds it.
    pub inode: u64,
}

/// The files with one row for each socket, and how long such a row is at the most.
const TABLES: [(&str, Transport, Proto); 4] = [
    ("tcp", Transport::Tcp, Proto::Tcp),
    ("tcp6", Transport::Tcp, Proto::Tcp6),
    ("udp", Transport::Udp, Proto::Tcp),
    ("udp6", Transport::Udp, Proto::Tcp6),
];

/// Finds sockets of TCP and UDP in the network namespace of a process.
///
/// By `sock_diag(7)`, where that namespace is the caller's and this is possible; else by the tables of `proc_pid_net(5)`, which
/// takes longer where there are many connections, those that have ended among them.
///
/// Returns those for which `is_wanted` returns `true`, at most `most` of them, TCP first; and fewer when `until` has come. A
/// table that cannot be read has none: use [`inet_sockets_are_shown`] to find that out.
pub fn inet_sockets(
    pid: u32,
    most: usize,
    until: Instant,
    mut is_wanted: impl FnMut(&InetSocket) -> bool,
) -> Vec<InetSocket> {
    let is_own = shares_network(pid);
    let (mut found, mut buffer) = (Vec::new(), Vec::new());
    for (name, transport, proto) in TABLES {
        if found.len() >= most || Instant::now() >= until {
            break;
        }
        let before = found.len();
        let asked = is_own
            && lookup::each_inet(transport, proto, &mut buffer, |socket| {
                found.extend(Some(socket).filter(&mut is_wanted));
                match found.len() >= most || Instant::now() >= until {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            })
            .is_ok();
        if !asked {
            found.truncate(before);
            read_table(pid, name, most, until, |line| {
                found.extend(inet_row(transport, proto, line).filter(&mut is_wanted));
                found.len()
            });
        }
    }
    found
}

/// Returns whether a process is known to be in the network namespace of the caller: see `network_namespaces(7)`.
#[must_use]
pub fn shares_network(pid: u32) -> bool {
    let of = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    of(&pid.to_string()).is_some_and(|it| Some(it) == of("thread-self"))
}

/// Reads a table line by line, until so many were found, as `each` returns.
fn read_table(
    pid: u32,
    name: &str,
    most: usize,
    until: Instant,
    mut each: impl FnMut(&[u8]) -> usize,
) {
    let Ok(file) = File::open(format!("/proc/{pid}/net/{name}")) else { return };
    let mut reader = BufReader::with_capacity(64 * 1024, file);
    let mut line = Vec::new();
    while Instant::now() < until {
        line.clear();
        if !matches!(reader.read_until(b'\n', &mut line), Ok(1..)) || each(&line) >= most {
            break;
        }
    }
}

/// Returns whether [`inet_sockets`] can read the table of a process.
#[must_use]
pub fn inet_sockets_are_shown(pid: u32) -> bool {
    File::open(format!("/proc/{pid}/net/tcp")).is_ok()
}

fn inet_row(transport: Transport, proto: Proto, line: &[u8]) -> Option<InetSocket> {
    let Connection {
        local: Endpoint::Ip(local), foreign: Endpoint::Ip(foreign), state, inode, ..
    } = proc_net::row(proto, line)?
    else {
        return None;
    };
    let mut fields = std::str::from_utf8(line).ok()?.split_ascii_whitespace().skip(4);
    let (unsent, unread) = fields.next()?.split_once(':')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    let resent = u32::from_str_radix(fields.nth(1)?, 16).ok()?;
    Some(InetSocket {
        transport,
        local,
        foreign,
        state,
        unsent: number(unsent)?,
        unread: number(unread)?,
        resent,
        inode,
    })
}

/// A UNIX socket, as `sock_diag(7)` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixSocket {
    /// The inode.
    pub inode: u64,
    /// The name to which it is bound; an accepted one has that of the socket that listens.
    pub name: Option<UnixName>,
    /// Whether it listens.
    pub listens: bool,
    /// Whether it is one of datagrams, rather than of a stream or of packets in their order.
    pub is_datagram: bool,
    /// The inode of the socket to which it is connected; 0 while that was not accepted. `None` without a peer.
    pub peer: Option<u64>,
}

/// Looks up a UNIX socket of this network namespace by its inode; `None` if there is none.
///
/// # Errors
///
/// [`SourceError`], as where netlink sockets are forbidden.
pub fn unix_socket(inode: u64) -> Result<Option<UnixSocket>, SourceError> {
    lookup::find_unix(inode)
}

/// Finds the name of the UNIX socket at which a connection waits to be accepted, by the inode of its client.
///
/// # Errors
///
/// [`SourceError`], as where netlink sockets are forbidden.
pub fn unix_backlog_of(client: u64) -> Result<Option<UnixName>, SourceError> {
    lookup::find_backlog(client)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
    use std::time::Duration;

    use super::*;

    fn inode(socket: impl AsFd) -> u64 {
        rustix::fs::fstat(socket).expect("open").st_ino
    }

    fn find(wanted: u64) -> Option<InetSocket> {
        let until = Instant::now() + Duration::from_secs(60);
        inet_sockets(std::process::id(), 1, until, |it| it.inode == wanted).pop()
    }

    #[test]
    fn a_connection_is_found_by_its_inode_with_what_waits_in_it() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        let mut client = TcpStream::connect(address).expect("connected");
        let (server, peer) = listener.accept().expect("accepted");
        std::io::Write::write_all(&mut client, b"seven b").expect("written");
        let found = find(inode(&server)).expect("it is there");
        assert_eq!((found.local, found.foreign), (address, peer));
        assert_eq!((found.transport, found.state), (Transport::Tcp, State::Established));
        assert_eq!((found.unread, found.unsent, found.resent), (7, 0, 0));
        assert_eq!(find(inode(&listener)).expect("it is there").state, State::Listen);
        assert_eq!(find(u64::MAX), None);
    }

    #[test]
    fn a_datagram_socket_has_the_peer_to_which_it_is_connected() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let before = find(inode(&socket)).expect("it is there");
        assert_eq!((before.foreign.port(), before.state), (0, State::Close));
        socket.connect("127.0.0.1:53").expect("no packet is sent");
        let found = find(inode(&socket)).expect("it is there");
        assert_eq!(found.foreign, "127.0.0.1:53".parse().expect("an address"));
        assert_eq!((found.transport, found.state), (Transport::Udp, State::Established));
    }

    /// Whoever may not use netlink, or looks into another namespace, reads the same.
    #[test]
    fn tables_and_sock_diag_agree() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let until = Instant::now() + Duration::from_secs(60);
        for (socket, name, transport) in [
            (inode(&client), "tcp", Transport::Tcp),
            (inode(&listener), "tcp", Transport::Tcp),
            (inode(&udp), "udp", Transport::Udp),
        ] {
            let mut of_table = None;
            read_table(std::process::id(), name, 1, until, |line| {
                let row = inet_row(transport, Proto::Tcp, line).filter(|row| row.inode == socket);
                of_table = row;
                usize::from(of_table.is_some())
            });
            let mut of_netlink = None;
            lookup::each_inet(transport, Proto::Tcp, &mut Vec::new(), |row| {
                if row.inode == socket {
                    of_netlink = Some(row);
                }
                ControlFlow::Continue(())
            })
            .expect("asked");
            assert!(of_table.is_some() && of_table == of_netlink, "{of_table:?} {of_netlink:?}");
        }
    }

    #[test]
    fn the_answer_of_the_kernel_is_not_read_on_when_the_time_is_over() {
        let _sockets = [(); 3].map(|()| UdpSocket::bind("127.0.0.1:0").expect("bound"));
        let until = Instant::now() + Duration::from_millis(200);
        let mut looks = 0;
        let found = inet_sockets(std::process::id(), 1, until, |_| {
            looks += 1;
            std::thread::sleep(until.saturating_duration_since(Instant::now()));
            false
        });
        assert!(found.is_empty() && looks <= 1, "{looks}");
    }

    #[test]
    fn nobody_is_looked_for_when_the_time_is_over() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let wanted = inode(&socket);
        let found = inet_sockets(std::process::id(), 1, Instant::now(), |it| it.inode == wanted);
        assert!(found.is_empty());
    }

    #[test]
    fn a_unix_socket_is_found_with_its_peer() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).expect("bound");
        let client = UnixStream::connect(&path).expect("connected");
        let find = |inode| unix_socket(inode).expect("asked").expect("it is there");
        let waiting = find(inode(&client));
        assert_eq!((waiting.peer, waiting.name), (Some(0), None), "it was not accepted");
        let waits_at = |client| unix_backlog_of(client).expect("asked");
        let name = waits_at(inode(&client)).expect("it waits");
        assert_eq!(name.path(), Some(path.as_path()));
        let (server, _) = listener.accept().expect("accepted");
        assert_eq!(waits_at(inode(&client)), None);
        assert_eq!(find(inode(&client)).peer, Some(inode(&server)));
        let accepted = find(inode(&server));
        assert_eq!(accepted.peer, Some(inode(&client)));
        assert_eq!(accepted.name.as_ref().and_then(UnixName::path), Some(path.as_path()));
        let found = find(inode(&listener));
        assert_eq!((found.listens, found.peer), (true, None));
        let (one, other) = UnixDatagram::pair().expect("a pair");
        assert_eq!(find(inode(&one)).peer, Some(inode(&other)));
        assert!(find(inode(&one)).is_datagram && !accepted.is_datagram);
        let gone = inode(&client);
        drop(client);
        assert_eq!(unix_socket(gone).expect("asked"), None);
        assert_eq!(unix_socket(u64::MAX).expect("not asked"), None);
    }
}
