//! The way from the parent of a pool to its arbiter, and back.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::Ordering::{Acquire, Release},
};

use prefork_core::{Need, Reloads};

use super::{RELOAD_ENDS, open_page, word};
use crate::{sys::SharedFigures, system::KeptDescriptors};

/// It, as the parent has it.
#[derive(Debug)]
pub(crate) struct Link {
    /// The name of the pool.
    pool: String,
    page: SharedFigures,
    memory: OwnedFd,
    /// Wakes the arbiter.
    bell: OwnedFd,
    /// Wakes this parent.
    call: OwnedFd,
}

impl Link {
    pub(super) fn new(
        pool: &str,
        memory: OwnedFd,
        bell: OwnedFd,
        call: OwnedFd,
    ) -> io::Result<Self> {
        let page = open_page(&memory)?;
        Ok(Self { pool: pool.to_owned(), page, memory, bell, call })
    }

    /// The name of the pool.
    pub(crate) fn pool(&self) -> &str {
        &self.pool
    }

    /// Becomes readable when there is something to [`take`](Self::take).
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.call.as_fd()
    }

    /// Returns how many processes the pool may have, if the arbiter has said something else since this was asked last.
    pub(crate) fn take(&self) -> Option<u32> {
        // After the number was written: who reads this sees that.
        rustix::io::read(&self.call, &mut [0; 8]).ok()?;
        let ceiling = self.page.get()[word::CEILING].load(Acquire);
        u32::try_from(ceiling.checked_sub(1)?).ok()
    }

    /// Whether pools share memory, so that the arbiter wants to know how much a child takes.
    pub(crate) fn shares_memory(&self) -> bool {
        self.page.get()[word::SHARES_MEMORY].load(Acquire) == 1
    }

    /// Whether the whole daemon ends, and not this pool alone.
    pub(crate) fn is_daemon_ending(&self) -> bool {
        self.page.get()[word::ENDING].load(Acquire) == 1
    }

    /// Says that all children are in their main loops.
    pub(crate) fn ready(&self) {
        self.page.get()[word::READY].store(1, Release);
        self.ring();
    }

    /// Says what the pool has and would have, if that is something else than before.
    pub(crate) fn report(&self, need: Need) {
        let Need { alive, busy, wanted, ceiling, child_memory } = need;
        let figures = [
            (word::ALIVE, alive.into()),
            (word::BUSY, busy.into()),
            (word::WANTED, wanted.into()),
            (word::CHILD_MEMORY, child_memory),
            // The last: who reads it first knows that the others are of a time in which it held.
            (word::KNOWN, ceiling.map_or(0, |ceiling| ceiling.saturating_add(1).into())),
        ];
        let mut is_news = false;
        for (place, figure) in figures {
            is_news |= self.page.get()[place].swap(figure, Release) != figure;
        }
        if is_news {
            self.ring();
        }
    }

    /// Says how far reloads have come, if that is something else than before.
    pub(crate) fn report_reloads(&self, reloads: Reloads) {
        if self.note_reloads(reloads) {
            self.ring();
        }
    }

    /// Returns how many requests to reload the arbiter has sent. A reload that begins after this answers all of them.
    pub(crate) fn reloads_asked(&self) -> u64 {
        self.page.get()[word::RELOADS_ASKED].load(Acquire)
    }

    /// Says that so many requests to reload were taken in, of which this is what has become.
    pub(crate) fn took_reloads(&self, asked: u64, reloads: Reloads) {
        self.note_reloads(reloads);
        // After that: who sees that they were taken in sees whether one goes on.
        self.page.get()[word::RELOADS_TAKEN].store(asked, Release);
        self.ring();
    }

    /// Returns whether it is news.
    fn note_reloads(&self, Reloads { goes_on, last }: Reloads) -> bool {
        let end = RELOAD_ENDS.iter().position(|end| *end == last).unwrap_or_default();
        // The end before: who sees that none goes on any more sees how it has ended.
        let swap =
            |place: usize, figure: u64| self.page.get()[place].swap(figure, Release) != figure;
        let is_other_end = swap(word::RELOAD_END, end as u64);
        swap(word::RELOADING, goes_on.into()) || is_other_end
    }

    /// Says that this process has become another program.
    pub(crate) fn upgraded(&self) {
        self.page.get()[word::UPGRADES].fetch_add(1, Release);
        self.ring();
    }

    /// Says that it was to become another program, and goes on with this one.
    pub(crate) fn not_upgraded(&self) {
        self.page.get()[word::REFUSALS].fetch_add(1, Release);
        self.ring();
    }

    fn ring(&self) {
        // Where it is rung already, it is readable.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    /// Leaves it open for the next program, which finds it by the same numbers.
    pub(crate) fn pass<'a>(&'a self, passed: &mut KeptDescriptors<'a>) {
        for fd in [&self.memory, &self.bell, &self.call] {
            passed.pass(fd);
        }
    }
}
