//! How the parent wakes all idle children at once.
//!
//! The *call* is an eventfd of the parent's. A child puts it into the epoll in which it waits, edge-triggered,
//! as one of the first things in its life, and closes it: the epoll goes on waking as long as the parent has
//! the call open (see `epoll(7)`), and the child holds nothing by which it could write to it, read from it, or
//! change what it is. So one write wakes all children that wait, none of them can keep it from another, and
//! the write never blocks, as nobody else can fill it.
//!
//! It is in the very epoll that the child waits in, and not in one inside that: of the latter kind the kernel
//! allows 500 for one file.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::event::{EventfdFlags, eventfd};

use crate::{sys::refused::Refusable, system::os::Poller};

/// The parent's side.
#[derive(Debug)]
pub(crate) struct Call {
    eventfd: OwnedFd,
    /// Whether somebody is to be woken.
    requested: bool,
}

impl Call {
    pub(super) fn new() -> io::Result<Self> {
        let eventfd =
            eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).of_call("eventfd2(2)")?;
        Ok(Self { eventfd, requested: false })
    }

    /// Goes on with the call of the old program in this process.
    pub(super) const fn adopt(eventfd: OwnedFd) -> Self {
        // Somebody may have been asked and not been woken any more.
        Self { eventfd, requested: true }
    }

    /// What the next program in this process needs.
    pub(super) const fn descriptor(&self) -> &OwnedFd {
        &self.eventfd
    }

    /// Makes the next [`wake`](Self::wake) wake children.
    pub(super) const fn request(&mut self) {
        self.requested = true;
    }

    /// Wakes all children that wait, if that was requested.
    pub(super) fn wake(&mut self) {
        if std::mem::take(&mut self.requested) {
            // What was stored before the call is seen by the children that it wakes. It would be full after 2^64 - 2 calls.
            let _ = rustix::io::write(&self.eventfd, &1u64.to_ne_bytes());
        }
    }

    /// Turns the inherited copy into a child's side: `poller` wakes with every call from now on, and perhaps
    /// once with those of earlier times.
    pub(super) fn into_called(self, poller: &Poller) -> io::Result<()> {
        poller.add_call(self.eventfd.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::system::os::Source;

    /// The waiting of a child that was called, and one that wakes it otherwise.
    fn called(call: &Call) -> (Poller, TcpListener) {
        let eventfd = call.eventfd.try_clone().expect("duplicated");
        let mut poller = Poller::new([].into_iter()).expect("made");
        Call { eventfd, requested: false }.into_called(&poller).expect("a child's side");
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        poller.wait_at(|visit| visit(listener.as_fd())).expect("registered");
        (poller, listener)
    }

    #[test]
    fn a_call_reaches_everybody_who_does_not_hold_it() {
        let mut call = Call::new().expect("made");
        // More than the kernel would allow of an epoll in an epoll.
        let children: Vec<_> = (0..600).map(|_| called(&call)).collect();
        for _ in 0..3 {
            call.request();
            call.wake();
            for (poller, _) in &children {
                assert_eq!(poller.wait().expect("woken"), Source::Call);
            }
        }
    }

    #[test]
    fn nobody_is_called_when_nobody_was_asked() {
        let mut call = Call::new().expect("made");
        let (poller, listener) = called(&call);
        call.wake();
        let address = listener.local_addr().expect("bound");
        let _client = std::net::TcpStream::connect(address).expect("connected");
        assert!(matches!(poller.wait().expect("woken"), Source::Listener(_)));
        call.request();
        call.wake();
        let _taken = listener.accept().expect("accepted");
        assert_eq!(poller.wait().expect("woken"), Source::Call);
    }
}
