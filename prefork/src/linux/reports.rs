//! What children tell the parent: a few bytes at a time, over one socket for all.
//!
//! Each child is told apart not by what it says but by what the kernel says: `SO_PASSCRED` makes it
//! attach the sender's pid to every message (see `unix(7)`). So no child can speak for another, the
//! parent needs one descriptor however many children there are, and an unknown sender is ignored.
//!
//! What a child sends, however odd, is no error of the parent's. And the socket is everybody's, so one that
//! shuts it down has shut it for all: then the parent needs another, and children that have that.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
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
pub(crate) enum Message {
    /// It has entered its main loop.
    Entered,
    /// It waits for work.
    Ready,
    /// It has taken its first work.
    Worked,
    /// It would like to be replaced.
    Tired,
    /// It waits for its own stop descriptor, which only a signal makes readable.
    Polls,
    /// It wants more time for the request it has in hand.
    Extend(Duration),
}

/// The length of the longest message.
const LONGEST: usize = 9;

impl Message {
    /// A letter, and for a time its milliseconds, little endian.
    fn encode(self, message: &mut [u8; LONGEST]) -> &[u8] {
        message[0] = match self {
            Self::Entered => b'E',
            Self::Ready => b'R',
            Self::Worked => b'W',
            Self::Tired => b'T',
            Self::Polls => b'P',
            Self::Extend(_) => b'X',
        };
        let Self::Extend(by) = self else { return &message[..1] };
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        message[1..].copy_from_slice(&ms.to_le_bytes());
        &message[..]
    }

    fn decode(message: &[u8]) -> Option<Self> {
        match message {
            b"E" => Some(Self::Entered),
            b"R" => Some(Self::Ready),
            b"W" => Some(Self::Worked),
            b"T" => Some(Self::Tired),
            b"P" => Some(Self::Polls),
            [b'X', ms @ ..] => {
                Some(Self::Extend(Duration::from_millis(u64::from_le_bytes(ms.try_into().ok()?))))
            }
            _ => None,
        }
    }
}

