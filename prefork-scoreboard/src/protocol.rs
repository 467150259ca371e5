//! The protocol by which one process changes a record while others read it.
//!
//! The problem: a record is many words, a reader must never take some from one moment and the rest
//! from another, and no reader may ever hold a writer up. The idea is a sequence lock, with a
//! checksum that the sequence takes part in:
//!
//! 1. the writer stores an odd sequence,
//! 2. then the words that change and the new checksum,
//! 3. then the next even sequence.
//!
//! A reader takes a copy and believes it only if the sequence in it is even and the checksum is
//! that of all words of the copy, sequence included.
//!
//! # Why a checksum, when sequence locks do without
//!
//! The usual reader loads the sequence, the data, and the sequence again, and needs those loads to
//! happen in that order. Our readers use `pread(2)`, since a mapping of a file that somebody
//! truncates kills the reader. The kernel copies with instructions that promise no order at all, on
//! some machines not even whole words. So order must not matter. With the checksum it does not: a
//! copy that passes is word for word a record that was published, whatever the order in which it
//! was gathered; one that mixes two moments passes with a chance of about 2^-64. The odd sequence
//! remains useful: it distinguishes a write in progress from damage, and it lets a reader that maps the
//! page do without the checksum.
//!
//! # Orderings
//!
//! They are those of Boehm, "Can seqlocks get along with programming language memory models?"
//! (2012). The data words are atomics too, relaxed, because a reader may load them at any time.
//!
//! - The release *fence* after the odd sequence pairs with a mapping reader's acquire fence before
//!   its second look at the sequence: a reader that saw any new word sees the odd sequence, or a
//!   later one, when it looks again.
//! - The release *store* of the even sequence pairs with that reader's acquire load at the start: a
//!   reader that sees the even sequence sees all words that came before it.
//!
//! There is one writer a record at a time, so the writer loads nothing: it keeps a copy of its own.

use crate::checksum;
use crate::format::{WORDS, record, word};
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// The word that holds the sequence.
pub(crate) const SEQUENCE: usize = word(record::SEQUENCE);

/// The word that holds the checksum.
pub(crate) const CHECKSUM: usize = word(record::CHECKSUM);

/// What the protocol needs of a word of shared memory.
///
/// It exists so that the model checker runs the very code that runs in production.
pub(crate) trait Word {
    fn store(&self, value: u64, order: Ordering);
    fn fence(order: Ordering);
}

impl Word for AtomicU64 {
    fn store(&self, value: u64, order: Ordering) {
        Self::store(self, value, order);
    }

    fn fence(order: Ordering) {
        fence(order);
    }
}

/// The writer's own copy of its record, with the checksum kept up to date.
#[derive(Debug, Clone)]
pub(crate) struct Shadow<const N: usize = WORDS> {
    words: [u64; N],
    sum: u64,
    /// Bit i is set where word i differs from what was last published.
    dirty: u32,
}

impl<const N: usize> Shadow<N> {
    /// Makes an empty record that follows one whose sequence was `last`.
    ///
    /// `last` may be odd: its writer died in the middle. Everything counts as changed, so
    /// that the first publishing overwrites whatever is there.
    pub(crate) fn following(last: u64) -> Self {
        let mut words = [0; N];
        words[SEQUENCE] = last.wrapping_add(last & 1);
        Self { words, sum: checksum::term(SEQUENCE, words[SEQUENCE]), dirty: Self::ALL }
    }

    /// Makes `words` the whole record that follows one whose sequence was `last`, for a writer that keeps no copy.
    pub(crate) fn sealed(mut words: [u64; N], last: u64) -> [u64; N] {
        words[SEQUENCE] = last.wrapping_add(last & 1).wrapping_add(2);
        words[CHECKSUM] = checksum::sum(&words, CHECKSUM);
        words
    }

    /// Takes over a copy whose sequence and checksum were found good.
    pub(crate) fn adopt(words: [u64; N]) -> Self {
        Self { sum: checksum::sum(&words, CHECKSUM), words, dirty: Self::ALL }
    }

    /// A bit for each word but the two that publishing sets itself.
    const ALL: u32 = (u32::MAX >> (32 - N)) & !(1 << SEQUENCE) & !(1 << CHECKSUM);

    /// After so many changes all words are stored, so that a record that something else wrote over
    /// comes right again by itself. The cost is not measurable.
    const REFRESH: u64 = 64;

    #[inline]
    pub(crate) const fn get(&self, index: usize) -> u64 {
        self.words[index]
    }

    /// Changes one word; others see it when it is published.
    #[inline]
    pub(crate) fn set(&mut self, index: usize, value: u64) {
        let old = self.words[index];
        if old != value {
            self.replace(index, value);
            self.dirty |= 1 << index;
        }
    }

    #[inline]
    fn replace(&mut self, index: usize, value: u64) {
        let without = self.sum.wrapping_sub(checksum::term(index, self.words[index]));
        self.sum = without.wrapping_add(checksum::term(index, value));
        self.words[index] = value;
    }

