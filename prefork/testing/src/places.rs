//! What a daemon is given of its own: a directory, and addresses.

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    fs::DirBuilder,
    io,
    net::{Ipv4Addr, SocketAddr},
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
    process,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt,
};

/// How many daemons this test program has started.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// The names of files that placeholders may have, and those of the files.
const FILES: [(&str, &str); 4] = [
    ("pid_file", "pid"),
    ("board", "board"),
    ("error_log", "error.log"),
    ("access_log", "access.log"),
];

/// The directory of a daemon, and its addresses.
#[derive(Debug)]
pub(crate) struct Places {
    name: String,
    directory: PathBuf,
    addresses: Mutex<BTreeMap<String, Reserved>>,
}

/// An address at which nobody else can listen, and which the system gives to nobody.
///
/// A socket that is bound to it, and never listens, keeps it from both. The daemon can bind it all the same, as
/// both sockets have `SO_REUSEADDR` (see `socket(7)`).
#[derive(Debug)]
struct Reserved {
    address: SocketAddr,
    _socket: OwnedFd,
}

impl Reserved {
    fn make() -> io::Result<Self> {
        let socket =
            socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = SocketAddr::try_from(getsockname(&socket)?)?;
        Ok(Self { address, _socket: socket })
    }
}

impl Places {
    /// Makes a directory below that for temporary files.
    pub(crate) fn make() -> io::Result<Self> {
        loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("prefork-testing.{}.{number}", process::id());
            let directory = env::temp_dir().join(&name);
            // What a test program with the same pid has kept is left alone.
            match DirBuilder::new().mode(0o755).create(&directory) {
                Ok(()) => return Ok(Self { name, directory, addresses: Mutex::default() }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the name, which no other daemon has.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Returns the address of this name, which is reserved now if it is not yet.
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Reserved::make().expect("a port of loopback can be reserved");
        addresses.entry(name.to_owned()).or_insert_with(make).address
    }

    /// Returns a text with its placeholders replaced. Whatever else is in braces stays as it is, and so does what is not UTF-8.
    pub(crate) fn fill(&self, text: &OsStr) -> OsString {
        let Some(mut rest) = text.to_str() else { return text.to_owned() };
        let mut filled = OsString::new();
        while let Some((before, begun)) = rest.split_once('{') {
            filled.push(before);
            let placed =
                begun.split_once('}').and_then(|(name, after)| Some((self.value(name)?, after)));
            match placed {
                Some((value, after)) => {
                    filled.push(value);
                    rest = after;
                }
                None => {
                    filled.push("{");
                    rest = begun;
                }
            }
        }
        filled.push(rest);
        filled
    }

    /// Returns what a placeholder stands for.
    fn value(&self, placeholder: &str) -> Option<OsString> {
        let (kind, name) = placeholder.split_once(':').unwrap_or((placeholder, ""));
        let file = |file: &str| self.path(file).into_os_string();
        match (kind, name) {
            ("address", name) => Some(self.address(name).to_string().into()),
            ("port", name) => Some(self.address(name).port().to_string().into()),
            ("directory", "") => Some(self.directory.clone().into_os_string()),
            ("path", name) if !name.is_empty() => Some(file(name)),
            (kind, "") => FILES.iter().find(|(name, _)| *name == kind).map(|(_, name)| file(name)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn placeholders_are_replaced_and_other_braces_left() {
        let places = Places::make().expect("a directory");
        let address = places.address("");
        let other = places.address("status");
        let directory = places.directory().display();
        for (text, expected) in [
            ("", String::new()),
            ("{address}", address.to_string()),
            ("tcp={address},{port}", format!("tcp={address},{}", address.port())),
            ("{address:status}", other.to_string()),
            ("{pid_file}", format!("{directory}/pid")),
            ("{board}{error_log}", format!("{directory}/board{directory}/error.log")),
            ("{path:a.toml}/{directory}", format!("{directory}/a.toml/{directory}")),
            ("{path:}{path}{x}{board:a}{", "{path:}{path}{x}{board:a}{".to_owned()),
            ("{\"a\": {address}}", format!("{{\"a\": {address}}}")),
        ] {
            assert_eq!(places.fill(OsStr::new(text)), OsString::from(expected), "{text}");
        }
        assert_ne!(address, other);
        std::fs::remove_dir(places.directory()).expect("it is empty");
    }

    #[test]
    fn a_reserved_address_can_be_listened_at_by_the_daemon_and_is_given_to_nobody() {
        let reserved = Reserved::make().expect("a port");
        assert!(std::net::TcpStream::connect(reserved.address).is_err(), "nobody listens");
        let listener = TcpListener::bind(reserved.address).expect("it can be bound");
        assert!(std::net::TcpStream::connect(reserved.address).is_ok());
        assert!(TcpListener::bind(reserved.address).is_err(), "there can be only one");
        drop(listener);
        assert!(TcpListener::bind(reserved.address).is_ok(), "and again");
    }
}
