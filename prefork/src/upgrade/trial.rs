//! The new program's side of a probe: going the way of a start up to where children would be forked.

use std::os::fd::OwnedFd;

use rustix::{
    io::retry_on_intr,
    net::{RecvFlags, SendFlags, recv, send},
};

use super::probe::{READY, REFUSED};
use crate::sys;

/// The way to the parent that waits for the outcome.
#[derive(Debug)]
pub(crate) struct Tester {
    channel: OwnedFd,
}

impl Tester {
    pub(super) const fn new(channel: OwnedFd) -> Self {
        Self { channel }
    }

    /// Says why this program would not work.
    pub(super) fn refuse(&self, reason: &str) {
        let text: Vec<u8> = [REFUSED, reason.as_bytes()].concat();
        let end = text.len().min(8 << 10);
        // Whoever started us reads our exit status too.
        let _ = send(&self.channel, &text[..end], SendFlags::NOSIGNAL);
    }

    /// Says that this program works, stays until the parent has become it or wants nothing more, and
    /// ends the process without running anything of it: what was made belongs to the daemon.
    pub(crate) fn pass(self) -> ! {
        if send(&self.channel, READY, SendFlags::NOSIGNAL).is_ok() {
            let _ = retry_on_intr(|| recv(&self.channel, &mut [0u8; 1], RecvFlags::empty()));
        }
        sys::exit_now(0)
    }
}
