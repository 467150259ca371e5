//! Where everything is: see the chapter "Metrics" of the format.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::StoreError;
use crate::checksum;

/// The first eight bytes.
const MAGIC: [u8; 8] = *b"PFMETRIC";
const VERSION: u64 = 1;
/// The words of the header, of which the last one is the checksum of the others.
const WORDS: usize = 6;
/// Where the length of what is declared is, in bytes.
pub(super) const SCHEMA_LENGTH: u64 = 48;
/// Where what is declared begins, in bytes.
pub(super) const SCHEMA: u64 = 64;
/// The least and the most that a slot may have, in bytes.
pub(super) const REGION: std::ops::RangeInclusive<usize> = 4096..=1 << 24;
/// The most that what is declared may have, in bytes.
pub(super) const MAX_SCHEMA: u64 = 1 << 18;

/// The words of a region, by their places.
pub(super) mod region {
    /// The pid of the process that has the slot, 0 if it is nobody's.
    pub(in crate::metrics) const OCCUPANT: usize = 0;
    /// How many series could not be made.
    pub(in crate::metrics) const REFUSED: usize = 1;
    /// How many words are used, as a hint of how much is to be read.
    pub(in crate::metrics) const USED: usize = 2;
    /// Where the first series is.
    pub(in crate::metrics) const FIRST: usize = 8;
}

/// The geometry, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// What each slot has.
    pub(super) region: u64,
    /// Where the region of the first slot is.
    pub(super) start: u64,
}

impl Layout {
    /// Plans regions of so many bytes, behind so much of what is declared; both in whole pages.
    pub(super) fn new(region: usize, schema: u64) -> Self {
        let page = rustix::param::page_size().max(*REGION.start());
        let region = region.clamp(*REGION.start(), *REGION.end()).next_multiple_of(page) as u64;
        Self { region, start: (SCHEMA + schema).next_multiple_of(page as u64) }
    }

    /// How much of what is declared there is room for.
    pub(super) const fn capacity(self) -> u64 {
        self.start - SCHEMA
    }

    /// Where the region of a slot begins.
    pub(super) const fn offset(self, slot: usize) -> u64 {
        self.start + self.region * slot as u64
    }

    pub(super) fn write(self, file: &File) -> io::Result<()> {
        let mut words =
            [u64::from_le_bytes(MAGIC), VERSION, self.region, self.capacity(), self.start, 0];
        words[WORDS - 1] = checksum::sum(&words, WORDS - 1);
        file.write_all_at(words.map(u64::to_le_bytes).as_flattened(), 0)
    }

    /// Reads the geometry of a file, believing nothing.
    pub(super) fn read(file: &File) -> Result<Self, StoreError> {
        let mut bytes = [[0; 8]; WORDS];
        let foreign = |reason| StoreError::Foreign { reason };
        file.read_exact_at(bytes.as_flattened_mut(), 0).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => foreign("it is too short"),
            _ => StoreError::Io { action: "read", source },
        })?;
        let words = bytes.map(u64::from_le_bytes);
        let [magic, version, region, capacity, start, sum] = words;
        if magic != u64::from_le_bytes(MAGIC) {
            return Err(foreign("it does not begin as such"));
        }
        if sum != checksum::sum(&words, WORDS - 1) {
            return Err(foreign("its checksum is wrong"));
        }
        if version != VERSION {
            return Err(foreign("it is of another version"));
        }
        let least = *REGION.start() as u64;
        let is_page = |bytes: u64| bytes >= least && bytes.is_multiple_of(least);
        if !is_page(region) || region > *REGION.end() as u64 {
            return Err(foreign("its regions have an impossible size"));
        }
        if !is_page(start) || start > MAX_SCHEMA + (1 << 20) || capacity != start - SCHEMA {
            return Err(foreign("its regions have an impossible place"));
        }
        Ok(Self { region, start })
    }
}
