//! Dividing children by weight, so that nobody has more than they want while others want more. Where these take different
//! amounts of memory, it is memory that is divided.

use super::ceiling::Amount;

/// Weights are from 1 to this.
pub(super) const MOST_WEIGHT: u32 = 10_000;

/// What one of those that share has at least, and would have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claimant {
    pub(super) weight: u32,
    /// How much memory a child takes, at least 1.
    pub(super) size: u64,
    /// It has that much whatever others want.
    pub(super) floor: u32,
    /// It has no more than that, or than its floor.
    pub(super) demand: u32,
}

/// A claimant with its part of what there is.
#[derive(Clone, Copy, Debug)]
struct Part {
    claimant: Claimant,
    /// How much of the ceiling one child is: memory, or where the number of children is limited too and that is tighter, as
    /// much of it as there is for one.
    cost: u64,
}

impl Part {
    fn of(claimant: Claimant, capacity: Amount) -> Self {
        let for_one = capacity.memory.div_ceil(capacity.children.max(1));
        Self { claimant, cost: claimant.size.max(for_one).max(1) }
    }

    /// What it has at such a level. From one level to the next that is one more at the most.
    fn at(&self, level: u64) -> u32 {
        let Claimant { weight, floor, demand, .. } = self.claimant;
        let share = level * u64::from(weight) / (u64::from(MOST_WEIGHT) * self.cost);
        u32::try_from(share).unwrap_or(u32::MAX).clamp(floor, demand.max(floor))
    }

    /// A level at which it has what it wants, or more than there is.
    fn highest(&self, capacity: Amount) -> u64 {
        let reach = capacity.children.min(capacity.memory / self.claimant.size.max(1));
        let most = u64::from(self.claimant.demand).min(reach.saturating_add(1));
        let level = (most + 1).saturating_mul(self.cost).saturating_mul(u64::from(MOST_WEIGHT));
        // So that it can be multiplied with a weight.
        level.min(u64::MAX / u64::from(MOST_WEIGHT))
    }
}

