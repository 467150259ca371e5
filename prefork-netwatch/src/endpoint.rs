//! One end of a connection.

use rustix::net::{SocketAddrAny, SocketAddrUnix};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use prefork_core::one_line;

/// One end of a connection, or the address that a socket listens on.
///
/// An IPv4-mapped address, `::ffff:a.b.c.d`, is one of IPv6 here; [`Connection`](crate::Connection)s
/// and [`Event`](crate::Event)s show it as IPv4.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An IP address and port, of TCP.
    Ip(SocketAddr),
    /// The name of a UNIX socket.
    Unix(UnixName),
    /// A UNIX socket without a name, which clients have as a rule.
    Unnamed,
}

impl Endpoint {
    /// Returns the address that `socket` is bound to: see `getsockname(2)`.
    ///
    /// # Errors
    ///
    /// What `getsockname(2)` reports, and [`io::ErrorKind::Unsupported`] for sockets that are
    /// neither of IP nor of UNIX.
    pub fn of_socket(socket: impl AsFd) -> io::Result<Self> {
        let address = rustix::net::getsockname(socket)?;
        Self::from_any(address).ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    fn from_any(address: SocketAddrAny) -> Option<Self> {
        if let Ok(address) = SocketAddr::try_from(address.clone()) {
            return Some(Self::Ip(address));
        }
        let address = SocketAddrUnix::try_from(address).ok()?;
        Some(match (address.path_bytes(), address.abstract_name()) {
            (Some(path), _) => UnixName::new(path).map_or(Self::Unnamed, Self::Unix),
            (None, Some(name)) => Self::Unix(UnixName::of_abstract(name)),
            (None, None) => Self::Unnamed,
        })
    }

    /// Returns the IP address, if this is TCP.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip()),
            Self::Unix(_) | Self::Unnamed => None,
        }
    }

    /// Returns the port, if this is TCP.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        match self {
            Self::Ip(address) => Some(address.port()),
            Self::Unix(_) | Self::Unnamed => None,
        }
    }

    /// Returns the name, if this is UNIX and has one.
    #[must_use]
    pub const fn name(&self) -> Option<&UnixName> {
        match self {
            Self::Unix(name) => Some(name),
            Self::Ip(_) | Self::Unnamed => None,
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl From<UnixName> for Endpoint {
    fn from(name: UnixName) -> Self {
        Self::Unix(name)
    }
}

/// Takes a path as it was given to `bind(2)`, relative ones too.
impl From<&Path> for Endpoint {
    fn from(path: &Path) -> Self {
        UnixName::new(path.as_os_str().as_bytes()).map_or(Self::Unnamed, Self::Unix)
    }
}

/// Shows `192.0.2.1:80`, `[2001:db8::1]:80`, a path, `@` with an abstract name, or `-`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(name) => name.fmt(f),
            Self::Unnamed => f.write_str("-"),
        }
    }
}

/// The name of a UNIX socket as the kernel has it: see `unix(7)`.
///
/// It is cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UnixName(Arc<[u8]>);

impl UnixName {
    /// Makes a name from the bytes of `sun_path`: a path, which ends at the first NUL, or an
    /// abstract name, which begins with one. `None` if nothing is left.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let name = match bytes {
            [] => return None,
            [0, ..] => bytes,
            _ => bytes.split(|&byte| byte == 0).next()?,
        };
        Some(Self(name.into()))
    }

    /// Makes an abstract name, given without its leading NUL.
    #[must_use]
    pub fn of_abstract(name: &[u8]) -> Self {
        Self([&[0], name].concat().into())
    }

    /// Returns the bytes, which for an abstract name begin with NUL.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the path, unless the name is abstract.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        let is_path = self.0.first() != Some(&0);
        is_path.then(|| Path::new(std::ffi::OsStr::from_bytes(&self.0)))
    }
}

impl fmt::Display for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            Some(path) => one_line(path).fmt(f),
            None => {
                let name = std::ffi::OsStr::from_bytes(self.0.get(1..).unwrap_or_default());
                write!(f, "@{}", one_line(name))
            }
        }
    }
}

impl fmt::Debug for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}
