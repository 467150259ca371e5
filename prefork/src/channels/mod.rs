//! Everything between the parent and its children.
//!
//! # Problem
//!
//! Children run code that crashes and that may be taken over, and the parent may be root. So what lies
//! between them must carry nothing but what it is for: no descriptor to the parent, no signal, no pid that a child made up.
//! The parent must never wait for it, whatever children do, and the sender must be known by construction
//! and not by what it sends.
//!
//! # Idea
//!
//! What is *reported* is in memory, and what *wakes* carries nothing:
//!
//! - **Pages** (`pages.rs`). One sealed file in memory, of one page for each slot. The parent has mapped all
//!   of them, each child its own alone. The child writes there what it is doing and how far it has come, and
//!   the parent whether the child is asked to leave. So the sender is known by the page.
//! - **Bells** (`bells.rs`), from a child to the parent. Each child has an eventfd of its own; the parent's
//!   epoll waits at it. The parent never reads or writes one, so nothing that a child does to it can keep the
//!   parent waiting; and which bell has rung is the kernel's word.
//! - **The call** (`call.rs`), from the parent to all children: an eventfd that only the parent has. Each
//!   child waits in an epoll in which it was registered before the child closed it: so a child can be woken by
//!   it, and can do nothing to it.
//! - **The handout** (`handout.rs`), from the parent to all others: the logs that it has opened again, as descriptors,
//!   over a socket in which nothing can go the other way.
//! - **What the program counts** (`prefork_scoreboard::metrics`), where it counts anything: a second such file, of which the parent
//!   maps nothing. It writes there alone that a slot is nobody's.
//! - **The lifeline** (`os::Lifeline`): a pidfd of the parent, readable when that has ended.
//!
//! The parent has six descriptors for all of this, or seven, however many children there are, and forking copies no
//! more. What children hold is what they could have made themselves.
//!
//! # Why no signal asks a child to leave
//!
//! A handler, whatever its flags, ends a `read` from a socket with a time limit, a `connect`, a `poll`, a
//! `sleep` with `EINTR` (see `signal(7)`), and few programs expect that. Blocking the signal instead would be
//! inherited by every program that a child starts. So the parent raises a word in the child's page, and the
//! call wakes all idle children: each looks at its own word and sleeps on if it was not meant. A busy child
//! looks when it has finished. Loops that never look, or that wait for the descriptor of their own
//! ([`crate::Child::stop_fd`]), are sent `SIGTERM`.

mod bells;
mod call;
mod handout;
mod pages;
mod reporter;
mod reports;

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd, RawFd},
};

use prefork_core::SlotId;
use prefork_scoreboard::metrics::{Cells, Metrics, Store};
use serde::{Deserialize, Serialize};

pub(crate) use bells::{Bell, BellId, Bells};
pub(crate) use call::Call;
pub(crate) use handout::{Handout, Logs, Taker};
pub(crate) use pages::{OwnPage, Pages, WhichLog, Words};
pub(crate) use reporter::Reporter;
pub(crate) use reports::{Report, Reports};

use crate::{
    system::KeptDescriptors,
    system::os::{Lifeline, Poller, Tether},
};

/// The parent's side.
#[derive(Debug)]
pub(crate) struct Channels {
    pub(crate) pages: Pages,
    pub(crate) bells: Bells,
    pub(crate) call: Call,
    pub(crate) handout: Handout,
    pub(crate) lifeline: Lifeline,
    /// What children count, if the program has declared anything.
    pub(crate) metrics: Option<Store>,
}

impl Channels {
    /// Opens them for a pool of so many slots, in which this is counted.
    pub(crate) fn open(slots: u32, metrics: Option<&Metrics>) -> io::Result<Self> {
        Ok(Self {
            pages: Pages::new(slots)?,
            bells: Bells::new()?,
            call: Call::new()?,
            handout: Handout::new()?,
            lifeline: Lifeline::new()?,
            metrics: metrics.map(|metrics| make_store(metrics, slots)).transpose()?,
        })
    }

