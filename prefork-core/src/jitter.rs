//! Spreading limits, so that children that began together do not end together.

use std::time::Duration;

/// Spreads a time limit by up to a tenth either way, by a number that differs from child to child.
pub(crate) fn jittered(limit: Duration, seed: u64) -> Duration {
    let tenth = limit / 10;
    limit.saturating_sub(tenth).saturating_add((tenth * 2).mul_f64(scatter(seed)))
}

/// Spreads a count by up to a tenth either way, by a number that differs from child to child; never
/// below 1.
///
/// # Examples
///
/// ```
/// use prefork_core::jittered_count;
///
/// assert_ne!(jittered_count(1000, 1), jittered_count(1000, 2));
/// assert_eq!(jittered_count(1000, 1), jittered_count(1000, 1));
/// ```
#[must_use]
pub fn jittered_count(limit: u64, seed: u64) -> u64 {
    let tenth = limit / 10;
    let spread = (u128::from(tenth) * 2 * u128::from(mix(seed) >> 32)) >> 32;
    let spread = u64::try_from(spread).unwrap_or(0);
    limit.saturating_sub(tenth).saturating_add(spread).max(1)
}

/// Turns a number into one from 0 to 1 that looks random and is always the same.
fn scatter(seed: u64) -> f64 {
    f64::from(u32::try_from(mix(seed) >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

/// `SplitMix64`.
const fn mix(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_a_tenth_and_spreads() {
        let limit = Duration::from_secs(1000);
        let times: Vec<_> = (0..1000).map(|seed| jittered(limit, seed).as_secs()).collect();
        let counts: Vec<_> = (0..1000).map(|seed| jittered_count(1000, seed)).collect();
        for spread in [times, counts] {
            assert!(spread.iter().all(|value| (900..=1100).contains(value)));
            let low = spread.iter().filter(|value| **value < 1000).count();
            assert!((400..600).contains(&low), "{low} of 1000 below the middle");
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        for seed in [0, 1, u64::MAX] {
            assert!(jittered(Duration::MAX / 4, seed) > Duration::MAX / 5);
            assert_eq!(jittered_count(0, seed), 1);
            assert_eq!(jittered_count(1, seed), 1);
            assert!(jittered_count(u64::MAX, seed) > u64::MAX / 2);
        }
    }
}
