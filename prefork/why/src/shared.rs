//! Connections that several processes have from the one that has opened them.
//!
//! Answers come to whichever reads first, so that each gets those of others: it is what becomes of a connection to a database
//! that was opened before a fork.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Instant,
};

use prefork_netwatch::{State, Transport, inet_sockets, unix_backlog_of, unix_socket};

use crate::{
    proc::{Proc, shown},
    resolve::inode,
    services::service,
};

/// A connection that several processes have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharedConnection {
    /// Where it leads to, safe to be shown: `tcp 10.0.0.5:3306 (mysql)`, `unix /run/mysqld/mysqld.sock`.
    pub peer: String,
    /// The processes, in ascending order.
    pub pids: Vec<u32>,
}

/// So many descriptors of each process are looked at.
const MOST_DESCRIPTORS: usize = 4096;
/// So many shared sockets are looked up.
const MOST_SOCKETS: usize = 256;
/// So many pids are named.
const NAMED: usize = 4;

/// Where others' libraries connect to that notice a fork and connect again, and where logs go.
const HARMLESS: [&str; 3] = ["/var/lib/sss/", "/run/systemd/", "/dev/"];

/// Finds the connections that two or more of these processes have, until some time.
///
/// They are of TCP, or of UNIX stream sockets to a peer that has a name. Sockets that listen, datagrams, and standard input,
/// output and error are shared on purpose, and are none. A process whose descriptors are not shown has none.
#[must_use]
pub fn shared_connections(pids: &[u32], until: Instant) -> Vec<SharedConnection> {
    let mut holders: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
    let mut standard = BTreeSet::new();
    for &pid in pids {
        if Instant::now() >= until {
            break;
        }
        let Ok(process) = Proc::open(pid) else { continue };
        let numbers = process.numbers("fd", MOST_DESCRIPTORS).unwrap_or_default();
        for number in numbers.into_iter().filter_map(|it| i32::try_from(it).ok()) {
            let Ok(link) = process.link(number) else { continue };
            let Some(inode) = inode(&link, b"socket:[") else { continue };
            if number <= 2 {
                standard.insert(inode);
            }
            holders.entry(inode).or_default().insert(pid);
        }
    }
    holders.retain(|inode, pids| pids.len() > 1 && !standard.contains(inode));
    let Some(&any) = holders.values().next().and_then(BTreeSet::first) else { return Vec::new() };
    let peers = peers(any, &holders, until);
    let mut found: Vec<_> = peers
        .into_iter()
        .filter_map(|(inode, peer)| {
            let pids = holders.get(&inode)?.iter().copied().collect();
            Some(SharedConnection { peer, pids })
        })
        .collect();
    found.sort_by(|a, b| (&a.peer, &a.pids).cmp(&(&b.peer, &b.pids)));
    found
}

/// Finds where they lead to, of those that are connections: in the network namespace of a process that has one.
fn peers(pid: u32, wanted: &BTreeMap<u64, BTreeSet<u32>>, until: Instant) -> Vec<(u64, String)> {
    let is_wanted = |it: &prefork_netwatch::InetSocket| wanted.contains_key(&it.inode);
    let inet = inet_sockets(pid, wanted.len().min(MOST_SOCKETS), until, is_wanted);
    let is_of_inet: BTreeSet<_> = inet.iter().map(|it| it.inode).collect();
    let is_connection = |it: &prefork_netwatch::InetSocket| {
        it.transport == Transport::Tcp && it.state != State::Listen && it.foreign.port() != 0
    };
    let mut peers: Vec<_> = inet
        .iter()
        .filter(|it| is_connection(it))
        .map(|it| {
            let service = service(it.foreign.port(), it.transport);
            let service = service.map(|name| format!(" ({name})")).unwrap_or_default();
            (it.inode, format!("tcp {}{service}", it.foreign))
        })
        .collect();
    let rest = wanted.keys().filter(|inode| !is_of_inet.contains(*inode));
    for &inode in rest.take(MOST_SOCKETS) {
        if Instant::now() >= until {
            break;
        }
        peers.extend(unix_peer(inode).map(|peer| (inode, peer)));
    }
    peers
}

