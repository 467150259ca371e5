//! Dividing a number of children by weight, so that nobody has more than they want while others want more.

/// Weights are from 1 to this.
pub(super) const MOST_WEIGHT: u32 = 10_000;

/// What one of those that share has at least, and would have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claimant {
    pub(super) weight: u32,
    /// It has that much whatever others want.
    pub(super) floor: u32,
    /// It has no more than that, or than its floor.
    pub(super) demand: u32,
}

impl Claimant {
    /// What it has at such a level. From one level to the next that is one more at the most.
    fn at(&self, level: u64) -> u32 {
        let share = level * u64::from(self.weight) / u64::from(MOST_WEIGHT);
        let most = self.demand.max(self.floor);
        u32::try_from(share).unwrap_or(u32::MAX).clamp(self.floor, most)
    }
}

/// Returns what each has (weighted max-min fairness): all stand at one level, by their weights, but for those that want less,
/// and those that have more whatever others want. What is left of it goes to the first of those that would have one more at
/// the next level. Together they have no more than `capacity`, unless their floors alone are more.
pub(super) fn fill(claimants: &[Claimant], capacity: u64) -> Vec<u32> {
    let at = |level| -> Vec<u32> { claimants.iter().map(|it| it.at(level)).collect() };
    let fits = |level| claimants.iter().map(|it| u64::from(it.at(level))).sum::<u64>() <= capacity;
    // There everybody has what they want.
    let highest = claimants.iter().map(|it| u64::from(it.demand)).max().unwrap_or(0);
    let highest = (highest + 1) * u64::from(MOST_WEIGHT);
    if fits(highest) {
        return at(highest);
    }
    // The highest level that fits is at `low` or above, and below `high`.
    let (mut low, mut high) = (0, highest);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle) { low = middle } else { high = middle }
    }
    let mut shares = at(low);
    let used: u64 = shares.iter().map(|share| u64::from(*share)).sum();
    let mut left = capacity.saturating_sub(used);
    for (share, next) in shares.iter_mut().zip(at(low + 1)) {
        if left > 0 && next > *share {
            (*share, left) = (next, left - 1);
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn divide(capacity: u64, claimants: &[(u32, u32, u32)]) -> Vec<u32> {
        let claimants: Vec<_> = claimants
            .iter()
            .map(|(weight, floor, demand)| Claimant {
                weight: *weight,
                floor: *floor,
                demand: *demand,
            })
            .collect();
        fill(&claimants, capacity)
    }

    #[test]
    fn what_is_there_is_divided_by_weight() {
        assert_eq!(divide(30, &[(1, 0, 100), (1, 0, 100)]), [15, 15]);
        assert_eq!(divide(30, &[(2, 0, 100), (1, 0, 100)]), [20, 10]);
        assert_eq!(divide(30, &[(1, 0, 4), (1, 0, 100)]), [4, 26]);
        assert_eq!(divide(30, &[(1, 20, 100), (1, 0, 100)]), [20, 10]);
        assert_eq!(divide(30, &[(1, 25, 0), (1, 8, 100)]), [25, 8], "floors are more");
        assert_eq!(divide(7, &[(1, 0, 9), (1, 0, 9), (1, 0, 9)]), [3, 2, 2]);
        assert_eq!(divide(99, &[(1, 0, 9), (10_000, 0, 9)]), [9, 9]);
        assert_eq!(divide(u64::MAX, &[(1, 0, u32::MAX), (1, 0, 1)]), [u32::MAX, 1]);
        assert_eq!(divide(3, &[]), [0_u32; 0]);
    }

    proptest! {
        /// The oracle: nobody who wants more could have one at the expense of another who has as much by weight.
        #[test]
        fn nobody_who_wants_more_has_less_by_weight_than_one_above_its_floor(
            capacity in 0u64..200,
            claimants in prop::collection::vec((1u32..=20, 0u32..10, 0u32..60), 1..20),
        ) {
            let shares = divide(capacity, &claimants);
            let sum: u64 = shares.iter().map(|share| u64::from(*share)).sum();
            let floors: u64 = claimants.iter().map(|(_, floor, _)| u64::from(*floor)).sum();
            let most: u64 =
                claimants.iter().map(|(_, floor, demand)| u64::from(*floor.max(demand))).sum();
            prop_assert_eq!(sum, capacity.max(floors).min(most), "all is used, and no more");
            for ((weight, floor, demand), share) in claimants.iter().zip(&shares) {
                prop_assert!((*floor..=*floor.max(demand)).contains(share));
                if share >= demand {
                    continue;
                }
                for ((other_weight, other_floor, _), other) in claimants.iter().zip(&shares) {
                    let (weight, other_weight) = (u64::from(*weight), u64::from(*other_weight));
                    // Before its last one the other had no more by weight than this would have with one more.
                    let had = u64::from(other.saturating_sub(1));
                    prop_assert!(
                        other <= other_floor || had * weight <= u64::from(share + 1) * other_weight
                    );
                }
            }
        }
    }
}
