//! What parent and child read of each other.

use prefork_core::Pressure;
use prefork_scoreboard::State;

use super::*;

pub(in crate::channels) const SLOT: SlotId = SlotId(1);

fn at(seconds: u64) -> Time {
    Time::after_origin(Duration::from_secs(seconds))
}

/// The parent's side, and that of the child in one slot, in the same process.
pub(in crate::channels) fn both() -> (Pages, OwnPage) {
    let pages = Pages::new(3).expect("made");
    pages.assign(SLOT, Generation(4), 1);
    let own = OwnPage { page: pages.page(SLOT).expect("there"), slot: SLOT };
    (pages, own)
}

#[test]
fn what_a_child_reports_is_read_once_and_in_order() {
    let (pages, own) = both();
    assert!(own.report(Report::Worked));
    assert!(own.report(Report::Entered));
    assert!(!own.report(Report::Entered), "it is not new");
    let first = pages.reports(SLOT);
    assert!(first.since(Reports::default()).eq([Report::Entered, Report::Worked]));
    own.report(Report::Tired);
    assert!(pages.reports(SLOT).since(first).eq([Report::Tired]));
    assert_eq!(pages.reports(SlotId(0)), Reports::default(), "nobody else has said anything");
}

#[test]
fn bits_that_no_child_sets_mean_nothing() {
    let (pages, own) = both();
    own.page[REPORTS].store(u64::MAX, Ordering::Relaxed);
    assert_eq!(pages.reports(SLOT).since(Reports::default()).count(), Report::ALL.len());
}

#[test]
fn only_the_child_that_is_meant_is_asked() {
    let (pages, own) = both();
    let other = OwnPage { page: pages.page(SlotId(2)).expect("there"), slot: SlotId(2) };
    pages.ask(SLOT);
    pages.drain([SLOT].into_iter());
    assert!(own.is_asked() && own.is_draining() && pages.was_asked(SLOT));
    assert!(!other.is_asked() && !other.is_draining());
    pages.assign(SLOT, Generation(5), 1);
    assert!(!own.is_asked() && !own.is_draining(), "the next child is asked by itself");
}

#[test]
fn a_child_rings_once_in_each_round() {
    let (mut pages, own) = both();
    assert!(!own.wants_bell(), "nobody wants to know yet");
    for now in [at(5), at(5), at(3), at(9)] {
        pages.arm(now, [SLOT].into_iter());
        assert!(!pages.has_changed(SLOT));
        assert!(own.wants_bell() && !own.wants_bell(), "once in a round");
        assert!(pages.has_changed(SLOT));
    }
    pages.arm(at(10), [SLOT].into_iter());
    pages.assign(SLOT, Generation(5), 1);
    assert!(own.wants_bell(), "a child that comes meanwhile rings too");
    pages.arm(at(11), [SLOT].into_iter());
    pages.disarm([SLOT].into_iter());
    assert!(!own.wants_bell());
    pages.assign(SLOT, Generation(6), 1);
    assert!(!own.wants_bell());
}

#[test]
fn a_connection_is_said_to_a_parent_that_wants_to_know() {
    let (mut pages, own) = both();
    assert!(!own.is_watched() && pages.connection(SLOT).is_none());
    pages.watch_clients(Some(Duration::from_secs(2)), [SLOT].into_iter());
    assert!(own.is_watched());
    own.connected([9, 8, 7, 6, 5, 4, 3], at(1));
    assert_eq!(pages.connection(SLOT), Some([9, 8, 7, 6, 5, 4, 3]));
    assert_eq!(pages.connection(SlotId(2)), None, "it is that child's");
    own.disconnected();
    assert_eq!(pages.connection(SLOT), None);
    own.connected([9; 7], at(1));
    pages.assign(SLOT, Generation(5), 1);
    assert!(own.is_watched(), "a child that comes meanwhile is asked too");
    assert_eq!(pages.connection(SLOT), None);
}

