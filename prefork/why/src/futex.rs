//! What lies behind a `futex(2)`: a word in memory, by which programs build locks, conditions and more.
//!
//! The kernel knows a word, and no names. What can be said for certain is said; where the memory looks like a mutex of
//! glibc, which names its owner in the third word, that is named as what it is: how it looks.

use std::{fmt, time::Duration};

use crate::{Hidden, call::Call, memory::Memory, proc::Proc, proc::shown};

/// What a thread waits for in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Futex {
    /// The address of the word.
    pub address: u64,
    /// Whether other processes can share it.
    pub is_shared: bool,
    /// What it is, as far as it can be told.
    pub kind: FutexKind,
    /// For how long at the most, of a wait that is relative.
    pub limit: Option<Duration>,
}

/// What a word is, as far as it can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FutexKind {
    /// A lock that names its owner: one that is robust, inherits priority, or looks like a mutex of glibc.
    Owned(Owner),
    /// A lock that somebody has, of a kind that names no owner.
    Lock,
    /// The end of this thread: `pthread_join(3)`.
    Join(u32),
    /// A condition, a semaphore, a channel, a barrier: to be woken by another thread.
    Condition,
    /// Its memory is not shown.
    Hidden(Hidden),
}

/// Whom a lock names as its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Owner {
    /// The thread itself: it has locked what it has already.
    Itself,
    /// This thread of the same process.
    Thread {
        /// Its number.
        tid: u32,
        /// Its name.
        name: String,
    },
    /// A thread that this process does not have: the lock was held when the process was forked by a thread that exists in
    /// its parent alone, or its owner has ended with it.
    NoThread(u32),
}

impl fmt::Display for Futex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FutexKind::Owned(owner) => write!(f, "for a lock (mutex), {owner}")?,
            FutexKind::Lock => f.write_str("for a lock that names no owner")?,
            FutexKind::Join(tid) => write!(f, "for the end of its thread {tid}")?,
            FutexKind::Condition => {
                f.write_str("for another thread to wake it (a condition, channel or semaphore)")?;
            }
            FutexKind::Hidden(hidden) => write!(f, "for a lock or a condition ({hidden})")?,
        }
        write!(f, ", at {:#x}", self.address)?;
        if self.is_shared {
            f.write_str(", of a kind that other processes may share")?;
        }
        self.limit.map_or(Ok(()), |it| write!(f, ", for up to {:.3} s", it.as_secs_f64()))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Itself => f.write_str("which this thread has itself"),
            Self::Thread { tid, name } => write!(f, "which its thread {tid} ({name}) has"),
            Self::NoThread(tid) => write!(
                f,
                "whose owner is given as {tid}, which is no thread of this process: it was locked when the process was forked, \
                 or its owner ended with it"
            ),
        }
    }
}

const PRIVATE: u64 = 128;
const REALTIME: u64 = 256;
const WAIT: u64 = 0;
const LOCK_PI: u64 = 6;
const WAIT_BITSET: u64 = 9;
const LOCK_PI2: u64 = 13;
/// What a word of the kernel's own protocols is made of: see `futex(2)`.
const WAITERS: u32 = 0x8000_0000;
const TID: u32 = 0x3fff_ffff;

/// Finds out what a call of `futex` waits for.
pub(crate) fn futex(process: &Proc, memory: &Memory, tid: u32, call: &Call) -> Futex {
    let [address, operation, ..] = call.arguments;
    let expected = call.int(2).cast_unsigned();
    let command = operation & !(PRIVATE | REALTIME) & 0xff;
    let thread = |owner| owner_of(process, tid, owner);
    let kind = match command {
        LOCK_PI | LOCK_PI2 => match memory.exactly::<4>(address) {
            Ok(word) => FutexKind::Owned(thread(u32::from_ne_bytes(word) & TID)),
            Err(hidden) => FutexKind::Hidden(hidden),
        },
        WAIT | WAIT_BITSET => match memory.exactly::<20>(address) {
            Ok(words) => waited(&words, expected, thread),
            Err(hidden) => match memory.exactly::<4>(address) {
                Ok(_) => FutexKind::Condition,
                Err(_) => FutexKind::Hidden(hidden),
            },
        },
        _ => FutexKind::Condition,
    };
    // That of a wait by bitset is a moment, by a clock of which it is not known when it began.
    let limit = (command == WAIT && call.arguments[3] != 0)
        .then(|| memory.exactly::<16>(call.arguments[3]).ok().and_then(|it| timespec(&it)))
        .flatten();
    Futex { address, is_shared: operation & PRIVATE == 0, kind, limit }
}

