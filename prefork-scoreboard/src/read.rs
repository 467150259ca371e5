//! Reading by `pread(2)`: no mapping, so nothing that happens to the file can kill the reader.

use crate::format::WORDS;
use crate::protocol::{Wholeness, judge};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How much trouble one call takes over records that are being written.
///
/// A writer needs a few nanoseconds, so a second look nearly always finds a whole record. A process
/// that was killed while writing leaves a record that never becomes whole, and there may be any
/// number of those. So each record gets a few looks, and all records of a call share a supply of
/// further ones. The supply bounds the time of a call whatever the bytes say.
#[derive(Debug)]
pub(crate) struct Patience {
    looks: u32,
    /// Offers of the processor to a writer that was put to sleep. Few: where many processes want
    /// the processor, each may take milliseconds.
    yields: u32,
}

impl Patience {
    /// Looks that every record gets.
    const OWN_LOOKS: u32 = 4;
    /// Looks before the processor is offered to somebody else.
    const BEFORE_YIELD: u32 = 16;
    /// Looks that one record gets at the most.
    const MOST_LOOKS: u32 = 128;

    pub(crate) const fn new() -> Self {
        Self { looks: 1024, yields: 1 }
    }

    /// Returns whether to look once more after `looks` of them.
    fn allows(&mut self, looks: u32) -> bool {
        if looks < Self::OWN_LOOKS {
            return true;
        }
        if looks >= Self::MOST_LOOKS || self.looks == 0 {
            return false;
        }
        self.looks -= 1;
        if looks == Self::BEFORE_YIELD && self.yields > 0 {
            self.yields -= 1;
            std::thread::yield_now();
        }
        true
    }
}

/// Copies the record at `offset`, looking again while it is being written.
///
/// The copy is the last one taken, whole or not. The error is `UnexpectedEof` where the file ends
/// before the record does.
pub(crate) fn record<const N: usize>(
    file: &File,
    offset: u64,
    patience: &mut Patience,
) -> io::Result<[u64; N]> {
    let mut looks = 0;
    loop {
        let copy = words(file, offset)?;
        looks += 1;
        match judge(&copy) {
            Wholeness::Whole => return Ok(copy),
            Wholeness::HalfWritten | Wholeness::Damaged if patience.allows(looks) => {}
            Wholeness::HalfWritten | Wholeness::Damaged => return Ok(copy),
        }
    }
}

pub(crate) fn record_once(file: &File, offset: u64) -> io::Result<[u64; WORDS]> {
    words(file, offset)
}

/// Copies words as they are.
pub(crate) fn words<const N: usize>(file: &File, offset: u64) -> io::Result<[u64; N]> {
    let mut words = [[0; 8]; N];
    file.read_exact_at(words.as_flattened_mut(), offset)?;
    Ok(words.map(u64::from_le_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_has_an_end() {
        let mut patience = Patience::new();
        let mut all = 0;
        for _record in 0..10_000 {
            let mut looks = 1;
            while patience.allows(looks) {
                looks += 1;
            }
            assert!(looks >= Patience::OWN_LOOKS, "a record got {looks} looks only");
            assert!(looks <= Patience::MOST_LOOKS, "one record got {looks} looks");
            all += looks;
        }
        assert!(all <= 10_000 * Patience::OWN_LOOKS + 1024, "{all} looks in one call");
    }
}
