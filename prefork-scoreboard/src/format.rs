#![doc = include_str!("../docs/format.md")]

/// The first eight bytes of every scoreboard.
pub const MAGIC: [u8; 8] = *b"PFSBOARD";

/// The version of the format that this crate reads and writes.
pub const VERSION: u32 = 1;

/// The most slots a scoreboard may have; the least is 1.
///
/// A board of this size takes 256 MiB where pages are 4096 bytes long.
pub const MAX_SLOTS: usize = 65_536;

/// The smallest distance in bytes between two slots.
pub const MIN_STRIDE: usize = 4096;

/// The largest distance in bytes between two slots that a reader accepts.
pub const MAX_STRIDE: usize = 1 << 20;

/// The bytes of the header that carry meaning.
pub const HEADER_SIZE: usize = 104;

/// The bytes of a slot's record, from the start of its page.
pub const RECORD_SIZE: usize = 256;

/// The longest label in bytes.
pub const LABEL_SIZE: usize = 96;

/// The longest client address in bytes.
pub const CLIENT_SIZE: usize = 64;

/// The most requests that one process can have in hand at once.
pub const MAX_CONCURRENCY: u32 = 65_536;

/// The most bytes that what an owner publishes about itself has, with all names.
pub const FACTS_SIZE: usize = 2976;

/// The longest value of what an owner publishes about itself, in bytes.
pub const VALUE_SIZE: usize = 256;

/// The longest title in bytes.
pub const TITLE_SIZE: usize = 64;

/// The most columns that a board may have.
pub const MAX_COLUMNS: usize = 12;

/// The longest name of a column in bytes.
pub const COLUMN_NAME_SIZE: usize = 32;

/// The longest unit of a column in bytes.
pub const UNIT_SIZE: usize = 16;

/// The longest text in a column in bytes.
pub const COLUMN_TEXT_SIZE: usize = 40;

/// The bytes of a slot's values, sequence and checksum among them.
pub const VALUES_SIZE: usize = 256;

/// The most bytes that the description of a board has.
pub const DESCRIPTION_SIZE: usize = 904;

/// Byte offsets of the description of the board, from the start of the file.
pub mod description {
    /// `u64`: bytes of the text in use.
    pub const LENGTH: usize = 104;
    /// [`DESCRIPTION_SIZE`](super::DESCRIPTION_SIZE) bytes, padded with zeros.
    pub const TEXT: usize = 112;
    /// `u64`: checksum of all words before it, from the length on.
    pub const CHECKSUM: usize = 1016;
}

/// Byte offsets in the values of a slot, from the start of the slot.
pub mod values {
    /// `u64`: sequence, as of a record.
    pub const SEQUENCE: usize = 256;
    /// `u64`: checksum of all other words.
    pub const CHECKSUM: usize = 264;
    /// Where the first column may be.
    pub const FIRST: usize = 272;
}

/// Byte offsets of the pulse, from the start of the file.
pub mod pulse {
    /// `u64`: `CLOCK_MONOTONIC` when the owner went to rest, in nanoseconds; 0 before that.
    pub const AT_MONOTONIC: usize = 1024;
    /// `u64`: `CLOCK_REALTIME` at the same moment, in nanoseconds since 1970.
    pub const AT_WALL: usize = 1032;
    /// `u64`: `CLOCK_MONOTONIC` when it is to wake by itself; 0 where it is to wait.
    pub const DUE: usize = 1040;
    /// `u64`: checksum of the three words before it.
    pub const CHECKSUM: usize = 1048;
}

/// Byte offsets of what the owner publishes about itself, from the start of the file.
pub mod facts {
    /// `u64`: sequence, as of a record.
    pub const SEQUENCE: usize = 1096;
    /// `u64`: checksum of all other words.
    pub const CHECKSUM: usize = 1104;
    /// `u64`: bytes of the text in use.
    pub const LENGTH: usize = 1112;
    /// [`FACTS_SIZE`](super::FACTS_SIZE) bytes, padded with zeros.
    pub const TEXT: usize = 1120;

    pub(crate) const LENGTH_WORD: usize = (LENGTH - SEQUENCE) / 8;
    pub(crate) const TEXT_WORD: usize = (TEXT - SEQUENCE) / 8;
}

