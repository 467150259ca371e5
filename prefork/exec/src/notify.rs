//! The socket at which the program reports, by the protocol of `sd_notify(3)`.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

use rustix::{
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg, sockopt::set_socket_passcred,
    },
    process::getuid,
};

/// The longest message that is read.
const LONGEST: usize = 4096;

/// The socket, at a name of its own.
#[derive(Debug)]
pub(crate) struct NotifySocket {
    socket: UnixDatagram,
    name: String,
}

/// What a program reports in one message. Words that mean nothing here are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) ready: bool,
    pub(crate) stopping: bool,
    pub(crate) status: Option<String>,
    /// How many requests it has in hand, as it says itself.
    pub(crate) in_hand: Option<u32>,
}

impl NotifySocket {
    /// Makes one.
    pub(crate) fn open() -> io::Result<Self> {
        let pid = std::process::id();
        for attempt in 0..100 {
            let name = format!("prefork-exec/{pid}/{attempt}");
            match UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?) {
                Ok(socket) => {
                    socket.set_nonblocking(true)?;
                    set_socket_passcred(&socket, true)?;
                    return Ok(Self { socket, name: format!("@{name}") });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// The value of `NOTIFY_SOCKET`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Reads the next message, if there is one, of a process of the same user or of root.
    pub(crate) fn read(&self) -> io::Result<Option<Report>> {
        loop {
            let mut text = [0; LONGEST];
            let mut space =
                [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4), ScmCredentials(1))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let received = recvmsg(
                &self.socket,
                &mut [IoSliceMut::new(&mut text)],
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            );
            let length = match received {
                Ok(received) => received.bytes.min(LONGEST),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            };
            // Descriptors that come along are closed here.
            let sender = ancillary.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmCredentials(credentials) => Some(credentials.uid),
                _ => None,
            });
            if sender.is_some_and(|uid| uid == getuid() || uid.is_root()) {
                return Ok(Some(Report::of(&text[..length])));
            }
        }
    }
}

impl Report {
    /// Reads it from lines of `NAME=VALUE`.
    fn of(text: &[u8]) -> Self {
        let mut report = Self::default();
        let text = String::from_utf8_lossy(text);
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match name {
                "READY" => report.ready |= value == "1",
                "STOPPING" => report.stopping |= value == "1",
                "STATUS" => report.status = Some(value.to_owned()),
                "X_PREFORK_IN_HAND" => report.in_hand = value.trim().parse().ok(),
                _ => {}
            }
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_word_by_word() {
        let report = Report::of(b"READY=1\nSTATUS=three of four\nX_PREFORK_IN_HAND=3\nMAINPID=1\n");
        let expected = Report {
            ready: true,
            stopping: false,
            status: Some("three of four".into()),
            in_hand: Some(3),
        };
        assert_eq!(report, expected);
        assert_eq!(Report::of(b"READY=0\nX_PREFORK_IN_HAND=many\n\xff"), Report::default());
    }

    #[test]
    fn what_is_sent_is_read_once() {
        let socket = NotifySocket::open().expect("made");
        assert_eq!(socket.read().expect("read"), None);
        let name = socket.name().strip_prefix('@').expect("an abstract name");
        let address = SocketAddr::from_abstract_name(name).expect("an address");
        let program = UnixDatagram::unbound().expect("made");
        program.send_to_addr(b"READY=1", &address).expect("sent");
        assert_eq!(socket.read().expect("read").map(|report| report.ready), Some(true));
        assert_eq!(socket.read().expect("read"), None);
    }
}
