//! One series in a region: a word that says what it is, its figures, and the values of its labels.
//!
//! Series stand one behind the other and stay where they are. The first word is written last, so a series that a process was
//! killed over is not there, and the next one takes its place.

use std::ops::Range;

use super::{Join, MetricKind, layout::region};
use crate::text::is_printable;

/// The number of the family of a series whose text begins with its name, as it was never declared.
pub(super) const ANY: u16 = u16::MAX;
/// Ends each text of a series. No text in UTF-8 has it.
pub(super) const END: u8 = 0xFF;
/// What the first word begins with.
const MARK: u64 = 0x5046;
/// The most that a series can have of text, in bytes.
pub(super) const MAX_TEXT: usize = 8 * 1024;

/// What the first word says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: MetricKind,
    /// How many words of figures there are.
    pub(super) cells: u8,
    pub(super) family: u16,
    /// How many bytes of text there are.
    pub(super) text: u16,
}

impl Head {
    /// Describes a series of a family, with so many bounds and so much text.
    pub(super) fn new(kind: MetricKind, bounds: usize, family: u16, text: usize) -> Option<Self> {
        let text = u16::try_from(text).ok().filter(|text| usize::from(*text) <= MAX_TEXT)?;
        Some(Self { kind, cells: u8::try_from(cells(kind, bounds)).ok()?, family, text })
    }

    pub(super) fn encode(self) -> u64 {
        let (kind, cells) = (u64::from(number(self.kind)), u64::from(self.cells));
        let (family, text) = (u64::from(self.family), u64::from(self.text));
        MARK << 48 | kind << 40 | cells << 32 | family << 16 | text
    }

    pub(super) fn decode(word: u64) -> Option<Self> {
        let [m0, m1, kind, cells, f0, f1, t0, t1] = word.to_be_bytes();
        let kind = KINDS.into_iter().find(|it| number(*it) == kind)?;
        let is_one = u64::from(u16::from_be_bytes([m0, m1])) == MARK;
        let (family, text) = (u16::from_be_bytes([f0, f1]), u16::from_be_bytes([t0, t1]));
        let head = Self { kind, cells, family, text };
        (is_one && cells > 0 && usize::from(text) <= MAX_TEXT).then_some(head)
    }

    /// How many words the series takes.
    pub(super) fn words(self) -> usize {
        1 + usize::from(self.cells) + usize::from(self.text).div_ceil(8)
    }
}

const KINDS: [MetricKind; 5] = [
    MetricKind::Counter,
    MetricKind::Gauge(Join::Sum),
    MetricKind::Gauge(Join::Max),
    MetricKind::Gauge(Join::Last),
    MetricKind::Histogram,
];

const fn number(kind: MetricKind) -> u8 {
    match kind {
        MetricKind::Counter => 1,
        MetricKind::Gauge(Join::Sum) => 2,
        MetricKind::Gauge(Join::Max) => 3,
        MetricKind::Gauge(Join::Last) => 4,
        MetricKind::Histogram => 5,
    }
}

/// Returns how many words of figures a series has.
pub(super) const fn cells(kind: MetricKind, bounds: usize) -> usize {
    match kind {
        MetricKind::Counter => 1,
        // The figure, and when it was set.
        MetricKind::Gauge(_) => 2,
        // The buckets, that without an end, and the sum.
        MetricKind::Histogram => bounds + 2,
    }
}

/// Where a series is, in words of its region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) head: Head,
    pub(super) at: usize,
}

impl Place {
    pub(super) fn cells(&self) -> Range<usize> {
        self.at + 1..self.at + 1 + usize::from(self.head.cells)
    }

    /// Where the text is, in bytes.
    pub(super) fn text(&self) -> Range<usize> {
        let begin = self.cells().end * 8;
        begin..begin + usize::from(self.head.text)
    }
}

/// Returns where all series are of a copy of a region, up to the first word that is none.
pub(super) fn walk(words: &[[u8; 8]]) -> impl Iterator<Item = Place> {
    walk_by(words.len(), |at| u64::from_le_bytes(words[at]))
}

/// Returns the same of a region of so many words, of which this returns one.
pub(super) fn walk_by(length: usize, word: impl Fn(usize) -> u64) -> impl Iterator<Item = Place> {
    let mut at = region::FIRST;
    std::iter::from_fn(move || {
        let head = (at < length).then(|| Head::decode(word(at)))??;
        let end = at.checked_add(head.words()).filter(|end| *end <= length)?;
        Some(Place { head, at: std::mem::replace(&mut at, end) })
    })
}

fn printable(text: &[u8]) -> Option<&str> {
    str::from_utf8(text).ok().filter(|text| text.chars().all(is_printable))
}

/// Returns the texts of a series; `None` unless each of them is printable UTF-8 and has its end.
pub(super) fn texts(text: &[u8]) -> Option<Vec<&str>> {
    match text.strip_suffix(&[END]) {
        Some(text) => text.split(|byte| *byte == END).map(printable).collect(),
        None => text.is_empty().then(Vec::new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_series_is_comes_back() {
        for kind in KINDS {
            for (family, text) in [(0, 0), (7, 13), (ANY, MAX_TEXT)] {
                let head = Head::new(kind, 40, family, text).expect("possible");
                assert_eq!(Head::decode(head.encode()), Some(head));
            }
        }
        assert_eq!(Head::new(MetricKind::Counter, 0, 0, MAX_TEXT + 1), None);
        assert_eq!(Head::decode(0), None);
    }

    #[test]
    fn texts_are_whole_or_nothing() {
        for (bytes, found) in [
            (&b""[..], Some(vec![])),
            (b"\xff", Some(vec![""])),
            (b"a\xff\xffb\xff", Some(vec!["a", "", "b"])),
            (b"a", None),
            (b"a\xffb", None),
            (b"\x80\xff", None),
            (b"\x1b[2J\xff", None),
            (b"a\nb\xff", None),
        ] {
            assert_eq!(texts(bytes), found, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_region_leads_out_of_itself(
            words in prop::collection::vec(prop_oneof![
                any::<[u8; 8]>(),
                (1_u8..=6, any::<u8>(), any::<u16>(), any::<u16>()).prop_map(|(kind, cells, family, text)| {
                    (MARK << 48 | u64::from(kind) << 40 | u64::from(cells) << 32
                        | u64::from(family) << 16 | u64::from(text % 64)).to_le_bytes()
                }),
            ], 0..600),
        ) {
            let mut before = region::FIRST;
            for place in walk(&words) {
                prop_assert_eq!(place.at, before);
                prop_assert!(place.cells().end <= words.len());
                prop_assert!(place.text().end <= words.len() * 8);
                before = place.at + place.head.words();
            }
        }
    }
}
