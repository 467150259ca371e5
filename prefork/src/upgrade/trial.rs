//! The new program's side of a probe: going the way of a start up to where children would be forked.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    io::retry_on_intr,
    net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, send, sendmsg},
};

use super::{
    Image, handover,
    image::{self, Report},
    probe::{EXECUTED, READY, REFUSED},
    reading::SETTINGS,
};
use crate::{settings::InForce, sys};

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

    /// Reports as what this program was executed, so that the parent can execute just that: its file, its directory,
    /// and a memory file with the rest.
    pub(super) fn report(&self, image: &Image) -> io::Result<()> {
        let memory = handover::write(&serde_json::to_vec(&Report::of(image))?)?;
        let program = image::open_own()?;
        let descriptors = [memory.as_fd(), program.as_fd(), image.directory.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        sendmsg(&self.channel, &[IoSlice::new(EXECUTED)], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Reports the settings.
    pub(super) fn report_settings(&self, settings: &InForce) {
        let text = serde_json::to_vec(settings).unwrap_or_default();
        if let Err(error) = send(&self.channel, &[SETTINGS, &text].concat(), SendFlags::NOSIGNAL) {
            self.refuse(&format!("the settings cannot be reported: {error}"));
        }
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
