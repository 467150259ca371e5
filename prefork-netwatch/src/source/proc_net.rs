//! Connections as /proc/net/tcp and /proc/net/tcp6 show them.

use crate::{Connection, Endpoint, Filter, Proto, Source, SourceError, State};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Reads `/proc/net/tcp` and `/proc/net/tcp6`: see `proc_pid_net(5)`.
///
/// For where netlink may not be used, by a seccomp filter say. The kernel writes out every
/// connection of the machine, so it is many times slower than [`SockDiag`](crate::SockDiag). It
/// shows nothing of UNIX sockets, whose table does not show whether they have a peer.
#[derive(Debug, Default)]
pub struct ProcNet {
    text: Vec<u8>,
}

impl ProcNet {
    /// Makes the source; nothing is opened yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { text: Vec::new() }
    }

    /// Returns all connections of TCP of one kind, in whatever state.
    fn all(
        &mut self,
        proto: Proto,
    ) -> Result<impl Iterator<Item = Connection> + use<'_>, SourceError> {
        let path = match proto {
            Proto::Tcp => Some("/proc/net/tcp"),
            Proto::Tcp6 => Some("/proc/net/tcp6"),
            Proto::Unix => None,
        };
        self.text.clear();
        if let Some(path) = path {
            self.load(proto, Path::new(path))?;
        }
        Ok(parse(proto, &self.text))
    }

    /// Reads a whole file; without IPv6 there is none of it.
    fn load(&mut self, proto: Proto, path: &Path) -> Result<(), SourceError> {
        let read = File::open(path).and_then(|mut file| file.read_to_end(&mut self.text));
        match read {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound && proto == Proto::Tcp6 => Ok(()),
            Err(source) => Err(SourceError::File { path: path.into(), source }),
        }
    }
}

impl Source for ProcNet {
    fn read(&mut self, filter: &Filter, rows: &mut Vec<Connection>) -> Result<(), SourceError> {
        for proto in [Proto::Tcp, Proto::Tcp6] {
            if filter.wants(proto) {
                let all = self.all(proto)?;
                rows.extend(all.filter(|row| row.state.may_be_held() && filter.matches(row)));
            }
        }
        Ok(())
    }

    fn find(&mut self, connection: &Connection) -> Result<Option<Connection>, SourceError> {
        Ok(self.all(connection.proto)?.find(|row| row.has_addresses_of(connection)))
    }
}

/// Parses the text of `/proc/net/tcp` or, for [`Proto::Tcp6`], of `/proc/net/tcp6`.
///
/// Lines that are no rows, the heading among them, are left out.
pub(crate) fn parse(proto: Proto, text: &[u8]) -> impl Iterator<Item = Connection> {
    text.split(|&byte| byte == b'\n').filter_map(move |line| row(proto, line))
}

pub(crate) fn row(proto: Proto, line: &[u8]) -> Option<Connection> {
    let line = std::str::from_utf8(line).ok()?;
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, foreign) = (address(proto, fields.next()?)?, address(proto, fields.next()?)?);
    let state = State::from_number(u8::from_str_radix(fields.next()?, 16).ok()?)?;
    // Queues, timer, retransmissions, user, probes.
    let inode = fields.nth(5)?.parse().ok()?;
    Some(Connection { proto, local, foreign, state, inode, pid: None, interface: 0 })
}

/// Parses `0100007F:0050`: words of 32 bits, each as the machine reads its bytes, then the port.
fn address(proto: Proto, text: &str) -> Option<Endpoint> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let ip = match proto {
        Proto::Tcp => IpAddr::V4(Ipv4Addr::from(words::<1, 4>(ip)?)),
        Proto::Tcp6 => Ipv6Addr::from(words::<4, 16>(ip)?).to_canonical(),
        Proto::Unix => return None,
    };
    Some(Endpoint::Ip(SocketAddr::new(ip, port)))
}

fn words<const WORDS: usize, const BYTES: usize>(text: &str) -> Option<[u8; BYTES]> {
    if text.len() != WORDS * 8 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (index, target) in bytes.chunks_exact_mut(4).enumerate() {
        let word = u32::from_str_radix(&text[index * 8..][..8], 16).ok()?;
        target.copy_from_slice(&word.to_ne_bytes());
    }
    Some(bytes)
}
