//! The memory of the process, of which a few words are read.
//!
//! A page that never comes, as of `userfaultfd(2)` or of a file server that does not answer, has the reader wait. So each
//! reading has a thread of its own that can be left behind, and after one was, there is no further reading.

use std::{
    cell::Cell,
    os::fd::OwnedFd,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::io::{Errno, pread};

use crate::{Hidden, proc::Proc};

/// How long one reading may take: it copies a page or two.
const LIMIT: Duration = Duration::from_millis(100);

/// The memory of one process.
#[derive(Debug)]
pub(crate) struct Memory {
    file: Result<Arc<OwnedFd>, Hidden>,
    until: Instant,
    hangs: Cell<bool>,
}

impl Memory {
    /// Opens it; that this is forbidden is found out with the first reading.
    pub(crate) fn of(process: &Proc, until: Instant) -> Self {
        let file = process.open_file("mem").map(Arc::new).map_err(Hidden::from);
        Self { file, until, hangs: Cell::new(false) }
    }

    /// Reads up to `length` bytes, fewer where the memory ends.
    pub(crate) fn read(&self, address: u64, length: usize) -> Result<Vec<u8>, Hidden> {
        let file = Arc::clone(self.file.as_ref().map_err(|hidden| *hidden)?);
        let limit = LIMIT.min(self.until.saturating_duration_since(Instant::now()));
        if self.hangs.get() || limit.is_zero() {
            return Err(Hidden::TooSlow);
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let read = move || {
            let mut bytes = vec![0; length];
            let count = pread(&*file, &mut bytes[..], address);
            // Nobody is left to take it in, if this has taken too long.
            let _ = sender.send(count.map(|count| {
                bytes.truncate(count);
                bytes
            }));
        };
        let builder = thread::Builder::new().name("why-memory".into()).stack_size(64 * 1024);
        builder.spawn(read).map_err(|_none_to_spare| Hidden::TooSlow)?;
        match receiver.recv_timeout(limit) {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => {
                self.hangs.set(true);
                Err(Hidden::TooSlow)
            }
        }
    }

    /// Reads exactly so many bytes.
    pub(crate) fn exactly<const LENGTH: usize>(
        &self,
        address: u64,
    ) -> Result<[u8; LENGTH], Hidden> {
        let bytes = self.read(address, LENGTH)?;
        bytes.try_into().map_err(|_shorter| Hidden::from(Errno::FAULT))
    }

    /// Reads a text up to its NUL, not beyond the end of a page: what follows may be missing.
    pub(crate) fn text(&self, address: u64, most: usize) -> Result<Vec<u8>, Hidden> {
        let mut text = Vec::new();
        while text.len() < most {
            let at = address.wrapping_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
            let rest = usize::try_from(4096 - at % 4096).unwrap_or(1).min(most - text.len());
            let bytes = match self.read(at, rest) {
                Ok(bytes) if !bytes.is_empty() => bytes,
                Ok(_) => break,
                Err(_) if !text.is_empty() => break,
                Err(hidden) => return Err(hidden),
            };
            match bytes.iter().position(|&byte| byte == 0) {
                Some(end) => {
                    text.extend(&bytes[..end]);
                    break;
                }
                None => text.extend(bytes),
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Memory {
        let until = Instant::now() + Duration::from_secs(60);
        Memory::of(&Proc::open(std::process::id()).expect("it is there"), until)
    }

    fn address(bytes: &[u8]) -> u64 {
        u64::try_from(bytes.as_ptr().addr()).expect("64 bits")
    }

    #[test]
    fn a_text_ends_at_its_nul_or_where_it_is_too_long() {
        let text = [vec![b'x'; 9000], vec![0, b'y']].concat();
        let memory = own();
        assert_eq!(memory.text(address(&text), 20_000).expect("read").len(), 9000);
        assert_eq!(memory.text(address(&text), 5000).expect("read").len(), 5000);
        assert_eq!(memory.exactly::<2>(address(&text[8999..])).expect("read"), [b'x', 0]);
    }

    #[test]
    fn an_address_that_is_none_gives_an_error() {
        let memory = own();
        assert!(memory.text(1, 10).is_err() && memory.exactly::<8>(u64::MAX - 3).is_err());
        assert!(own().read(0, 0).is_ok_and(|bytes| bytes.is_empty()));
    }

    #[test]
    fn nothing_is_read_when_the_time_is_over() {
        let memory = Memory { until: Instant::now(), ..own() };
        assert!(matches!(memory.read(address(b"x"), 1), Err(Hidden::TooSlow)));
    }
}
