//! Finding out what a descriptor leads to.

use std::{
    cell::{OnceCell, RefCell},
    collections::HashMap,
    net::SocketAddr,
    time::Instant,
};

use prefork_netwatch::{
    InetSocket, State, UnixSocket, inet_sockets, inet_sockets_are_shown, shares_network,
    unix_backlog_of, unix_socket,
};
use rustix::io::Errno;

use crate::{
    Descriptor, Hidden, Inet, Other, Others, Target, Unix, UnixEnd,
    other::holders,
    proc::{Access, Proc, shown},
    services::service,
};

/// Resolves the descriptors of one process, each once.
#[derive(Debug)]
pub(crate) struct Resolver<'a> {
    process: &'a Proc,
    until: Instant,
    known: RefCell<HashMap<i32, Target>>,
    is_elsewhere: OnceCell<bool>,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(process: &'a Proc, until: Instant) -> Self {
        Self { process, until, known: RefCell::default(), is_elsewhere: OnceCell::new() }
    }

    /// Finds out what a descriptor leads to.
    pub(crate) fn resolve(&self, number: i32) -> Descriptor {
        if let Some(target) = self.known.borrow().get(&number) {
            return Descriptor { number, target: target.clone() };
        }
        let target = self.target(number);
        self.known.borrow_mut().insert(number, target.clone());
        Descriptor { number, target }
    }

    fn target(&self, number: i32) -> Target {
        let link = match self.process.link(number) {
            Ok(link) => link,
            Err(Errno::NOENT) => return Target::Closed,
            Err(error) => return Target::Hidden(error.into()),
        };
        if let Some(inode) = inode(&link, b"socket:[") {
            return self.socket(inode);
        }
        if let Some(inode) = inode(&link, b"pipe:[") {
            return Target::Pipe { inode, others: self.other_end(number, &link) };
        }
        if let Some(kind) = link.strip_prefix(b"anon_inode:") {
            let kind = shown(kind.trim_ascii()).trim_matches(['[', ']']).to_owned();
            let kind = if kind == "pidfd" { self.pidfd(number) } else { kind };
            return Target::Kernel { kind };
        }
        Target::File { path: shown(&link) }
    }

    /// Finds who has the other end of a pipe. One that is open for both, or of which that is not shown, has no end of its own.
    fn other_end(&self, number: i32, link: &[u8]) -> Others {
        let link = String::from_utf8_lossy(link);
        let itself = self.process.pid;
        match self.process.access(number) {
            Ok(Access { reads: true, writes: false }) => {
                holders(itself, &link, self.until, |it| it.writes)
            }
            Ok(Access { reads: false, writes: true }) => {
                holders(itself, &link, self.until, |it| it.reads)
            }
            Ok(Access { .. }) | Err(_) => holders(itself, &link, self.until, |_| true),
        }
    }

    /// Names the process of a pidfd: see `proc_pid_fdinfo(5)`.
    fn pidfd(&self, number: i32) -> String {
        let text = self.process.text(&format!("fdinfo/{number}")).unwrap_or_default();
        let pid = text.lines().find_map(|line| line.strip_prefix("Pid:"));
        match pid.and_then(|pid| pid.trim().parse().ok()) {
            Some(pid) => format!("pidfd of {}", Other::of(pid)),
            None => "pidfd of a process that has ended".to_owned(),
        }
    }

    /// Asks for a UNIX socket first, which the kernel finds by its inode: those of TCP and UDP are listed, all of them.
    fn socket(&self, inode: u64) -> Target {
        let pid = self.process.pid;
        let is_in_time = || Instant::now() < self.until;
        let unix = (!self.is_elsewhere() && is_in_time()).then(|| unix_socket(inode));
        if let Some(Ok(Some(socket))) = &unix {
            return Target::Unix(self.unix(socket));
        }
        let found = inet_sockets(pid, 1, self.until, |socket| socket.inode == inode);
        if let [socket] = &found[..] {
            return Target::Inet(self.inet(socket));
        }
        let reason = match unix {
            _ if self.is_elsewhere() => {
                "in another network namespace, where UNIX sockets cannot be looked up from here"
            }
            _ if !is_in_time() => "it was not found in time",
            Some(Err(_)) => "the kernel does not show UNIX sockets here",
            _ if inet_sockets_are_shown(pid) => "not of TCP, UDP or UNIX, or not connected",
            _ => "the kernel does not show the sockets of its network namespace",
        };
        Target::Socket { inode, reason }
    }

    /// Returns whether its network namespace is another one. Of another user's process that is not shown; then it counts as
    /// this one, and a look-up by inode is tried.
    fn is_elsewhere(&self) -> bool {
        let pid = self.process.pid;
        *self.is_elsewhere.get_or_init(|| {
            std::fs::read_link(format!("/proc/{pid}/ns/net")).is_ok() && !shares_network(pid)
        })
    }

    fn inet(&self, socket: &InetSocket) -> Inet {
        let &InetSocket { transport, local, foreign, state, .. } = socket;
        let peer = (foreign.port() != 0).then_some(foreign);
        let port = match state {
            State::Listen => local.port(),
            _ => foreign.port(),
        };
        Inet {
            transport,
            local,
            peer,
            state,
            service: service(port, transport),
            unsent: socket.unsent,
            // Of one that listens it is how many connections wait.
            unread: if state == State::Listen { 0 } else { socket.unread },
            resent: socket.resent,
            held_by: peer.filter(|it| it.ip().is_loopback()).and_then(|it| self.holder(local, it)),
        }
    }

    /// Finds the process at the other end of a connection within this machine.
    fn holder(&self, local: SocketAddr, peer: SocketAddr) -> Option<Other> {
        let is_it = |it: &InetSocket| {
            // One of UDP answers without being connected.
            it.local == peer
                && it.inode != 0
                && (it.foreign == local || it.foreign.port() == 0)
                && it.state != State::Listen
        };
        let found = inet_sockets(self.process.pid, 1, self.until, is_it);
        let link = format!("socket:[{}]", found.first()?.inode);
        match holders(self.process.pid, &link, self.until, |_| true) {
            Others::These(all, _) => all.into_iter().next(),
            Others::OnlyItself => Some(Other::of(self.process.pid)),
            Others::Nobody | Others::NoneShown | Others::NotInTime => None,
        }
    }

    fn unix(&self, socket: &UnixSocket) -> Unix {
        let mut unix = Unix {
            listens: socket.listens,
            name: socket.name.as_ref().map(|name| bounded(&name.to_string())),
            peer_name: None,
            peer: UnixEnd::None,
        };
        match socket.peer {
            None => {}
            // What waits to be accepted has no inode, by which it could be looked up.
            Some(0) => {
                let name = unix_backlog_of(socket.inode).ok().flatten();
                unix.peer_name = name.map(|it| bounded(&it.to_string()));
                unix.peer = UnixEnd::NotAccepted;
            }
            Some(peer) => {
                let found = unix_socket(peer).ok().flatten();
                unix.peer_name = found.and_then(|it| it.name).map(|it| bounded(&it.to_string()));
                let link = format!("socket:[{peer}]");
                unix.peer = UnixEnd::Held(holders(self.process.pid, &link, self.until, |_| true));
            }
        }
        unix
    }

    /// Returns the inode of the file behind a descriptor, from Linux 5.14 on: see `proc_pid_fdinfo(5)`.
    pub(crate) fn inode(&self, number: i32) -> Option<u64> {
        let text = self.process.text(&format!("fdinfo/{number}")).ok()?;
        text.lines().find_map(|line| line.strip_prefix("ino:"))?.trim().parse().ok()
    }

    /// Returns what is registered at an epoll descriptor.
    pub(crate) fn registered(&self, number: i32) -> Result<Vec<i32>, Hidden> {
        let text = self.process.read(&format!("fdinfo/{number}"), 256 * 1024)?;
        let text = String::from_utf8_lossy(&text);
        let all = text.lines().filter_map(|line| line.strip_prefix("tfd:"));
        Ok(all.filter_map(|it| it.split_ascii_whitespace().next()?.parse().ok()).collect())
    }
}