/// Byte offsets in the header, from the start of the file.
pub mod header {
    /// Eight bytes: [`MAGIC`](super::MAGIC).
    pub const MAGIC: usize = 0;
    /// `u32`: [`VERSION`](super::VERSION).
    pub const VERSION: usize = 8;
    /// `u32`: 1 where one parent assigns the slots, 2 where processes claim them.
    pub const KIND: usize = 12;
    /// `u32`: bytes from one slot to the next, and from the start of the file to the first slot.
    pub const STRIDE: usize = 16;
    /// `u32`: [`RECORD_SIZE`](super::RECORD_SIZE).
    pub const RECORD: usize = 20;
    /// `u32`: how many slots there are.
    pub const SLOTS: usize = 24;
    /// `u32`: the process that created the board.
    pub const CREATOR: usize = 28;
    /// `u64`: `CLOCK_MONOTONIC` at creation, in nanoseconds.
    pub const CREATED_MONOTONIC: usize = 32;
    /// `u64`: `CLOCK_REALTIME` at creation, in nanoseconds since 1970.
    pub const CREATED_WALL: usize = 40;
    /// `u64`: start of the creator, in clock ticks since boot; 0 where unknown.
    pub const CREATOR_START: usize = 48;
    /// `u64`: inode of the creator's pid namespace; 0 where unknown.
    pub const PID_NAMESPACE: usize = 56;
    /// Sixteen bytes: the boot id of the kernel; zero where unknown.
    pub const BOOT_ID: usize = 64;
    /// Sixteen bytes, zero in this version.
    pub const RESERVED: usize = 80;
    /// `u64`: checksum of the twelve words before it.
    pub const CHECKSUM: usize = 96;
}

/// The index of free slots that follows the slots of a shared board, in words of 8 bytes.
pub mod index {
    /// The slot that is examined next for a process that is gone.
    pub const HAND: usize = 0;
    /// The first word of bits: the lowest bit of it is slot 0.
    pub const BITS: usize = 1;
}

/// Byte offsets in a record, from the start of its slot.
pub mod record {
    /// `u64`: sequence of the record; odd while it is being written.
    pub const SEQUENCE: usize = 0;
    /// `u64`: checksum of all other words of the record, the sequence among them.
    pub const CHECKSUM: usize = 8;
    /// `u8`: the state letter; 0 where the slot is empty.
    pub const STATE: usize = 16;
    /// `u8`: bytes of the label in use.
    pub const LABEL_LENGTH: usize = 17;
    /// `u8`: bytes of the client address in use.
    pub const CLIENT_LENGTH: usize = 18;
    /// `u8`: 1 once the parent has asked the process to leave, else 0.
    pub const LEAVING: usize = 19;
    /// `u32`: how often the parent had opened its logs, the first time included, when this process was last known to
    /// write to none that are older; 0 where unknown.
    pub const LOGS: usize = 20;
    /// `u32`: pid of the process; 0 until it has entered.
    pub const PID: usize = 24;
    /// `u32`: how many reloads the parent had refused for wrong settings when it did so the last time since this process
    /// was there; 0 where it has not.
    pub const REFUSED_SETTINGS: usize = 28;
    /// `u32`: generation of the process.
    pub const GENERATION: usize = 32;
    /// `u32`: how long the client had waited whose connection the process has accepted last, in ms, plus one; 0 where
    /// unknown.
    pub const QUEUED: usize = 36;
    /// `u64`: requests served.
    pub const REQUESTS: usize = 40;
    /// `u64`: `CLOCK_MONOTONIC` when the slot was assigned or claimed, in nanoseconds.
    pub const STARTED_MONOTONIC: usize = 48;
    /// `u64`: `CLOCK_REALTIME` at the same moment, in nanoseconds since 1970.
    pub const STARTED_WALL: usize = 56;
    /// `u64`: start of the process in clock ticks since boot; 0 where unknown.
    pub const PROCESS_START: usize = 64;
    /// `u64`: `CLOCK_MONOTONIC` at the start of the latest request; 0 before the first.
    pub const REQUEST_STARTED: usize = 72;
    /// `u64`: `CLOCK_MONOTONIC` at the latest change of the record.
    pub const UPDATED: usize = 80;
    /// `u32`: the newest generation that was to replace the process and does not work; 0 if there is none.
    pub const FAILED_ROLLOUT: usize = 88;
    /// `u16`: how many requests the process has in hand, 65,535 for more; of one that has more than one at once.
    pub const IN_HAND: usize = 92;
    /// `u16`: how many it can have in hand at once, less one.
    pub const CONCURRENCY: usize = 94;
    /// [`LABEL_SIZE`](super::LABEL_SIZE) bytes, padded with zeros.
    pub const LABEL: usize = 96;
    /// [`CLIENT_SIZE`](super::CLIENT_SIZE) bytes, padded with zeros.
    pub const CLIENT: usize = 192;
}

