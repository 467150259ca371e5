//! The listening socket, and its file if it has one.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{FileTypeExt, MetadataExt},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
    process,
};

use rustix::{
    fs::Mode,
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with},
    process::umask,
};

use super::address::Address;
use crate::upgrade::Asked;

/// A socket that listens for those who ask.
///
/// The file of a UNIX socket is removed when this is dropped in the process that made it.
#[derive(Debug)]
pub(crate) struct StatusSocket {
    /// The first to go: while the socket is open, no other file has its number.
    file: Option<SocketFile>,
    socket: OwnedFd,
    asked: Asked,
}

/// The file of a UNIX socket that is this daemon's to remove.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    owner: u32,
}

impl StatusSocket {
    /// Listens.
    pub(crate) fn bind(address: &Address) -> io::Result<Self> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("status_listen: {address}: {error}"))
        };
        let mut file = None;
        let socket: OwnedFd = match address {
            Address::Tcp(address) => TcpListener::bind(address).map_err(named)?.into(),
            Address::Unix { path, mode } => {
                remove_stale(path).map_err(named)?;
                // So the socket never has another mode, not for a moment. There is one thread.
                let before = umask(Mode::from_raw_mode(!mode & 0o777));
                let listener = UnixListener::bind(path);
                umask(before);
                let listener = listener.map_err(named)?;
                file = SocketFile::at(path);
                listener.into()
            }
        };
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self { socket, asked: asked(address), file })
    }

    /// Listens, or goes on with the socket of the program of before, if that is the one; its file stays that
    /// program's until [`own`](Self::own).
    pub(crate) fn obtain(
        address: &Address,
        inherited: Option<(OwnedFd, Asked)>,
    ) -> io::Result<Self> {
        let inherited = inherited.map(|(socket, asked)| Self { file: None, socket, asked });
        match inherited.filter(|inherited| inherited.is_at(address)) {
            Some(inherited) => Ok(inherited),
            None => Self::bind(address),
        }
    }

    /// Gives up a socket of the program of before that this one does not want, with its file.
    pub(crate) fn discard(socket: &OwnedFd, asked: &Asked) {
        // While this is open, no other file has its number.
        let Ok(socket) = socket.try_clone() else { return };
        Self { file: None, socket, asked: asked.clone() }.own();
    }

    pub(crate) const fn descriptor(&self) -> &OwnedFd {
        &self.socket
    }

    /// The address that was asked for.
    pub(crate) const fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Takes charge of the file too.
    pub(crate) fn own(&mut self) {
        if let (Asked::Unix(path), None) = (&self.asked, &self.file) {
            self.file = SocketFile::at(Path::new(path));
        }
    }

    /// Whether listening at `address` leads, or has led, to this socket.
    fn is_at(&self, address: &Address) -> bool {
        let bound = || {
            let bound = rustix::net::getsockname(&self.socket).ok();
            bound.and_then(|bound| SocketAddr::try_from(bound).ok())
        };
        self.asked == asked(address)
            || matches!(address, Address::Tcp(address) if bound() == Some(*address))
    }
}

fn asked(address: &Address) -> Asked {
    match address {
        Address::Tcp(address) => Asked::Tcp(vec![*address]),
        Address::Unix { path, .. } => Asked::Unix(path.clone().into()),
    }
}

/// Removes a socket that nobody listens to any more, if it is this user's.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if !metadata.file_type().is_socket() || !is_ours {
        // Binding says that something is there.
        return Ok(());
    }
    // Who listens and has no time yet is not waited for.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path),
        Ok(()) | Err(_) => Ok(()),
    }
}

impl SocketFile {
    fn at(path: &Path) -> Option<Self> {
        let metadata = fs::symlink_metadata(path).ok()?;
        let path = path.to_owned();
        let is_socket = metadata.file_type().is_socket();
        let (device, inode) = (metadata.dev(), metadata.ino());
        is_socket.then(|| Self { path, device, inode, owner: process::id() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_there = || {
            fs::symlink_metadata(&self.path)
                .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode))
        };
        if process::id() == self.owner && is_there() {
            // A stale one is replaced by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::PermissionsExt, net::UnixStream};

    use super::*;

    /// The mask of new files is the whole process's, and tests have threads.
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

    /// A path of this test's own, with nothing there.
    fn path(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("prefork-{name}-{}", process::id()));
        let _ = fs::remove_file(&path);
        path
    }

    fn unix(path: &Path) -> Address {
        Address::Unix { path: path.to_owned(), mode: 0o640 }
    }

    #[test]
    fn a_stale_socket_is_replaced_and_ours_is_removed() {
        let _alone = ONE.lock().expect("no test fails");
        let path = path("stale");
        drop(UnixListener::bind(&path).expect("bound"));
        let socket = StatusSocket::bind(&unix(&path)).expect("replaced");
        let metadata = fs::symlink_metadata(&path).expect("there");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_alive_or_no_socket_is_left_alone() {
        let _alone = ONE.lock().expect("no test fails");
        let path = path("alive");
        let alive = UnixListener::bind(&path).expect("bound");
        let error = StatusSocket::bind(&unix(&path)).expect_err("taken");
        assert!(error.to_string().contains("status_listen"), "{error}");
        assert!(UnixStream::connect(&path).is_ok(), "it still listens");
        drop(alive);
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "precious").expect("written");
        assert!(StatusSocket::bind(&unix(&path)).is_err());
        assert_eq!(fs::read(&path).expect("read"), b"precious");
        fs::remove_file(&path).expect("removed");
    }

    #[test]
    fn another_socket_at_our_path_is_not_removed() {
        let _alone = ONE.lock().expect("no test fails");
        let path = path("other");
        let socket = StatusSocket::bind(&unix(&path)).expect("bound");
        fs::remove_file(&path).expect("removed");
        let _other = UnixListener::bind(&path).expect("bound");
        drop(socket);
        assert!(path.exists());
        fs::remove_file(&path).expect("removed");
    }
}