/// What the parent hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A message: whose it is, if it comes from our pid namespace, and what it says, if a child of ours says
    /// such things.
    Said { sender: Option<Pid>, message: Option<Message> },
    /// No message waits.
    Nothing,
    /// None will come any more: somebody has shut the socket down.
    Closed,
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

    /// What another program in this process needs to go on with it.
    pub(crate) const fn descriptors(&self) -> [&OwnedFd; 2] {
        [&self.receiver, &self.sender]
    }

    /// Goes on with what another program in this process has left.
    pub(crate) fn adopt([receiver, sender]: [OwnedFd; 2]) -> Self {
        Self { receiver, sender }
    }

    pub(crate) const fn fd(&self) -> &OwnedFd {
        &self.receiver
    }

    /// Takes the next message, if one waits.
    pub(crate) fn receive(&self) -> io::Result<Heard> {
        let mut bytes = [0u8; LONGEST + 1];
        let mut control = nix::cmsg_space!(UnixCredentials);
        let mut into = [io::IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = loop {
            let fd = self.receiver.as_raw_fd();
            match recvmsg::<()>(fd, &mut into, Some(&mut control), flags) {
                Ok(message) => break message,
                Err(nix::Error::EAGAIN) => return Ok(Heard::Nothing),
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        };
        // There is no room for more than the credentials, so descriptors that somebody sends along are dropped
        // by the kernel; that the message is cut then makes it nobody's.
        let credentials = message.cmsgs().ok().and_then(|mut messages| {
            messages.find_map(|message| match message {
                ControlMessageOwned::ScmCredentials(credentials) => Some(credentials),
                _ => None,
            })
        });
        let (length, is_cut) = (message.bytes, message.flags.contains(MsgFlags::MSG_CTRUNC));
        if length == 0 && credentials.is_none() && !is_cut {
            // Every message comes with credentials, also an empty one.
            return Ok(Heard::Closed);
        }
        let sender = credentials.and_then(|credentials| Pid::from_raw(credentials.pid()));
        Ok(Heard::Said { sender, message: bytes.get(..length).and_then(Message::decode) })
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
    pub(crate) fn try_say(&self, message: Message) -> bool {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let mut space = [0; LONGEST];
        let bytes = message.encode(&mut space);
        retry_on_intr(|| send(&self.sender, bytes, flags)).is_ok()
    }

    /// Says something, waiting until the parent has room for it.
    pub(crate) fn say(&self, message: Message) -> io::Result<()> {
        let mut space = [0; LONGEST];
        let bytes = message.encode(&mut space);
        retry_on_intr(|| send(&self.sender, bytes, SendFlags::NOSIGNAL))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use nix::sys::socket::{ControlMessage, sendmsg};
    use rustix::net::{Shutdown, shutdown};

    use super::*;

    fn said(sender: Option<Pid>, message: Option<Message>) -> Heard {
        Heard::Said { sender, message }
    }

    #[test]
    fn the_kernel_names_the_sender() {
        let reports = Reports::new().expect("socketpair");
        let receive = || reports.receive().expect("nothing is wrong");
        assert_eq!(receive(), Heard::Nothing);
        send(&reports.sender, b"R", SendFlags::empty()).expect("send");
        send(&reports.sender, b"?", SendFlags::empty()).expect("send");
        send(&reports.sender, b"", SendFlags::empty()).expect("send");
        let me = Some(rustix::process::getpid());
        assert_eq!(receive(), said(me, Some(Message::Ready)));
        assert_eq!(receive(), said(me, None));
        assert_eq!(receive(), said(me, None), "an empty message is one");
        assert_eq!(receive(), Heard::Nothing);
    }

    /// It would have been an error, and the end of the daemon.
    #[test]
    fn descriptors_that_are_sent_along_do_no_harm() {
        let reports = Reports::new().expect("socketpair");
        let count = || std::fs::read_dir("/proc/self/fd").expect("there").count();
        let before = count();
        for _ in 0..3 {
            let rights = [ControlMessage::ScmRights(&[0, 1, 2])];
            let bytes = [IoSlice::new(b"R")];
            let fd = reports.sender.as_raw_fd();
            sendmsg::<()>(fd, &bytes, &rights, MsgFlags::empty(), None).expect("sent");
            let heard = reports.receive().expect("no error of the parent's");
            assert!(matches!(heard, Heard::Said { .. }), "{heard:?}");
        }
        assert_eq!(reports.receive().expect("nothing is wrong"), Heard::Nothing);
        // Other tests open and close some as well.
        assert!(count() < before + 9, "they stay open");
    }

    #[test]
    fn a_socket_that_somebody_has_shut_down_is_told() {
        let reports = Reports::new().expect("socketpair");
        let reporter = reports.sender.try_clone().expect("dup");
        send(&reporter, b"R", SendFlags::empty()).expect("send");
        shutdown(&reporter, Shutdown::Write).expect("shut down");
        assert!(matches!(reports.receive(), Ok(Heard::Said { .. })));
        assert!(matches!(reports.receive(), Ok(Heard::Closed)));
    }

    #[test]
    fn every_message_comes_through() {
        let by = Duration::from_millis(123_456);
        for message in [
            Message::Entered,
            Message::Ready,
            Message::Worked,
            Message::Tired,
            Message::Polls,
            Message::Extend(by),
        ] {
            assert_eq!(Message::decode(message.encode(&mut [0; LONGEST])), Some(message));
        }
        for nonsense in [&b""[..], b"EE", b"X", b"X1234567", b"X123456789", b"?"] {
            assert_eq!(Message::decode(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn a_full_socket_does_not_block() {
        let reports = Reports::new().expect("socketpair");
        let reporter = Reporter { sender: reports.sender.try_clone().expect("dup") };
        let said = std::iter::from_fn(|| reporter.try_say(Message::Worked).then_some(())).count();
        assert!(said > 0);
        assert!(matches!(reports.receive(), Ok(Heard::Said { .. })));
        assert!(reporter.try_say(Message::Worked), "there is room again");
    }
}
