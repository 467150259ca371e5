//! Points in monotonic time, as handed in from outside.

use std::{ops::Add, time::Duration};

/// A point in monotonic time: so long after an origin that the caller chose.
///
/// [`std::time::Instant`] can only be had from a clock, which this crate does not have. Read
/// `CLOCK_MONOTONIC` (see `clock_gettime(2)`), never the wall clock: that one is set back and
/// forth. It counts nanoseconds in eight bytes, which lasts for 584 years; what lies beyond is taken for
/// that, so no time however far off can make it panic.
///
/// # Examples
///
/// ```
/// use prefork_core::Time;
/// use std::time::Duration;
///
/// let start = Time::ZERO;
/// let later = start + Duration::from_secs(3);
/// assert_eq!(later.since(start), Duration::from_secs(3));
/// assert_eq!(start.since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Time(u64);

impl Time {
    /// The origin.
    pub const ZERO: Self = Self(0);

    /// Makes the point that lies `elapsed` after the origin.
    #[must_use]
    pub const fn after_origin(elapsed: Duration) -> Self {
        Self(nanos(elapsed))
    }

    /// Returns how long after the origin this point lies.
    #[must_use]
    pub const fn since_origin(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Returns how long after `earlier` this point lies; zero if it lies before.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

/// The nanoseconds of a duration, or as many as can be counted.
const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    #[expect(clippy::cast_possible_truncation, reason = "compared before")]
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_time_is_never_passed() {
        let end = Time::ZERO + Duration::MAX;
        assert_eq!(end, Time::after_origin(Duration::MAX));
        assert_eq!(end + Duration::from_secs(1), end);
        assert_eq!(end.since(end), Duration::ZERO);
        assert!(end.since_origin() > Duration::from_secs(584 * 365 * 86_400));
    }
}
