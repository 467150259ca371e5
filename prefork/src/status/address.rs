//! The address of the status page.

use std::{
    fmt::{self, Display},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use prefork_core::one_line;
use prefork_sockets::{EXAMPLES, Written};

use super::Audience;

/// The address at which [`Args::status_listen`](crate::Args::status_listen) or
/// [`Args::metrics_listen`](crate::Args::metrics_listen) listens: a TCP address, of loopback for the former, or the path of a
/// UNIX socket.
///
/// # Examples
///
/// ```
/// use prefork::StatusAddress;
///
/// let tcp = StatusAddress::from("127.0.0.1:9000");
/// let socket = StatusAddress::from("/run/hello/status");
/// let for_a_group = StatusAddress::unix("/run/hello/status").mode(0o660);
/// # let _ = (tcp, socket, for_a_group);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusAddress(Place);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Tcp(SocketAddr),
    Unix {
        path: PathBuf,
        mode: u32,
    },
    /// What is neither, to be reported when all arguments are checked.
    Neither(String),
}

/// An address that was found to make sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix { path: PathBuf, mode: u32 },
}

impl StatusAddress {
    /// Makes a TCP address. For the status page it must be one of loopback; port 0 lets the system choose.
    #[must_use]
    pub const fn tcp(address: SocketAddr) -> Self {
        Self(Place::Tcp(address))
    }

    /// Makes the address of a UNIX socket, with mode 0600.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self(Place::Unix { path: path.into(), mode: 0o600 })
    }

    /// Sets the mode of a UNIX socket, up to 0777: users that may write to it may ask. Default 0600.
    ///
    /// Of a TCP address it changes nothing.
    #[must_use]
    pub fn mode(mut self, bits: u32) -> Self {
        if let Place::Unix { mode, .. } = &mut self.0 {
            *mode = bits;
        }
        self
    }
}

impl Address {
    /// Returns the path of a UNIX socket.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix { path, .. } => Some(path),
        }
    }
}

/// Takes `ADDRESS:PORT`, `localhost:PORT`, `:PORT` for that of 127.0.0.1, or the path of a UNIX socket, which has a slash
/// in it or `unix:` before it. Anything else becomes a [`Fault`](crate::Fault) in [`Prefork::new`](crate::Prefork::new).
impl From<&str> for StatusAddress {
    fn from(text: &str) -> Self {
        match Written::read(text) {
            Some(Written::Unix(path)) => Self::unix(path),
            Some(Written::Port(port)) => Self::tcp((Ipv4Addr::LOCALHOST, port).into()),
            Some(Written::Tcp(address)) => {
                match address.replacen("localhost:", "127.0.0.1:", 1).parse() {
                    Ok(address) => Self::tcp(address),
                    Err(_) => Self(Place::Neither(text.to_owned())),
                }
            }
            None => Self(Place::Neither(text.to_owned())),
        }
    }
}

impl From<String> for StatusAddress {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<SocketAddr> for StatusAddress {
    fn from(address: SocketAddr) -> Self {
        Self::tcp(address)
    }
}

impl From<&Path> for StatusAddress {
    fn from(path: &Path) -> Self {
        Self::unix(path)
    }
}

impl From<PathBuf> for StatusAddress {
    fn from(path: PathBuf) -> Self {
        Self::unix(path)
    }
}

/// As it is written.
impl Display for StatusAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Tcp(address) => address.fmt(f),
            Place::Unix { path, .. } => one_line(path).fmt(f),
            Place::Neither(text) => one_line(text).fmt(f),
        }
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { path, .. } => one_line(path).fmt(f),
        }
    }
}

/// Checks an address for this audience; fails with what is wrong with it.
pub(crate) fn check(address: StatusAddress, audience: Audience) -> Result<Address, String> {
    match address.0 {
        Place::Tcp(address) if audience == Audience::Everybody || is_loopback(address) => {
            Ok(Address::Tcp(address))
        }
        Place::Tcp(address) => Err(format!(
            "{address} is not an address of loopback; what the page shows is not for strangers, and \
             metrics_listen serves what is"
        )),
        Place::Unix { mode, .. } if mode > 0o777 => {
            Err(format!("mode {mode:o} has more than the bits 777"))
        }
        Place::Unix { path, mode } => check_path(&path).map(|path| Address::Unix { path, mode }),
        Place::Neither(text) => Err(format!("{text:?} is no address; {EXAMPLES}")),
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn check_path(path: &Path) -> Result<PathBuf, String> {
    /// What `struct sockaddr_un` has room for, with a NUL behind it (see `unix(7)`).
    const LONGEST: usize = 107;
    let text = path.as_os_str().as_encoded_bytes();
    if text.is_empty() || text.contains(&0) || text.ends_with(b"/") || path.file_name().is_none() {
        return Err(format!("{path:?} is not the path of a file"));
    }
    let path =
        std::path::absolute(path).map_err(|error| format!("cannot be made absolute: {error}"))?;
    let length = path.as_os_str().len();
    if length > LONGEST {
        return Err(format!("{} is too long for a UNIX socket: {length} bytes", one_line(&path)));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: StatusAddress) -> Result<Address, String> {
        super::check(address, Audience::Operators)
    }

    #[test]
    fn what_is_for_everybody_may_be_at_any_address() {
        for text in ["0.0.0.0:9100", "192.0.2.1:80", "[::]:9100", "127.0.0.1:1", "/run/x"] {
            let found = super::check(text.into(), Audience::Everybody);
            assert!(found.is_ok(), "{text}: {found:?}");
        }
        let local = super::check(":9100".into(), Audience::Everybody);
        assert_eq!(local.map(|it| it.to_string()), Ok("127.0.0.1:9100".to_owned()));
        for text in ["elsewhere:80", "9100", "", "/run/"] {
            assert!(super::check(text.into(), Audience::Everybody).is_err(), "{text}");
        }
    }

    #[test]
    fn only_loopback_and_paths_are_taken() {
        let good = [
            "127.0.0.1:9000",
            "127.9.9.9:0",
            "[::1]:9000",
            "[::ffff:127.0.0.1]:1",
            "localhost:80",
            ":9000",
            "/run/x",
            "unix:x",
        ];
        for text in good {
            assert!(check(text.into()).is_ok(), "{text}");
        }
        let long = format!("/{}", "x".repeat(107));
        let bad = [
            "0.0.0.0:9000",
            "192.0.2.1:80",
            "[::]:80",
            "elsewhere:80",
            "9000",
            "",
            "/run/",
            "unix:",
            &long,
        ];
        for text in bad {
            assert!(check(text.into()).is_err(), "{text}");
        }
        assert!(check(StatusAddress::unix("/run/x").mode(0o4777)).is_err());
        let found = check(StatusAddress::unix("/run/x").mode(0o660));
        assert_eq!(found, Ok(Address::Unix { path: "/run/x".into(), mode: 0o660 }));
    }
}
