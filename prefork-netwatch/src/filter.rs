//! Which connections are of interest.

use crate::{Connection, Endpoint, Proto, UnixName};
use std::net::SocketAddr;

/// Says which connections are of interest: those accepted from given sockets, or all.
///
/// A server's processes have other connections too, to a database say. Those do not have the
/// address of a listening socket at this side, and so do not pass.
///
/// # Examples
///
/// ```
/// use prefork_netwatch::{Endpoint, Filter};
/// use std::net::TcpListener;
///
/// # fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let filter = Filter::listening([Endpoint::of_socket(&listener)?]);
/// # let _ = filter;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// `None` lets everything pass.
    only: Option<Listeners>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Listeners {
    ip: Vec<SocketAddr>,
    unix: Vec<UnixName>,
}

impl Filter {
    /// Lets all connections pass, outgoing ones too.
    #[must_use]
    pub const fn all() -> Self {
        Self { only: None }
    }

    /// Lets pass what was accepted from sockets that listen at these addresses, as
    /// [`Endpoint::of_socket`] returns them.
    ///
    /// `0.0.0.0` stands for every address of IPv4 sockets, `::` for every address of IPv6 sockets,
    /// IPv4-mapped ones included. Unnamed addresses let nothing pass.
    pub fn listening<E: Into<Endpoint>>(addresses: impl IntoIterator<Item = E>) -> Self {
        let mut filter = Self { only: Some(Listeners::default()) };
        addresses.into_iter().for_each(|address| filter.add(address));
        filter
    }

    /// Lets those pass too that are at this address; one that lets everything pass goes on doing so.
    pub fn add(&mut self, address: impl Into<Endpoint>) {
        let Some(listeners) = &mut self.only else { return };
        match address.into() {
            Endpoint::Ip(address) if !listeners.ip.contains(&address) => {
                listeners.ip.push(address);
            }
            Endpoint::Unix(name) if !listeners.unix.contains(&name) => {
                listeners.unix.push(name);
            }
            Endpoint::Ip(_) | Endpoint::Unix(_) | Endpoint::Unnamed => {}
        }
    }

    /// Returns the part of it that is about UNIX sockets; `None` if it lets everything pass.
    pub(crate) fn about_unix(&self) -> Option<Self> {
        let only = self.only.as_ref()?;
        Some(Self { only: Some(Listeners { ip: Vec::new(), unix: only.unix.clone() }) })
    }

    /// Returns whether a connection passes.
    #[must_use]
    pub fn matches(&self, connection: &Connection) -> bool {
        self.lets_pass(connection.proto, &connection.local)
    }

    pub(crate) fn lets_pass(&self, proto: Proto, local: &Endpoint) -> bool {
        let Some(listeners) = &self.only else { return true };
        match local {
            Endpoint::Ip(local) => {
                listeners.ip.iter().any(|listener| accepts(*listener, proto, *local))
            }
            Endpoint::Unix(name) => proto == Proto::Unix && listeners.unix.contains(name),
            Endpoint::Unnamed => false,
        }
    }

    /// Returns whether any connection of `proto` may pass.
    #[must_use]
    pub fn wants(&self, proto: Proto) -> bool {
        let Some(listeners) = &self.only else { return true };
        match proto {
            Proto::Tcp => listeners.ip.iter().any(SocketAddr::is_ipv4),
            Proto::Tcp6 => listeners.ip.iter().any(SocketAddr::is_ipv6),
            Proto::Unix => !listeners.unix.is_empty(),
        }
    }

    /// The local ports that connections of `proto` may have, in order; `None` if any.
    pub(crate) fn ports(&self, proto: Proto) -> Option<Vec<u16>> {
        let listeners = self.only.as_ref()?;
        let addresses = listeners.ip.iter().filter(|address| match proto {
            Proto::Tcp => address.is_ipv4(),
            Proto::Tcp6 => address.is_ipv6(),
            Proto::Unix => false,
        });
        let mut ports: Vec<_> = addresses.map(SocketAddr::port).collect();
        ports.sort_unstable();
        ports.dedup();
        Some(ports)
    }
}

/// Returns whether a socket that listens at `listener` may have accepted a connection to `local`.
fn accepts(listener: SocketAddr, proto: Proto, local: SocketAddr) -> bool {
    let family = if listener.is_ipv4() { Proto::Tcp } else { Proto::Tcp6 };
    let host = listener.ip();
    proto == family
        && listener.port() == local.port()
        && (host.is_unspecified() || host.to_canonical() == local.ip().to_canonical())
}
