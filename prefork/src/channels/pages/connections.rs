//! The connections that children have in hand, and have had a moment ago.
//!
//! A client that has reset may use its port again at once, for another connection with the same addresses. If that is
//! over when the parent looks, the table shows it as closed by this side, and the parent would take it for the first one.
//! So each child keeps which connections it had lately: a Bloom filter for the running span of time and one for the span
//! before. It never forgets one of the last interval; and where it takes one for another, that counts only if a child is
//! still at a request whose connection it has itself shut down.

use std::{
    ops::Range,
    sync::atomic::{Ordering, fence},
};

use prefork_core::{SlotId, Time};

use super::{OwnPage, Pages, WATCHED, millis};
use crate::sys::pages::Page;

/// The same in shared memory: first the inode, which is never 0. A client that is not known has port 0.
pub(crate) type Words = [u64; 7];

/// The words of a page that this is about.
pub(super) const WORDS: Range<usize> = CONNECTION..FILTERS + 2 * LENGTH;

/// Written by the child: the connection that it has in hand; 0 first if there is none.
const CONNECTION: usize = 80;
/// Written by the child: the number of the running span, and the filters for spans with even and with odd numbers.
const SPAN: usize = 95;
const FILTERS: usize = 96;
/// The words of a filter. After two thousand connections one in thirteen others is taken for one of them.
const LENGTH: usize = 192;

const _: () = assert!(CONNECTION + size_of::<Words>() / size_of::<u64>() <= SPAN);

impl Pages {
    /// Reads which connection a child says that it has in hand; to be read before its record.
    pub(crate) fn connection(&self, slot: SlotId) -> Option<Words> {
        let words = self.page(slot)?.get(CONNECTION..)?;
        // Acquire: pairs with the release in `OwnPage::connected`.
        let inode = words.first()?.load(Ordering::Acquire);
        let mut connection = Words::default();
        for (word, shared) in connection.iter_mut().zip(words) {
            *word = shared.load(Ordering::Relaxed);
        }
        // What is another meanwhile is looked at the next time.
        (inode != 0 && connection[0] == inode).then_some(connection)
    }

    /// Returns whether another child has had a connection lately that has the addresses of the one that the child in this
    /// slot has in hand, as far as they say so: the client's port was used again.
    pub(crate) fn has_successor(&self, slot: SlotId, now: Time) -> bool {
        let Some(connection) = self.connection(slot) else { return false };
        let bits = bits(&connection);
        (0..self.pages.len())
            .filter(|index| *index != slot.index())
            .filter_map(|index| self.pages.get(index))
            .any(|page| had_lately(page, bits, span(page, now)))
    }
}

impl OwnPage {
    /// Reports which connection is in hand, after the record shows that a request has begun.
    pub(crate) fn connected(self, connection: Words, now: Time) {
        self.remember(bits(&connection), span(self.page, now));
        let [inode, rest @ ..] = connection;
        for (shared, word) in self.page[CONNECTION + 1..].iter().zip(rest) {
            shared.store(word, Ordering::Relaxed);
        }
        // Release: a reader of this sees the rest, and a record that is of this request or a later one.
        self.page[CONNECTION].store(inode, Ordering::Release);
    }

    /// Reports that none is in hand any more, before the record shows it.
    pub(crate) fn disconnected(self) {
        self.page[CONNECTION].store(0, Ordering::Relaxed);
        fence(Ordering::Release);
    }

    fn remember(self, bits: [usize; 2], span: u64) {
        let before = self.page[SPAN].swap(span, Ordering::Relaxed);
        for number in [span.wrapping_sub(1), span] {
            // The filter of a span that is over is for another now.
            if number > before {
                let words = &self.page[filter(number)..][..LENGTH];
                words.iter().for_each(|word| word.store(0, Ordering::Relaxed));
            }
        }
        for bit in bits {
            let word = &self.page[filter(span) + bit / 64];
            word.fetch_or(1 << (bit % 64), Ordering::Relaxed);
        }
    }
}

/// Returns whether one of the filters of a page has both bits, if it is not of a time long ago.
fn had_lately(page: &Page, bits: [usize; 2], span: u64) -> bool {
    let last = page[SPAN].load(Ordering::Relaxed);
    let has = |number: u64, bit: usize| {
        page[filter(number) + bit / 64].load(Ordering::Relaxed) & 1 << (bit % 64) != 0
    };
    let is_recent = |number: &u64| number.saturating_add(1) >= span;
    [last, last.wrapping_sub(1)]
        .into_iter()
        .filter(is_recent)
        .any(|number| bits.iter().all(|bit| has(number, *bit)))
}

/// Returns the place where the filter for a span begins.
const fn filter(span: u64) -> usize {
    if span.is_multiple_of(2) { FILTERS } else { FILTERS + LENGTH }
}

/// The number of the span at this time: each is as long as two intervals, so that one of them and the one before hold
/// whatever has been since the last look.
fn span(page: &Page, now: Time) -> u64 {
    let length = page[WATCHED].load(Ordering::Relaxed).saturating_mul(2).max(1);
    millis(now.since(Time::ZERO)) / length + 1
}

/// Returns the bits of a filter that stand for the addresses of a connection.
fn bits(connection: &Words) -> [usize; 2] {
    let [_, addresses @ ..] = connection;
    let mix = |hash: u64, word: &u64| {
        let hash = (hash ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash ^ hash >> 29
    };
    let hash = addresses.iter().fold(1, mix);
    [hash, hash >> 32].map(|half| (half & 0xffff_ffff) as usize % (LENGTH * 64))
}
