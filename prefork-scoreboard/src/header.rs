//! The first page of a board.

use crate::checksum;
use crate::clock::{Monotonic, wall_now};
use crate::error::HeaderFault;
use crate::format::{
    HEADER_SIZE, HEADER_WORDS, MAGIC, MAX_SLOTS, MAX_STRIDE, MIN_STRIDE, RECORD_SIZE, VERSION,
    header, index, word,
};
use crate::process;

/// Who decides whose a slot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One parent assigns the slots to its children: see [`OwnedBoard`](crate::OwnedBoard).
    Owned,
    /// Processes that need not know each other claim slots: see
    /// [`Board::claim`](crate::Board::claim).
    Shared,
}

impl Kind {
    const fn number(self) -> u32 {
        match self {
            Self::Owned => 1,
            Self::Shared => 2,
        }
    }
}

/// The contents of a header, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) stride: u32,
    pub(crate) slots: u32,
    pub(crate) creator: u32,
    pub(crate) created: Monotonic,
    pub(crate) created_wall: u64,
    pub(crate) creator_start: u64,
    pub(crate) pid_namespace: u64,
    pub(crate) boot_id: [u8; 16],
}

impl Header {
    /// Describes a board that this process makes now.
    pub(crate) fn new(kind: Kind, slots: u32) -> Self {
        let page = u32::try_from(rustix::param::page_size()).unwrap_or(u32::MAX);
        let least = u32::try_from(MIN_STRIDE).unwrap_or(u32::MAX);
        Self {
            kind,
            stride: page.max(least),
            slots,
            creator: std::process::id(),
            created: Monotonic::now(),
            created_wall: wall_now(),
            creator_start: process::own_start().unwrap_or(0),
            pid_namespace: process::pid_namespace().unwrap_or(0),
            boot_id: process::boot_id().unwrap_or([0; 16]),
        }
    }

    /// Returns whether the board is of this boot. Where that is not known, here or there, it may be.
    pub(crate) fn is_of_this_boot(&self) -> bool {
        process::boot_id().is_none_or(|id| id == self.boot_id || self.boot_id == [0; 16])
    }

    /// Returns where slot number `slot` begins. The caller has compared it with `slots`.
    pub(crate) fn offset(&self, slot: usize) -> u64 {
        u64::from(self.stride) * (slot as u64 + 1)
    }

    /// Returns where the slots end, and on a shared board the index of free slots begins.
    pub(crate) fn index_offset(&self) -> u64 {
        u64::from(self.stride) * (u64::from(self.slots) + 1)
    }

    /// The size of the index of free slots in bytes, whole strides; 0 where an owner assigns them.
    pub(crate) fn index_size(&self) -> u64 {
        match self.kind {
            Kind::Owned => 0,
            Kind::Shared => {
                let words = u64::from(self.slots).div_ceil(64) + index::BITS as u64;
                (words * 8).next_multiple_of(u64::from(self.stride))
            }
        }
    }

    /// The size of the whole file in bytes.
    pub(crate) fn file_size(&self) -> u64 {
        self.index_offset() + self.index_size()
    }

