//! How long a line may take.

use std::{
    os::fd::BorrowedFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

/// The limit for one line, while it is being written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// How long nothing may get through.
    patience: Duration,
    progressed: Instant,
    begun: Instant,
}

/// A line of which more and more gets through may take so many times the patience.
const PROGRESSING: u32 = 10;

/// How long a look at the room in a pipe, or at whose turn it is, is waited for the next one.
const NAP: Duration = Duration::from_millis(1);

impl Limit {
    pub(crate) fn begin(patience: Duration) -> Self {
        let now = Instant::now();
        Self { patience, progressed: now, begun: now }
    }

    pub(crate) fn progress(&mut self) {
        if !self.patience.is_zero() {
            self.progressed = Instant::now();
        }
    }

    pub(crate) fn left(&self) -> Duration {
        if self.patience.is_zero() {
            return Duration::ZERO;
        }
        let now = Instant::now();
        let all = self.patience.saturating_mul(PROGRESSING).saturating_sub(now - self.begun);
        self.patience.saturating_sub(now - self.progressed).min(all)
    }

    /// Pauses for a moment; fails when the time is over.
    pub(crate) fn nap(&self) -> Result<(), Errno> {
        let left = self.left();
        if left.is_zero() {
            return Err(Errno::AGAIN);
        }
        std::thread::sleep(left.min(NAP));
        Ok(())
    }

    /// Waits until there is room, or something is wrong that a write will report; fails when the time is over.
    pub(crate) fn wait(&self, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        let left = self.left();
        if left.is_zero() || !is_writable(fd, left) { Err(Errno::AGAIN) } else { Ok(()) }
    }
}

/// Waits until there is room, or something is wrong that a write will report.
pub(crate) fn is_writable(fd: BorrowedFd<'_>, limit: Duration) -> bool {
    let Ok(limit) = Timespec::try_from(limit) else { return false };
    poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], Some(&limit)) != Ok(0)
}