fn bounded(text: &str) -> String {
    shown(text.as_bytes())
}

/// Returns the inode in what a descriptor leads to, which begins so: `socket:[`.
pub(crate) fn inode(link: &[u8], before: &[u8]) -> Option<u64> {
    let digits = link.strip_prefix(before)?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{
        os::fd::{AsRawFd, OwnedFd},
        process::Command,
        time::Duration,
    };

    use super::*;

    /// Whatever the call: `epoll_wait(2)` names none of the two.
    #[test]
    fn the_other_end_of_a_pipe_is_that_which_the_descriptor_is_not() {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let copy = OwnedFd::from(reader.try_clone().expect("copied"));
        let mut child = Command::new("sleep").arg("1000").stdin(copy).spawn().expect("started");
        let me = Proc::open(std::process::id()).expect("it is there");
        let resolver = Resolver::new(&me, Instant::now() + Duration::from_secs(60));
        let has_it = |end: &dyn AsRawFd| match resolver.resolve(end.as_raw_fd()).target {
            Target::Pipe { others: Others::These(all, _), .. } => {
                all.iter().any(|other| other.pid == child.id())
            }
            Target::Pipe { .. } => false,
            other => panic!("{other}"),
        };
        assert_eq!((has_it(&reader), has_it(&writer)), (false, true));
        child.kill().expect("its own");
        child.wait().expect("reaped");
    }
}
