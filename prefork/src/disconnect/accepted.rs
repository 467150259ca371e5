//! The connection that a child has in hand, as it says itself.
//!
//! Tables show who has gone by what they showed before. A connection that is reset before the first look is in none, so
//! the child says what it has accepted: then it is known whether anybody has looked or not. What it says is believed only
//! as far as it concerns that child: it must hold the socket, and what may follow is the end of its own request.
//!
//! Signals or an epoll that parent and child share would tell at once and without a look. But a signal ends system calls
//! of the request in hand, and no child may signal a parent that is another user's; and an epoll has the parent poll
//! whatever a child has put in, which can take as long as the child likes.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6},
    os::fd::BorrowedFd,
};

use prefork_netwatch::{Connection, Proto, State};
use rustix::{fs::fstat, net::getsockname};

/// A connection over TCP that a child has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    inode: u64,
    /// Whether the socket is one for IPv6, though the client may have come by IPv4.
    is_ipv6: bool,
    local: SocketAddr,
    client: SocketAddr,
}

/// The same in shared memory: first the inode, which is never 0.
pub(crate) type Words = [u64; 7];

const IPV6: u64 = 1 << 32;

impl Accepted {
    /// Describes a connection from `client`, whose end the kernel may not know any more.
    pub(crate) fn new(connection: BorrowedFd<'_>, client: SocketAddr) -> io::Result<Self> {
        let local = SocketAddr::try_from(getsockname(connection)?)?;
        Ok(Self { inode: fstat(connection)?.st_ino, is_ipv6: local.is_ipv6(), local, client })
    }

    pub(crate) fn into_words(self) -> Words {
        let Self { inode, is_ipv6, local, client } = self;
        let (ports, scope) =
            (u64::from(local.port()) << 16 | u64::from(client.port()), scope(local));
        let kind = if is_ipv6 { IPV6 } else { 0 };
        let [a, b] = halves(local.ip());
        let [c, d] = halves(client.ip());
        [inode, kind | ports, u64::from(scope), a, b, c, d]
    }

    /// Takes it for what a table of the kernel's would have shown.
    pub(crate) fn connection(words: Words) -> Connection {
        let [inode, ports, scope, a, b, c, d] = words;
        let [_, _, _, _, p, q, r, s] = ports.to_be_bytes();
        let [_, _, _, _, scope @ ..] = scope.to_be_bytes();
        let scope = u32::from_be_bytes(scope);
        let local = address([a, b], u16::from_be_bytes([p, q]), scope);
        let foreign = address([c, d], u16::from_be_bytes([r, s]), scope);
        Connection {
            proto: if ports & IPV6 == 0 { Proto::Tcp } else { Proto::Tcp6 },
            local: local.into(),
            foreign: foreign.into(),
            state: State::Established,
            inode,
            pid: None,
            interface: scope,
        }
    }
}

/// The interface that a link-local address is one of, to which its socket is bound; else 0.
fn scope(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    }
}

fn halves(ip: IpAddr) -> [u64; 2] {
    let ip = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let bits = ip.to_bits();
    [bits >> 64, bits & u128::from(u64::MAX)].map(|half| u64::try_from(half).unwrap_or_default())
}

/// As netwatch shows it: mapped addresses as those of IPv4, and link-local ones with their interface.
fn address([high, low]: [u64; 2], port: u16, scope: u32) -> SocketAddr {
    let ip = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
    match ip.to_canonical() {
        IpAddr::V4(ip) => (ip, port).into(),
        IpAddr::V6(ip) => {
            let scope = if ip.is_unicast_link_local() { scope } else { 0 };
            SocketAddrV6::new(ip, port, 0, scope).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        os::fd::AsFd,
    };

    use prefork_netwatch::{Endpoint, Filter, SockDiag, Source};

    use super::*;

    /// What the child says is what the kernel's table shows, for each way to come.
    #[test]
    fn it_is_what_the_table_shows() {
        for (bound, host) in
            [("127.0.0.1:0", "127.0.0.1"), ("[::]:0", "127.0.0.1"), ("[::1]:0", "::1")]
        {
            let Ok(listener) = TcpListener::bind(bound) else {
                assert!(bound.starts_with('['), "{bound} can be bound");
                eprintln!("SKIPPED: there is no IPv6 for {bound}");
                continue;
            };
            let port = listener.local_addr().expect("bound").port();
            let _client = TcpStream::connect((host, port)).expect("connected");
            let (server, client) = listener.accept().expect("accepted");
            let accepted = Accepted::new(server.as_fd(), client).expect("described");
            let said = Accepted::connection(accepted.into_words());
            let mut rows = Vec::new();
            let endpoint = Endpoint::of_socket(&listener).expect("bound");
            SockDiag::new().read(&Filter::listening([endpoint]), &mut rows).expect("read");
            let shown = rows.iter().find(|row| row.inode == said.inode);
            assert_eq!(shown, Some(&said), "at {bound} from {host}");
        }
    }

    #[test]
    fn an_address_of_one_link_keeps_its_interface() {
        let local = SocketAddrV6::new("fe80::1".parse().expect("an address"), 80, 0, 3).into();
        let client = SocketAddrV6::new("fe80::2".parse().expect("an address"), 4711, 0, 3).into();
        let accepted = Accepted { inode: 9, is_ipv6: true, local, client };
        let said = Accepted::connection(accepted.into_words());
        assert_eq!((said.local, said.foreign), (local.into(), client.into()));
        assert_eq!((said.inode, said.interface, said.proto), (9, 3, Proto::Tcp6));
    }
}
