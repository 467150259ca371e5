//! How much a program that serves one client may write to it.

use std::time::Duration;

/// Keeps what a program writes to its client below a limit, by looking how much that is by now.
///
/// The program writes to the connection itself, so what comes between two looks is beyond the limit already. While it writes,
/// looks are close together; one that works or waits is looked at ever more rarely.
#[derive(Clone, Copy, Debug)]
pub struct OutputLimit {
    most: u64,
    written: u64,
    pause: Duration,
}

impl OutputLimit {
    /// How far apart looks are while it writes.
    pub const SHORTEST: Duration = Duration::from_millis(5);

    /// How far apart they are when it has not written for long.
    pub const LONGEST: Duration = Duration::from_millis(160);

    /// Makes one of so many bytes, for a program that has written nothing.
    #[must_use]
    pub const fn new(most: u64) -> Self {
        Self { most, written: 0, pause: Self::SHORTEST }
    }

    /// Takes how many bytes were written by now, and returns after how long to look again; `None` if these are too many.
    pub fn look(&mut self, written: u64) -> Option<Duration> {
        let has_written = written > self.written;
        self.written = self.written.max(written);
        self.pause = if has_written { Self::SHORTEST } else { (self.pause * 2).min(Self::LONGEST) };
        (self.written <= self.most).then_some(self.pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_close_while_it_writes_and_rare_while_it_does_not() {
        let mut limit = OutputLimit::new(100);
        let millis = |pause: Option<Duration>| pause.map(|pause| pause.as_millis());
        let waits = [10, 20, 40, 80, 160, 160].map(Some);
        assert_eq!([(); 6].map(|()| millis(limit.look(0))), waits);
        assert_eq!(millis(limit.look(1)), Some(5));
        assert_eq!(millis(limit.look(1)), Some(10));
        assert_eq!(millis(limit.look(100)), Some(5));
    }

    #[test]
    fn one_byte_more_is_too_much_and_stays_so() {
        let mut limit = OutputLimit::new(100);
        assert!(limit.look(100).is_some());
        assert_eq!(limit.look(101), None);
        assert_eq!(limit.look(0), None);
    }
}
