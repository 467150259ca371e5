//! The new program's side of a probe: going the way of a start up to where children would be forked.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{retry_on_intr, write},
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};

use super::{
    handover,
    probe::{END, EXECUTED, LONGEST_MESSAGE, LONGEST_WORD, READY, REFUSED},
    reading::SETTINGS,
};
use crate::{
    args::settings::InForce,
    program::{Image, Report, open_own},
    sys,
};

/// The ways to the parent that waits for the outcome.
#[derive(Debug)]
pub(crate) struct ProbeReply {
    /// Closed with the report.
    channel: RefCell<Option<OwnedFd>>,
    words: OwnedFd,
}

impl ProbeReply {
    pub(super) const fn new(channel: Option<OwnedFd>, words: OwnedFd) -> Self {
        Self { channel: RefCell::new(channel), words }
    }

    /// Says why this program would not work.
    pub(super) fn refuse(&self, reason: &str) {
        let room = LONGEST_WORD - REFUSED.len() - 1;
        let reason = reason.bytes().filter(|byte| *byte != END).take(room);
        let text: Vec<u8> = REFUSED.iter().copied().chain(reason).chain([END]).collect();
        // The parent reads our exit status too.
        let _ = write(&self.words, &text);
    }

    /// Reports as what this program was executed, so that the parent can execute just that: its file, its directory,
    /// and a memory file with the rest. From then on nothing leads to the parent that could carry a descriptor.
    pub(super) fn report(&self, image: &Image) -> io::Result<()> {
        let memory = handover::write(&serde_json::to_vec(&Report::of(image))?)?;
        let program = open_own()?;
        let descriptors = [memory.as_fd(), program.as_fd(), image.directory.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        let Some(channel) = self.channel.take() else { return Ok(()) };
        sendmsg(&channel, &[IoSlice::new(EXECUTED)], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Reports the settings.
    pub(super) fn report_settings(&self, settings: &InForce) {
        let text = serde_json::to_vec(settings).unwrap_or_default();
        if text.len() > LONGEST_MESSAGE - SETTINGS.len() {
            let (len, most) = (text.len(), LONGEST_MESSAGE);
            return self.refuse(&format!(
                "the settings take {len} bytes, more than the {most} that there are for them"
            ));
        }
        if let Err(error) = write(&self.words, &[SETTINGS, &text].concat()) {
            self.refuse(&format!("the settings cannot be reported: {error}"));
        }
    }

    /// Says that this program works, stays until the parent has become it or wants nothing more, and
    /// ends the process without running anything of it: what was made belongs to the daemon.
    pub(crate) fn pass(&self) -> ! {
        if write(&self.words, &[READY, &[END]].concat()).is_ok() {
            // Nobody reads any more: that is all that is reported of the end to which one writes.
            let mut fds = [PollFd::new(&self.words, PollFlags::empty())];
            let _ = retry_on_intr(|| poll(&mut fds, None));
        }
        sys::exit_now(0)
    }
}
