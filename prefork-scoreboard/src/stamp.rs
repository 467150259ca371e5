//! Knowing again what one has published, without keeping it.

use crate::checksum;
use crate::protocol::{CHECKSUM, SEQUENCE};

/// Stands for a record that was published: eight bytes by which
/// [`OwnedBoard::shows`](crate::OwnedBoard::shows) knows it again.
///
/// It guards against accidents, as the checksum of the format does: it is easy to make
/// another record with the same stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(u64);

impl Stamp {
    /// That of an empty slot.
    pub const EMPTY: Self = Self(0);

    pub(crate) fn of<const N: usize>(words: &[u64; N]) -> Self {
        let sequence = checksum::term(SEQUENCE, words[SEQUENCE]);
        Self(checksum::sum(words, CHECKSUM).wrapping_sub(sequence))
    }
}
