//! Figures that one process writes and others read, in memory.

use std::{io, os::fd::OwnedFd, sync::atomic::AtomicU64};

use rustix::{
    fs::{SealFlags, fcntl_add_seals, fcntl_get_seals, ftruncate},
    mm::{Advice, MapFlags, ProtFlags, madvise, mmap},
};

/// Figures in memory that this process writes and others only read, never freed.
#[derive(Debug)]
pub(crate) struct SharedFigures {
    figures: &'static [AtomicU64],
}

impl SharedFigures {
    /// Makes so many figures, all zero, and a file in memory by which others can read them. Processes
    /// forked from here do not have the memory, and nobody can get it to write to.
    pub(crate) fn new(count: usize) -> io::Result<(Self, OwnedFd)> {
        let size = count.max(1) * size_of::<AtomicU64>();
        let memory = super::memory_file::create("prefork-figures")?;
        ftruncate(&memory, size as u64)?;
        let figures = Self::map(&memory, size, ProtFlags::READ | ProtFlags::WRITE)?;
        let start = figures.figures.as_ptr().cast_mut().cast();
        // SAFETY: the range is exactly the mapping just made; only this process goes on using it.
        unsafe { madvise(start, size, Advice::LinuxDontFork) }?;
        // The mapping made before the seal stays writable (see `F_SEAL_FUTURE_WRITE` in `fcntl(2)`).
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW;
        fcntl_add_seals(&memory, seals | SealFlags::FUTURE_WRITE)?;
        Ok((figures, memory))
    }

    /// Makes so many figures that others who have the file can write to too. Processes forked from here do not have the
    /// memory.
    pub(crate) fn for_both(count: usize) -> io::Result<(Self, OwnedFd)> {
        let memory = super::memory_file::create("prefork-pool")?;
        ftruncate(&memory, (count.max(1) * size_of::<AtomicU64>()) as u64)?;
        fcntl_add_seals(&memory, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW)?;
        Ok((Self::of_both(&memory)?, memory))
    }

    /// Maps the figures in such a file, to be read and written. Processes forked from here do not have the memory.
    pub(crate) fn of_both(memory: &OwnedFd) -> io::Result<Self> {
        let figures = Self::open(memory, ProtFlags::READ | ProtFlags::WRITE)?;
        let start = figures.figures.as_ptr().cast_mut().cast();
        let size = size_of_val(figures.figures);
        // SAFETY: the range is exactly the mapping just made; only this process goes on using it.
        unsafe { madvise(start, size, Advice::LinuxDontFork) }?;
        Ok(figures)
    }

    /// Maps the figures in such a file, to be read alone.
    pub(crate) fn of_memory_file(memory: &OwnedFd) -> io::Result<Self> {
        Self::open(memory, ProtFlags::READ)
    }

    fn open(memory: &OwnedFd, protection: ProtFlags) -> io::Result<Self> {
        if !fcntl_get_seals(memory)?.contains(SealFlags::SHRINK) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let size = usize::try_from(rustix::fs::fstat(memory)?.st_size).map_err(io::Error::other)?;
        Self::map(memory, size, protection)
    }

    fn map(memory: &OwnedFd, size: usize, protection: ProtFlags) -> io::Result<Self> {
        // SAFETY: the kernel chooses the address (the hint is null), so no memory of ours is
        // mapped over.
        let start =
            unsafe { mmap(std::ptr::null_mut(), size, protection, MapFlags::SHARED, memory, 0) }?;
        let count = size / size_of::<AtomicU64>();
        // SAFETY: the mapping is page-aligned, as long as the file, which is never made shorter, never
        // unmapped, and reached only through these atomics. A process that has mapped it to read only loads.
        let figures = unsafe { std::slice::from_raw_parts(start.cast::<AtomicU64>(), count) };
        Ok(Self { figures })
    }

    /// Returns the figures.
    pub(crate) const fn get(&self) -> &'static [AtomicU64] {
        self.figures
    }
}