    /// Returns whether anything differs from what was published last.
    #[inline]
    pub(crate) const fn is_changed(&self) -> bool {
        self.dirty != 0
    }

    /// Publishes what changed in `page`, so that readers take all of it or none.
    #[inline]
    pub(crate) fn publish<W: Word>(&mut self, page: &[W; N]) {
        let sequence = self.words[SEQUENCE];
        page[SEQUENCE].store(sequence.wrapping_add(1).to_le(), Ordering::Relaxed);
        // Pairs with the acquire fence of a reader that maps the page: see the head of this file.
        W::fence(Ordering::Release);
        let mut dirty = std::mem::take(&mut self.dirty);
        if sequence.is_multiple_of(2 * Self::REFRESH) {
            dirty = Self::ALL;
        }
        while dirty != 0 {
            let index = dirty.trailing_zeros() as usize;
            page[index].store(self.words[index].to_le(), Ordering::Relaxed);
            dirty &= dirty - 1;
        }
        self.advance();
        page[CHECKSUM].store(self.sum.to_le(), Ordering::Relaxed);
        // Pairs with the acquire load of such a reader's first look at the sequence.
        page[SEQUENCE].store(self.words[SEQUENCE].to_le(), Ordering::Release);
    }

    /// Moves on to the next even sequence.
    fn advance(&mut self) {
        self.replace(SEQUENCE, self.words[SEQUENCE].wrapping_add(2));
    }

    /// Gives the next record to publish as a whole, for a writer that has no mapping.
    pub(crate) fn next_words(&mut self) -> [u64; N] {
        self.advance();
        self.dirty = 0;
        let mut words = self.words;
        words[CHECKSUM] = self.sum;
        words
    }
}

/// What a copy of a record turns out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wholeness {
    /// All of it is from one moment.
    Whole,
    /// It was being written, or its writer died while writing.
    HalfWritten,
    /// It was being written, or something else wrote over it.
    Damaged,
}

/// Judges a copy of a record, gathered in any order.
pub(crate) fn judge<const N: usize>(copy: &[u64; N]) -> Wholeness {
    if copy[SEQUENCE] & 1 == 1 {
        Wholeness::HalfWritten
    } else if checksum::sum(copy, CHECKSUM) == copy[CHECKSUM] {
        Wholeness::Whole
    } else {
        Wholeness::Damaged
    }
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn published(shadow: &mut Shadow, page: &[AtomicU64; WORDS]) -> [u64; WORDS] {
        shadow.publish(page);
        page.each_ref().map(|word| u64::from_le(word.load(Ordering::Relaxed)))
    }

    proptest! {
        #[test]
        fn whatever_is_published_is_whole(
            last: u64,
            changes in prop::collection::vec((2_usize..WORDS, any::<u64>()), 0..200),
        ) {
            let page = [const { AtomicU64::new(u64::MAX) }; WORDS];
            let mut shadow = Shadow::following(last);
            for (index, value) in changes {
                shadow.set(index, value);
                let copy = published(&mut shadow, &page);
                prop_assert_eq!(judge(&copy), Wholeness::Whole);
                prop_assert_eq!(copy[index], value);
            }
        }

        #[test]
        fn no_mixture_of_two_records_is_whole(
            first: [u64; WORDS],
            changes in prop::collection::vec((2_usize..WORDS, any::<u64>()), 1..40),
            old_words: u32,
        ) {
            let mut shadow = Shadow::adopt(first.map(|word| word & !1));
            let old = shadow.next_words();
            for (index, value) in changes {
                shadow.set(index, value);
            }
            let new = shadow.next_words();
            let mut mixed = new;
            for index in (0..WORDS).filter(|index| old_words >> index & 1 == 1) {
                mixed[index] = old[index];
            }
            prop_assert_eq!(judge(&mixed) == Wholeness::Whole, mixed == old || mixed == new);
        }

        #[test]
        fn a_half_written_record_is_followed_by_a_whole_one(last: u64) {
            let next = Shadow::<WORDS>::following(last).next_words();
            prop_assert_eq!(judge(&next), Wholeness::Whole);
            prop_assert_ne!(next[SEQUENCE], last);
        }
    }

    #[test]
    fn a_record_written_over_comes_right_again() {
        let page = [const { AtomicU64::new(0) }; WORDS];
        let mut shadow = Shadow::following(0);
        for round in 0..300 {
            page[20].store(round, Ordering::Relaxed);
            let repaired = (0..64).any(|change| {
                shadow.set(10, round << 8 | change);
                judge(&published(&mut shadow, &page)) == Wholeness::Whole
            });
            assert!(repaired, "still damaged after 64 changes in round {round}");
        }
    }

    #[test]
    fn a_page_of_zeros_is_whole() {
        assert_eq!(judge(&[0_u64; WORDS]), Wholeness::Whole);
    }
}
