//! What is reported is what is read.
mod common;

use common::directory;
use prefork_scoreboard::{
    Board, ClaimError, Class, Kind, Monotonic, OwnedBoard, Slot, SlotError, Snapshot, State,
    Status, format,
};
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

fn one_slot() -> (OwnedBoard, Slot) {
    let board = OwnedBoard::anonymous(1).expect("a board");
    board.assign(0, 1).expect("a slot");
    let slot = board.enter(0).expect("my slot");
    (board, slot)
}

#[test]
fn every_state_is_read_as_reported() {
    let (board, mut slot) = one_slot();
    for state in State::ALL {
        slot.state(state);
        assert_eq!(board.status(0).expect("a status"), Status::Live(state));
        assert_eq!(board.snapshot().expect("a snapshot").to_string(), state.letter().to_string());
    }
    type Report = fn(&mut Slot);
    let named: [(Report, char); 7] = [
        (Slot::idle, '_'),
        (Slot::reading, 'R'),
        (|slot| slot.busy("x"), 'W'),
        (Slot::keepalive, 'K'),
        (Slot::closing, 'C'),
        (Slot::draining, 'G'),
        (Slot::finished, '_'),
    ];
    for (report, letter) in named {
        report(&mut slot);
        assert_eq!(board.status(0).expect("a status").letter(), letter);
    }
}

/// S5: all busy, all idle, all used, none used.
#[test]
fn full_and_empty_boards_are_counted() {
    const SLOTS: usize = 40;
    let board = OwnedBoard::anonymous(SLOTS).expect("a board");
    let count = |class| {
        let tally = board.tally(0..SLOTS).expect("a tally");
        assert_eq!(tally.total(), SLOTS);
        match class {
            Class::Empty => tally.empty,
            Class::Starting => tally.starting,
            Class::Idle => tally.idle,
            Class::Busy => tally.busy,
            Class::Draining => tally.draining,
            Class::Stalled => tally.stalled,
        }
    };
    assert_eq!(count(Class::Empty), SLOTS);
    (0..SLOTS).for_each(|slot| board.assign(slot, 1).expect("a slot"));
    assert_eq!(count(Class::Starting), SLOTS);
    let enter = |index| board.enter(index).expect("my slot");
    let mut slots: Vec<_> = (0..SLOTS).map(enter).collect();
    slots.iter_mut().for_each(Slot::idle);
    assert_eq!(count(Class::Idle), SLOTS);
    slots.iter_mut().for_each(|slot| slot.busy("GET /"));
    assert_eq!(count(Class::Busy), SLOTS);
    slots.iter_mut().for_each(Slot::draining);
    assert_eq!(count(Class::Draining), SLOTS);
    (0..SLOTS).for_each(|slot| board.clear(slot).expect("cleared"));
    assert_eq!(count(Class::Empty), SLOTS);
    assert_eq!(board.tally([3, 3, 1]).expect("a tally").empty, 3);
}

#[test]
fn a_slot_that_is_not_there_is_an_error_everywhere() {
    let board = OwnedBoard::anonymous(2).expect("a board");
    for slot in [2, 3, 65_536, usize::MAX] {
        let errors = [
            board.record(slot).map(drop),
            board.status(slot).map(drop),
            board.tally([slot]).map(drop),
            board.assign(slot, 1),
            board.clear(slot),
            board.enter(slot).map(drop),
        ];
        for error in errors {
            let Err(SlotError::NoSuchSlot { slot: named, slots: 2, .. }) = error else {
                panic!("slot {slot} of 2: {error:?}");
            };
            assert_eq!(named, slot);
        }
    }
}

#[test]
fn a_snapshot_is_used_again_without_allocation() {
    let board = OwnedBoard::anonymous(100).expect("a board");
    let mut snapshot = Snapshot::new();
    board.snapshot_into(&mut snapshot).expect("a snapshot");
    let place = snapshot.records().as_ptr();
    for _ in 0..10 {
        board.snapshot_into(&mut snapshot).expect("a snapshot");
        assert_eq!(snapshot.records().as_ptr(), place, "the buffer moved");
        assert_eq!(snapshot.records().len(), 100);
    }
}

