//! How much of a child is in use, where it can have several requests in hand at once.

use std::cmp::Ordering;

/// The most requests that one child can have in hand at once: 65,536.
pub const MOST_AT_ONCE: u32 = 65_536;

/// So many requests in hand of so many that a child can have at once, as far as that is believed.
///
/// Both numbers are the child's own, and a child may be confused or hostile. What it claims is brought within what is
/// possible, so that a child never counts for less than none or more than one that is at work.
///
/// Shares are ordered by how much of a child they are, and those that are as much by how many requests it can have.
///
/// # Examples
///
/// ```
/// use prefork_core::Share;
///
/// let share = Share::claim(3, 64);
/// assert_eq!((share.in_hand(), share.of(), share.is_full()), (3, 64, false));
/// assert!(Share::claim(900, 64).is_full());
/// assert!(Share::claim(1, 2) > share && share > Share::NONE);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Share {
    in_hand: u32,
    of: u32,
}

impl Share {
    /// Nothing in hand, one request at a time.
    pub const NONE: Self = Self { in_hand: 0, of: 1 };

    /// One request in hand, one at a time.
    pub const WHOLE: Self = Self { in_hand: 1, of: 1 };

    /// Takes in that a child claims to have so many requests in hand of so many, which are at least 1 and at most
    /// [`MOST_AT_ONCE`]; more in hand than that are as many.
    #[must_use]
    pub const fn claim(in_hand: u32, of: u32) -> Self {
        let of = if of == 0 { 1 } else { of };
        let of = if of > MOST_AT_ONCE { MOST_AT_ONCE } else { of };
        Self { in_hand: if in_hand > of { of } else { in_hand }, of }
    }

    /// Returns how many requests are in hand.
    #[must_use]
    pub const fn in_hand(self) -> u32 {
        self.in_hand
    }

    /// Returns how many can be in hand at once, at least 1.
    #[must_use]
    pub const fn of(self) -> u32 {
        self.of
    }

    /// Returns whether there is room for no other.
    #[must_use]
    pub const fn is_full(self) -> bool {
        self.in_hand == self.of
    }

    /// Returns how much of the child is in use, in eighths, rounded up: 0 only if it has nothing in hand.
    pub(crate) fn eighths(self) -> u8 {
        let eighths = (u64::from(self.in_hand) * 8).div_ceil(u64::from(self.of));
        u8::try_from(eighths).unwrap_or(8)
    }
}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Share {
    fn cmp(&self, other: &Self) -> Ordering {
        let across = |this: Self, that: Self| u64::from(this.in_hand) * u64::from(that.of);
        across(*self, *other).cmp(&across(*other, *self)).then(self.of.cmp(&other.of))
    }
}

/// How many children have as much in hand as these have together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shares {
    children: u32,
    /// What they have in hand, in parts of a child.
    parts: u64,
}

impl Shares {
    /// The parts of one child: so many that rounding down never hides a request of the largest pool.
    const PARTS: u64 = 1 << 40;

    pub(crate) fn add(&mut self, share: Share) {
        self.children += 1;
        self.parts += u64::from(share.in_hand) * Self::PARTS / u64::from(share.of);
    }

    /// How many children would be at work if each had as much in hand as it can; no more than have anything in hand.
    pub(crate) fn busy(&self) -> u32 {
        u32::try_from(self.parts.div_ceil(Self::PARTS)).unwrap_or(u32::MAX)
    }

    /// How many would have nothing in hand then.
    pub(crate) fn idle(&self) -> u32 {
        self.children.saturating_sub(self.busy())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::LARGEST_POOL;

    fn shares(each: impl IntoIterator<Item = (u32, u32)>) -> Shares {
        let mut shares = Shares::default();
        each.into_iter().for_each(|(in_hand, of)| shares.add(Share::claim(in_hand, of)));
        shares
    }

    #[test]
    fn what_cannot_be_is_brought_within_what_can() {
        for (claimed, believed) in [
            ((3, 64), (3, 64)),
            ((0, 0), (0, 1)),
            ((9, 0), (1, 1)),
            ((65, 64), (64, 64)),
            ((u32::MAX, u32::MAX), (MOST_AT_ONCE, MOST_AT_ONCE)),
            ((1, MOST_AT_ONCE + 1), (1, MOST_AT_ONCE)),
        ] {
            let share = Share::claim(claimed.0, claimed.1);
            assert_eq!((share.in_hand(), share.of()), believed, "{claimed:?}");
        }
    }

    #[test]
    fn parts_add_up_to_children() {
        for (each, busy, idle) in [
            (&[][..], 0, 0),
            (&[(0, 64), (0, 64)], 0, 2),
            (&[(1, 64), (0, 64)], 1, 1),
            (&[(32, 64), (32, 64)], 1, 1),
            (&[(32, 64), (33, 64)], 2, 0),
            (&[(1, 3), (1, 3), (1, 3)], 1, 2),
            (&[(1, 1), (0, 1), (1, 1)], 2, 1),
            (&[(1, 1), (1, 64)], 2, 0),
        ] {
            let shares = shares(each.iter().copied());
            assert_eq!((shares.busy(), shares.idle()), (busy, idle), "{each:?}");
        }
    }

    #[test]
    fn one_request_is_seen_in_the_largest_pool() {
        let full = (0..LARGEST_POOL - 1).map(|_| (MOST_AT_ONCE / 3 + 1, MOST_AT_ONCE / 3 + 1));
        let shares = shares(full.chain([(1, MOST_AT_ONCE)]));
        assert_eq!((shares.busy(), shares.idle()), (LARGEST_POOL, 0));
    }

    proptest! {
        #[test]
        fn nobody_with_nothing_in_hand_is_busy(
            each in prop::collection::vec((0u32..200, 0u32..200), 0..50),
        ) {
            let at_work = each.iter().filter(|(in_hand, _)| *in_hand > 0).count();
            let full = each.iter().filter(|(in_hand, of)| in_hand >= of && *in_hand > 0).count();
            let (children, busy) = (each.len(), shares(each).busy() as usize);
            prop_assert!((full..=at_work).contains(&busy), "{} of {} are busy", busy, children);
        }

        #[test]
        fn where_all_can_have_as_many_their_sum_decides(
            of in 1u32..=1000, each in prop::collection::vec(0u32..=1000, 0..50),
        ) {
            let sum: u32 = each.iter().map(|in_hand| in_hand.min(&of)).sum();
            let shares = shares(each.into_iter().map(|in_hand| (in_hand, of)));
            prop_assert_eq!(shares.busy(), sum.div_ceil(of));
        }

        #[test]
        fn eighths_are_none_for_nothing_and_all_for_a_full_child(in_hand: u32, of: u32) {
            let share = Share::claim(in_hand, of);
            prop_assert!(share.eighths() <= 8);
            prop_assert_eq!(share.eighths() == 0, share.in_hand() == 0);
            prop_assert!(!share.is_full() || share.eighths() == 8);
        }
    }
}
