//! A process that writes over a scoreboard whatever it likes.
//!
//! Written from the documented format and not with the code of the crate, so that the two check each
//! other.

use std::{
    fs::File,
    hash::{BuildHasher, Hasher, RandomState},
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use prefork::scoreboard::format::{HEADER_SIZE, RECORD_SIZE, header};

/// The size of a page, and so of a slot.
const STRIDE: u64 = 4096;

/// The word that holds the checksum of a record, and the one that holds that of the header.
const RECORD_CHECKSUM: usize = 1;
const HEADER_CHECKSUM: usize = 12;

/// A scoreboard open for writing.
#[derive(Debug)]
pub(crate) struct Forger {
    file: File,
}

impl Forger {
    pub(crate) fn open(path: &Path) -> Self {
        let file = File::options().read(true).write(true).open(path);
        Self { file: file.expect("the board can be opened") }
    }

    pub(crate) fn truncate(&self, length: u64) {
        self.file.set_len(length).expect("truncated");
    }

    /// Returns how many slots there is room for.
    pub(crate) fn slots(&self) -> u64 {
        self.size() / STRIDE - 1
    }

    /// Writes a record that is whole, of a process that has always been in this state.
    pub(crate) fn record(&self, slot: u64, state: u8, pid: u32) {
        let mut words = [0; RECORD_SIZE / 8];
        words[0] = 2;
        words[2] = u64::from(state);
        words[3] = u64::from(pid);
        // Generation, start and latest change.
        (words[4], words[6], words[10]) = (1, 1, 1);
        words[RECORD_CHECKSUM] = checksum(&words, RECORD_CHECKSUM);
        self.write(&bytes(&words), STRIDE * (slot + 1));
    }

    /// Writes the same record into every slot.
    pub(crate) fn records(&self, state: u8, pid: u32) {
        (0..self.slots()).for_each(|slot| self.record(slot, state, pid));
    }

    /// Writes a number of 4 bytes into the header, and makes its checksum right.
    pub(crate) fn header(&self, offset: usize, number: u32) {
        let mut header = [0; HEADER_SIZE];
        self.file.read_exact_at(&mut header, 0).expect("there is a header");
        header[offset..offset + 4].copy_from_slice(&number.to_le_bytes());
        let mut words = [0; HEADER_SIZE / 8];
        for (word, chunk) in words.iter_mut().zip(header.as_chunks().0) {
            *word = u64::from_le_bytes(*chunk);
        }
        let sum = checksum(&words, HEADER_CHECKSUM);
        header[header::CHECKSUM..].copy_from_slice(&sum.to_le_bytes());
        self.write(&header, 0);
    }

    /// Writes random bytes somewhere, most often where records are.
    pub(crate) fn damage(&self) {
        let length = 1 + random() % 300;
        let garbage: Vec<u8> = (0..length).flat_map(|_| random().to_le_bytes()).collect();
        let garbage = &garbage[..usize::try_from(length).expect("it is small")];
        let page = random() % (self.slots() + 1);
        let within = if random().is_multiple_of(4) { random() % 3700 } else { random() % 256 };
        self.write(garbage, page * STRIDE + within);
    }

    fn size(&self) -> u64 {
        self.file.metadata().expect("it is open").len()
    }

    fn write(&self, bytes: &[u8], offset: u64) {
        self.file.write_all_at(bytes, offset).expect("there is room");
    }
}

/// Something done again and again, on a thread of its own, until this is dropped.
#[derive(Debug)]
pub(crate) struct Again {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Again {
    pub(crate) fn and_again(mut what: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                what();
                thread::sleep(Duration::from_micros(500));
            }
        });
        Self { stop, thread: Some(thread) }
    }

    /// Ends it, and fails the test if it has failed.
    #[track_caller]
    pub(crate) fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it is ended once");
        assert!(thread.join().is_ok(), "what was done again and again has failed: see above");
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Returns a number that is different each time.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn checksum(words: &[u64], skip: usize) -> u64 {
    (0..).zip(words).fold(0, |sum, (place, word)| {
        let multiplier = (place + 1_u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mixed = (word ^ (word >> 32)).wrapping_mul(multiplier);
        let term = if place == skip as u64 { 0 } else { mixed ^ (mixed >> 29) };
        sum.wrapping_add(term)
    })
}
