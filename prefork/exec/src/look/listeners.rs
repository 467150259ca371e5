//! The sockets at which a program listens, by which its own are known again.

use std::{io, net::SocketAddr, os::fd::AsFd};

use rustix::{
    fs::{fstat, minor},
    net::{SocketAddrAny, SocketAddrUnix, getsockname},
};

/// The listening sockets that a program was handed.
#[derive(Debug, Default)]
pub(crate) struct Listeners(Vec<Listener>);

#[derive(Debug)]
struct Listener {
    inode: u64,
    /// Of the file system of all sockets, as the kernel writes it in `fdinfo`.
    device: u64,
    place: Place,
}

/// Where a socket is bound.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Ip(SocketAddr),
    /// As bound: a path, or a name after a 0.
    Unix(Vec<u8>),
    Other,
}

impl Listeners {
    /// Reads where these sockets listen.
    ///
    /// # Errors
    ///
    /// If one of them is no socket.
    pub(crate) fn of<S: AsFd>(sockets: impl IntoIterator<Item = S>) -> io::Result<Self> {
        let sockets = sockets.into_iter().map(|socket| {
            let stat = fstat(&socket)?;
            let place = Place::of(&getsockname(&socket)?);
            // What has no device is numbered by the lower part alone.
            Ok(Listener { inode: stat.st_ino, device: minor(stat.st_dev).into(), place })
        });
        sockets.collect::<io::Result<_>>().map(Self)
    }

    /// Returns the place of the socket with this inode among them.
    pub(crate) fn position(&self, inode: u64) -> Option<usize> {
        self.0.iter().position(|listener| listener.inode == inode)
    }

    /// The same, where an inode may be of any file system.
    pub(super) fn position_on(&self, inode: u64, device: u64) -> Option<usize> {
        self.position(inode).filter(|&at| self.0[at].device == device)
    }

    /// Returns whether a socket that is bound there was accepted from one of them.
    pub(super) fn accepted(&self, local: &Place) -> bool {
        self.0.iter().any(|listener| match (&listener.place, local) {
            (Place::Ip(listens), Place::Ip(local)) => {
                let (ip, own) = (listens.ip().to_canonical(), local.ip().to_canonical());
                listens.port() == local.port() && (ip.is_unspecified() || ip == own)
            }
            (Place::Unix(listens), Place::Unix(local)) => !local.is_empty() && listens == local,
            (Place::Ip(_) | Place::Unix(_) | Place::Other, _) => false,
        })
    }

    /// Returns whether a UNIX socket is among them.
    pub(super) fn has_unix(&self) -> bool {
        self.0.iter().any(|listener| matches!(listener.place, Place::Unix(_)))
    }

    /// Returns where those of TCP listen.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().filter_map(|listener| match &listener.place {
            Place::Ip(address) => Some(*address),
            Place::Unix(_) | Place::Other => None,
        })
    }
}

impl Place {
    pub(super) fn of(address: &SocketAddrAny) -> Self {
        if let Ok(address) = SocketAddr::try_from(address.clone()) {
            return Self::Ip(address);
        }
        match SocketAddrUnix::try_from(address.clone()) {
            Ok(address) => Self::Unix(unix_name(&address)),
            Err(_) => Self::Other,
        }
    }
}

fn unix_name(address: &SocketAddrUnix) -> Vec<u8> {
    if let Some(name) = address.abstract_name() {
        return [&[0], name].concat();
    }
    address.path().map_or_else(Vec::new, |path| path.to_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use std::{
        net::{Ipv6Addr, TcpListener, TcpStream},
        os::unix::net::{UnixListener, UnixStream},
    };

    use super::*;

    fn place(socket: impl AsFd) -> Place {
        Place::of(&getsockname(socket).expect("a socket"))
    }

    #[test]
    fn what_was_accepted_is_known_and_what_was_connected_is_not() {
        let any = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).expect("bound");
        let port = any.local_addr().expect("bound").port();
        let client = TcpStream::connect(("127.0.0.1", port)).expect("connected");
        let (server, _) = any.accept().expect("accepted");
        let folder = tempfile::tempdir().expect("a directory");
        let unix = UnixListener::bind(folder.path().join("s")).expect("bound");
        let unix_client = UnixStream::connect(folder.path().join("s")).expect("connected");
        let (unix_server, _) = unix.accept().expect("accepted");

        let listeners = Listeners::of([any.as_fd(), unix.as_fd()]).expect("sockets");
        assert!(listeners.accepted(&place(&server)));
        assert!(!listeners.accepted(&place(&client)));
        assert!(listeners.accepted(&place(&unix_server)));
        assert!(!listeners.accepted(&place(&unix_client)));
        assert_eq!(listeners.addresses().map(|it| it.port()).collect::<Vec<_>>(), [port]);
        assert!(listeners.has_unix());
        assert_eq!(listeners.position(fstat(&unix).expect("open").st_ino), Some(1));
        assert_eq!(listeners.position(fstat(&server).expect("open").st_ino), None);
        let other = TcpListener::bind("127.0.0.1:0").expect("bound");
        let others = Listeners::of([&other]).expect("sockets");
        assert!(!others.accepted(&place(&server)));
        assert!(!others.accepted(&place(&unix_server)));
    }
}