    /// Leaves them to the next program in this process.
    pub(crate) fn pass<'a>(&'a self, passed: &mut KeptDescriptors<'a>) -> HandedChannels {
        HandedChannels {
            pages: passed.pass(self.pages.memory()),
            bells: passed.pass(self.bells.descriptor()),
            call: passed.pass(self.call.descriptor()),
            handout: Some(self.handout.descriptors().map(|descriptor| passed.pass(descriptor))),
            edition: self.handout.edition(),
            metrics: self.metrics.as_ref().map(|store| passed.pass(store)),
        }
    }

    /// Goes on with what the old program has left, in a pool of so many slots; `get` finds a descriptor by
    /// its number. What is counted there is declared in [`publish`](Self::publish).
    pub(crate) fn adopt(
        handed: HandedChannels,
        slots: u32,
        metrics: Option<&Metrics>,
        mut get: impl FnMut(RawFd) -> io::Result<OwnedFd>,
    ) -> io::Result<Self> {
        let handout = match handed.handout {
            Some([giver, taker]) => Handout::adopt(get(giver)?, get(taker)?, handed.edition),
            // An older program's, whose children are replaced.
            None => Handout::new()?,
        };
        let metrics = match (metrics, handed.metrics) {
            (Some(metrics), Some(store)) => {
                let store = Store::adopt(get(store)?, metrics, slots as usize);
                Some(store.map_err(io::Error::other)?)
            }
            (Some(metrics), None) => Some(make_store(metrics, slots)?),
            (None, _) => None,
        };
        Ok(Self {
            pages: Pages::adopt(get(handed.pages)?, slots)?,
            bells: Bells::adopt(get(handed.bells)?),
            call: Call::adopt(get(handed.call)?),
            handout,
            lifeline: Lifeline::new()?,
            metrics,
        })
    }

    /// Lets readers have what this program declares, when it has taken over.
    pub(crate) fn publish(&mut self) -> io::Result<()> {
        self.metrics.as_mut().map_or(Ok(()), Store::publish).map_err(io::Error::other)
    }

    /// Has room for so many slots at the least.
    ///
    /// # Errors
    ///
    /// Fails if there is no memory for more; then it has as many as before.
    pub(crate) fn grow(&mut self, slots: u32) -> io::Result<()> {
        if let Some(store) = &mut self.metrics {
            store.grow(slots as usize).map_err(io::Error::other)?;
        }
        self.pages.grow(slots)
    }

    /// Empties the slot of a child that was reaped. What it has counted stays.
    pub(crate) fn clear(&self, slot: SlotId) {
        self.pages.clear(slot);
        if let Some(store) = &self.metrics {
            // It cannot fail on memory that is there, and else there is no gauge to be taken away.
            let _ = store.clear(slot.index());
        }
    }

    /// Asks the child in a slot to leave, as soon as [`wake_children`](Self::wake_children) is called.
    pub(crate) fn ask(&mut self, slot: SlotId) {
        self.pages.ask(slot);
        self.call.request();
    }

    /// Wakes idle children, if any was asked since the last time: one call for any number.
    pub(crate) fn wake_children(&mut self) {
        self.call.wake();
    }

    /// Moves these children, and all that follow, to these logs with their next line, and wakes those that
    /// wait, so that the old files are closed.
    ///
    /// # Errors
    ///
    /// Fails if they do not find them; a child that looks for them asks to be replaced.
    pub(crate) fn hand_out(
        &mut self,
        logs: &Logs<BorrowedFd<'_>>,
        slots: impl Iterator<Item = SlotId>,
    ) -> io::Result<()> {
        let given = self.handout.give(logs);
        self.pages.renew_logs(slots, self.handout.edition());
        self.call.request();
        given
    }

    /// Turns the inherited copies into the side of the child in a slot, which waits by `poller`.
    ///
    /// To be called in the child, after its last change of user. `None` if the parent has gone meanwhile.
    pub(crate) fn into_child(
        self,
        slot: SlotId,
        bell: Bell,
        poller: &Poller,
    ) -> io::Result<Option<ChildChannels>> {
        let Self { pages, bells, call, handout, lifeline, metrics } = self;
        // The parent's: a child could have it ring, or silence others there.
        drop(bells);
        let Some(tether) = lifeline.tether()? else { return Ok(None) };
        let page = pages.into_own(slot)?;
        call.into_called(poller)?;
        let cells = metrics.map(|store| store.enter_for_life(slot.index()));
        let cells = cells.transpose().map_err(io::Error::other)?;
        Ok(Some(ChildChannels { page, bell, logs: handout.into_taker(), tether, cells }))
    }
}

/// The descriptors of [`crate::channels::Channels`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct HandedChannels {
    pub(crate) pages: RawFd,
    pub(crate) bells: RawFd,
    pub(crate) call: RawFd,
    /// Both ends.
    #[serde(default)]
    pub(crate) handout: Option<[RawFd; 2]>,
    /// The newest edition of the logs.
    #[serde(default)]
    pub(crate) edition: u64,
    /// Where children count.
    #[serde(default)]
    pub(crate) metrics: Option<RawFd>,
}

/// Makes the memory in which children count.
fn make_store(metrics: &Metrics, slots: u32) -> io::Result<Store> {
    Store::in_memory(metrics, slots as usize).map_err(io::Error::other)
}

/// Both sides of a child, in one process.
#[cfg(test)]
pub(crate) fn both_sides() -> (Pages, SlotId, OwnPage, Reporter) {
    let ((pages, own), slot) = (pages::tests::both(), pages::tests::SLOT);
    let bell = Bells::new().and_then(|bells| bells.make(BellId { slot, serial: 1 }));
    (pages, slot, own, Reporter::new(own, bell.expect("made")))
}

/// A child's side.
#[derive(Debug)]
pub(crate) struct ChildChannels {
    pub(crate) page: OwnPage,
    pub(crate) bell: Bell,
    /// Where it finds logs that were opened again, and which it has.
    pub(crate) logs: (Taker, u64),
    pub(crate) tether: Tether,
    /// Where it counts.
    pub(crate) cells: Option<Cells>,
}