/// Returns what each has (weighted max-min fairness): all stand at one level, by their weights, but for those that want less,
/// and those that have more whatever others want. What is left of it goes to the first of those that would have one more at
/// the next level; where there is only room for the children of others, these go on without those that have none. Together
/// they have no more than `capacity`, unless their floors alone are more.
pub(super) fn fill(claimants: &[Claimant], capacity: Amount) -> Vec<u32> {
    let mut parts: Vec<_> = claimants.iter().map(|it| Part::of(*it, capacity)).collect();
    let highest = parts.iter().map(|part| part.highest(capacity)).max().unwrap_or(0);
    let mut low = 0;
    loop {
        let at = |level| -> Vec<u32> { parts.iter().map(|part| part.at(level)).collect() };
        let sum = |level| -> Amount {
            parts.iter().map(|part| Amount::of(part.at(level), part.claimant.size)).sum()
        };
        let fits = |level| capacity.holds(sum(level));
        // There everybody has what they want.
        if fits(highest) {
            return at(highest);
        }
        // The highest level that fits is at `low` or above, and below `high`.
        let mut high = highest;
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if fits(middle) { low = middle } else { high = middle }
        }
        let (mut shares, next) = (at(low), at(low + 1));
        let mut left = capacity.without(sum(low));
        for ((share, next), part) in shares.iter_mut().zip(next).zip(&parts) {
            let one = Amount::of(1, part.claimant.size);
            if next > *share && left.holds(one) {
                (*share, left) = (next, left.without(one));
            }
        }
        // One of those at least has no room for the next child.
        let mut goes_on = false;
        for (part, share) in parts.iter_mut().zip(&shares) {
            let Claimant { size, demand, .. } = &mut part.claimant;
            if left.holds(Amount::of(1, *size)) {
                goes_on |= *demand > *share;
            } else {
                *demand = *share;
            }
        }
        if !goes_on {
            return shares;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn amount(children: u64) -> Amount {
        Amount { children, memory: children }
    }

    /// Weights, floors and demands, of children that take the same.
    fn divide(capacity: u64, claimants: &[(u32, u32, u32)]) -> Vec<u32> {
        let claimants: Vec<_> = claimants
            .iter()
            .map(|&(weight, floor, demand)| Claimant { weight, size: 1, floor, demand })
            .collect();
        fill(&claimants, amount(capacity))
    }

    /// Weights, sizes, floors and demands.
    fn divide_memory(capacity: Amount, claimants: &[(u32, u64, u32, u32)]) -> Vec<u32> {
        let claimants: Vec<_> = claimants
            .iter()
            .map(|&(weight, size, floor, demand)| Claimant { weight, size, floor, demand })
            .collect();
        fill(&claimants, capacity)
    }

    const fn memory(memory: u64) -> Amount {
        Amount { children: u64::MAX, memory }
    }

    #[test]
    fn memory_is_divided_by_weight_and_what_is_left_goes_to_those_that_have_room_for_it() {
        assert_eq!(divide_memory(memory(60), &[(1, 1, 0, 99), (1, 10, 0, 99)]), [30, 3]);
        assert_eq!(divide_memory(memory(60), &[(2, 1, 0, 99), (1, 10, 0, 99)]), [40, 2]);
        assert_eq!(divide_memory(memory(57), &[(1, 1, 0, 99), (1, 10, 0, 99)]), [37, 2]);
        assert_eq!(divide_memory(memory(9), &[(1, 10, 0, 9), (1, 2, 0, 9)]), [0, 4]);
        assert_eq!(divide_memory(memory(25), &[(1, 10, 3, 9), (1, 1, 2, 9)]), [3, 2], "floors");
        let gib = 1 << 30;
        let all = [(10_000, gib, 0, u32::MAX), (1, 1, 0, u32::MAX)];
        assert_eq!(divide_memory(memory(3 * gib + 5), &all), [2, u32::try_from(gib + 5).unwrap()]);
    }

    #[test]
    fn where_both_are_limited_each_has_its_share_of_what_it_takes_most_of() {
        let both = Amount { children: 20, memory: 100 };
        // The first takes a twentieth of the children for each, the second a tenth of the memory.
        assert_eq!(divide_memory(both, &[(1, 1, 0, 99), (1, 10, 0, 99)]), [14, 6]);
        assert_eq!(divide_memory(both, &[(1, 1, 0, 99), (1, 1, 0, 99)]), [10, 10]);
        assert_eq!(divide_memory(both, &[(1, 20, 0, 99), (1, 20, 0, 99)]), [3, 2]);
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

        /// As much as there is room for is used, whatever the children take, and no more.
        #[test]
        fn no_room_is_left_for_a_child_that_somebody_wants(
            children in 1u64..200,
            bytes in 1u64..2000,
            claimants in prop::collection::vec(
                (1u32..=20, 1u64..100, 0u32..4, 0u32..60), 1..20,
            ),
        ) {
            let capacity = Amount { children, memory: bytes };
            let shares = divide_memory(capacity, &claimants);
            let sum = |counts: &mut dyn Iterator<Item = u32>| -> Amount {
                counts.zip(&claimants).map(|(count, it)| Amount::of(count, it.1)).sum()
            };
            let floors = sum(&mut claimants.iter().map(|it| it.2));
            let used = sum(&mut shares.iter().copied());
            if !capacity.holds(floors) {
                prop_assert_eq!(used, floors);
                return Ok(());
            }
            prop_assert!(capacity.holds(used), "{:?} of {:?}", used, capacity);
            let left = capacity.without(used);
            for ((_, size, floor, demand), share) in claimants.iter().zip(&shares) {
                prop_assert!((*floor..=*floor.max(demand)).contains(share));
                prop_assert!(share >= demand || !left.holds(Amount::of(1, *size)));
            }
        }

        /// The oracle: what others have beyond the level at which one would have its next child is less than that child takes.
        #[test]
        fn nobody_lacks_a_child_for_which_others_have_more_than_their_weights_part(
            bytes in 1u64..2000,
            claimants in prop::collection::vec((1u32..=20, 1u64..100, 0u32..60), 1..20),
        ) {
            let claimants: Vec<_> = claimants.iter().map(|it| (it.0, it.1, 0, it.2)).collect();
            let shares = divide_memory(memory(bytes), &claimants);
            for ((weight, size, _, demand), share) in claimants.iter().zip(&shares) {
                if share >= demand {
                    continue;
                }
                // From which level on somebody has so many.
                let level = |count: u32, size: u64, weight: u32| {
                    (u64::from(count) * size * u64::from(MOST_WEIGHT)).div_ceil(weight.into())
                };
                let next = level(share + 1, *size, *weight);
                let beyond = |(it, of): (&u32, &(u32, u64, u32, u32))| {
                    let (other_weight, other_size, ..) = *of;
                    let comes_before = |count: &u32| level(*count, other_size, other_weight) <= next;
                    let before = (1..=*it).take_while(comes_before).count() as u64;
                    (u64::from(*it) - before) * other_size
                };
                let beyond: u64 = shares.iter().zip(&claimants).map(beyond).sum();
                prop_assert!(beyond < *size, "{beyond} for others, and {size} lacks");
            }
        }
    }
}
