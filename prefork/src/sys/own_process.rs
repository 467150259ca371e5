//! Knowing a copy of this process, which code of the program makes by `fork(2)`, without asking the kernel.

use std::{
    process, ptr,
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::{
    io,
    mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous},
};

/// Remembers the process that made it, at the cost of one load to ask.
///
/// A private page is marked `MADV_WIPEONFORK` (see `madvise(2)`), so a copy finds zero where the maker finds one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnProcess {
    pid: u32,
    /// None where there is no such page; then the kernel is asked for the pid.
    mark: Option<&'static AtomicU32>,
}

impl OwnProcess {
    /// Remembers this process; the page for that is never given back.
    pub(crate) fn new() -> Self {
        let mark = wiped_in_copies().ok();
        if let Some(mark) = mark {
            mark.store(1, Ordering::Relaxed);
        }
        Self { pid: process::id(), mark }
    }

    /// Returns whether this is the process that made it.
    #[inline]
    pub(crate) fn is_here(self) -> bool {
        match self.mark {
            // Relaxed: it is written once, before anybody else has it.
            Some(mark) => mark.load(Ordering::Relaxed) == 1,
            None => process::id() == self.pid,
        }
    }
}

fn wiped_in_copies() -> io::Result<&'static AtomicU32> {
    let (size, protection) = (rustix::param::page_size(), ProtFlags::READ | ProtFlags::WRITE);
    // SAFETY: the kernel chooses the address (the hint is null), so no memory of ours is mapped over.
    let page = unsafe { mmap_anonymous(ptr::null_mut(), size, protection, MapFlags::PRIVATE) }?;
    // SAFETY: the range is exactly the mapping just made, of which nothing else knows. The advice changes nothing in
    // this process.
    unsafe { madvise(page, size, Advice::LinuxWipeOnFork) }?;
    // SAFETY: the mapping is writable, aligned to a page, longer than a word, begins as zeros and is never unmapped; it is
    // reached through this reference alone.
    Ok(unsafe { &*page.cast::<AtomicU32>() })
}
