//! Pages of memory that the parent shares with its children, one with each.
//!
//! The parent maps all of them, and no process that is forked from it inherits that. A child maps its own
//! page and has no way to another: see [`Pages::map_own`].

use std::{io, os::fd::OwnedFd, sync::atomic::AtomicU64};

use nix::libc;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap};

use crate::sys::refused::Refusable;

/// The words of a page. Where the pages of the machine are larger, the rest is not used.
pub(crate) const WORDS: usize = 4096 / size_of::<AtomicU64>();

/// One page, shared by the parent and one child.
pub(crate) type Page = [AtomicU64; WORDS];

/// All pages, in the parent. Never unmapped.
#[derive(Debug)]
pub(crate) struct Pages {
    /// One, and another each time that there was no room in these for what the file has grown by.
    mappings: Vec<Mapping>,
    /// How many pages of the file there are.
    count: usize,
}

/// Some of the pages, one after the other.
#[derive(Debug)]
struct Mapping {
    first: &'static AtomicU64,
    count: usize,
}

impl Pages {
    /// The distance in bytes from one page to the next in the file, in which each is mapped alone.
    pub(crate) fn stride() -> usize {
        rustix::param::page_size().max(size_of::<Page>())
    }

    /// Maps the first `count` pages of a file in memory, which must be as long and sealed against being made
    /// shorter. Processes forked from this one do not have the mapping.
    pub(crate) fn map(memory: &OwnedFd, count: usize) -> io::Result<Self> {
        Ok(Self { mappings: vec![Mapping::new(memory, 0, count.max(1))?], count })
    }

    /// Maps so many pages of the same file, which must be as long by now; those that are mapped stay where they are.
    ///
    /// What is mapped at least doubles each time, so that there are few mappings however often that happens: each costs
    /// every fork. The file may end before the last of them.
    pub(crate) fn grow(&mut self, memory: &OwnedFd, count: usize) -> io::Result<()> {
        let mapped: usize = self.mappings.iter().map(|mapping| mapping.count).sum();
        if count > mapped {
            self.mappings.push(Mapping::new(memory, mapped, (count - mapped).max(mapped))?);
        }
        self.count = self.count.max(count);
        Ok(())
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.count
    }

    /// Returns one page; `None` if there is no such page.
    pub(crate) fn get(&self, index: usize) -> Option<&'static Page> {
        if index >= self.count {
            return None;
        }
        let mut index = index;
        let mapping = self.mappings.iter().find(|mapping| {
            let is_here = index < mapping.count;
            index -= if is_here { 0 } else { mapping.count };
            is_here
        })?;
        let start = std::ptr::from_ref(mapping.first).cast::<u8>().cast_mut();
        // SAFETY: the page lies within the mapping, which is its own `count` strides long.
        let page = unsafe { start.add(index * Self::stride()) };
        // SAFETY: aligned to a page, a whole page long, never unmapped, reached through atomics; and the file,
        // which nobody can cut, reaches as far, as it has `self.count` pages at least.
        Some(unsafe { &*page.cast::<Page>() })
    }

    /// Maps one page alone, for the child whose page it is.
    ///
    /// Then the file should be closed. What the child forks does not have the page; and where the kernel can
    /// seal mappings, no call of the child's makes this one reach further, whatever code it runs (see
    /// `mseal(2)`).
    pub(crate) fn map_own(memory: &OwnedFd, index: usize) -> io::Result<&'static Page> {
        let (size, offset) = (Self::stride(), index * Self::stride());
        let start = map(memory, size, offset as u64)?;
        // SAFETY: the range is exactly the mapping just made.
        unsafe { madvise(start.cast(), size, Advice::LinuxDontFork) }.of_call("madvise(2)")?;
        seal(start.cast(), size)?;
        // SAFETY: the mapping is aligned to a page, a whole page long, never unmapped, and reached through
        // atomics alone. A process forked from this one does not have it: the holder of the reference sees
        // to it that it is not used there.
        Ok(unsafe { &*start.cast::<Page>() })
    }
}

impl Mapping {
    /// Maps so many pages of a file from the page `first` on. Processes forked from this one do not have it.
    fn new(memory: &OwnedFd, first: usize, count: usize) -> io::Result<Self> {
        let (size, offset) = (count * Pages::stride(), first * Pages::stride());
        let start = map(memory, size, offset as u64)?;
        // SAFETY: the range is exactly the mapping just made.
        unsafe { madvise(start.cast(), size, Advice::LinuxDontFork) }.of_call("madvise(2)")?;
        // SAFETY: the mapping is aligned to a page, longer than a word, never unmapped in this process, and
        // reached through atomics alone, whichever process maps it. A forked process, which does not have
        // it, never uses this value: the facade gives it up there.
        Ok(Self { first: unsafe { &*start }, count })
    }
}

/// Maps a part of a file in memory for reading and writing.
fn map(memory: &OwnedFd, size: usize, offset: u64) -> io::Result<*mut AtomicU64> {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel chooses the address (the hint is null), so no memory of ours is mapped over.
    let start =
        unsafe { mmap(std::ptr::null_mut(), size, protection, MapFlags::SHARED, memory, offset) }
            .of_call("mmap(2)")?;
    Ok(start.cast())
}

/// Returns whether the kernel can keep a child to its page: with `mseal(2)`, which came with Linux 6.10.
pub(crate) fn can_seal() -> bool {
    // SAFETY: a range of no length is a question alone.
    unsafe { libc::syscall(MSEAL, std::ptr::null::<u8>(), 0, 0) == 0 }
}

/// `mseal(2)`: the same number on every architecture, as of all calls that were added since Linux 5.1.
const MSEAL: libc::c_long = 462;

/// Seals a mapping, where the kernel can.
fn seal(start: *mut libc::c_void, size: usize) -> io::Result<()> {
    // SAFETY: sealing changes nothing in the range, a mapping of ours that is never unmapped or changed.
    if unsafe { libc::syscall(MSEAL, start, size, 0) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // Some sandboxes answer EPERM to what they do not know.
        Some(libc::ENOSYS | libc::EPERM) => Ok(()),
        _ => Err(error),
    }
}
