//! The rules, one by one.

use prefork_core::{
    AdoptedAs, Config, Event, Measuring, Need, Pool, PoolNotice, Request, SlotId, Supervisor,
    Tuning,
};

use crate::crowd::{Crowd, by_load};

#[test]
fn a_pool_grows_to_its_ceiling_and_says_what_more_it_wants() {
    for knows_waiting in [true, false] {
        let mut crowd = Crowd::new(by_load(2, 50), Some(8));
        crowd.knows_waiting = knows_waiting;
        crowd.come(20, 5000);
        crowd.run(1000);
        let need = crowd.need();
        assert_eq!((need.alive, need.busy, need.ceiling), (8, 8, Some(8)), "{need:?}");
        // Of a queue that nobody knows no more is known than that none is free.
        let wanted = if knows_waiting { 21..=21 } else { 9..=16 };
        assert!(wanted.contains(&need.wanted), "{need:?}");
    }
}

#[test]
fn a_ceiling_that_rises_is_filled_at_once_and_no_further_than_is_wanted() {
    let mut crowd = Crowd::new(by_load(2, 50), Some(8));
    crowd.come(20, 5000);
    crowd.run(100);
    assert_eq!(crowd.alive(), 8);
    crowd.allow(15);
    assert_eq!(crowd.alive(), 15);
    crowd.allow(40);
    assert_eq!(crowd.alive(), 21, "one for each client, and one to spare");
}

#[test]
fn what_was_wanted_and_is_not_any_more_is_not_started_when_the_ceiling_rises() {
    let mut crowd = Crowd::new(by_load(2, 50), Some(8));
    crowd.come(20, 100);
    crowd.run(1000);
    assert_eq!((crowd.served, crowd.need().busy), (20, 0));
    crowd.allow(40);
    crowd.run(1000);
    assert_eq!(crowd.alive(), 8);
    assert!(crowd.need().wanted <= 8, "{:?}", crowd.need());
}

#[test]
fn a_ceiling_that_sinks_takes_idle_children_at_once_and_nobody_who_is_at_work() {
    let mut crowd = Crowd::new(by_load(4, 50), None);
    crowd.come(10, 300);
    crowd.come(5, 10_000);
    crowd.run(1000);
    let need = crowd.need();
    assert_eq!((need.busy, need.alive), (5, 16), "{need:?}");
    crowd.allow(6);
    crowd.run(5);
    assert_eq!((crowd.alive(), crowd.asked_at_work, crowd.forced), (6, 0, 0));
    assert_eq!(crowd.need().busy, 5);
    assert_eq!(crowd.need().wanted, 6, "the idle ones are not missed");
}

#[test]
fn of_idle_children_the_largest_go_where_sizes_are_known() {
    let mut config = by_load(4, 50);
    config.measuring = Measuring::Children;
    let mut crowd = Crowd::new(config, None);
    crowd.come(5, 300);
    crowd.run(1000);
    assert_eq!(crowd.alive(), 6);
    crowd.allow(3);
    crowd.run(10);
    let left: Vec<_> = crowd.children.keys().map(|slot| slot.0).collect();
    assert_eq!(left, [0, 1, 2], "of 0, 19, 38, 57, 76 and 95");
}

#[test]
fn those_at_work_are_asked_where_that_is_not_enough_and_finish() {
    let mut crowd = Crowd::new(by_load(4, 50), None);
    crowd.come(10, 2000);
    crowd.run(100);
    assert_eq!(crowd.alive(), 11);
    crowd.allow(3);
    crowd.run(10);
    assert_eq!((crowd.alive(), crowd.asked_at_work, crowd.forced), (10, 7, 0));
    crowd.run(2000);
    assert_eq!((crowd.alive(), crowd.served, crowd.forced), (3, 10, 0));
}

#[test]
fn a_pool_below_its_size_at_rest_comes_back_when_it_may() {
    for config in [by_load(6, 50), Config::new(6, 50).expect("valid")] {
        let mut crowd = Crowd::new(config, None);
        crowd.allow(2);
        crowd.run(1000);
        assert_eq!((crowd.alive(), crowd.need().wanted), (2, 6), "{:?}", crowd.need());
        crowd.allow(5);
        assert_eq!(crowd.alive(), 5);
        crowd.allow(100);
        crowd.run(1000);
        assert_eq!((crowd.alive(), crowd.need().wanted), (6, 6));
        assert_eq!(crowd.supervisor.deadline(), None, "at rest it needs no timer");
    }
}

#[test]
fn a_pool_starts_with_as_many_as_it_may() {
    for config in [by_load(6, 50), Config::new(6, 50).expect("valid")] {
        let crowd = Crowd::new(config, Some(3));
        assert_eq!((crowd.alive(), crowd.need().wanted), (3, 6));
    }
}

#[test]
fn where_nobody_knows_who_is_idle_all_count_as_busy_and_the_newest_go() {
    let mut crowd = Crowd::new(Config::new(6, 6).expect("valid"), None);
    assert_eq!(crowd.need(), Need { alive: 6, busy: 6, wanted: 6, ceiling: None, child_memory: 0 });
    crowd.allow(2);
    crowd.run(10);
    assert_eq!(crowd.children.keys().copied().collect::<Vec<_>>(), [SlotId(0), SlotId(1)]);
}

