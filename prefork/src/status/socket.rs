//! The listening socket, and its file if it has one.

use std::{io, net::TcpListener, os::fd::OwnedFd, path::Path};

use prefork_daemonize::{SocketFile, SocketFileId};
use prefork_sockets::tcp_address;

use super::{Audience, Audiences, address::Address};
use crate::{
    sockets::listeners::KnownBy,
    sockets::unix_socket::{self, LISTENING},
    sys::refused::Refusable,
};

/// A socket that listens for requests.
///
/// The file of a UNIX socket is removed when this is dropped in the process that made it.
#[derive(Debug)]
pub(crate) struct StatusSocket {
    /// The first to go: while the socket is open, no other file has its number.
    file: Option<SocketFile>,
    socket: OwnedFd,
    known_by: KnownBy,
}

/// The sockets at which the status process answers.
pub(crate) type StatusSockets = Audiences<StatusSocket>;

impl StatusSocket {
    /// Listens, for this audience.
    pub(crate) fn bind(address: &Address, audience: Audience) -> io::Result<Self> {
        let named = |error: io::Error| {
            let argument = audience.argument();
            io::Error::new(error.kind(), format!("{argument}: {address}: {error}"))
        };
        let mut file = None;
        let socket: OwnedFd = match address {
            Address::Tcp(address) => {
                TcpListener::bind(address).if_refused(LISTENING).map_err(named)?.into()
            }
            Address::Unix { path, mode } => {
                let (listener, made) = unix_socket::bind(path, Some(*mode)).map_err(named)?;
                file = made;
                listener.into()
            }
        };
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self { socket, known_by: known_by(address), file })
    }

    /// Listens, or goes on with the socket of the old program, if that is the one; its file stays that
    /// program's until [`own`](Self::own).
    pub(crate) fn obtain(
        address: &Address,
        audience: Audience,
        inherited: Option<(OwnedFd, KnownBy)>,
    ) -> io::Result<Self> {
        let inherited = inherited.map(|(socket, known_by)| Self { file: None, socket, known_by });
        match inherited.filter(|inherited| inherited.is_at(address)) {
            Some(inherited) => Ok(inherited),
            None => Self::bind(address, audience),
        }
    }

    /// Gives up a socket of the old program that this one does not want, with its file.
    pub(crate) fn discard(socket: &OwnedFd, known_by: &KnownBy, file: Option<SocketFileId>) {
        // While this is open, no other file has its number.
        let Ok(socket) = socket.try_clone() else { return };
        Self { file: None, socket, known_by: known_by.clone() }.own(file);
    }

    pub(crate) const fn descriptor(&self) -> &OwnedFd {
        &self.socket
    }

    /// By what it is known again.
    pub(crate) const fn known_by(&self) -> &KnownBy {
        &self.known_by
    }

    /// The file that it has, if one.
    pub(crate) fn file(&self) -> Option<SocketFileId> {
        self.file.as_ref().map(SocketFile::id)
    }

    /// Takes charge of the file too: this one, or, where an earlier library has not noted which, the one that
    /// stands there.
    pub(crate) fn own(&mut self, file: Option<SocketFileId>) {
        if let (KnownBy::Unix(path), None) = (&self.known_by, &self.file) {
            let path = Path::new(path);
            self.file = match file {
                Some(identity) => Some(SocketFile::known(path.to_owned(), identity)),
                None => SocketFile::at(path),
            };
        }
    }

    /// Whether listening at `address` leads, or has led, to this socket.
    fn is_at(&self, address: &Address) -> bool {
        let is_bound = |address| tcp_address(&self.socket) == Some(address);
        self.known_by == known_by(address)
            || matches!(address, Address::Tcp(address) if is_bound(*address))
    }
}

fn known_by(address: &Address) -> KnownBy {
    match address {
        Address::Tcp(address) => KnownBy::Tcp(vec![*address]),
        Address::Unix { path, .. } => KnownBy::Unix(path.clone().into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
        time::Instant,
    };

    use super::*;
    use crate::sockets::unix_socket::tests::alone;

    #[test]
    fn a_stale_socket_is_replaced_and_ours_is_removed() {
        let _alone = alone();
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("status");
        let address = Address::Unix { path: path.clone(), mode: 0o640 };
        let alive = UnixListener::bind(&path).expect("bound");
        let error = StatusSocket::bind(&address, Audience::Operators).expect_err("taken");
        assert!(error.to_string().starts_with("status_listen: "), "{error}");
        drop(alive);
        // A process that another test is just starting has all that is open here, until it executes something.
        let begun = Instant::now();
        let socket = loop {
            match StatusSocket::bind(&address, Audience::Operators) {
                Ok(socket) => break socket,
                Err(error) => assert!(begun.elapsed().as_secs() < 10, "not replaced: {error}"),
            }
        };
        let metadata = fs::symlink_metadata(&path).expect("there");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
        UnixStream::connect(&path).expect("it listens");
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn the_file_of_an_inherited_socket_is_left_until_it_is_owned() {
        let _alone = alone();
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("status");
        let address = Address::Unix { path: path.clone(), mode: 0o600 };
        let before = UnixListener::bind(&path).expect("bound");
        let obtain = || {
            let socket = before.try_clone().expect("duplicated").into();
            let inherited = Some((socket, known_by(&address)));
            StatusSocket::obtain(&address, Audience::Operators, inherited).expect("obtained")
        };
        drop(obtain());
        assert!(path.exists());
        let mut socket = obtain();
        socket.own(None);
        let file = socket.file();
        drop(socket);
        assert!(!path.exists());
        let _other = UnixListener::bind(&path).expect("bound");
        let mut socket = obtain();
        socket.own(file);
        drop(socket);
        assert!(path.exists(), "another has put it there");
    }
}
