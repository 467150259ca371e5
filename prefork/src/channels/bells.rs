//! How a child wakes the parent.
//!
//! Each child has a *bell*: an eventfd that it alone holds, and at which the parent's epoll waits
//! edge-triggered. The parent makes it, registers it, forks, and closes its own copy: the registration stays
//! as long as somebody has the bell open (see `epoll(7)`). So the parent needs one descriptor for any number
//! of children; it never reads or writes a bell, whose `O_NONBLOCK` or fullness are the child's to change; and
//! which child has rung is said by the kernel.

use std::{io, mem::MaybeUninit, os::fd::OwnedFd};

use prefork_core::SlotId;
use rustix::{
    event::{
        EventfdFlags, Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
        eventfd,
    },
    io::Errno,
};

use crate::sys::refused::Refusable;

/// How many bells are taken in at a time. Those beyond are next.
const MOST: usize = 64;

/// The child of a bell: a slot, and the number of the child among those that the slot has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BellId {
    pub(crate) slot: SlotId,
    pub(crate) serial: u32,
}

impl BellId {
    fn to_data(self) -> EventData {
        EventData::new_u64(u64::from(self.serial) << 32 | u64::from(self.slot.0))
    }

    const fn from_bits(bits: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "each is one half")]
        Self { slot: SlotId(bits as u32), serial: (bits >> 32) as u32 }
    }
}

/// The parent's side: where all bells are read.
#[derive(Debug)]
pub(crate) struct Bells {
    epoll: OwnedFd,
}

impl Bells {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC).of_call("epoll_create1(2)")? })
    }

    /// Goes on where the old program in this process has waited: the registrations are the kernel's.
    pub(super) const fn adopt(epoll: OwnedFd) -> Self {
        Self { epoll }
    }

    /// What to wait for before [`rung`](Self::rung), and what the next program needs.
    pub(crate) const fn descriptor(&self) -> &OwnedFd {
        &self.epoll
    }

    /// Makes a bell for a child about to be forked; the parent closes its copy after that.
    pub(crate) fn make(&self, id: BellId) -> io::Result<Bell> {
        let bell =
            eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).of_call("eventfd2(2)")?;
        epoll::add(&self.epoll, &bell, id.to_data(), EventFlags::IN | EventFlags::ET)
            .of_call("epoll_ctl(2)")?;
        Ok(Bell { eventfd: bell })
    }

    /// Takes in some of the bells that have rung, each once however often it has.
    pub(crate) fn rung(&self) -> io::Result<Vec<BellId>> {
        let mut space = [MaybeUninit::<epoll::Event>::uninit(); MOST];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.epoll, &mut space, Some(&at_once)) {
            Ok((events, _)) => {
                Ok(events.iter().map(|event| BellId::from_bits(event.data.u64())).collect())
            }
            Err(Errno::INTR) => Ok(Vec::new()),
            Err(error) => Err(error).of_call("epoll_pwait(2)"),
        }
    }
}

/// A child's side.
#[derive(Debug)]
pub(crate) struct Bell {
    eventfd: OwnedFd,
}

impl Bell {
    /// Wakes the parent. It never waits: a bell that is full has rung.
    pub(crate) fn ring(&self) {
        let _ = rustix::io::write(&self.eventfd, &1u64.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn id(slot: u32, serial: u32) -> BellId {
        BellId { slot: SlotId(slot), serial }
    }

    #[test]
    fn a_bell_is_known_by_the_kernel_and_rings_every_time() {
        let bells = Bells::new().expect("made");
        let rung = || bells.rung().expect("read");
        let (one, other) =
            (bells.make(id(7, 1)).expect("made"), bells.make(id(7, u32::MAX)).expect("made"));
        assert_eq!(rung(), []);
        one.ring();
        one.ring();
        assert_eq!(rung(), [id(7, 1)]);
        assert_eq!(rung(), [], "it is not returned twice, though nobody reads it");
        other.ring();
        one.ring();
        assert_eq!(rung().len(), 2);
    }

    /// Whatever a child does to its bell is no matter of the parent's.
    #[test]
    fn a_bell_that_is_full_or_blocks_does_not_keep_the_parent() {
        let bells = Bells::new().expect("made");
        let bell = bells.make(id(0, 0)).expect("made");
        rustix::io::write(&bell.eventfd, &(u64::MAX - 1).to_ne_bytes()).expect("filled");
        bell.ring();
        assert_eq!(bells.rung().expect("read"), [id(0, 0)]);
        rustix::io::ioctl_fionbio(&bell.eventfd, false).expect("made blocking");
        assert_eq!(bells.rung().expect("read"), []);
    }

    #[test]
    fn a_bell_that_is_closed_everywhere_is_forgotten() {
        let bells = Bells::new().expect("made");
        let bell = bells.make(id(3, 3)).expect("made");
        bell.ring();
        drop(bell);
        assert_eq!(bells.rung().expect("read"), []);
    }

    #[test]
    fn no_more_than_some_are_taken_in_at_a_time() {
        let bells = Bells::new().expect("made");
        let all: Vec<_> = (0..100).map(|slot| bells.make(id(slot, 0)).expect("made")).collect();
        all.iter().for_each(Bell::ring);
        let counts = [(); 3].map(|()| bells.rung().expect("read").len());
        assert_eq!(counts, [MOST, 100 - MOST, 0]);
    }
}
