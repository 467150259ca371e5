//! The way to the service manager.

use std::{
    ffi::OsStr,
    io,
    mem::MaybeUninit,
    os::{
        fd::AsFd,
        unix::{ffi::OsStrExt, net::UnixDatagram},
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
    address: SocketAddrUnix,
}

impl NotifySocket {
    /// Understands the value of `NOTIFY_SOCKET`: a path, or a name in the abstract namespace of `unix(7)`
    /// behind an `@`. What begins otherwise is not for us, as addresses of virtual machines are.
    pub(super) fn to(address: &OsStr) -> Option<Self> {
        let address = match address.as_bytes() {
            [b'@', name @ ..] if !name.is_empty() => SocketAddrUnix::new_abstract_name(name),
            [b'/', ..] => SocketAddrUnix::new(address.as_bytes()),
            _ => return None,
        };
        Some(Self { address: address.ok()? })
    }

    /// Sends a message, with its descriptor if it has one, without waiting for room; [`io::ErrorKind::WouldBlock`] says that
    /// there is none.
    pub(super) fn deliver(&self, message: &Message) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptor = message.descriptor.as_ref().map(AsFd::as_fd);
        if let Some(descriptor) = &descriptor {
            // There is room for one.
            control.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(descriptor)));
        }
        let text = [io::IoSlice::new(message.text.as_bytes())];
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        retry_on_intr(|| sendmsg_addr(&socket, &self.address, &text, &mut control, flags))?;
        Ok(())
    }

    /// Waits until the manager has done what it was sent before, if it does that soon (`sd_notify_barrier(3)`).
    ///
    /// For a start alone: the parent of children waits for nobody.
    pub(super) fn wait(&self) -> io::Result<()> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        let barrier = Message { text: "BARRIER=1".to_owned(), descriptor: Some(write) };
        self.deliver(&barrier)?;
        drop(barrier);
        let mut fds = [PollFd::new(&read, PollFlags::empty())];
        retry_on_intr(|| poll(&mut fds, Some(&PATIENCE)))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

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
        line.deliver(&"READY=1".to_owned().into()).expect("sent");
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).expect("received");
        assert_eq!(&buffer[..length], b"READY=1");
    }

    #[test]
    fn a_descriptor_goes_with_its_message() {
        let folder = tempfile::tempdir().expect("made");
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("bound");
        let line = NotifySocket::to(path.as_os_str()).expect("an address");
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).expect("made");
        let message = Message { text: "FDSTORE=1".to_owned(), descriptor: Some(write) };
        line.deliver(&message).expect("sent");
        drop(message);
        let mut text = [0; 64];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [io::IoSliceMut::new(&mut text)];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = recvmsg(&manager, &mut parts, &mut control, flags).expect("received");
        assert_eq!(&text[..received.bytes], b"FDSTORE=1");
        let rights = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(rights) => rights.last(),
            _ => None,
        });
        rustix::io::write(rights.expect("it came along"), b"!").expect("it is open");
        assert_eq!(rustix::io::read(&read, &mut [0; 2]), Ok(1));
    }

    #[test]
    fn a_full_queue_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("made");
        let path = folder.path().join("notify");
        let _manager = UnixDatagram::bind(&path).expect("bound");
        let line = NotifySocket::to(path.as_os_str()).expect("an address");
        let results: Vec<_> = (0..10_000).map(|_| line.deliver(&"x".to_owned().into())).collect();
        let error = results.into_iter().find_map(Result::err).expect("it is full");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn nobody_there_is_an_error() {
        let line = NotifySocket::to(OsStr::new("/no-such-folder/notify")).expect("an address");
        assert_eq!(
            line.deliver(&"x".to_owned().into()).expect_err("nobody").kind(),
            io::ErrorKind::NotFound
        );
    }
}
