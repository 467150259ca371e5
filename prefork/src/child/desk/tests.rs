//! Requests that come and go in any order.

use proptest::prelude::*;

use super::*;
use crate::{
    channels::both_sides,
    child::{Limits, limits::UsedUp},
};

fn at(seconds: u64) -> Time {
    Time::after_origin(Duration::from_secs(seconds))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What others read of a child: how many it has in hand, how many it has answered, and what the first is about.
fn read(pages: &crate::channels::Pages, slot: prefork_core::SlotId) -> (u32, u64, String, String) {
    let record = pages.record(slot).expect("there");
    let (label, client) = (record.label().to_owned(), record.client().to_owned());
    (record.in_hand(), record.requests(), label, client)
}

fn shown(in_hand: u32, requests: u64, label: &str, client: &str) -> (u32, u64, String, String) {
    (in_hand, requests, label.to_owned(), client.to_owned())
}

#[test]
fn the_board_shows_the_oldest_and_how_many_there_are() {
    let (pages, slot, own, _) = both_sides();
    let mut desk = Desk::new(Some(own.enter()), Some(own), Usage::new(Limits::default()), 64);
    let record = pages.record(slot).expect("there");
    assert_eq!((record.in_hand(), record.concurrency()), (0, 64), "before the first");
    let first = desk.begin(at(1), "GET /1");
    let second = desk.begin(at(2), "GET /2");
    desk.set_client(second, "192.0.2.2:2");
    assert_eq!(read(&pages, slot), shown(2, 0, "GET /1", ""), "the second is not shown");
    desk.set_client(first, "192.0.2.1:1");
    desk.set_label(first, "POST /1");
    assert_eq!(read(&pages, slot), shown(2, 0, "POST /1", "192.0.2.1:1"));
    assert_eq!(desk.end(at(3), first), Finding::WithinLimits);
    assert_eq!(read(&pages, slot), shown(1, 1, "GET /2", "192.0.2.2:2"));
    let begun = pages.record(slot).expect("there").request_started().expect("one is in hand");
    assert_eq!(begun.as_nanos(), 2_000_000_000, "it has not begun when the other ended");
    // The place of the first is used again, and nothing of it is left there.
    assert_eq!(desk.begin(at(4), "GET /4"), first);
    desk.end(at(5), second);
    assert_eq!(read(&pages, slot), shown(1, 2, "GET /4", ""));
    desk.end(at(6), first);
    assert_eq!(pages.first_in_hand(slot), None);
    assert_eq!(read(&pages, slot), shown(0, 3, "GET /4", ""), "of the last one, as ever");
}

#[test]
fn one_that_was_given_an_hour_does_not_hide_another_that_hangs() {
    let (mut pages, slot, own, _) = both_sides();
    pages.limit_requests(Some(seconds(30)), [slot].into_iter());
    let mut desk = Desk::new(Some(own.enter()), Some(own), Usage::new(Limits::default()), 8);
    let patient = desk.begin(at(100), "report");
    desk.extend(patient, at(3700));
    assert_eq!(pages.first_in_hand(slot), Some(at(3670)), "30 s before its time is over");
    let other = desk.begin(at(200), "GET /");
    assert_eq!(pages.first_in_hand(slot), Some(at(200)));
    assert_eq!(read(&pages, slot), shown(2, 0, "GET /", ""));
    desk.extend(other, at(210));
    assert_eq!(pages.first_in_hand(slot), Some(at(200)), "less than it has changes nothing");
    // A reload gives everybody less.
    pages.limit_requests(Some(seconds(5)), [slot].into_iter());
    desk.end(at(201), other);
    assert_eq!(pages.first_in_hand(slot), Some(at(3695)));
    assert_eq!(read(&pages, slot), shown(1, 1, "report", ""));
    let begun = pages.record(slot).expect("there").request_started().expect("one is in hand");
    assert_eq!(begun.as_nanos(), 100_000_000_000, "that is when it has begun");
}

#[test]
fn texts_are_kept_as_far_as_they_can_be_shown() {
    let mut text = String::new();
    for (from, most, expected) in [
        ("GET /", 96, "GET /"),
        ("caf\u{e9}", 4, "caf"),
        ("caf\u{e9}", 5, "caf\u{e9}"),
        ("\u{e9}", 1, ""),
    ] {
        keep(&mut text, from, most);
        assert_eq!(text, expected);
    }
}

#[test]
fn requests_that_are_answered_use_a_child_up_and_memory_is_looked_at_now_and_then() {
    let limits = Limits { max_requests: Some(1), max_memory: Some(1) };
    let mut desk = Desk::new(None, None, Usage::new(limits), 8);
    let place = desk.begin(at(1), "");
    let all = Finding::UsedUp(UsedUp::Requests { requests: 1, max: 1 });
    assert_eq!(desk.end(at(1), place), all);
    let limits = Limits { max_requests: None, max_memory: Some(1) };
    let mut desk = Desk::new(None, None, Usage::new(limits), 8);
    let ends = [(1000, true), (1000, false), (1099, false), (1100, true), (1199, false)];
    for (millis, is_looked_at) in ends {
        let place = desk.begin(at(1), "");
        let now = Time::after_origin(Duration::from_millis(millis));
        let (before, _) = (desk.look_at, desk.end(now, place));
        assert_eq!(desk.look_at != before, is_looked_at, "after {millis} ms");
    }
}

/// What happens to the requests of a child.
#[derive(Clone, Debug)]
enum Step {
    Begin,
    /// The one of this number among those in hand.
    End(usize),
    Extend(usize, u64),
    Limit(Option<u64>),
}

fn arb_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Begin),
        2 => any::<usize>().prop_map(Step::End),
        2 => (any::<usize>(), 0u64..200).prop_map(|(which, by)| Step::Extend(which, by)),
        1 => prop::option::of(1u64..60).prop_map(Step::Limit),
    ]
}

