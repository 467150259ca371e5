//! A socket pair that carries whole messages between two related processes.
//!
//! SOCK_SEQPACKET keeps messages whole, so there are no partial reads to join; MSG_NOSIGNAL
//! means that a vanished peer is an error whatever SIGPIPE is set to. See unix(7).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::message::{MAX_LEN, Message};
use super::setup::above_stdio;

/// One end of the pair.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

/// What one look at a channel gave.
#[derive(Debug)]
pub(crate) enum Received {
    /// A whole message; `None` when it is none of ours.
    Message(Option<Message>),
    /// Nothing yet.
    Nothing,
    /// Every descriptor of the other end is closed.
    Closed,
}

impl Channel {
    /// Makes both ends, close-on-exec and above the standard descriptors.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Self(above_stdio(one)?), Self(above_stdio(other)?)))
    }

    /// Sends one message; EPIPE when the other end is gone.
    pub(crate) fn send(&self, message: &Message) -> io::Result<()> {
        let mut limit = MAX_LEN;
        loop {
            let frame = message.encode(limit);
            match retry_on_intr(|| rustix::net::send(&self.0, &frame, SendFlags::NOSIGNAL)) {
                Ok(_) => return Ok(()),
                // A machine with tiny socket buffers: half the text is better than none.
                Err(Errno::MSGSIZE) if limit > 64 => limit /= 2,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes the next message if there is one.
    pub(crate) fn receive(&self) -> io::Result<Received> {
        self.receive_with(RecvFlags::DONTWAIT)
    }

    /// Waits for the next message or for the other end to go.
    pub(crate) fn wait(&self) -> io::Result<Received> {
        self.receive_with(RecvFlags::empty())
    }

    fn receive_with(&self, flags: RecvFlags) -> io::Result<Received> {
        let mut buffer = vec![0_u8; MAX_LEN];
        loop {
            match rustix::net::recv(&self.0, &mut *buffer, flags) {
                Ok((0, _)) => return Ok(Received::Closed),
                Ok((len, _)) => return Ok(Received::Message(Message::decode(&buffer[..len]))),
                // A peer that closes without having read everything from us resets the
                // connection, and that error overtakes what it has sent before: the launcher's
                // last word to the watcher, say. The error is reported once; what was sent, and
                // then the end, comes after it.
                Err(Errno::CONNRESET | Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Received::Nothing),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
