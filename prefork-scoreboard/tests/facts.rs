//! What an owner publishes about itself, and what becomes of that in other hands.
mod common;

use common::directory;
use prefork_scoreboard::{Board, Facts, Fault, Monotonic, OwnedBoard, Stamp, format};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

fn facts(name: &str) -> Facts {
    let mut facts = Facts::new();
    facts.add("name", name).add("listen", "127.0.0.1:80").add("listen", "/run/hello.sock");
    facts
}

#[test]
fn others_read_what_the_owner_publishes_and_nothing_before() {
    let directory = directory();
    let path = directory.path().join("board");
    let owner = OwnedBoard::create(&path, 2).expect("a board");
    let board = Board::open(&path).expect("it is there");
    assert!(board.facts().expect("readable").is_empty());
    assert_eq!(board.pulse().expect("readable"), None);
    assert!(owner.shows_facts(Stamp::EMPTY).expect("readable"));

    let stamp = owner.publish_facts(&facts("hello")).expect("room");
    assert_eq!(board.facts().expect("readable"), facts("hello"));
    assert!(owner.shows_facts(stamp).expect("readable"));
    let other = owner.publish_facts(&facts("another")).expect("room");
    assert!(
        owner.shows_facts(other).expect("readable") && !owner.shows_facts(stamp).expect("readable")
    );

    let due = Monotonic::from_nanos(u64::MAX / 2);
    owner.beat(Some(due)).expect("room");
    let pulse = board.pulse().expect("readable").expect("a pulse");
    assert_eq!(pulse.due(), Some(due));
    assert!(pulse.at().is_some_and(|at| at <= Monotonic::now()));
    owner.check().expect("the header is as it was");
}

/// Facts that are written over are none until they are published again.
#[test]
fn what_others_write_over_is_seen_and_not_believed() {
    let directory = directory();
    let path = directory.path().join("board");
    let owner = OwnedBoard::create(&path, 1).expect("a board");
    let stamp = owner.publish_facts(&facts("hello")).expect("room");
    let vandal = OpenOptions::new().write(true).open(&path).expect("the file");
    for (offset, byte) in [(format::facts::TEXT + 5, b"j"), (format::facts::SEQUENCE, b"\x01")] {
        vandal.write_all_at(byte, offset as u64).expect("a byte");
        assert!(owner.facts().expect("readable").is_empty(), "byte {offset}");
        assert!(!owner.shows_facts(stamp).expect("readable"), "byte {offset}");
        owner.publish_facts(&facts("hello")).expect("room");
        assert_eq!(owner.facts().expect("readable"), facts("hello"), "after byte {offset}");
    }
}

/// A file that was cut is not made longer: the next owner would find something that is no board.
#[test]
fn nothing_is_written_to_a_file_that_was_cut() {
    let directory = directory();
    let path = directory.path().join("board");
    let owner = OwnedBoard::create(&path, 1).expect("a board");
    let vandal = OpenOptions::new().write(true).open(&path).expect("the file");
    vandal.set_len(0).expect("cut");
    for result in [owner.beat(None), owner.publish_facts(&facts("hello")).map(drop)] {
        assert!(matches!(result, Err(Fault::Truncated { found: 0, .. })), "{result:?}");
    }
    assert!(matches!(owner.facts(), Err(Fault::Truncated { .. })));
    assert!(matches!(owner.pulse(), Err(Fault::Truncated { .. })));
    assert_eq!(vandal.metadata().expect("it is open").len(), 0);
}

/// A reader never takes some lines from one moment and the rest from another.
#[test]
fn facts_are_of_one_moment() {
    let directory = directory();
    let path = directory.path().join("board");
    let owner = OwnedBoard::create(&path, 1).expect("a board");
    let board = Board::open(&path).expect("it is there");
    let over = AtomicBool::new(false);
    let all: Vec<Facts> = (0..2)
        .map(|number| {
            let mut facts = Facts::new();
            for _line in 0..10 {
                facts.add("line", number.to_string().repeat(200));
            }
            facts
        })
        .collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            for turn in 0..20_000 {
                owner.publish_facts(&all[turn % 2]).expect("room");
                owner.beat(None).expect("room");
            }
            over.store(true, Ordering::Relaxed);
        });
        let mut whole = 0;
        while !over.load(Ordering::Relaxed) {
            let found = board.facts().expect("readable");
            assert!(found.is_empty() || all.contains(&found), "a mixture: {found:?}");
            whole += usize::from(!found.is_empty());
            assert!(board.pulse().expect("readable").is_none_or(|pulse| pulse.at().is_some()));
        }
        assert!(whole > 0, "none was ever read whole");
    });
}

/// A reader that looks whether an owner has the lock keeps nobody from starting.
#[test]
fn a_glance_at_the_lock_is_no_owner() {
    let directory = directory();
    let path = directory.path().join("board");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                if let Ok(file) = File::open(&path)
                    && fs2::FileExt::try_lock_shared(&file).is_ok()
                {
                    fs2::FileExt::unlock(&file).expect("it is locked");
                }
            }
        });
        for round in 0..500 {
            // As a start leaves it that was killed.
            drop(File::create(&path).expect("an empty file"));
            let made = OwnedBoard::create(&path, 1);
            over.store(made.is_err(), Ordering::Relaxed);
            assert!(made.is_ok(), "round {round}: {made:?}");
        }
        over.store(true, Ordering::Relaxed);
    });
}