#[test]
fn requests_are_timed_and_counted() {
    let (board, mut slot) = one_slot();
    let read = || board.record(0).expect("a record");
    slot.idle();
    assert_eq!((read().request_started(), read().request_time()), (None, None));
    slot.reading();
    let first = read().request_started().expect("reading begins a request");
    slot.busy("GET /1");
    slot.state(State::Logging);
    assert_eq!(read().request_started(), Some(first), "one request was taken for two");
    slot.keepalive();
    assert_eq!(read().request_time(), None, "a connection kept open is no request in hand");
    slot.reading();
    assert!(read().request_started() > Some(first), "the second request has the time of the first");
    slot.draining();
    slot.finished();
    assert_eq!((read().requests(), slot.requests()), (1, 1));
    assert_eq!(read().label(), "GET /1", "the label is that of the last request");
    slot.update(|report| {
        report.begin_request().count_requests(u64::MAX);
    });
    assert_eq!(read().requests(), 0, "the count wraps");
    let record = read();
    assert!(record.updated() <= Some(record.read_at()) && record.started() <= record.updated());
    assert!(record.since_update() < Some(Duration::from_secs(30)));
    assert!(Monotonic::now().since(record.read_at()) < Duration::from_secs(30));
}

#[test]
fn texts_are_cut_to_their_length_and_leave_nothing_behind() {
    let (board, mut slot) = one_slot();
    let read = || board.record(0).expect("a record");
    let long = "\u{e9}".repeat(60);
    slot.label(&long);
    assert_eq!(read().label(), &long[..96]);
    slot.label("x\u{e9}y");
    assert_eq!(read().label(), "x\u{e9}y");
    slot.label("");
    assert_eq!(read().label(), "");
    for length in 0..=97 {
        let text = "abcdefghij".repeat(10)[..length].to_owned();
        slot.busy(&text);
        assert_eq!(read().label(), &text[..length.min(96)]);
        slot.client(&text);
        assert_eq!(read().client(), &text[..length.min(64)]);
    }
    let address: SocketAddr =
        "[2001:db8:1111:2222:3333:4444:5555:6666]:65535".parse().expect("one");
    slot.client(address);
    assert_eq!(read().client(), address.to_string());
    slot.label("a\u{1b}[31m\u{202e}");
    assert_eq!(read().label(), "a?[31m?", "escapes reached the terminal");
}

/// Changes a field of the header and makes the checksum right, as the documentation has it.
fn forge(path: &std::path::Path, offset: usize, field: &[u8]) {
    let mut bytes = fs::read(path).expect("the board");
    bytes[offset..offset + field.len()].copy_from_slice(field);
    let words = bytes[..format::header::CHECKSUM].chunks_exact(8).enumerate();
    let sum = words.fold(0_u64, |sum, (index, chunk)| {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        let multiplier = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let y = (word ^ word >> 32).wrapping_mul(multiplier);
        sum.wrapping_add(y ^ y >> 29)
    });
    bytes[format::header::CHECKSUM..][..8].copy_from_slice(&sum.to_le_bytes());
    fs::write(path, bytes).expect("written");
}

#[test]
fn a_board_of_another_boot_has_no_moments_and_is_replaced() {
    let directory = directory();
    let path = directory.path().join("board");
    let board = Board::open_or_create(&path, 2).expect("a board");
    let slot = board.claim().expect("a slot");
    forge(&path, format::header::BOOT_ID, &[7; 16]);
    let old = Board::open(&path).expect("it can be read");
    assert!(!old.is_of_this_boot());
    let record = old.record(0).expect("a record");
    assert_eq!((record.updated(), record.started()), (None, None));
    assert!(record.started_wall().is_some(), "the wall clock goes on over a boot");
    assert!(matches!(old.claim(), Err(ClaimError::Boot { .. })));
    let new = Board::open_or_create(&path, 3).expect("a new board");
    assert_eq!((new.slots(), new.kind()), (3, Kind::Shared));
    new.claim().expect("a slot of the new board");
    drop(slot);
}

#[test]
fn a_board_of_another_pid_namespace_is_not_claimed() {
    let directory = directory();
    let path = directory.path().join("board");
    let board = Board::open_or_create(&path, 2).expect("a board");
    forge(&path, format::header::PID_NAMESPACE, &[1; 8]);
    assert!(matches!(board.claim(), Err(ClaimError::Namespace { .. })));
}

#[test]
fn handles_and_errors_may_go_to_another_thread() {
    fn goes<T: Send + Sync + 'static>() {}
    goes::<Board>();
    goes::<OwnedBoard>();
    goes::<Slot>();
    goes::<Snapshot>();
    goes::<SlotError>();
    goes::<ClaimError>();
    goes::<prefork_scoreboard::CreateError>();
}
