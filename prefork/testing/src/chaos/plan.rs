//! What is done, decided from a seed alone.

use std::time::Duration;

/// The longest that a child hangs, or nothing is done, in milliseconds.
const LONGEST_MS: u64 = 100;

/// What is done to a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A child is killed: that with this number, modulo how many there are.
    Kill {
        /// The number.
        number: u64,
    },
    /// A child is stopped for this long.
    Hang {
        /// The number.
        number: u64,
        /// How long.
        time: Duration,
    },
    /// The daemon reloads, until that is over.
    Reload,
    /// Nothing is done for this long.
    Rest {
        /// How long.
        time: Duration,
    },
}

/// Returns the faults of a seed: the same ones at any time and on any machine, and of more steps the same at the beginning.
///
/// # Examples
///
/// ```
/// use prefork_testing::plan;
///
/// assert_eq!(plan(7, 10), plan(7, 20)[..10]);
/// assert_ne!(plan(7, 10), plan(8, 10));
/// ```
#[must_use]
pub fn plan(seed: u64, steps: usize) -> Vec<Fault> {
    let mut numbers = Numbers(seed);
    (0..steps)
        .map(|_| match numbers.next() % 8 {
            0..4 => Fault::Kill { number: numbers.next() },
            4..6 => Fault::Hang { number: numbers.next(), time: numbers.time() },
            6 => Fault::Reload,
            _ => Fault::Rest { time: numbers.time() },
        })
        .collect()
}

/// SplitMix64, of Steele, Lea and Flood: each number follows from the seed, on any machine.
#[derive(Debug)]
struct Numbers(u64);

impl Numbers {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn time(&mut self) -> Duration {
        Duration::from_millis(self.next() % (LONGEST_MS + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_splitmix64() {
        let mut numbers = Numbers(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| numbers.next()).collect();
        let published =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(first, published);
    }

    #[test]
    fn all_faults_come_and_none_lasts_too_long() {
        let faults = plan(1, 1000);
        let count = |is: fn(&Fault) -> bool| faults.iter().filter(|fault| is(fault)).count();
        assert!(count(|fault| matches!(fault, Fault::Kill { .. })) > 400);
        assert!(count(|fault| matches!(fault, Fault::Hang { .. })) > 200);
        assert!(count(|fault| matches!(fault, Fault::Reload)) > 80);
        assert!(count(|fault| matches!(fault, Fault::Rest { .. })) > 80);
        for fault in faults {
            if let Fault::Hang { time, .. } | Fault::Rest { time } = fault {
                assert!(time <= Duration::from_millis(LONGEST_MS), "{time:?}");
            }
        }
    }
}