/// Words of eight bytes in a record.
pub(crate) const WORDS: usize = RECORD_SIZE / 8;

/// Words of eight bytes in a header.
pub(crate) const HEADER_WORDS: usize = HEADER_SIZE / 8;

/// Words of eight bytes in a pulse.
pub(crate) const PULSE_WORDS: usize = 4;

/// Words of eight bytes in what an owner publishes about itself.
pub(crate) const FACTS_WORDS: usize = facts::TEXT_WORD + FACTS_SIZE / 8;

/// Words of eight bytes in the description of a board.
pub(crate) const DESCRIPTION_WORDS: usize = (description::CHECKSUM - description::LENGTH) / 8 + 1;

/// Words of eight bytes that a text in a column takes.
pub(crate) const COLUMN_TEXT_WORDS: usize = COLUMN_TEXT_SIZE / 8;

/// The word of a record that begins at byte `offset`.
pub(crate) const fn word(offset: usize) -> usize {
    offset / 8
}

const _: () = {
    assert!(MIN_STRIDE.is_power_of_two() && MAX_STRIDE.is_power_of_two());
    assert!(HEADER_SIZE <= MIN_STRIDE && RECORD_SIZE <= MIN_STRIDE);
    assert!(RECORD_SIZE.is_multiple_of(8) && HEADER_SIZE.is_multiple_of(8) && WORDS <= 32);
    assert!(header::CREATED_MONOTONIC == header::CREATOR + 4);
    assert!(header::RESERVED == header::BOOT_ID + 16);
    assert!(header::CHECKSUM == header::RESERVED + 16);
    assert!(header::CHECKSUM + 8 == HEADER_SIZE);
    assert!(description::LENGTH == HEADER_SIZE && description::TEXT == description::LENGTH + 8);
    assert!(description::TEXT + DESCRIPTION_SIZE == description::CHECKSUM);
    assert!(description::CHECKSUM + 8 == pulse::AT_MONOTONIC);
    // The longest title and the longest columns, as lines.
    let column = "column=272 counter ".len() + COLUMN_NAME_SIZE + 1 + UNIT_SIZE + 1;
    assert!("title=\n".len() + TITLE_SIZE + MAX_COLUMNS * column <= DESCRIPTION_SIZE);
    assert!(values::SEQUENCE == RECORD_SIZE && values::FIRST == values::CHECKSUM + 8);
    assert!(VALUES_SIZE == RECORD_SIZE && RECORD_SIZE + VALUES_SIZE <= MIN_STRIDE);
    assert!(COLUMN_TEXT_SIZE.is_multiple_of(8));
    assert!(pulse::AT_MONOTONIC >= HEADER_SIZE && pulse::AT_MONOTONIC.is_multiple_of(8));
    assert!(pulse::CHECKSUM + 8 == pulse::AT_MONOTONIC + 8 * PULSE_WORDS);
    assert!(facts::SEQUENCE >= pulse::CHECKSUM + 8 && facts::CHECKSUM == facts::SEQUENCE + 8);
    assert!(facts::SEQUENCE + 8 * FACTS_WORDS == MIN_STRIDE && FACTS_SIZE.is_multiple_of(8));
    assert!(record::CHECKSUM == record::SEQUENCE + 8);
    assert!(record::STATE == record::CHECKSUM + 8);
    assert!(
        record::PID.is_multiple_of(8)
            && record::LABEL.is_multiple_of(8)
            && record::CLIENT.is_multiple_of(8)
    );
    assert!(record::REFUSED_SETTINGS == record::PID + 4);
    assert!(record::GENERATION.is_multiple_of(8) && record::QUEUED == record::GENERATION + 4);
    assert!(record::IN_HAND == record::FAILED_ROLLOUT + 4);
    assert!(record::CONCURRENCY == record::IN_HAND + 2);
    assert!(record::LABEL == record::CONCURRENCY + 2);
    assert!(record::CLIENT == record::LABEL + LABEL_SIZE);
    assert!(record::CLIENT + CLIENT_SIZE == RECORD_SIZE);
    assert!(LABEL_SIZE >= 64 && LABEL_SIZE <= u8::MAX as usize);
    assert!(CLIENT_SIZE <= u8::MAX as usize);
    assert!(MAX_SLOTS >= 65_536 && MAX_SLOTS <= u32::MAX as usize);
};
