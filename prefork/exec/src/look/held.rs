//! Which connections a program holds.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt, io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
};

use prefork_core::program::Facts;
use rustix::{
    io::{Errno, ioctl_fionread},
    net::{getpeername, getsockname},
    process::Pid,
};

use super::{
    Listeners, Process, Tree, acknowledging::acked, descriptors::Target, listeners::Place,
    sock_diag::SockDiag, tcp::TcpInfo,
};
use crate::sys::sockets::{TCP_INFO, tcp_info, unsent};

/// A connection that a process of the program holds.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// Of its socket: no other has the same while it is open.
    pub(crate) inode: u64,
    /// A process that holds it.
    pub(crate) pid: Pid,
    pub(crate) client: Client,
    pub(crate) facts: Facts,
}

/// Whose a connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Ip(SocketAddr),
    /// One by a UNIX socket, which has no address.
    Local,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Local => f.write_str("a UNIX socket"),
        }
    }
}

/// Finds the connections that a program holds, and remembers which of its sockets are none.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The sockets that were looked into, by inode; `None` of those that were not accepted from the listeners.
    known: HashMap<u64, Option<Client>>,
    connections: Vec<Connection>,
    way: Way,
    sock_diag: SockDiag,
}

/// How it is found what the kernel reports of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Way {
    /// By a duplicate of the descriptor.
    #[default]
    Duplicates,
    /// By its inode.
    SockDiag,
}

impl Held {
    /// Reads which connections that came by these listeners a program holds, and what the kernel reports of them.
    ///
    /// A process that ends meanwhile holds none. Connections that the program has made itself, to a database, are none of them.
    ///
    /// # Errors
    ///
    /// If that is forbidden in both ways, or there are too few descriptors.
    pub(crate) fn look(&mut self, tree: &Tree, listeners: &Listeners) -> io::Result<&[Connection]> {
        if self.way == Way::Duplicates {
            match self.look_into(tree, listeners) {
                Err(error) if is_forbidden(&error) => self.way = Way::SockDiag,
                other => return other.map(|()| &self.connections[..]),
            }
        }
        self.look_up(tree, listeners)?;
        Ok(&self.connections)
    }

    /// Looks into the program's own sockets.
    fn look_into(&mut self, tree: &Tree, listeners: &Listeners) -> io::Result<()> {
        self.connections.clear();
        let mut seen = HashMap::with_capacity(self.known.len());
        each_socket(tree, listeners, |process, fd, inode| {
            if let Entry::Vacant(entry) = seen.entry(inode) {
                entry.insert(self.socket(process, fd, inode, listeners)?);
            }
            Ok(())
        })?;
        // Numbers of sockets that are closed may come again.
        self.known = seen;
        Ok(())
    }

    /// Looks the program's sockets up in what the kernel reports of all.
    fn look_up(&mut self, tree: &Tree, listeners: &Listeners) -> io::Result<()> {
        self.connections.clear();
        let mut sockets = HashMap::new();
        each_socket(tree, listeners, |process, _, inode| {
            sockets.entry(inode).or_insert(process.pid());
            Ok(())
        })?;
        let inodes: Vec<u64> = sockets.keys().copied().collect();
        let table = self.sock_diag.read(listeners, &inodes)?;
        let found = table.into_iter().filter_map(|(inode, (client, facts))| {
            let &pid = sockets.get(&inode)?;
            Some(Connection { inode, pid, client, facts })
        });
        self.connections.extend(found);
        Ok(())
    }

    /// Makes one that looks sockets up, as where they cannot be duplicated.
    #[cfg(test)]
    pub(super) fn by_sock_diag() -> Self {
        Self { way: Way::SockDiag, ..Self::default() }
    }

    /// Returns what was found last.
    pub(crate) fn connections(&self) -> &[Connection] {
        &self.connections
    }

    /// Looks into a socket, and notes it if it is a connection.
    fn socket(
        &mut self,
        process: &Process,
        fd: i32,
        inode: u64,
        listeners: &Listeners,
    ) -> io::Result<Option<Client>> {
        if let Some(None) = self.known.get(&inode) {
            return Ok(None);
        }
        let socket = match process.duplicate(fd) {
            Ok(socket) => socket,
            // Closed meanwhile, perhaps with its process.
            Err(error) if gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let client = match self.known.remove(&inode).flatten() {
            Some(client) => client,
            None => match client(socket.as_fd(), listeners) {
                Some(client) => client,
                None => return Ok(None),
            },
        };
        let Some(facts) = facts(socket.as_fd(), &client) else { return Ok(None) };
        let pid = process.pid();
        self.connections.push(Connection { inode, pid, client: client.clone(), facts });
        Ok(Some(client))
    }
}

/// Hands out the sockets of a program, but for those at which it listens: each as often as it is held.
fn each_socket(
    tree: &Tree,
    listeners: &Listeners,
    mut each: impl FnMut(&Process, i32, u64) -> io::Result<()>,
) -> io::Result<()> {
    for process in tree.processes() {
        let mut done = Ok(());
        let read = process.descriptors(|fd, target| {
            if let Target::Socket(inode) = target
                && listeners.position(inode).is_none()
                && done.is_ok()
            {
                done = each(process, fd, inode);
            }
        });
        match read.and(done) {
            // What ends belongs to nobody any more.
            Err(_) if process.is_ending() => {}
            other => other?,
        }
    }
    Ok(())
}

/// Whether no descriptor of the program can be duplicated.
fn is_forbidden(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::PERM | Errno::ACCESS | Errno::NOSYS))
}

fn gone(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::BADF | Errno::SRCH))
}

/// Returns whose connection this is; `None` if it was not accepted from the listeners.
fn client(socket: BorrowedFd<'_>, listeners: &Listeners) -> Option<Client> {
    if !listeners.accepted(&Place::of(&getsockname(socket).ok()?)) {
        return None;
    }
    match Place::of(&getpeername(socket).ok()??) {
        Place::Ip(address) => Some(Client::Ip(address)),
        Place::Unix(_) => Some(Client::Local),
        Place::Other => None,
    }
}

/// Returns how many bytes were written to a connection since it was made: what the other side has acknowledged, and what it has
/// not.
///
/// # Errors
///
/// Fails of a connection that is none of TCP.
pub(crate) fn written(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut info = [0; TCP_INFO];
    let length = tcp_info(socket, &mut info)?;
    let acknowledged = TcpInfo(&info[..length]).acknowledged().ok_or(io::ErrorKind::Unsupported)?;
    // Of one that was reset nothing waits any more.
    Ok(acknowledged + u64::from(unsent(socket).unwrap_or(0)))
}

/// Returns what the kernel reports of a connection; `None` if it is none.
fn facts(socket: BorrowedFd<'_>, client: &Client) -> Option<Facts> {
    // What was reset has neither bytes to read nor to send.
    let unread = ioctl_fionread(socket).unwrap_or(0);
    let mut facts = Facts {
        unread: u32::try_from(unread).unwrap_or(u32::MAX),
        unsent: unsent(socket).unwrap_or(0),
        peer_closed: false,
        exchange: None,
    };
    if let Client::Ip(_) = client {
        let mut info = [0; TCP_INFO];
        let length = tcp_info(socket, &mut info).ok()?;
        let info = TcpInfo(&info[..length]);
        if !info.is_connection() {
            return None;
        }
        facts.peer_closed = info.peer_closed();
        facts.exchange = info.exchange();
        if let Some(exchange) = &mut facts.exchange
            && exchange.is_unclear()
        {
            exchange.acked = acked(socket);
        }
    }
    Some(facts)
}
