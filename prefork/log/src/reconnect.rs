//! Connecting again to where a log socket led.

use std::{
    env,
    os::fd::{BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{FileType, fstat},
    io::Errno,
    net::{
        AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, getpeername,
        send, socket_with, sockopt,
    },
};

/// The other end of a UNIX socket, which can be connected to again.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    address: SocketAddrUnix,
    socket_type: SocketType,
    /// What has to be sent first.
    greeting: String,
}

impl Peer {
    /// Returns whom a socket is connected to; `None` if that has no address.
    pub(crate) fn of(socket: BorrowedFd<'_>) -> Option<Self> {
        let address = SocketAddrUnix::try_from(getpeername(socket).ok()??).ok()?;
        let has_path = address.path().is_some_and(|path| !path.is_empty());
        if !has_path && address.abstract_name().is_none_or(<[u8]>::is_empty) {
            return None;
        }
        let socket_type = sockopt::socket_type(socket).ok()?;
        let greeting = if is_journal(socket) { greeting() } else { String::new() };
        Some(Self { address, socket_type, greeting })
    }

    /// Connects again, without waiting for a server that takes nobody in.
    pub(crate) fn connect(&self) -> Result<OwnedFd, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, self.socket_type, flags, None)?;
        connect(&socket, &self.address)?;
        if !self.greeting.is_empty() {
            let greeting = self.greeting.as_bytes();
            send(&socket, greeting, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
        }
        Ok(socket)
    }
}

/// Whether the service manager has connected a socket to the journal (`$JOURNAL_STREAM`, see
/// `systemd.exec(5)`).
pub(crate) fn is_journal(socket: BorrowedFd<'_>) -> bool {
    let Ok(stat) = fstat(socket) else { return false };
    FileType::from_raw_mode(stat.st_mode) == FileType::Socket
        && env::var("JOURNAL_STREAM")
            .is_ok_and(|stream| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// What the journal wants to be sent before the first line, as `sd_journal_stream_fd(3)` sends it: the name, no
/// unit, so that the journal finds it out by itself, the priority of lines without one (info), that lines may
/// have one, and that nothing is to be forwarded anywhere else.
fn greeting() -> String {
    let program = env::args_os().next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("{}\n\n6\n1\n0\n0\n0\n", name.replace(char::is_control, "?"))
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        net::Shutdown,
        os::{fd::AsFd, unix::net::UnixListener, unix::net::UnixStream},
        time::Duration,
    };

    use super::*;
    use crate::LineWriter;

    #[test]
    fn a_socket_that_was_shut_down_is_connected_again() {
        let folder = tempfile::tempdir().expect("made");
        let path = folder.path().join("stdout");
        let journal = UnixListener::bind(&path).expect("bound");
        let shared = UnixStream::connect(&path).expect("connected");
        let mut writer = LineWriter::new(&shared).expect("held");
        // A child's copy of it.
        shared.try_clone().expect("copied").shutdown(Shutdown::Both).expect("shut down");
        writer.write(b"found again\n", Duration::ZERO).expect("written");
        drop(writer);
        journal.accept().expect("the first connection");
        let (mut second, _) = journal.accept().expect("the second connection");
        let mut text = String::new();
        second.read_to_string(&mut text).expect("read");
        assert_eq!(text, "found again\n");
    }

    #[test]
    fn a_pair_of_sockets_has_nowhere_to_be_connected_to() {
        let (shared, _other) = UnixStream::pair().expect("made");
        assert!(Peer::of(shared.as_fd()).is_none());
    }

    #[test]
    fn the_greeting_has_the_seven_lines_that_the_journal_expects() {
        let greeting = greeting();
        assert_eq!(greeting.lines().count(), 7, "{greeting:?}");
        assert!(greeting.ends_with("\n\n6\n1\n0\n0\n0\n"), "{greeting:?}");
    }
}
