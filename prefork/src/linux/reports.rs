//! What children tell the parent: one byte at a time, over one socket for all.
//!
//! Each child is told apart not by what it says but by what the kernel says: `SO_PASSCRED` makes it
//! attach the sender's pid to every message (see `unix(7)`). So no child can speak for another, the
//! parent needs one descriptor however many children there are, and an unknown sender is ignored.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg};
use rustix::{
    io::retry_on_intr,
    net::{
        AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair,
        sockopt::set_socket_passcred,
    },
    process::Pid,
};

/// What a child can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// It has entered its main loop.
    Entered,
    /// It waits for work.
    Ready,
    /// It has taken its first work.
    Worked,
}

impl Report {
    const fn to_byte(self) -> u8 {
        match self {
            Self::Entered => b'E',
            Self::Ready => b'R',
            Self::Worked => b'W',
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'E' => Some(Self::Entered),
            b'R' => Some(Self::Ready),
            b'W' => Some(Self::Worked),
            _ => None,
        }
    }
}

/// The parent's end, which also holds the children's until they take it with them.
#[derive(Debug)]
pub(crate) struct Reports {
    receiver: OwnedFd,
    sender: OwnedFd,
}

impl Reports {
    pub(crate) fn new() -> io::Result<Self> {
        let (receiver, sender) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        set_socket_passcred(&receiver, true)?;
        Ok(Self { receiver, sender })
    }

    pub(crate) const fn fd(&self) -> &OwnedFd {
        &self.receiver
    }

    /// Takes the next message, if one waits.
    ///
    /// `None` in the place of the report stands for a message that no child of ours sends; `None`
    /// in the place of the sender for one that is not in our pid namespace.
    pub(crate) fn receive(&self) -> io::Result<Option<(Option<Pid>, Option<Report>)>> {
        let mut byte = [0u8; 1];
        let mut control = nix::cmsg_space!(UnixCredentials);
        let mut into = [io::IoSliceMut::new(&mut byte)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = loop {
            let fd = self.receiver.as_raw_fd();
            match recvmsg::<()>(fd, &mut into, Some(&mut control), flags) {
                Ok(message) => break message,
                Err(nix::Error::EAGAIN) => return Ok(None),
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        };
        let sender = message.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::ScmCredentials(credentials) => Pid::from_raw(credentials.pid()),
            _ => None,
        });
        let whole = message.bytes == 1;
        Ok(Some((sender, if whole { Report::from_byte(byte[0]) } else { None })))
    }

    /// Turns the inherited copy into the child's end.
    pub(crate) fn into_reporter(self) -> Reporter {
        Reporter { sender: self.sender }
    }
}

/// A child's end.
#[derive(Debug)]
pub(crate) struct Reporter {
    sender: OwnedFd,
}

impl Reporter {
    /// Says something without ever waiting; tells whether it was said.
    ///
    /// A parent that is stopped does not read, and a full socket must not stop the service.
    pub(crate) fn try_say(&self, report: Report) -> bool {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        retry_on_intr(|| send(&self.sender, &[report.to_byte()], flags)).is_ok()
    }

    /// Says something, waiting until the parent has room for it.
    pub(crate) fn say(&self, report: Report) -> io::Result<()> {
        retry_on_intr(|| send(&self.sender, &[report.to_byte()], SendFlags::NOSIGNAL))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_names_the_sender() {
        let reports = Reports::new().expect("socketpair");
        assert_eq!(reports.receive().expect("empty"), None);
        send(&reports.sender, b"R", SendFlags::empty()).expect("send");
        send(&reports.sender, b"?", SendFlags::empty()).expect("send");
        let me = rustix::process::getpid();
        assert_eq!(reports.receive().expect("one"), Some((Some(me), Some(Report::Ready))));
        assert_eq!(reports.receive().expect("one"), Some((Some(me), None)));
        assert_eq!(reports.receive().expect("empty"), None);
    }

    #[test]
    fn a_full_socket_does_not_block() {
        let reports = Reports::new().expect("socketpair");
        let reporter = Reporter { sender: reports.sender.try_clone().expect("dup") };
        let said = std::iter::from_fn(|| reporter.try_say(Report::Worked).then_some(())).count();
        assert!(said > 0);
        reports.receive().expect("one").expect("one");
        assert!(reporter.try_say(Report::Worked), "there is room again");
    }
}