/// What the words there look like, of which the thread waits until the first is not `expected` any more.
fn waited(bytes: &[u8; 20], expected: u32, thread: impl Fn(u32) -> Owner) -> FutexKind {
    let is_thread = |tid| !matches!(thread(tid), Owner::NoThread(_));
    let word =
        |index: usize| u32::from_ne_bytes(std::array::from_fn(|byte| bytes[index * 4 + byte]));
    // `struct __pthread_mutex_s` of glibc: the lock, how often its owner has it, the owner, its users, the kind.
    let [lock, count, owner, users, kind] = std::array::from_fn(word);
    // Robust: the lock is the owner.
    if expected & WAITERS != 0 && is_thread(expected & TID) {
        return FutexKind::Owned(thread(expected & TID));
    }
    // `pthread_join` waits until the kernel clears the number of the thread.
    if expected == lock && expected > 2 && is_thread(expected) {
        return FutexKind::Join(expected);
    }
    if expected != 2 {
        return FutexKind::Condition;
    }
    let looks_like_glibc = owner > 0
        && owner <= TID
        && (1..1 << 16).contains(&users)
        && kind & !0x383 == 0
        && count < 1 << 16;
    if looks_like_glibc { FutexKind::Owned(thread(owner)) } else { FutexKind::Lock }
}

fn owner_of(process: &Proc, tid: u32, owner: u32) -> Owner {
    if owner == tid {
        return Owner::Itself;
    }
    match process.read(&format!("task/{owner}/comm"), 64) {
        Ok(name) => Owner::Thread { tid: owner, name: shown(name.trim_ascii_end()) },
        Err(_) => Owner::NoThread(owner),
    }
}

/// Reads a `struct timespec` of 64 bits.
pub(crate) fn timespec(bytes: &[u8; 16]) -> Option<Duration> {
    let (halves, _) = bytes.as_chunks::<8>();
    let [seconds, nanos] = [halves.first()?, halves.get(1)?].map(|half| i64::from_ne_bytes(*half));
    let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(seconds).ok()?, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(words: [u32; 5], expected: u32) -> FutexKind {
        let mut bytes = [0; 20];
        for (at, word) in words.into_iter().enumerate() {
            bytes[at * 4..][..4].copy_from_slice(&word.to_ne_bytes());
        }
        let thread = |tid| match tid {
            4711 => Owner::Thread { tid, name: "it".into() },
            tid => Owner::NoThread(tid),
        };
        waited(&bytes, expected, thread)
    }

    #[test]
    fn an_owner_is_named_where_the_words_do_so() {
        let owned = |tid| match tid {
            4711 => FutexKind::Owned(Owner::Thread { tid, name: "it".into() }),
            tid => FutexKind::Owned(Owner::NoThread(tid)),
        };
        for (words, expected, kind) in [
            // A mutex of glibc, of three kinds.
            ([2, 0, 4711, 1, 0], 2, owned(4711)),
            ([2, 3, 4711, 1, 1], 2, owned(4711)),
            ([2, 0, 4712, 2, 0x80], 2, owned(4712)),
            // One of Rust, with data behind it.
            ([2, 0, 0, 0, 0], 2, FutexKind::Lock),
            ([2, 0x6f6c_6c65, 0x0068_6f72, 0x7f51_2201, 0x5555], 2, FutexKind::Lock),
            // A robust one, the end of a thread, a condition.
            ([0x8000_1267, 0, 0, 0, 0], WAITERS | 4711, owned(4711)),
            ([4711, 0, 0, 0, 0], 4711, FutexKind::Join(4711)),
            ([0, 0, 0, 0, 0], 0, FutexKind::Condition),
            ([17, 0, 4711, 1, 0], 17, FutexKind::Condition),
        ] {
            assert_eq!(look(words, expected), kind, "{words:x?} {expected:x}");
        }
    }

    #[test]
    fn times_beyond_reason_are_none() {
        let time = |seconds: i64, nanos: i64| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&seconds.to_ne_bytes());
            bytes[8..].copy_from_slice(&nanos.to_ne_bytes());
            timespec(&bytes)
        };
        assert_eq!(time(3, 500_000_000), Some(Duration::from_millis(3500)));
        assert_eq!((time(-1, 0), time(0, -1), time(0, 1_000_000_000)), (None, None, None));
    }
}
