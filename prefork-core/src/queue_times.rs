//! How long clients have waited until their connections were accepted, counted.
//!
//! Each child counts its own in memory that its parent reads; here is what is counted, and how much of that is believed.

use std::time::Duration;

use crate::{Admission, Implausible, RequestCount, Time};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Clients by how long they have waited, and those that were not served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueTimes {
    /// How many were served that have waited no longer than each of [`BOUNDS`](Self::BOUNDS), and longer than the one before; then
    /// those who have waited longer than all.
    pub within: [u64; Self::BOUNDS.len() + 1],
    /// How long these have waited together, in ms.
    pub waited_ms: u64,
    /// How many were refused.
    pub refused: u64,
    /// How many had gone before their connection was accepted.
    pub abandoned: u64,
}

impl QueueTimes {
    /// The bounds of the classes. The kernel's clock counts in units of up to 10 ms.
    pub const BOUNDS: [Duration; 12] = [
        ms(5),
        ms(10),
        ms(25),
        ms(50),
        ms(100),
        ms(250),
        ms(500),
        ms(1000),
        ms(2500),
        ms(5000),
        ms(10_000),
        ms(30_000),
    ];

    /// How many numbers they are.
    pub const WORDS: usize = Self::BOUNDS.len() + 4;

    /// Counts a client whose connection was just accepted, by how long it has waited; returns whether that is anything. One
    /// that is served, and of whom it is not known how long it has waited, is in no class.
    pub fn count(&mut self, time: Option<Duration>, admission: Admission) -> bool {
        match (admission, time) {
            (Admission::Serve, None) => return false,
            (Admission::Serve, Some(time)) => {
                let class = Self::BOUNDS.iter().position(|bound| time <= *bound);
                let count = &mut self.within[class.unwrap_or(Self::BOUNDS.len())];
                *count = count.saturating_add(1);
                let waited_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                self.waited_ms = self.waited_ms.saturating_add(waited_ms);
            }
            (Admission::Refuse, _) => self.refused = self.refused.saturating_add(1),
            (Admission::Abandoned, _) => self.abandoned = self.abandoned.saturating_add(1),
        }
        true
    }

    /// Returns how many were served.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.within.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Returns how many were counted.
    #[must_use]
    pub fn clients(&self) -> u64 {
        self.served().saturating_add(self.refused).saturating_add(self.abandoned)
    }

    /// Returns all numbers.
    #[must_use]
    pub fn words(&self) -> [u64; Self::WORDS] {
        let mut words = [0; Self::WORDS];
        let (within, rest) = words.split_at_mut(self.within.len());
        within.copy_from_slice(&self.within);
        rest.copy_from_slice(&[self.waited_ms, self.refused, self.abandoned]);
        words
    }

    /// Makes them of their numbers.
    #[must_use]
    pub fn of_words(words: [u64; Self::WORDS]) -> Self {
        let mut times = Self::default();
        let (within, rest) = words.split_at(times.within.len());
        times.within.copy_from_slice(within);
        (times.waited_ms, times.refused, times.abandoned) = (rest[0], rest[1], rest[2]);
        times
    }

    /// Adds others.
    pub fn add(&mut self, others: &Self) {
        let (mut words, others) = (self.words(), others.words());
        for (word, other) in words.iter_mut().zip(others) {
            *word = word.saturating_add(other);
        }
        *self = Self::of_words(words);
    }

    /// Returns by how much they have grown; `None` if any has become smaller.
    fn since(&self, before: &Self) -> Option<Self> {
        let (mut words, before) = (self.words(), before.words());
        for (word, before) in words.iter_mut().zip(before) {
            *word = word.checked_sub(before)?;
        }
        Some(Self::of_words(words))
    }
}

/// What a child has counted, as far as that is believed: see [`RequestCount`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueClaim {
    count: RequestCount,
    seen: QueueTimes,
}

impl QueueClaim {
    /// Begins with none, for a child that is spawned at `now`, or was before.
    #[must_use]
    pub const fn new(now: Time) -> Self {
        Self { count: RequestCount::new(now), seen: QueueTimes::EMPTY }
    }

    /// Takes in what was read at `now`, and returns what is new.
    ///
    /// # Errors
    ///
    /// [`Implausible`] if that is not possible; then what was seen stays.
    pub fn claim(&mut self, now: Time, read: &QueueTimes) -> Result<QueueTimes, Implausible> {
        /// In ms: the kernel counts no longer.
        const LONGEST: u64 = u32::MAX as u64;
        let grown = read.since(&self.seen).ok_or(Implausible)?;
        if grown.waited_ms > grown.served().saturating_mul(LONGEST) {
            return Err(Implausible);
        }
        self.count.claim(now, read.clients())?;
        self.seen = *read;
        Ok(grown)
    }

    /// Returns what is believed.
    #[must_use]
    pub const fn believed(&self) -> &QueueTimes {
        &self.seen
    }
}

impl QueueTimes {
    const EMPTY: Self =
        Self { within: [0; Self::BOUNDS.len() + 1], waited_ms: 0, refused: 0, abandoned: 0 };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_client_is_counted_in_its_class() {
        let mut times = QueueTimes::default();
        for (time, class) in
            [(0, 0), (5, 0), (6, 1), (10, 1), (1000, 7), (30_000, 11), (30_001, 12), (u64::MAX, 12)]
        {
            let before = times.within[class];
            assert!(times.count(Some(Duration::from_millis(time)), Admission::Serve));
            assert_eq!(times.within[class], before + 1, "{time}");
        }
        assert!(times.count(Some(ms(1)), Admission::Refuse));
        assert!(times.count(Some(ms(1)), Admission::Abandoned));
        assert!(times.count(None, Admission::Abandoned));
        assert!(!times.count(None, Admission::Serve));
        assert_eq!((times.refused, times.abandoned), (1, 2));
        assert_eq!((times.served(), times.clients()), (8, 11));
        assert_eq!(times.waited_ms, u64::MAX, "as much as can be counted");
    }

    fn arb_words() -> impl Strategy<Value = [u64; QueueTimes::WORDS]> {
        prop::array::uniform16(prop_oneof![0..100u64, any::<u64>()])
    }

    proptest! {
        #[test]
        fn numbers_are_read_again(words in arb_words()) {
            prop_assert_eq!(QueueTimes::of_words(words).words(), words);
        }

        /// Whatever a child writes, what is believed never falls, and what is new adds up to it.
        #[test]
        fn what_is_believed_never_falls(reads in prop::collection::vec(arb_words(), 1..20)) {
            let mut claim = QueueClaim::new(Time::ZERO);
            let mut total = QueueTimes::default();
            for (second, words) in (1..).zip(reads) {
                let before = *claim.believed();
                let now = Time::after_origin(Duration::from_secs(second));
                match claim.claim(now, &QueueTimes::of_words(words)) {
                    Ok(grown) => total.add(&grown),
                    Err(Implausible) => prop_assert_eq!(claim.believed(), &before),
                }
                prop_assert!(claim.believed().since(&before).is_some());
                prop_assert_eq!(&total, claim.believed());
                prop_assert!(total.clients() <= second * 11_000_000, "no more than possible");
            }
        }
    }
}
