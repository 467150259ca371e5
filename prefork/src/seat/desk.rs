//! The arbiter's end of the way to the parent of a pool.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd, RawFd},
    sync::atomic::Ordering::{Acquire, Release},
};

use prefork_core::{Need, Reloads, pools::PoolReloads};
use rustix::event::{EventfdFlags, eventfd};

use super::{Order, PassedSocket, RELOAD_ENDS, open_page, word};
use crate::{sys::SharedFigures, system::KeptDescriptors};

/// How often a pool's parent has become another program, and how often it has refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Upgrades {
    pub(crate) done: u64,
    pub(crate) refused: u64,
}

/// It, made for one process.
#[derive(Debug)]
pub(crate) struct Desk {
    page: SharedFigures,
    memory: OwnedFd,
    call: OwnedFd,
}

impl Desk {
    pub(crate) fn new() -> io::Result<Self> {
        let (page, memory) = SharedFigures::for_both(word::COUNT)?;
        let call = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { page, memory, call })
    }

    /// Looks at what an old program has left; that can fail, and takes nothing.
    pub(crate) fn look(memory: &OwnedFd) -> io::Result<SharedFigures> {
        open_page(memory)
    }

    /// Goes on with what an old program has left.
    pub(crate) const fn adopt(page: SharedFigures, memory: OwnedFd, call: OwnedFd) -> Self {
        Self { page, memory, call }
    }

    /// Leaves it open for the next program, and returns the numbers of the page and of what wakes the pool's parent.
    pub(crate) fn pass<'a>(&'a self, passed: &mut KeptDescriptors<'a>) -> (RawFd, RawFd) {
        (passed.pass(&self.memory), passed.pass(&self.call))
    }

    /// Returns what has become of the upgrades of the pool's parent.
    pub(crate) fn upgrades(&self) -> Upgrades {
        let read = |place: usize| self.page.get()[place].load(Acquire);
        Upgrades { done: read(word::UPGRADES), refused: read(word::REFUSALS) }
    }

    /// Makes the order for a program that gets these sockets, and this end's counterpart.
    pub(crate) fn order<'a>(
        &'a self,
        (pool, in_background): (&str, bool),
        bell: &'a OwnedFd,
        sockets: impl Iterator<Item = (BorrowedFd<'a>, String)>,
        passed: &mut KeptDescriptors<'a>,
    ) -> Order {
        let sockets = sockets.map(|(socket, name)| {
            let fd = passed.pass_borrowed(socket);
            PassedSocket { fd, name }
        });
        let sockets = sockets.collect();
        let [page, bell, call] = [&self.memory, bell, &self.call].map(|fd| passed.pass(fd));
        Order { pool: pool.to_owned(), in_background, page, bell, call, sockets }
    }

    /// Whether all children of the pool are in their main loops.
    pub(crate) fn is_ready(&self) -> bool {
        self.page.get()[word::READY].load(Acquire) == 1
    }

    /// Returns what the pool has, how much of that is at work, and what it would have. It is its parent's word.
    pub(crate) fn need(&self) -> Need {
        let read = |place: usize| self.page.get()[place].load(Acquire);
        // In this order: see where they are written.
        let [ceiling, alive, busy, wanted] = [word::KNOWN, word::ALIVE, word::BUSY, word::WANTED]
            .map(|place| u32::try_from(read(place)).unwrap_or(u32::MAX));
        let child_memory = read(word::CHILD_MEMORY);
        Need { alive, busy, wanted, ceiling: ceiling.checked_sub(1), child_memory }
    }

    /// Returns how far the reloads of the pool have come. It is its parent's word.
    pub(crate) fn reloads(&self) -> PoolReloads {
        let read = |place: usize| self.page.get()[place].load(Acquire);
        // In this order: see where they are written.
        let (taken, goes_on) = (read(word::RELOADS_TAKEN), read(word::RELOADING) == 1);
        let end = usize::try_from(read(word::RELOAD_END)).ok();
        let last = end.and_then(|end| RELOAD_ENDS.get(end)).copied().unwrap_or_default();
        let asked = read(word::RELOADS_ASKED);
        PoolReloads { asked, taken, state: Reloads { goes_on, last } }
    }

    /// Notes that the pool is to reload, before its parent is sent a signal for that.
    pub(crate) fn ask_reload(&self) {
        self.page.get()[word::RELOADS_ASKED].fetch_add(1, Release);
    }

    /// Returns how many processes the pool was told last that it may have.
    pub(crate) fn said(&self) -> Option<u32> {
        let said = self.page.get()[word::CEILING].load(Acquire);
        u32::try_from(said.checked_sub(1)?).ok()
    }

    /// Says that the whole daemon ends.
    pub(crate) fn say_ending(&self) {
        self.page.get()[word::ENDING].store(1, Release);
    }

    /// Says whether pools share memory, before [`say_ceiling`](Self::say_ceiling).
    pub(crate) fn say_memory_shared(&self, is_shared: bool) {
        let said = u64::from(is_shared);
        if self.page.get()[word::SHARES_MEMORY].swap(said, Release) != said {
            self.ring();
        }
    }

    /// Says how many processes the pool may have; with 0 it is to end.
    pub(crate) fn say_ceiling(&self, ceiling: u32) {
        let said = u64::from(ceiling) + 1;
        if self.page.get()[word::CEILING].swap(said, Release) != said {
            self.ring();
        }
    }

    fn ring(&self) {
        let _ = rustix::io::write(&self.call, &1u64.to_ne_bytes());
    }
}
