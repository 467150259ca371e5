//! The two clocks: one for durations, one for people.

use rustix::time::{ClockId, clock_gettime};
use std::{ops::Add, time::Duration};

/// A moment on the clock that never jumps: nanoseconds of `CLOCK_MONOTONIC`.
///
/// The clock starts at boot, stands still while the machine sleeps, and takes no part in anything
/// that happens to the wall clock. All processes of a machine share it, so moments written by one
/// and read by another can be compared; moments of different boots, or of different time
/// namespaces, cannot. See `clock_gettime(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(u64);

impl Monotonic {
    /// Returns the present moment.
    ///
    /// On most machines this is no system call: see `vdso(7)`.
    #[must_use]
    pub fn now() -> Self {
        Self(nanoseconds(ClockId::Monotonic))
    }

    /// Makes a moment of nanoseconds of the clock.
    #[must_use]
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// Returns the nanoseconds of the clock.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the time from `earlier` to this moment, or zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Monotonic {
    type Output = Self;

    /// The moment so much later, or the last that there is.
    fn add(self, later: Duration) -> Self {
        let later = u64::try_from(later.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(later))
    }
}

/// Nanoseconds since 1970 on the wall clock; zero for a clock set before that.
pub(crate) fn wall_now() -> u64 {
    nanoseconds(ClockId::Realtime)
}

/// The time since boot, with that in which the machine slept.
pub(crate) fn boot_time() -> Duration {
    Duration::from_nanos(nanoseconds(ClockId::Boottime))
}

fn nanoseconds(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let rest = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_moment_gives_no_negative_time() {
        let (early, late) = (Monotonic::from_nanos(5), Monotonic::from_nanos(9));
        assert_eq!(late.since(early), Duration::from_nanos(4));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(Monotonic::from_nanos(0).since(Monotonic::from_nanos(u64::MAX)), Duration::ZERO);
        assert_eq!(early + Duration::from_nanos(4), late);
        assert_eq!(late + Duration::MAX, Monotonic::from_nanos(u64::MAX));
    }

    #[test]
    fn goes_forward() {
        let first = Monotonic::now();
        assert!(Monotonic::now() >= first);
        assert!(first.as_nanos() > 0);
    }
}
