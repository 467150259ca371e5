//! What a pool reports of the memory that its children take, where memory is shared.

use prefork_core::{Config, Event};

use crate::crowd::{Crowd, by_load};

const MIB: u64 = 1 << 20;

/// With children of 30 MiB, 10 of which they share with their parent.
fn crowd(config: Config) -> Crowd {
    let mut crowd = Crowd::new(config, Some(8));
    crowd.takes = [30 * MIB, 10 * MIB];
    crowd
}

/// Whether so many bytes are reported, rounded up to a sixteenth at the most.
#[track_caller]
fn assert_reports(crowd: &Crowd, bytes: u64) {
    let reported = crowd.need().child_memory;
    assert!((bytes..bytes + bytes / 16 + 100).contains(&reported), "{reported}, not {bytes}");
}

#[test]
fn nobody_is_weighed_where_nobody_wants_to_know() {
    let mut crowd = crowd(by_load(2, 50));
    crowd.come(20, 500);
    crowd.run(3000);
    assert_eq!((crowd.weighed, crowd.need().child_memory), (0, 0));
}

#[test]
fn what_children_take_that_they_do_not_share_is_reported_soon_after_it_changes() {
    // Where work is seen within a second, else as long after as nothing has changed before.
    for (config, soon) in [(by_load(2, 50), 1200), (Config::new(4, 4).expect("valid"), 4200)] {
        let mut crowd = crowd(config);
        crowd.handle(Event::MemoryShared);
        crowd.run(5);
        assert_reports(&crowd, 20 * MIB);
        crowd.takes = [70 * MIB, 10 * MIB];
        crowd.come(8, 3000);
        crowd.run(soon);
        assert_reports(&crowd, 60 * MIB);
        crowd.takes = [15 * MIB, 10 * MIB];
        crowd.come(8, 5000);
        crowd.run(soon);
        assert_reports(&crowd, 5 * MIB);
    }
}

#[test]
fn they_are_weighed_once_a_second_while_they_work_and_once_in_64_s_at_rest() {
    let mut crowd = crowd(by_load(2, 50));
    crowd.handle(Event::MemoryShared);
    for _ in 0..20 {
        crowd.come(1, 100);
        crowd.run(1000);
    }
    assert!((15..=21).contains(&crowd.weighed), "{} looks in 20 s", crowd.weighed);
    crowd.run(120_000);
    let before = crowd.weighed;
    crowd.run(640_000);
    assert!(crowd.weighed - before <= 10, "{} looks in 640 s", crowd.weighed - before);
    // What grows by itself is seen all the same.
    crowd.takes = [90 * MIB, 10 * MIB];
    crowd.run(64_000);
    assert_reports(&crowd, 80 * MIB);
}

#[test]
fn a_child_that_comes_is_weighed() {
    let mut crowd = crowd(by_load(1, 50));
    crowd.handle(Event::MemoryShared);
    crowd.run(60_000);
    let before = crowd.weighed;
    crowd.come(8, 60_000);
    crowd.run(1500);
    assert_eq!(crowd.alive(), 8);
    assert!(crowd.weighed > before);
}
