//! Records are read whole or not at all.
mod common;

use common::{Forked, Numbers, alone, endurance, wait_for};
use prefork_scoreboard::{Class, OwnedBoard, Record, Stall, State, Status};
use std::time::{Duration, Instant};

/// S7: killed at any instruction, thousands of times.
#[test]
fn a_child_killed_while_writing_leaves_a_slot_that_is_bounded_and_reused() {
    alone("a_child_killed_while_writing_leaves_a_slot_that_is_bounded_and_reused", || {
        let board = OwnedBoard::anonymous(1).expect("a board");
        let mut numbers = Numbers::new();
        let deadline = Instant::now() + endurance();
        let (mut kills, mut half_written) = (0, 0);
        while Instant::now() < deadline || half_written < 3 {
            board.assign(0, kills).expect("a slot can be assigned after any death");
            assert_eq!(board.status(0).expect("a status"), Status::Live(State::Starting));
            let child = Forked::new(|| {
                let mut slot = board.enter(0).expect("my slot");
                let labels = ["a".repeat(96), "b".repeat(96)];
                for label in labels.iter().cycle() {
                    slot.busy(label);
                }
                0
            });
            wait_for("the child to write", || {
                board.status(0).expect("a status").class() != Class::Starting
            });
            for _ in 0..numbers.below(2000) {
                std::hint::spin_loop();
            }
            child.kill();
            let started = Instant::now();
            let record = board.record(0).expect("a record");
            assert!(started.elapsed() < Duration::from_secs(1), "reading took long");
            match record.status() {
                Status::Live(State::Writing) => {
                    let whole = ["a".repeat(96), "b".repeat(96)].contains(&record.label().into());
                    assert!(whole, "torn label {:?}", record.label());
                }
                Status::Stalled(Stall::HalfWritten) => {
                    assert_eq!(record.pid(), None, "a torn record was believed");
                    half_written += 1;
                }
                other => panic!("after {kills} kills the slot is {other:?}"),
            }
            kills += 1;
            if kills % 2 == 0 {
                board.clear(0).expect("cleared");
                assert_eq!(board.status(0).expect("a status"), Status::Empty);
            }
            assert!(kills < 1_000_000, "no kill ever hit a write: the test proves nothing");
        }
        println!("{kills} kills, {half_written} of them in mid-write");
    });
}

/// S7: a hundred thousand records a second and more, none of them torn.
#[test]
fn readers_never_take_a_torn_record() {
    alone("readers_never_take_a_torn_record", || {
        let board = OwnedBoard::anonymous(2).expect("a board");
        let writers: Vec<_> = (0..2)
            .map(|index| {
                board.assign(index, 1).expect("a slot");
                Forked::new(|| write_related_fields(&board, index))
            })
            .collect();
        let deadline = Instant::now() + endurance();
        let (mut whole, mut stalled, mut last) = (0_u64, 0_u64, [0; 2]);
        while Instant::now() < deadline || whole < 1000 {
            for (index, last) in last.iter_mut().enumerate() {
                let record = board.record(index).expect("a record");
                if record.status().class() == Class::Stalled {
                    stalled += 1;
                } else if record.status() == Status::Live(State::Writing) {
                    assert_related(&record);
                    assert!(record.requests() >= *last, "went back from {last}");
                    *last = record.requests();
                    whole += 1;
                }
            }
        }
        drop(writers);
        println!("{whole} whole records of {} changes, {stalled} stalled", last[0] + last[1]);
        assert!(stalled < whole, "most readings were in vain: {stalled} of {}", whole + stalled);
        assert!(last[0] > 1000 && last[1] > 1000, "the writers hardly wrote: {last:?}");
    });
}

fn write_related_fields(board: &OwnedBoard, index: usize) -> u8 {
    let mut slot = board.enter(index).expect("my slot");
    loop {
        slot.update(|report| {
            report.state(State::Writing).count_requests(1);
        });
        let requests = slot.requests() + 1;
        let mut label = [b'a'; 96];
        label.fill(b'a' + u8::try_from(requests % 26).expect("a letter"));
        let label = str::from_utf8(&label).expect("ASCII");
        let client = &label[..64 - usize::try_from(requests % 64).expect("small")];
        slot.update(|report| {
            report.state(State::Writing).count_requests(1).label(label).client(client);
        });
    }
}

/// Even counts of requests have all the fields that belong to them; odd ones have those of the
/// count before.
fn assert_related(record: &Record) {
    let count = record.requests() & !1;
    let letter = char::from(b'a' + u8::try_from(count % 26).expect("a letter"));
    let length = 64 - usize::try_from(count % 64).expect("small");
    if count == 0 {
        return;
    }
    let whole = record.label().len() == 96
        && record.label().chars().all(|found| found == letter)
        && record.client().len() == length
        && record.client().chars().all(|found| found == letter);
    assert!(whole, "torn: {record:?}");
}
