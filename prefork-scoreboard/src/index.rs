//! Which slots of a shared board are perhaps free, so that a claim need not look at all of them.
//!
//! A bit a slot, in pages after the slots. It is advice: a set bit means that the slot was given back or never taken; a
//! claim takes the bit first and looks at the slot then. So a bit that is wrongly set costs a look, and one that is
//! wrongly clear, as after a claimer was killed between the two, is found by the look at all slots before a board counts as
//! full. The order counts: a process that gives a slot back empties the record, then sets the bit; one that claims clears the bit, then
//! reads the record. Of one that gives back and one that claims at the same moment, either the claimer sees the slot empty or the
//! bit is set after it was cleared.

use crate::format::index::{BITS, HAND};
use crate::header::Header;
use crate::sys::WordPages;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

/// The index of a board, mapped.
#[derive(Debug)]
pub(crate) struct Index {
    pages: WordPages,
    slots: usize,
}

impl Index {
    /// Maps the index of the shared board in `file`, whose length its reader has checked.
    pub(crate) fn map(file: &File, header: &Header) -> io::Result<Self> {
        let length = usize::try_from(header.index_size()).map_err(io::Error::other)?;
        let pages = WordPages::map(file, header.index_offset(), length)?;
        Ok(Self { pages, slots: header.slots as usize })
    }

    /// Returns the next slot in turn, which no other claim looks at at the same time.
    pub(crate) fn turn(&self) -> usize {
        let count = self.pages.words()[HAND].fetch_add(1, Ordering::Relaxed);
        #[expect(clippy::cast_possible_truncation, reason = "less than the number of slots")]
        let slot = (count % self.slots as u64) as usize;
        slot
    }

    /// Takes the bit of the first slot that has one.
    pub(crate) fn take(&self) -> Option<usize> {
        self.bits().iter().enumerate().find_map(|(number, word)| {
            let bit = take_bit(word)?;
            Some(number * 64 + bit as usize).filter(|slot| *slot < self.slots)
        })
    }

    /// Takes the bit of `slot`, when the slot is taken without the index.
    pub(crate) fn remove(&self, slot: usize) {
        self.bits()[slot / 64].fetch_and(!(1 << (slot % 64)), Ordering::AcqRel);
    }

    /// Sets the bit of `slot`, whose record has been emptied.
    pub(crate) fn put(&self, slot: usize) {
        self.bits()[slot / 64].fetch_or(1 << (slot % 64), Ordering::AcqRel);
    }

    fn bits(&self) -> &[AtomicU64] {
        &self.pages.words()[BITS..][..self.slots.div_ceil(64)]
    }
}

/// Clears the lowest bit of a word that this call has found set.
fn take_bit(word: &AtomicU64) -> Option<u32> {
    loop {
        let bits = word.load(Ordering::Acquire);
        if bits == 0 {
            return None;
        }
        let bit = bits.trailing_zeros();
        if word.fetch_and(!(1 << bit), Ordering::AcqRel) & (1 << bit) != 0 {
            return Some(bit);
        }
    }
}

/// Writes the index of a new board: all slots are free.
pub(crate) fn write_new(file: &File, header: &Header) -> io::Result<()> {
    if header.index_size() == 0 {
        return Ok(());
    }
    let slots = u64::from(header.slots);
    let words = (0..slots.div_ceil(64)).map(|word| match slots - word * 64 {
        rest @ 0..64 => (1_u64 << rest) - 1,
        _ => u64::MAX,
    });
    let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    file.write_all_at(&bytes, header.index_offset() + 8 * BITS as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Kind;

    fn index(slots: u32) -> Index {
        let header = Header::new(Kind::Shared, slots);
        let file = tempfile::tempfile().expect("a file");
        file.set_len(header.file_size()).expect("room");
        write_new(&file, &header).expect("written");
        Index::map(&file, &header).expect("mapped")
    }

    #[test]
    fn a_new_index_has_each_slot_once_and_no_other() {
        for slots in [1_u32, 63, 64, 65, 4096, 65_536] {
            let index = index(slots);
            let all: Vec<_> = std::iter::from_fn(|| index.take()).collect();
            assert_eq!(all, (0..slots as usize).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_slot_given_back_is_found_again() {
        let index = index(130);
        while index.take().is_some() {}
        index.put(129);
        index.put(64);
        index.put(3);
        index.remove(64);
        assert_eq!([index.take(), index.take(), index.take()], [Some(3), Some(129), None]);
    }

    #[test]
    fn the_turn_goes_round() {
        let index = index(3);
        let turns = [(); 5].map(|()| index.turn());
        assert_eq!(turns, [0, 1, 2, 0, 1]);
    }
}
