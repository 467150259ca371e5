//! How the parent wakes all idle children at once.
//!
//! The *call* is an eventfd of the parent's. A child puts it into an epoll of its own as the first thing in
//! its life, edge-triggered, and closes it: the epoll goes on waking as long as the parent has the call open
//! (see `epoll(7)`), and the child holds nothing by which it could write to it, read from it, or change what
//! it is. So one write wakes all children that wait, none of them can keep it from another, and the write
//! never blocks, as nobody else can fill it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::event::{
    EventfdFlags, Timespec,
    epoll::{self, CreateFlags, EventData, EventFlags},
    eventfd,
};

/// The parent's side.
#[derive(Debug)]
pub(crate) struct Call {
    eventfd: OwnedFd,
    /// Whether somebody is to be woken.
    requested: bool,
}

impl Call {
    pub(super) fn new() -> io::Result<Self> {
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
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

    /// Has children woken by the next [`wake`](Self::wake).
    pub(super) const fn request(&mut self) {
        self.requested = true;
    }

    /// Wakes all children that wait, if that was requested.
    pub(super) fn wake(&mut self) {
        if std::mem::take(&mut self.requested) {
            // What was stored before the call is seen by whom it wakes. It would be full after 2^64 - 2 calls.
            let _ = rustix::io::write(&self.eventfd, &1u64.to_ne_bytes());
        }
    }

    /// Turns the inherited copy into a child's side.
    pub(super) fn into_called(self) -> io::Result<Called> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &self.eventfd, EventData::new_u64(0), EventFlags::IN | EventFlags::ET)?;
        let called = Called { epoll: Arc::new(epoll) };
        // Registering finds the calls of earlier times, which were not for this child.
        called.take();
        Ok(called)
    }
}

/// A child's side: wakes with every call.
#[derive(Clone, Debug)]
pub(crate) struct Called {
    epoll: Arc<OwnedFd>,
}

impl Called {
    /// What to wait for, edge-triggered, before looking whether this child is meant.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Takes the call in, so that only the next one is news.
    pub(crate) fn take(&self) {
        let mut space = [std::mem::MaybeUninit::<epoll::Event>::uninit(); 1];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let _ = epoll::wait(&self.epoll, &mut space, Some(&at_once));
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    fn called(call: &Call) -> Called {
        let eventfd = call.eventfd.try_clone().expect("duplicated");
        Call { eventfd, requested: false }.into_called().expect("a child's side")
    }

    fn is_called(called: &Called) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut fds = [PollFd::from_borrowed_fd(called.descriptor(), PollFlags::IN)];
        poll(&mut fds, Some(&at_once)).expect("polled") > 0
    }

    #[test]
    fn a_call_reaches_everybody_who_does_not_hold_it() {
        let mut call = Call::new().expect("made");
        let children = [called(&call), called(&call)];
        call.wake();
        assert!(!children.iter().any(is_called), "nobody was asked");
        for _ in 0..3 {
            call.request();
            call.wake();
            assert!(children.iter().all(is_called));
            children.iter().for_each(Called::take);
            assert!(!children.iter().any(is_called), "the call is taken in");
        }
    }

    #[test]
    fn who_comes_later_is_not_woken_by_earlier_calls() {
        let mut call = Call::new().expect("made");
        call.request();
        call.wake();
        let late = called(&call);
        assert!(!is_called(&late));
        call.request();
        call.wake();
        assert!(is_called(&late));
    }
}