fn unix_peer(inode: u64) -> Option<String> {
    let socket = unix_socket(inode).ok()??;
    let peer = socket.peer.filter(|_| !socket.listens && !socket.is_datagram)?;
    // What was not accepted yet has no inode.
    let name = match peer {
        0 => unix_backlog_of(inode).ok()?,
        peer => unix_socket(peer).ok()??.name,
    };
    let name = name?.to_string();
    let is_harmless = HARMLESS.iter().any(|place| name.starts_with(place));
    (!is_harmless).then(|| format!("unix {}", shown(name.as_bytes())))
}

/// Shows `tcp 10.0.0.5:3306 (mysql) by 4711, 4712`.
impl fmt::Display for SharedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pids: Vec<_> = self.pids.iter().take(NAMED).map(ToString::to_string).collect();
        write!(f, "{} by {}", self.peer, pids.join(", "))?;
        match self.pids.len() - pids.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream, UdpSocket},
        os::{
            fd::AsFd,
            unix::net::{UnixListener, UnixStream},
        },
        process::{Child, Command, Stdio},
        time::Duration,
    };

    use super::*;

    /// Starts a process that has copies of these: as standard streams, and by numbers above them.
    fn holding(sockets: [&dyn AsFd; 3], above: bool) -> Child {
        let [one, two, three] = sockets.map(|it| it.as_fd().try_clone_to_owned().expect("copied"));
        let script = if above {
            "exec 5<&0 6>&1 7>&2 0</dev/null 1>/dev/null 2>/dev/null; exec sleep 1000"
        } else {
            "exec sleep 1000"
        };
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::from(one)).stdout(two).stderr(three);
        command.spawn().expect("started")
    }

    #[test]
    fn what_two_processes_have_is_found_with_its_peer() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("database");
        let server = UnixListener::bind(&path).expect("bound");
        let unix = UnixStream::connect(&path).expect("connected");
        let _accepted = server.accept().expect("accepted");
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let tcp = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("bound");
        udp.connect("127.0.0.1:53").expect("no packet is sent");
        let (pair, _other) = UnixStream::pair().expect("made");
        let mut all = [
            holding([&tcp, &unix, &listener], true),
            holding([&tcp, &unix, &listener], true),
            // What is a standard stream of one is shared on purpose.
            holding([&udp, &pair, &pair], true),
            holding([&udp, &pair, &pair], true),
        ];
        let pids = all.each_ref().map(Child::id);
        let deadline = Instant::now() + Duration::from_secs(60);
        let both: Vec<u32> = BTreeSet::from([pids[0], pids[1]]).into_iter().collect();
        let expected = [
            (format!("tcp {}", listener.local_addr().expect("bound")), both.clone()),
            (format!("unix {}", path.display()), both),
        ];
        loop {
            let found = shared_connections(&pids, deadline);
            let found: Vec<_> = found.into_iter().map(|it| (it.peer, it.pids)).collect();
            if found == expected {
                break;
            }
            assert!(Instant::now() < deadline, "{found:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(shared_connections(&pids, Instant::now()).is_empty(), "there was no time");
        assert!(shared_connections(&pids[..1], deadline).is_empty(), "it has them alone");
        let mut standard = [holding([&tcp, &tcp, &tcp], false), holding([&tcp, &tcp, &tcp], true)];
        let pids = standard.each_ref().map(Child::id);
        assert!(shared_connections(&pids, deadline).is_empty(), "one has it as a standard stream");
        for child in all.iter_mut().chain(&mut standard) {
            child.kill().expect("its own");
            child.wait().expect("reaped");
        }
    }

    #[test]
    fn of_many_processes_some_are_named() {
        let shared = SharedConnection { peer: "tcp 10.0.0.5:3306".into(), pids: (1..=6).collect() };
        assert_eq!(shared.to_string(), "tcp 10.0.0.5:3306 by 1, 2, 3, 4 and 2 more");
    }
}
