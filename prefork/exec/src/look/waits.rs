//! Whether a program waits at its listening sockets, and how.

use std::io;

use prefork_core::program::Stance;
use rustix::process::Pid;

use super::{Call, Connection, Listeners, Process, Tree, descriptors::Target};

/// A process that waits at a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) pid: Pid,
    pub(crate) how: How,
}

/// How a process waits at a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The socket, by the number `socket`, is registered at the epoll descriptor `epoll`.
    Epoll { epoll: i32, socket: i32, listener: usize },
    /// One of its threads is in `accept(2)`.
    Accept { thread: Pid },
    /// One of its threads is in `poll(2)` or `select(2)`.
    Poll { thread: Pid },
}

impl Tree {
    /// Returns which of its processes wait at one of the listeners.
    ///
    /// A process that is busy waits too if it has registered the socket with `epoll(7)`; one that waits by other calls is seen only
    /// while it is in one.
    ///
    /// # Errors
    ///
    /// If that is forbidden, or there are too few descriptors.
    pub(crate) fn waits_at(&self, listeners: &Listeners) -> io::Result<Vec<Waiting>> {
        let mut waiting = Vec::new();
        for process in self.processes() {
            match process.waits_at(listeners, &mut waiting) {
                Err(_) if process.is_ending() => {}
                other => other?,
            }
        }
        Ok(waiting)
    }
}

impl Tree {
    /// Returns what a program does that serves one connection at a time, and holds these.
    ///
    /// # Errors
    ///
    /// Those of [`waits_at`](Self::waits_at).
    pub(crate) fn stance(&self, listeners: &Listeners, held: &[Connection]) -> io::Result<Stance> {
        if !self.waits_at(listeners)?.is_empty() {
            return Ok(Stance::Accepts);
        }
        for process in self.processes() {
            let is_held = |fd: i32| match process.descriptor(fd) {
                Some(Target::Socket(inode)) => held.iter().any(|it| it.inode == inode),
                _ => false,
            };
            for thread in process.threads().unwrap_or_default() {
                let waits = match process.call(thread) {
                    Ok(Call::Read(fd)) => is_held(fd),
                    Ok(Call::Poll(fds)) => fds.into_iter().any(is_held),
                    Ok(
                        Call::Accept(_)
                        | Call::Epoll(_)
                        | Call::Restarted
                        | Call::Other
                        | Call::None,
                    ) => false,
                    Err(_) if !process.exists() => false,
                    Err(error) => return Err(error),
                };
                if waits {
                    return Ok(Stance::Reads);
                }
            }
        }
        Ok(Stance::Works)
    }
}

impl Process {
    fn waits_at(&self, listeners: &Listeners, waiting: &mut Vec<Waiting>) -> io::Result<()> {
        let mut add = |how| waiting.push(Waiting { pid: self.pid(), how });
        for (epoll, socket, listener) in self.registered(listeners)? {
            add(How::Epoll { epoll, socket, listener });
        }
        for thread in self.threads()? {
            match self.call(thread)? {
                Call::Accept(fd) if self.is_listener(fd, listeners) => add(How::Accept { thread }),
                Call::Poll(fds) if fds.iter().any(|&fd| self.is_listener(fd, listeners)) => {
                    add(How::Poll { thread });
                }
                Call::Accept(_)
                | Call::Poll(_)
                | Call::Epoll(_)
                | Call::Read(_)
                | Call::Restarted
                | Call::Other
                | Call::None => {}
            }
        }
        Ok(())
    }

    /// Returns whether a descriptor of its leads to one of the listeners.
    pub(crate) fn is_listener(&self, fd: i32, listeners: &Listeners) -> bool {
        matches!(self.descriptor(fd), Some(Target::Socket(inode)) if listeners.position(inode).is_some())
    }

    /// Returns each registration of one of the listeners: the epoll descriptor, the number by which the socket was
    /// registered, and which listener it is.
    pub(crate) fn registered(&self, listeners: &Listeners) -> io::Result<Vec<(i32, i32, usize)>> {
        let mut epolls = Vec::new();
        self.descriptors(|fd, target| {
            if target == Target::Epoll {
                epolls.push(fd);
            }
        })?;
        let mut found = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        for epoll in epolls {
            // Closed meanwhile, it has none.
            let Ok(text) = self.read_all(&format!("fdinfo/{epoll}"), &mut buffer) else { continue };
            for line in text.split(|&byte| byte == b'\n') {
                if let Some((socket, inode, device)) = parse(line)
                    && let Some(listener) = listeners.position_on(inode, device)
                {
                    found.push((epoll, socket, listener));
                }
            }
        }
        Ok(found)
    }
}

/// Reads a line of what is registered, see `proc_pid_fdinfo(5)`: the number, the inode, and the device.
fn parse(line: &[u8]) -> Option<(i32, u64, u64)> {
    let line = std::str::from_utf8(line).ok()?;
    let rest = line.strip_prefix("tfd:")?.trim_start();
    let number = rest.split_ascii_whitespace().next()?.parse().ok()?;
    let after = |name: &str| {
        let (_, rest) = rest.split_once(name)?;
        u64::from_str_radix(rest.split_ascii_whitespace().next()?, 16).ok()
    };
    Some((number, after(" ino:")?, after(" sdev:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_is_read() {
        let line = b"tfd:        3 events:       19 data:                3  pos:0 ino:5f3a sdev:9";
        assert_eq!(parse(line), Some((3, 0x5f3a, 9)));
        for other in [&b"pos:\t0"[..], b"tfd: 3", b"tfd: x ino:1 sdev:9", b"", b"ino:1 sdev:9"] {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }
}
