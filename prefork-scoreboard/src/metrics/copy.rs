//! Copies of regions, one after the other, of what is used of each.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::layout::region;

/// How much of a region is read in any case: most have no more, in bytes.
const FIRST_READ: usize = 16 * 1024;
/// How much is read in all besides, in bytes: a file that somebody has made up may be as large as it likes.
pub(super) const MOST_READ: usize = 1 << 30;

/// Copies regions into the same memory.
pub(super) struct Copies<'a> {
    file: &'a File,
    words: Vec<[u8; 8]>,
    /// How much more may be read, in bytes.
    rest: usize,
}

/// How much of a region was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copied {
    /// All that is used.
    Whole,
    /// Not all, as there was too much in all of them.
    Beginning,
}

impl<'a> Copies<'a> {
    pub(super) const fn new(file: &'a File, rest: usize) -> Self {
        Self { file, words: Vec::new(), rest }
    }

    /// Copies as much of a region as is used, as it says itself.
    pub(super) fn next(&mut self, at: u64, size: u64) -> io::Result<Copied> {
        let size = usize::try_from(size).map_err(io::Error::other)?;
        let first = size.min(FIRST_READ);
        self.words.resize(first / 8, [0; 8]);
        self.file.read_exact_at(self.words.as_flattened_mut(), at)?;
        let used = u64::from_le_bytes(self.words[region::USED]).saturating_add(1);
        let used = usize::try_from(used.saturating_mul(8)).unwrap_or(size).min(size) / 8 * 8;
        let more = used.saturating_sub(first);
        if more > self.rest {
            return Ok(Copied::Beginning);
        }
        if more > 0 {
            self.rest -= more;
            self.words.resize((first + more) / 8, [0; 8]);
            let behind = &mut self.words[first / 8..];
            self.file.read_exact_at(behind.as_flattened_mut(), at + first as u64)?;
        }
        Ok(Copied::Whole)
    }

    /// Returns the last copy.
    pub(super) fn words(&self) -> &[[u8; 8]] {
        &self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_is_too_large_to_be_read() {
        const SIZE: u64 = 1 << 24;
        let file = tempfile::tempfile().expect("a file");
        file.set_len(4 * SIZE).expect("room");
        for slot in 0..4 {
            let used = slot * SIZE + 8 * region::USED as u64;
            file.write_all_at(&u64::MAX.to_le_bytes(), used).expect("written");
        }
        let mut copies = Copies::new(&file, 3 << 23);
        let mut copied = Vec::new();
        for slot in 0..4 {
            copied.push(copies.next(slot * SIZE, SIZE).expect("read"));
        }
        use Copied::{Beginning, Whole};
        assert_eq!(copied, [Whole, Beginning, Beginning, Beginning]);
        assert_eq!(copies.words().len() * 8, FIRST_READ);
    }
}