proptest! {
    /// Whatever has happened, the parent reads when the first of all will have taken too long.
    #[test]
    fn the_first_to_take_too_long_is_reported(steps in prop::collection::vec(arb_step(), 1..80)) {
        let (mut pages, slot, own, _) = both_sides();
        let mut desk = Desk::new(Some(own.enter()), Some(own), Usage::new(Limits::default()), 8);
        let (mut limit, mut answered) = (None, 0);
        // (place, begun, extended)
        let mut in_hand: Vec<(u32, Time, Time)> = Vec::new();
        for (now, step) in (1..).map(at).zip(steps) {
            match step {
                Step::Begin => in_hand.push((desk.begin(now, "x"), now, Time::ZERO)),
                Step::End(which) if !in_hand.is_empty() => {
                    let (place, ..) = in_hand.swap_remove(which % in_hand.len());
                    desk.end(now, place);
                    answered += 1;
                }
                Step::Extend(which, by) if !in_hand.is_empty() => {
                    let which = which % in_hand.len();
                    let (place, _, extended) = &mut in_hand[which];
                    desk.extend(*place, now + seconds(by));
                    *extended = (*extended).max(now + seconds(by));
                }
                Step::End(_) | Step::Extend(..) => {}
                Step::Limit(other) => {
                    limit = other.map(seconds);
                    pages.limit_requests(limit, [slot].into_iter());
                    // It is read with the next change.
                    in_hand.push((desk.begin(now, "x"), now, Time::ZERO));
                }
            }
            let due = |(_, begun, extended): &(u32, Time, Time)| {
                (*begun + limit.unwrap_or_default()).max(*extended)
            };
            let first = pages.first_in_hand(slot).map(|from| from + limit.unwrap_or_default());
            prop_assert_eq!(first, in_hand.iter().map(due).min());
            let record = pages.record(slot).expect("there");
            let count = u32::try_from(in_hand.len()).expect("few");
            prop_assert_eq!((desk.count(), record.in_hand()), (count, count.min(8)));
            prop_assert_eq!(record.requests(), answered);
        }
    }
}
