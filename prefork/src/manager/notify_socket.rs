//! The way to the service manager.

use std::{
    ffi::OsStr,
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd},
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
};

use super::outbox::Message;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::retry_on_intr,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg_addr},
    pipe::{PipeFlags, pipe_with},
};

/// How long the manager may take to come to the end of what it was sent before.
const PATIENCE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// The address of the manager.
///
/// Every message goes by a socket of its own, so that none is open in children, and a manager that has
/// been restarted is found again.
#[derive(Clone, Debug)]
pub(super) struct NotifySocket {
    address: SocketAddr,
}

impl NotifySocket {
    /// Understands the value of `NOTIFY_SOCKET`: a path, or a name in the abstract namespace of `unix(7)`
    /// behind an `@`. What begins otherwise is not for us, as addresses of virtual machines are.
    pub(super) fn to(address: &OsStr) -> Option<Self> {
        let address = match address.as_bytes() {
            [b'@', name @ ..] if !name.is_empty() => SocketAddr::from_abstract_name(name),
            [b'/', ..] => SocketAddr::from_pathname(address),
            _ => return None,
        };
        Some(Self { address: address.ok()? })
    }

    /// Sends a message without waiting for room; [`io::ErrorKind::WouldBlock`] says that there is none.
    pub(super) fn send(&self, message: &str) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.send_to_addr(message.as_bytes(), &self.address).map(drop)
    }

    /// Sends a message, with its descriptor if it has one.
    pub(super) fn deliver(&self, message: &Message) -> io::Result<()> {
        match &message.descriptor {
            None => self.send(&message.text),
            Some(descriptor) => self.send_with(&message.text, descriptor.as_fd()),
        }
    }

    /// Sends a message with a descriptor in the same way.
    pub(super) fn send_with(&self, message: &str, fd: BorrowedFd<'_>) -> io::Result<()> {
        let address = match (self.address.as_pathname(), self.address.as_abstract_name()) {
            (Some(path), _) => SocketAddrUnix::new(path)?,
            (None, Some(name)) => SocketAddrUnix::new_abstract_name(name)?,
            (None, None) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let socket = UnixDatagram::unbound()?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [fd];
        // There is room for one.
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        let text = [io::IoSlice::new(message.as_bytes())];
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        retry_on_intr(|| sendmsg_addr(&socket, &address, &text, &mut control, flags))?;
        Ok(())
    }

    /// Waits until the manager has done what it was sent before, if it does that soon (`sd_notify_barrier(3)`).
    ///
    /// For a start alone: the parent of children waits for nobody.
    pub(super) fn wait(&self) -> io::Result<()> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        self.send_with("BARRIER=1", write.as_fd())?;
        drop(write);
        let mut fds = [PollFd::new(&read, PollFlags::empty())];
        retry_on_intr(|| poll(&mut fds, Some(&PATIENCE)))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_an_address_is_one() {
        for (value, is_address) in [
            ("/run/systemd/notify", true),
            ("@/org/example", true),
            ("", false),
            ("@", false),
            ("relative", false),
            ("vsock:2:1234", false),
        ] {
            assert_eq!(NotifySocket::to(OsStr::new(value)).is_some(), is_address, "{value:?}");
        }
        assert!(NotifySocket::to(OsStr::new(&format!("/{}", "x".repeat(200)))).is_none());
    }

    #[test]
    fn an_abstract_name_is_reached() {
        let name = format!("prefork-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let manager = UnixDatagram::bind_addr(&address).expect("bound");
        let line = NotifySocket::to(OsStr::new(&format!("@{name}"))).expect("an address");
        line.send("READY=1").expect("sent");
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).expect("received");
        assert_eq!(&buffer[..length], b"READY=1");
    }

    #[test]
    fn a_full_queue_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("made");
        let path = folder.path().join("notify");
        let _manager = UnixDatagram::bind(&path).expect("bound");
        let line = NotifySocket::to(path.as_os_str()).expect("an address");
        let results: Vec<_> = (0..10_000).map(|_| line.send("x")).collect();
        let error = results.into_iter().find_map(Result::err).expect("it is full");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn nobody_there_is_an_error() {
        let line = NotifySocket::to(OsStr::new("/no-such-folder/notify")).expect("an address");
        assert_eq!(line.send("x").expect_err("nobody").kind(), io::ErrorKind::NotFound);
    }
}
