//! Tags of children: whose a process is that has lost its parent.

use std::collections::BTreeSet;

use prefork_core::{Owner, SlotId, Tags};
use proptest::prelude::*;

const fn slot(number: u32) -> SlotId {
    SlotId(number)
}

/// Where a daemon may stand: limits as they are, and those of children at each level.
fn arb_limit() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        Just(None),
        (1u64..1 << 31).prop_map(|serial| Some(serial << 32)),
        (1u64..1 << 47).prop_map(|serial| Some(serial << 16)),
        any::<u64>().prop_map(Some),
        (0u64..100).prop_map(Some),
    ]
}

proptest! {
    /// Each has a value of its own below the daemon's, and whatever is below that is its own too.
    #[test]
    fn each_child_has_a_range_of_its_own(limit in arb_limit(), count in 0u32..200) {
        let mut tags = Tags::below(limit);
        let given: Vec<u64> = (0..count).map_while(|number| tags.assign(slot(number))).collect();
        prop_assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), given.len());
        prop_assert!(given.len() == count as usize || limit.is_some_and(|limit| limit < 201));
        for tag in &given {
            prop_assert!(limit.is_none_or(|limit| *tag < limit));
            prop_assert_eq!(tags.owner(Some(*tag)), Owner::Living);
        }
        // Below the third level there is no room for another one.
        let has_room = limit.is_none_or(|limit| limit.is_multiple_of(1 << 32));
        tags.release(slot(0));
        for (number, tag) in given.iter().enumerate() {
            let owner = if number == 0 { Owner::Ended } else { Owner::Living };
            prop_assert_eq!(tags.owner(Some(*tag)), owner);
            // A daemon that is such a child takes its tags from its range.
            let mut below = Tags::below(Some(*tag));
            for number in (0..20).map(slot) {
                let Some(nested) = below.assign(number).filter(|_| has_room) else { break };
                prop_assert!(nested < *tag);
                prop_assert_eq!(tags.owner(Some(nested)), owner);
            }
        }
    }

    /// A program goes on with the tags of another one.
    #[test]
    fn tags_survive_an_upgrade(limit in arb_limit(), ended in prop::collection::vec(0u32..20, 0..20)) {
        let mut before = Tags::below(limit);
        let given: Vec<_> = (0..20).map_while(|number| before.assign(slot(number))).collect();
        ended.into_iter().for_each(|number| before.release(slot(number)));
        let mut after = Tags::below(limit);
        after.adopt(&before.hand_over());
        for tag in given {
            prop_assert_eq!(after.owner(Some(tag)), before.owner(Some(tag)));
        }
        prop_assert_eq!(after.assign(slot(99)), before.assign(slot(99)));
    }
}

#[test]
fn whoever_has_no_tag_is_a_stranger() {
    for limit in [None, Some(7 << 32), Some(5 << 16), Some(1000), Some(0)] {
        let mut tags = Tags::below(limit);
        tags.assign(slot(0));
        assert_eq!(tags.owner(None), Owner::Stranger, "{limit:?}");
        if let Some(limit) = limit {
            assert_eq!(tags.owner(Some(limit)), Owner::Stranger, "{limit}");
            assert_eq!(tags.owner(Some(limit + 1)), Owner::Stranger, "{limit}");
        }
    }
}

/// A process that lowers its limit to what no child ever had does not get away by that.
#[test]
fn a_disguise_that_is_no_childs_is_seen_through() {
    for limit in [None, Some(7 << 32), Some(1000)] {
        let mut tags = Tags::below(limit);
        let tag = tags.assign(slot(0)).expect("there is room");
        for value in [0, tag + 1, limit.map_or(u64::MAX - 1, |limit| limit - 1)] {
            assert_eq!(tags.owner(Some(value)), Owner::Ended, "{value} below {limit:?}");
        }
    }
}

/// Where there are few, one is used again as late as can be, and never while its child lives.
#[test]
fn tags_that_are_few_are_used_in_turn() {
    let mut tags = Tags::below(Some(4));
    assert_eq!(
        [0, 1, 2, 3].map(|number| tags.assign(slot(number))),
        [Some(1), Some(2), Some(3), None]
    );
    tags.release(slot(1));
    assert_eq!(tags.assign(slot(7)), Some(2));
    assert_eq!(tags.assign(slot(8)), None);
    assert_eq!(tags.assign(slot(7)), Some(2), "a slot has one at a time");
    assert_eq!([Some(0), Some(1)].map(|limit| Tags::below(limit).assign(slot(0))), [None, None]);
}

#[test]
fn a_handover_that_makes_no_sense_is_passed_over() {
    let mut before = Tags::below(None);
    before.assign(slot(0));
    let mut handed = before.hand_over();
    handed.children.extend([(slot(1), 0), (slot(2), 17), (slot(3), u64::MAX)]);
    let mut after = Tags::below(None);
    after.adopt(&handed);
    assert_eq!(after.hand_over().children, before.hand_over().children);
}
