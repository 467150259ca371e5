//! The places where memory is shared with somebody: all unsafe code of the crate.
#![expect(unsafe_code, reason = "a mapping is reached through a pointer")]

use crate::format::{MIN_STRIDE, RECORD_SIZE, VALUES_SIZE, WORDS};
use memmap2::{MmapMut, MmapOptions, MmapRaw};
use nix::libc;
use rustix::mm::{Advice, madvise};
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU64, Ordering};

/// The page of one slot, mapped for reading and writing, shared with all who map or read the file.
///
/// The memory is only ever reached through atomics: no reference to plain bytes of it exists, since
/// another process may change them at any time. Should the file be truncated, the next access is
/// SIGBUS, which ends the process and breaks no promise of the language.
#[derive(Debug)]
pub(crate) struct SlotPage {
    map: MmapRaw,
}

impl SlotPage {
    /// Maps the `stride` bytes at `offset` of `file`, both multiples of the page size.
    pub(crate) fn map(file: &File, offset: u64, stride: usize) -> io::Result<Self> {
        // `words` relies on these two.
        assert!(stride >= RECORD_SIZE + VALUES_SIZE, "a slot is smaller than what is in it");
        assert!(offset.is_multiple_of(MIN_STRIDE as u64), "a slot does not begin at a page");
        let map = MmapOptions::new().offset(offset).len(stride).map_raw(file)?;
        Ok(Self { map })
    }

    /// The record.
    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU64; WORDS] {
        &self.both()[0]
    }

    /// The values of columns, behind the record.
    #[inline]
    pub(crate) fn values(&self) -> &[AtomicU64; WORDS] {
        &self.both()[1]
    }

    #[inline]
    fn both(&self) -> &[[AtomicU64; WORDS]; 2] {
        let both = self.map.as_mut_ptr().cast::<[[AtomicU64; WORDS]; 2]>();
        // SAFETY: the mapping is writable, lives as long as `self`, begins at a multiple of 4096
        // and is at least as long as both together (both asserted in `map`). Any bits are a valid
        // AtomicU64, and within this process the memory is reached through such references alone.
        unsafe { &*both }
    }
}

/// Whole pages of words, mapped as a [`SlotPage`] is.
#[derive(Debug)]
pub(crate) struct WordPages(Pages);

#[derive(Debug)]
enum Pages {
    /// None at all.
    None,
    /// As long as the value lives.
    Mapped(MmapRaw),
    /// As long as the process lives.
    ForLife(ManuallyDrop<MmapRaw>),
}

impl WordPages {
    /// Maps the `length` bytes at `offset` of `file`, both multiples of the page size.
    pub(crate) fn map(file: &File, offset: u64, length: usize) -> io::Result<Self> {
        // `words` relies on it.
        assert!(offset.is_multiple_of(MIN_STRIDE as u64), "words do not begin at a page");
        let map = MmapOptions::new().offset(offset).len(length).map_raw(file)?;
        Ok(Self(Pages::Mapped(map)))
    }

    /// Maps them for as long as the process lives, and seals that where the kernel can: then no call of the process makes the
    /// mapping reach further (see `mseal(2)`).
    pub(crate) fn map_for_life(file: &File, offset: u64, length: usize) -> io::Result<Self> {
        match Self::map(file, offset, length)?.0 {
            Pages::Mapped(map) => {
                seal(&map)?;
                Ok(Self(Pages::ForLife(ManuallyDrop::new(map))))
            }
            other @ (Pages::None | Pages::ForLife(_)) => Ok(Self(other)),
        }
    }

    /// No words.
    pub(crate) const fn none() -> Self {
        Self(Pages::None)
    }

    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        let map: &MmapRaw = match &self.0 {
            Pages::None => return &[],
            Pages::Mapped(map) => map,
            Pages::ForLife(map) => map,
        };
        let first = map.as_mut_ptr().cast::<AtomicU64>();
        // SAFETY: the mapping is writable, lives as long as `self`, begins at a multiple of 4096 (asserted in `map`) and
        // is no shorter than the slice, whose length is rounded down. Any bits are a valid AtomicU64, and within this
        // process the memory is reached through such references alone.
        unsafe { std::slice::from_raw_parts(first, map.len() / size_of::<AtomicU64>()) }
    }
}

/// `mseal(2)`, which came with Linux 6.10: the same number on all architectures but alpha, MIPS and x32.
const MSEAL: libc::c_long = 462;

/// Seals a mapping that is never unmapped, where the kernel can.
fn seal(map: &MmapRaw) -> io::Result<()> {
    // SAFETY: sealing changes nothing in the range, a mapping of ours that is never unmapped or changed.
    if unsafe { libc::syscall(MSEAL, map.as_mut_ptr(), map.len(), 0) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // Some sandboxes answer EPERM to what they do not know.
        Some(libc::ENOSYS | libc::EPERM) => Ok(()),
        _ => Err(error),
    }
}

/// Remembers which process made it, across fork, at the cost of one load to ask.
///
/// A private page is marked `MADV_WIPEONFORK`, so a forked child finds zero where the maker finds
/// one.
#[derive(Debug)]
pub(crate) struct ForkMark {
    /// `None` where the kernel offers no such page.
    page: Option<MmapRaw>,
}

impl ForkMark {
    pub(crate) fn new() -> Self {
        let mark = Self { page: wiped_on_fork().ok() };
        if let Some(word) = mark.word() {
            word.store(1, Ordering::Relaxed);
        }
        mark
    }

    /// A mark where the kernel offers no page for it.
    #[cfg(test)]
    pub(crate) const fn without_page() -> Self {
        Self { page: None }
    }

    /// Returns whether this process made the mark, rather than having inherited it; `None` where that is not known.
    #[inline]
    pub(crate) fn is_own(&self) -> Option<bool> {
        // Relaxed: only this process writes the page, once, before it hands the mark out.
        self.word().map(|word| word.load(Ordering::Relaxed) == 1)
    }

    #[inline]
    fn word(&self) -> Option<&AtomicU64> {
        let word = self.page.as_ref()?.as_mut_ptr().cast::<AtomicU64>();
        // SAFETY: the mapping is writable, private to this process, aligned to a page, longer than
        // a word and lives as long as `self`. Any bits are a valid AtomicU64.
        Some(unsafe { &*word })
    }
}

fn wiped_on_fork() -> io::Result<MmapRaw> {
    if cfg!(miri) {
        // Miri knows no madvise(2), and has no fork that a mark would be for.
        return Err(io::ErrorKind::Unsupported.into());
    }
    let page = MmapRaw::from(MmapMut::map_anon(rustix::param::page_size())?);
    // SAFETY: the range is exactly one mapping that nothing else knows of. The advice changes
    // nothing in this process.
    unsafe { madvise(page.as_mut_ptr().cast(), page.len(), Advice::LinuxWipeOnFork) }?;
    Ok(page)
}
