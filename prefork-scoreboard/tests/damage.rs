//! Files that are damaged, cut, or made to deceive.
mod common;

use common::directory;
use prefork_scoreboard::{Board, HeaderFault, OpenError, OwnedBoard, Snapshot};
use proptest::prelude::*;
use std::fs;
use std::time::{Duration, Instant};

const SLOTS: usize = 3;

/// The bytes of a board with something in each slot.
fn sound() -> Vec<u8> {
    let directory = directory();
    let path = directory.path().join("board");
    let board = OwnedBoard::create(&path, SLOTS).expect("a board");
    for index in 0..SLOTS {
        board.assign(index, 1).expect("a slot");
        let mut slot = board.enter(index).expect("a page");
        slot.client("192.0.2.1:80");
        slot.busy("GET /");
    }
    fs::read(&path).expect("its bytes")
}

/// Opens `bytes` as a board and reads all there is; an error is fine, a panic or a long time is not.
fn read_all(bytes: &[u8]) -> Option<Snapshot> {
    let directory = directory();
    let path = directory.path().join("board");
    fs::write(&path, bytes).expect("written");
    let started = Instant::now();
    let board = match Board::open(&path) {
        Ok(board) => board,
        Err(error) => {
            assert!(error.to_string().contains(path.to_str().expect("text")), "no path: {error}");
            return None;
        }
    };
    let snapshot = board.snapshot().expect("the size was checked");
    assert_eq!(snapshot.records().len(), board.slots());
    assert_eq!(snapshot.tally(), board.tally(0..board.slots()).expect("a tally"));
    let _ = (board.creator(), board.created(), board.record(usize::MAX).is_err());
    for record in snapshot.records() {
        let _ = (record.since_update(), record.request_time(), record.started_wall());
        assert!(!record.label().contains(char::is_control));
    }
    assert!(started.elapsed() < Duration::from_secs(20), "reading took {:?}", started.elapsed());
    Some(snapshot)
}

fn fault(bytes: &[u8]) -> HeaderFault {
    let directory = directory();
    let path = directory.path().join("board");
    fs::write(&path, bytes).expect("written");
    match Board::open(&path) {
        Err(OpenError::Header { reason, path: named }) => {
            assert_eq!(named, path);
            reason
        }
        other => panic!("expected a fault of the header, got {other:?}"),
    }
}

/// S6: the reasons are distinguished.
#[test]
fn headers_are_refused_with_the_reason() {
    let sound = sound();
    let changed = |offset: usize, byte: u8| {
        let mut bytes = sound.clone();
        bytes[offset] ^= byte;
        bytes
    };
    assert!(matches!(fault(b""), HeaderFault::Truncated { found: 0, .. }));
    assert!(matches!(fault(&sound[..103]), HeaderFault::Truncated { found: 103, .. }));
    assert!(matches!(
        fault(&sound[..sound.len() - 1]),
        HeaderFault::Truncated { expected: 16_384, found: 16_383 }
    ));
    assert_eq!(fault(&[b'x'; 5000]), HeaderFault::Magic);
    assert_eq!(fault(&[0; 5000]), HeaderFault::Magic);
    assert_eq!(fault(&changed(8, 3)), HeaderFault::Checksum, "a version that nobody wrote");
    assert_eq!(fault(&changed(26, 0xff)), HeaderFault::Checksum);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever single byte of a record is changed, that slot is refused and the others are read.
    #[test]
    fn a_changed_byte_spoils_its_slot_alone(slot in 0..SLOTS, offset in 0_usize..256, flip in 1_u8..) {
        let mut bytes = sound();
        bytes[4096 * (slot + 1) + offset] ^= flip;
        let snapshot = read_all(&bytes).expect("the header is sound");
        let expected: String = (0..SLOTS).map(|other| if other == slot { '?' } else { 'W' }).collect();
        prop_assert_eq!(snapshot.to_string(), expected);
    }

    #[test]
    fn any_damage_is_survived(
        damage in prop::collection::vec((0_usize..4 * 4096, any::<u8>()), 0..40),
        header_damage in prop::collection::vec((0_usize..104, any::<u8>()), 0..3),
        length in prop::option::of(0_usize..5 * 4096),
    ) {
        let mut bytes = sound();
        for (offset, byte) in damage.into_iter().chain(header_damage) {
            bytes[offset] = byte;
        }
        if let Some(length) = length {
            bytes.resize(length, 0xa5);
        }
        let _ = read_all(&bytes);
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..9000)) {
        prop_assert!(read_all(&bytes).is_none());
    }
}