#[test]
fn a_reload_has_new_ones_serve_before_old_ones_leave_if_room_is_given_in_time() {
    for config in [by_load(4, 50), Config::new(4, 50).expect("valid")] {
        let mut crowd = Crowd::new(config, Some(4));
        crowd.handle(Event::Requested(Request::Reload));
        assert_eq!(crowd.need().wanted, 5, "and one that stands in");
        crowd.allow(5);
        for _ in 0..100 {
            crowd.run(1);
            let serve = crowd.children.values().filter(|it| it.serves && it.asked.is_none());
            assert!(serve.count() >= 4);
        }
        assert!(crowd.children.values().all(|child| child.generation == 2));
        assert_eq!(crowd.need().wanted, 4);
    }
}

#[test]
fn a_reload_without_room_has_old_ones_leave_first() {
    for config in [by_load(4, 50), Config::new(4, 50).expect("valid")] {
        let mut crowd = Crowd::new(config, Some(4));
        crowd.handle(Event::Requested(Request::Reload));
        crowd.run(90);
        assert!(crowd.children.values().all(|it| it.generation == 1), "room may come");
        crowd.run(200);
        assert!(crowd.children.values().all(|it| it.generation == 2));
        assert_eq!((crowd.alive(), crowd.supervisor.stats().reloads), (4, 1));
    }
}

#[test]
fn children_that_serve_one_client_each_keep_to_the_ceiling() {
    let mut config = by_load(4, 50);
    config.pool = Pool::OneShot(Tuning::DEFAULT);
    let mut crowd = Crowd::new(config, Some(10));
    crowd.come(30, 400);
    crowd.run(200);
    let need = crowd.need();
    assert_eq!((need.alive, need.busy), (10, 10), "{need:?}");
    assert!(need.wanted > 10, "{need:?}");
    crowd.allow(3);
    crowd.run(50);
    assert_eq!((crowd.alive(), crowd.forced), (10, 0), "they end by themselves");
}

#[test]
fn a_program_that_takes_over_keeps_to_the_ceiling() {
    let mut crowd = Crowd::new(by_load(4, 50), Some(6));
    crowd.come(20, 1000);
    crowd.run(100);
    assert!(crowd.need().wanted > 6);
    let handover = crowd.supervisor.hand_over();
    let config = crowd.supervisor.config().clone();
    let adopted_as = AdoptedAs::SameProgram;
    crowd.supervisor = Supervisor::adopt(config, crowd.now, &handover, adopted_as);
    crowd.obey();
    crowd.run(2000);
    assert_eq!(crowd.need().ceiling, Some(6));
}

/// It would cost every pool of a crowded host.
#[test]
fn a_pool_at_its_ceiling_looks_no_more_often_than_one_at_its_maximum() {
    let looks = |config, ceiling| {
        let mut crowd = Crowd::new(config, ceiling);
        for _ in 0..100 {
            crowd.come(20, 90);
            crowd.run(100);
        }
        assert_eq!(crowd.alive(), 8);
        crowd.looks
    };
    let (at_ceiling, at_maximum) = (looks(by_load(2, 50), Some(8)), looks(by_load(2, 8), None));
    assert!(at_ceiling <= at_maximum, "{at_ceiling} and {at_maximum}");
}

#[test]
fn being_short_by_the_ceiling_is_reported_once_it_lasts() {
    let mut crowd = Crowd::new(by_load(2, 50), Some(8));
    let at_ceiling =
        |it: &PoolNotice| matches!(it, PoolNotice::AtCeiling { ceiling: 8, busy: 8, .. });
    crowd.come(12, 300);
    crowd.run(900);
    assert_eq!(crowd.count(at_ceiling), 0, "for a moment it is nothing");
    crowd.run(15_000);
    for _ in 0..20 {
        crowd.come(12, 190);
        crowd.run(200);
    }
    assert_eq!(crowd.count(at_ceiling), 1, "{:?}", crowd.notices);
    assert_eq!(crowd.count(|it| matches!(it, PoolNotice::AtMaximum { .. })), 0);
    crowd.run(60_000);
    assert_eq!(crowd.count(|it| matches!(it, PoolNotice::BelowCeiling { .. })), 1);
    assert_eq!(crowd.count(|it| matches!(it, PoolNotice::BelowMaximum { .. })), 0);
}

/// Nothing happens meanwhile that would have the parent look.
#[test]
fn long_requests_do_not_hide_that_the_pool_is_short() {
    let count = |ceiling, at: fn(&PoolNotice) -> bool, below: fn(&PoolNotice) -> bool| {
        let max_children = if ceiling == 0 { 8 } else { 50 };
        let mut crowd = Crowd::new(by_load(2, max_children), (ceiling > 0).then_some(ceiling));
        crowd.come(12, 60_000);
        crowd.run(50_000);
        (crowd.count(at), crowd.count(below))
    };
    let at_ceiling = count(
        8,
        |it| matches!(it, PoolNotice::AtCeiling { .. }),
        |it| matches!(it, PoolNotice::BelowCeiling { .. }),
    );
    let at_maximum = count(
        0,
        |it| matches!(it, PoolNotice::AtMaximum { .. }),
        |it| matches!(it, PoolNotice::BelowMaximum { .. }),
    );
    assert_eq!((at_ceiling, at_maximum), ((1, 0), (1, 0)));
}
