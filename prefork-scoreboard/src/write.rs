//! Writing a record through the file, for processes that map no slot.

use crate::format::{RECORD_SIZE, record};
use crate::protocol::{SEQUENCE, Shadow};
use crate::read;
use crate::stamp::Stamp;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{Ordering, fence};

/// Replaces the record at `offset` by an empty one that `fill` may change; returns the stamp of what is
/// there now.
///
/// The sequence goes on from the one found, even if that is odd: its writer died. The number found
/// decides nothing else. A file that is too short is `UnexpectedEof`; it is not made longer, since
/// the old record is read first, whole.
pub(crate) fn rewrite(
    file: &File,
    offset: u64,
    fill: impl FnOnce(&mut Shadow),
) -> io::Result<Stamp> {
    let mut old = [0; RECORD_SIZE];
    file.read_exact_at(&mut old, offset)?;
    let mut shadow = Shadow::following(
        old.as_chunks().0.get(SEQUENCE).map_or(0, |last| u64::from_le_bytes(*last)),
    );
    fill(&mut shadow);
    let words = shadow.next_words();
    publish(file, offset, &words)?;
    Ok(Stamp::of(&words))
}

/// Writes as the sequence lock demands: odd sequence, the rest, even sequence.
///
/// Readers of this crate would notice a mixture by the checksum alone. The order is for those that
/// map the page; the fences keep it on processors that reorder stores, for which it makes no
/// difference that the kernel does the storing. An interruption half-way, by a full disk or death,
/// leaves a record that readers call half-written.
pub(crate) fn publish<const N: usize>(
    file: &File,
    offset: u64,
    words: &[u64; N],
) -> io::Result<()> {
    let bytes = words.map(u64::to_le_bytes);
    let bytes = bytes.as_flattened();
    let body = record::SEQUENCE + 8;
    file.write_all_at(&words[SEQUENCE].wrapping_sub(1).to_le_bytes(), offset)?;
    fence(Ordering::Release);
    file.write_all_at(&bytes[body..], offset + body as u64)?;
    fence(Ordering::Release);
    file.write_all_at(&bytes[..body], offset)
}

/// Empties the record of `N` words at `offset`, whose sequence goes on.
pub(crate) fn empty<const N: usize>(file: &File, offset: u64) -> io::Result<()> {
    let [last] = read::words(file, offset)?;
    publish(file, offset, &Shadow::sealed([0; N], last))
}

/// Writes words at once, outside of the protocol, for readers that a checksum is enough for.
pub(crate) fn words<const N: usize>(file: &File, offset: u64, words: &[u64; N]) -> io::Result<()> {
    file.write_all_at(words.map(u64::to_le_bytes).as_flattened(), offset)
}

/// Writes one word of the record at `offset`, outside of any protocol.
pub(crate) fn word(file: &File, offset: u64, field: usize, value: u64) -> io::Result<()> {
    file.write_all_at(&value.to_le_bytes(), offset + field as u64)
}