#[test]
fn a_connection_whose_addresses_another_child_has_had_since_is_known() {
    let mut pages = Pages::new(4).expect("there is memory");
    pages.watch_clients(Some(Duration::from_secs(1)), std::iter::empty());
    let [first, second] = [0, 1].map(|slot| {
        pages.assign(SlotId(slot), Generation(4), 1);
        OwnPage { page: pages.page(SlotId(slot)).expect("there"), slot: SlotId(slot) }
    });
    let has_successor = |now| pages.has_successor(SlotId(0), at(now));
    let other = |port| [9, port, 2, 3, 4, 5, 6];
    second.connected(other(1), at(1000));
    assert!(!has_successor(1000), "the first has none in hand");
    first.connected([7, 1, 2, 3, 4, 5, 6], at(1000));
    assert!(has_successor(1000));
    // Spans are 2 s long.
    assert!(has_successor(1003) && !has_successor(1004));
    second.connected(other(2), at(1004));
    assert!(!has_successor(1004), "that is another");
    let found = (3..2003).filter(|port| {
        first.connected([7, *port, 2, 3, 4, 5, 6], at(1005));
        has_successor(1005)
    });
    assert_eq!(found.count(), 0, "nobody has had them");
    (3..2003).for_each(|port| second.connected(other(port), at(1006)));
    for port in 3..2003 {
        first.connected([7, port, 2, 3, 4, 5, 6], at(1007));
        assert!(has_successor(1007) && has_successor(1009), "none is forgotten");
    }
    let mistaken = (3000..5000).filter(|port| {
        first.connected([7, *port, 2, 3, 4, 5, 6], at(1007));
        has_successor(1007)
    });
    assert!(mistaken.count() < 300, "few are taken for others");
}

#[test]
fn a_later_program_has_the_same_pages_and_may_have_more() {
    let (pages, own) = both();
    own.enter().idle();
    own.extend(at(7));
    let memory = pages.memory.try_clone().expect("duplicated");
    let later = Pages::adopt(memory, 1000).expect("adopted");
    assert_eq!(later.record(SLOT).and_then(|record| record.status().state()), Some(State::Idle));
    assert_eq!(later.extended(SLOT), Some(at(7)));
    later.assign(SlotId(999), Generation(1), 1);
    assert!(later.record(SlotId(999)).is_some() && later.record(SlotId(1000)).is_none());
    let fewer = Pages::adopt(later.memory.try_clone().expect("duplicated"), 1).expect("adopted");
    assert!(fewer.record(SlotId(999)).is_some(), "the children beyond are still there");
}

#[test]
fn who_writes_to_an_older_log_is_known_until_the_line_is_written() {
    let (pages, own) = both();
    assert_eq!(own.newest_logs(), 1);
    for log in [WhichLog::Error, WhichLog::Access] {
        own.write_to(log, 1);
        assert!(!pages.writes_to_older_logs(SLOT, 1));
        pages.renew_logs([SLOT].into_iter(), 2);
        assert_eq!(own.newest_logs(), 2);
        assert!(pages.writes_to_older_logs(SLOT, 2));
        own.wrote(log);
        assert!(!pages.writes_to_older_logs(SLOT, 2));
        own.write_to(log, 2);
        assert!(!pages.writes_to_older_logs(SLOT, 2));
        own.wrote(log);
    }
    pages.assign(SLOT, Generation(5), 7);
    assert_eq!(own.newest_logs(), 7, "what it was forked with");
}

#[test]
fn nobody_can_cut_the_pages() {
    let (pages, _own) = both();
    assert!(ftruncate(&pages.memory, 4096).is_err());
}

#[test]
fn children_know_whether_the_pool_is_overloaded() {
    let (mut pages, own) = both();
    assert!(!own.is_pressed());
    pages.press(Pressure::Overloaded, [SLOT].into_iter());
    assert!(own.is_pressed());
    pages.assign(SLOT, Generation(5), 1);
    assert!(own.is_pressed(), "a child that comes meanwhile knows it too");
    pages.press(Pressure::Normal, [SLOT].into_iter());
    assert!(!own.is_pressed());
}
