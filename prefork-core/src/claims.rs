//! What a child says of itself, held against what is possible.

use std::time::Duration;

use crate::Time;

/// No child answers a request in less than that.
const FASTEST: Duration = Duration::from_nanos(100);

/// So many requests may be counted in one go, by loops that count a batch when it is done.
const BATCH: u64 = 1_000_000;

/// A record that is being written is whole again within nanoseconds. So long, and at so many looks in a row, it
/// is not by chance.
const WHOLE_WITHIN: Duration = Duration::from_secs(1);
const LOOKS: u32 = 3;

/// What a child can claim that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// It has answered more requests than is possible, or fewer than before.
    Requests,
    /// It has done something before it was there, or will have done it: see [`are_possible`].
    Times,
    /// Nothing that can be understood, for a long time: see [`Unclear`].
    Nothing,
}

/// Returns whether a child that was spawned at `spawned` can have reported last at `updated`, and begun its latest
/// request at `request`, as far as it says so.
///
/// A moment that is to come has to be left out by the caller, who knows the clock: one that has reported has done so
/// at some moment, so that is not possible either.
///
/// # Examples
///
/// ```
/// use prefork_core::{Time, are_possible};
/// use std::time::Duration;
///
/// let at = |seconds| Time::after_origin(Duration::from_secs(seconds));
/// assert!(are_possible(at(5), Some(at(6)), None));
/// assert!(!are_possible(at(5), Some(at(6)), Some(at(4))));
/// assert!(!are_possible(at(5), None, None));
/// ```
#[must_use]
pub fn are_possible(spawned: Time, updated: Option<Time>, request: Option<Time>) -> bool {
    updated.is_some_and(|updated| updated >= spawned)
        && request.is_none_or(|request| request >= spawned)
}

/// A record that could not be understood at one look, and at how many since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unclear {
    since: Time,
    looks: u32,
}

impl Unclear {
    /// Begins with the first look, at `now`.
    #[must_use]
    pub const fn new(now: Time) -> Self {
        Self { since: now, looks: 1 }
    }

    /// Takes in another look that has found the same.
    #[must_use]
    pub const fn again(self) -> Self {
        Self { looks: self.looks.saturating_add(1), ..self }
    }

    /// When that began.
    #[must_use]
    pub const fn since(self) -> Time {
        self.since
    }

    /// Returns whether a child that means well cannot have left it so.
    #[must_use]
    pub fn is_meant(self, now: Time) -> bool {
        self.looks >= LOOKS && now.since(self.since) >= WHOLE_WITHIN
    }
}

/// How many requests a child has answered, as far as that is believed.
///
/// The number is the child's own, and a child may be confused or hostile. A count never falls, and between two
/// readings grows by no more than one request in 100 ns and a batch of a million. A claim that does not fit
/// changes nothing, so that what is added up of such counts stays plausible for years.
///
/// # Examples
///
/// ```
/// use prefork_core::{RequestCount, Time};
/// use std::time::Duration;
///
/// let mut count = RequestCount::new(Time::ZERO);
/// let later = Time::after_origin(Duration::from_secs(1));
/// assert!(count.claim(later, 1000).is_ok());
/// assert!(count.claim(later, u64::MAX).is_err());
/// assert_eq!(count.believed(), 1000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestCount {
    believed: u64,
    read: Time,
}

/// A child claims to have answered more requests than is possible, or fewer than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Implausible;

impl RequestCount {
    /// Begins with none, for a child that is spawned at `now`.
    #[must_use]
    pub const fn new(now: Time) -> Self {
        Self { believed: 0, read: now }
    }

    /// Begins with what a child that was spawned at `spawned` claims at `now`, as far as that is possible: for a
    /// program that takes its parent over.
    #[must_use]
    pub fn adopt(spawned: Time, now: Time, claimed: u64) -> Self {
        let mut count = Self::new(spawned);
        let _ = count.claim(now, claimed);
        count
    }

    /// Takes in what was read at `now`.
    ///
    /// # Errors
    ///
    /// [`Implausible`] if that is not possible; then the count stays.
    pub fn claim(&mut self, now: Time, claimed: u64) -> Result<(), Implausible> {
        let possible = now.since(self.read).as_nanos() / FASTEST.as_nanos();
        let possible = u64::try_from(possible).unwrap_or(u64::MAX).saturating_add(BATCH);
        let grown = claimed.checked_sub(self.believed).filter(|grown| *grown <= possible);
        grown.ok_or(Implausible)?;
        *self = Self { believed: claimed, read: now };
        Ok(())
    }

    /// Returns how many are believed.
    #[must_use]
    pub const fn believed(&self) -> u64 {
        self.believed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::after_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn a_count_grows_by_what_is_possible_and_never_falls() {
        for (before, seconds, claimed, is_believed) in [
            (0, 0, 0, true),
            (0, 0, BATCH, true),
            (0, 0, BATCH + 1, false),
            (5, 0, 4, false),
            (5, 1, 5, true),
            (5, 1, 5 + 10_000_000 + BATCH, true),
            (5, 1, 6 + 10_000_000 + BATCH, false),
            (0, 86_400, u64::MAX, false),
            (u64::MAX, 1, u64::MAX, true),
            (u64::MAX, 1, 0, false),
        ] {
            let mut count = RequestCount { believed: before, read: at(10) };
            let claim = count.claim(at(10 + seconds), claimed);
            assert_eq!(claim.is_ok(), is_believed, "{before}, {seconds} s later {claimed}");
            assert_eq!(count.believed(), if is_believed { claimed } else { before });
        }
    }

    #[test]
    fn nobody_was_at_work_before_he_was_there() {
        let (before, birth, after) = (Some(at(4)), at(5), Some(at(6)));
        for (updated, request, is_possible) in [
            (after, None, true),
            (Some(birth), Some(birth), true),
            (after, after, true),
            (after, before, false),
            (before, None, false),
            (before, after, false),
            (None, None, false),
            (None, after, false),
        ] {
            let found = are_possible(birth, updated, request);
            assert_eq!(found, is_possible, "{updated:?}, {request:?}");
        }
    }

    #[test]
    fn a_record_is_unclear_on_purpose_after_some_looks_and_some_time() {
        let first = Unclear::new(at(1));
        assert!(!first.is_meant(at(100)), "one look may have come in the middle of a report");
        let third = first.again().again();
        assert!(!third.is_meant(at(1)) && third.is_meant(at(2)));
        assert_eq!(third.since(), at(1));
    }

    #[test]
    fn a_year_of_the_greatest_lies_does_not_overflow_a_total() {
        let mut count = RequestCount::new(Time::ZERO);
        for day in 1..=365 {
            let most = count.believed() + 86_400 * 10_000_000 + BATCH;
            assert!(count.claim(at(86_400 * day), most).is_ok());
        }
        assert!(count.believed().checked_mul(10_000).is_some(), "{}", count.believed());
    }

    #[test]
    fn a_clock_that_stands_still_is_no_reason_to_believe_more() {
        let mut count = RequestCount::new(at(5));
        assert_eq!(count.claim(at(5), 1), Ok(()));
        assert_eq!(count.claim(at(3), 2 + BATCH), Err(Implausible));
    }

    #[test]
    fn what_is_adopted_is_bounded_by_the_life_of_the_child() {
        assert_eq!(RequestCount::adopt(at(0), at(10), 1234).believed(), 1234);
        assert_eq!(RequestCount::adopt(at(0), at(10), u64::MAX).believed(), 0);
    }
}