    pub(crate) fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        let mut put = |offset: usize, field: &[u8]| {
            bytes[offset..offset + field.len()].copy_from_slice(field);
        };
        put(header::MAGIC, &MAGIC);
        put(header::VERSION, &VERSION.to_le_bytes());
        put(header::KIND, &self.kind.number().to_le_bytes());
        put(header::STRIDE, &self.stride.to_le_bytes());
        put(header::RECORD, &RECORD_BYTES.to_le_bytes());
        put(header::SLOTS, &self.slots.to_le_bytes());
        put(header::CREATOR, &self.creator.to_le_bytes());
        put(header::CREATED_MONOTONIC, &self.created.as_nanos().to_le_bytes());
        put(header::CREATED_WALL, &self.created_wall.to_le_bytes());
        put(header::CREATOR_START, &self.creator_start.to_le_bytes());
        put(header::PID_NAMESPACE, &self.pid_namespace.to_le_bytes());
        put(header::BOOT_ID, &self.boot_id);
        let sum = header_sum(&bytes);
        bytes[header::CHECKSUM..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a header of a file of `file_size` bytes, believing nothing.
    pub(crate) fn decode(bytes: &[u8; HEADER_SIZE], file_size: u64) -> Result<Self, HeaderFault> {
        let u32_at = |offset| u32::from_le_bytes(field(bytes, offset));
        let u64_at = |offset| u64::from_le_bytes(field(bytes, offset));
        if field(bytes, header::MAGIC) != MAGIC {
            return Err(HeaderFault::Magic);
        }
        if header_sum(bytes) != u64_at(header::CHECKSUM) {
            return Err(HeaderFault::Checksum);
        }
        // Only now: what stands before the version, and the checksum, are the same in all versions.
        let version = u32_at(header::VERSION);
        if version != VERSION {
            return Err(HeaderFault::Version { found: version, supported: VERSION });
        }
        let header = Self {
            kind: kind(u32_at(header::KIND))?,
            stride: stride(u32_at(header::STRIDE))?,
            slots: slots(u32_at(header::SLOTS))?,
            creator: u32_at(header::CREATOR),
            created: Monotonic::from_nanos(u64_at(header::CREATED_MONOTONIC)),
            created_wall: u64_at(header::CREATED_WALL),
            creator_start: u64_at(header::CREATOR_START),
            pid_namespace: u64_at(header::PID_NAMESPACE),
            boot_id: field(bytes, header::BOOT_ID),
        };
        if u32_at(header::RECORD) != RECORD_BYTES {
            return Err(HeaderFault::RecordSize { found: u32_at(header::RECORD) });
        }
        if file_size < header.file_size() {
            return Err(HeaderFault::Truncated { expected: header.file_size(), found: file_size });
        }
        Ok(header)
    }
}

/// Returns whether processes may have claimed slots of the board, of whatever version: all have kind and boot id in common.
/// The owner of one that is owned has its lock, and one of another boot is nobody's.
pub(crate) fn may_be_claimed(bytes: &[u8; HEADER_SIZE]) -> bool {
    let boot_id: [u8; 16] = field(bytes, header::BOOT_ID);
    let is_of_this_boot = process::boot_id().is_none_or(|id| id == boot_id || boot_id == [0; 16]);
    is_of_this_boot && u32::from_le_bytes(field(bytes, header::KIND)) != Kind::Owned.number()
}

#[expect(clippy::cast_possible_truncation, reason = "256 fits")]
const RECORD_BYTES: u32 = RECORD_SIZE as u32;

fn kind(number: u32) -> Result<Kind, HeaderFault> {
    [Kind::Owned, Kind::Shared]
        .into_iter()
        .find(|kind| kind.number() == number)
        .ok_or(HeaderFault::Kind { found: number })
}

fn stride(stride: u32) -> Result<u32, HeaderFault> {
    let accepted = (MIN_STRIDE..=MAX_STRIDE).contains(&(stride as usize));
    if accepted && stride.is_power_of_two() {
        Ok(stride)
    } else {
        Err(HeaderFault::Stride { found: stride })
    }
}

fn slots(slots: u32) -> Result<u32, HeaderFault> {
    if (1..=MAX_SLOTS).contains(&(slots as usize)) {
        Ok(slots)
    } else {
        Err(HeaderFault::Slots { found: slots })
    }
}

/// Copies the `N` bytes at `offset`, a constant of the format that lies within the header.
fn field<const N: usize>(bytes: &[u8; HEADER_SIZE], offset: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[offset..offset + N]);
    field
}

fn header_sum(bytes: &[u8; HEADER_SIZE]) -> u64 {
    let mut words = [0; HEADER_WORDS];
    for (word, chunk) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*chunk);
    }
    checksum::sum(&words, word(header::CHECKSUM))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> Header {
        Header::new(Kind::Owned, 3)
    }

    /// Changes a header and makes its checksum right again.
    fn forged(offset: usize, field: &[u8]) -> [u8; HEADER_SIZE] {
        let mut bytes = example().encode();
        bytes[offset..offset + field.len()].copy_from_slice(field);
        let sum = header_sum(&bytes);
        bytes[header::CHECKSUM..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// S6: each field at its extremes, the checksum being right.
    #[test]
    fn refuses_every_extreme_of_every_field() {
        for extreme in [0, 5, 3, 4095, 4097, u32::MAX] {
            for offset in [header::VERSION, header::KIND, header::STRIDE, header::RECORD] {
                let bytes = forged(offset, &extreme.to_le_bytes());
                assert!(
                    Header::decode(&bytes, u64::MAX).is_err(),
                    "took {extreme} at offset {offset} of the header"
                );
            }
        }
        for slots in [0, 65_537, u32::MAX] {
            let bytes = forged(header::SLOTS, &slots.to_le_bytes());
            assert_eq!(Header::decode(&bytes, u64::MAX), Err(HeaderFault::Slots { found: slots }));
        }
        let bytes = forged(header::STRIDE, &(2_u32 << 20).to_le_bytes());
        assert_eq!(Header::decode(&bytes, 1 << 40), Err(HeaderFault::Stride { found: 2 << 20 }));
    }

    #[test]
    fn refuses_a_file_one_byte_too_short() {
        let (bytes, size) = (example().encode(), example().file_size());
        assert!(Header::decode(&bytes, size).is_ok());
        assert_eq!(
            Header::decode(&bytes, size - 1),
            Err(HeaderFault::Truncated { expected: size, found: size - 1 })
        );
    }

    proptest! {
        #[test]
        fn comes_back_as_written(
            slots in 1_u32..=65_536, shift in 12_u32..=20, numbers: [u64; 4], creator: u32,
            boot_id: [u8; 16], kind in prop::sample::select(vec![Kind::Owned, Kind::Shared]),
        ) {
            let header = Header {
                kind, slots, creator, boot_id,
                stride: 1 << shift,
                created: Monotonic::from_nanos(numbers[0]),
                created_wall: numbers[1],
                creator_start: numbers[2],
                pid_namespace: numbers[3],
            };
            prop_assert_eq!(Header::decode(&header.encode(), u64::MAX), Ok(header));
        }

        #[test]
        fn any_flipped_bit_is_refused(bit in 0..HEADER_SIZE * 8) {
            let mut bytes = example().encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Header::decode(&bytes, u64::MAX).is_err());
        }
    }
}
