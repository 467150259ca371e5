//! The connection that a child has in hand, as it reports itself.
//!
//! Tables show which clients have gone by what they showed before. A connection that is reset before the first look is
//! in none, so the child reports what it has accepted: then it is known whether anybody has looked or not. And one that
//! is known can be found among any number of others without reading them all. What a child reports is believed only as
//! far as it concerns that child: it must hold the socket, and what may follow is the end of its own request.
//!
//! Why a child's sockets do not report by themselves that their clients have gone: `docs/design.md`.

use crate::channels::Words;
use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6},
    os::fd::BorrowedFd,
};

use prefork_netwatch::{Connection, Endpoint, Proto, State};
use rustix::{fs::fstat, net::getsockname};

/// A connection that a child has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    inode: u64,
    by: By,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Tcp {
        /// Whether the socket is one for IPv6, though the client may have come by IPv4.
        is_ipv6: bool,
        local: SocketAddr,
        /// `None` if the client had gone before anybody could ask who it is.
        client: Option<SocketAddr>,
    },
    /// By a UNIX socket, which the table shows for as long as somebody holds it.
    Unix,
}

const IPV6: u64 = 1 << 32;
const UNIX: u64 = 1 << 33;

impl Accepted {
    /// Describes a connection, over TCP from `client`, whose end the kernel may not know any more.
    pub(crate) fn new(connection: BorrowedFd<'_>, client: Option<SocketAddr>) -> io::Result<Self> {
        let by = match SocketAddr::try_from(getsockname(connection)?) {
            Ok(local) => By::Tcp { is_ipv6: local.is_ipv6(), local, client },
            Err(_) => By::Unix,
        };
        Ok(Self { inode: fstat(connection)?.st_ino, by })
    }

    pub(crate) fn into_words(self) -> Words {
        let By::Tcp { is_ipv6, local, client } = self.by else {
            return [self.inode, UNIX, 0, 0, 0, 0, 0];
        };
        let client = client.unwrap_or_else(|| (Ipv6Addr::UNSPECIFIED, 0).into());
        let (ports, scope) =
            (u64::from(local.port()) << 16 | u64::from(client.port()), scope(local));
        let kind = if is_ipv6 { IPV6 } else { 0 };
        let [a, b] = halves(local.ip());
        let [c, d] = halves(client.ip());
        [self.inode, kind | ports, u64::from(scope), a, b, c, d]
    }

    /// Takes it for what a table of the kernel's would have shown.
    pub(crate) fn connection(words: Words) -> Connection {
        let [inode, ports, scope, a, b, c, d] = words;
        let [_, _, _, _, p, q, r, s] = ports.to_be_bytes();
        let [_, _, _, _, scope @ ..] = scope.to_be_bytes();
        let scope = u32::from_be_bytes(scope);
        let local = address([a, b], u16::from_be_bytes([p, q]), scope);
        let foreign = address([c, d], u16::from_be_bytes([r, s]), scope);
        let proto = match ports & (IPV6 | UNIX) {
            0 => Proto::Tcp,
            IPV6 => Proto::Tcp6,
            _ => Proto::Unix,
        };
        let (local, foreign, state) = match (proto, foreign.port()) {
            (Proto::Tcp | Proto::Tcp6, 0) => (local.into(), Endpoint::Unnamed, State::Close),
            (Proto::Tcp | Proto::Tcp6, _) => (local.into(), foreign.into(), State::Established),
            _ => (Endpoint::Unnamed, Endpoint::Unnamed, State::Established),
        };
        Connection { proto, local, foreign, state, inode, pid: None, interface: scope }
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

/// Returns an address as netwatch shows it: mapped addresses as those of IPv4, and link-local ones with their interface.
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
        os::{fd::AsFd, unix::net::UnixStream},
    };

    use prefork_netwatch::{Filter, SockDiag, Source};

    use super::*;

    /// What the child reports is what the kernel's table shows, for each way to come.
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
            let accepted = Accepted::new(server.as_fd(), Some(client)).expect("described");
            let said = Accepted::connection(accepted.into_words());
            let mut rows = Vec::new();
            let endpoint = Endpoint::of_socket(&listener).expect("bound");
            SockDiag::new().read(&Filter::listening([endpoint]), &mut rows).expect("read");
            let shown = rows.iter().find(|row| row.inode == said.inode);
            assert_eq!(shown, Some(&said), "at {bound} from {host}");
            let found = SockDiag::new().find(&said).expect("looked for");
            assert_eq!(found, Some(said), "at {bound} from {host}");
        }
    }

    #[test]
    fn an_address_of_one_link_keeps_its_interface() {
        let local = SocketAddrV6::new("fe80::1".parse().expect("an address"), 80, 0, 3).into();
        let client = SocketAddrV6::new("fe80::2".parse().expect("an address"), 4711, 0, 3).into();
        let by = By::Tcp { is_ipv6: true, local, client: Some(client) };
        let accepted = Accepted { inode: 9, by };
        let said = Accepted::connection(accepted.into_words());
        assert_eq!((said.local, said.foreign), (local.into(), client.into()));
        assert_eq!((said.inode, said.interface, said.proto), (9, 3, Proto::Tcp6));
    }

    #[test]
    fn a_connection_whose_client_is_not_known_is_gone() {
        let local = "192.0.2.1:80".parse().expect("an address");
        let by = By::Tcp { is_ipv6: false, local, client: None };
        let said = Accepted::connection(Accepted { inode: 9, by }.into_words());
        assert_eq!((said.inode, said.proto, said.state), (9, Proto::Tcp, State::Close));
        assert_eq!((said.local, said.foreign), (local.into(), Endpoint::Unnamed));
    }

    #[test]
    fn a_connection_by_a_unix_socket_is_known_by_its_inode() {
        let (end, _other) = UnixStream::pair().expect("a pair");
        let accepted = Accepted::new(end.as_fd(), None).expect("described");
        let said = Accepted::connection(accepted.into_words());
        assert_eq!((said.inode, said.proto), (accepted.inode, Proto::Unix));
        assert_eq!((said.local, said.foreign), (Endpoint::Unnamed, Endpoint::Unnamed));
    }
}
