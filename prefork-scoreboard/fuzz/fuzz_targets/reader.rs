//! Feeds the reader files of any contents.
//!
//! The first byte of the input says how much of the file is made right afterwards, since no fuzzer
//! guesses a checksum: nothing, the header, or the header and every record. The checksum is written
//! here once more, from the documentation.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prefork_scoreboard::{Board, Class, Snapshot, Value, format};
use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

const SLOTS: usize = 3;
const PAGE: usize = 4096;

struct Scratch {
    path: PathBuf,
    file: File,
    snapshot: Snapshot,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new({
        let path = PathBuf::from(format!("/dev/shm/scoreboard-fuzz-{}", std::process::id()));
        let file = File::create(&path).expect("a file in /dev/shm");
        Scratch { path, file, snapshot: Snapshot::new() }
    });
}

fn checksum(bytes: &[u8], skip: usize) -> u64 {
    let words = bytes.chunks_exact(8).enumerate().filter(|&(index, _)| index != skip);
    words.fold(0, |sum: u64, (index, chunk)| {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        let multiplier = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let y = (word ^ word >> 32).wrapping_mul(multiplier);
        sum.wrapping_add(y ^ y >> 29)
    })
}

/// Spreads the input over the parts of a file that mean something.
fn spread(mut input: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; (SLOTS + 2) * PAGE];
    // The header, records and values, the description, and last, as they take whatever there is, the pulse and the facts.
    let slots = (1..=SLOTS).map(|page| (page * PAGE, 512));
    for (offset, length) in [(0, 104)].into_iter().chain(slots).chain([(104, 920), (1024, 3072)]) {
        let (now, later) = input.split_at(length.min(input.len()));
        bytes[offset..][..now.len()].copy_from_slice(now);
        input = later;
    }
    bytes
}

fn repair(bytes: &mut [u8], mode: u8) {
    if mode & 1 == 1 {
        bytes[..12].copy_from_slice(b"PFSBOARD\x01\0\0\0");
        if mode & 2 == 2 {
            bytes[12..28].copy_from_slice(b"\x01\0\0\0\0\x10\0\0\0\x01\0\0\x03\0\0\0");
        }
        let sum = checksum(&bytes[..104], 12);
        bytes[96..104].copy_from_slice(&sum.to_le_bytes());
    }
    if mode & 16 == 16 {
        let sum = checksum(&bytes[1024..1056], 3);
        bytes[1048..1056].copy_from_slice(&sum.to_le_bytes());
        bytes[1096] &= !1;
        let sum = checksum(&bytes[1096..PAGE], 1);
        bytes[1104..1112].copy_from_slice(&sum.to_le_bytes());
    }
    if mode & 32 == 32 {
        if mode & 64 == 64 {
            declare(bytes);
        }
        let sum = checksum(&bytes[104..1024], 114);
        bytes[1016..1024].copy_from_slice(&sum.to_le_bytes());
        for page in 1..=SLOTS {
            let values = &mut bytes[page * PAGE + 256..][..256];
            values[0] &= !1;
            let sum = checksum(values, 1);
            values[8..16].copy_from_slice(&sum.to_le_bytes());
        }
    }
    if mode & 4 == 4 {
        for page in 1..=SLOTS {
            let record = &mut bytes[page * PAGE..][..256];
            record[0] &= !1;
            let sum = checksum(record, 1);
            record[8..16].copy_from_slice(&sum.to_le_bytes());
        }
    }
}

/// Makes columns of the first bytes of the description: a fuzzer does not guess a line.
fn declare(bytes: &mut [u8]) {
    let kinds = ["counter", "gauge", "text", "other"];
    let column = |(number, pair): (usize, &[u8])| {
        let (offset, kind) = (u16::from_le_bytes([pair[0], pair[1]]), usize::from(pair[1] >> 6));
        format!("column={} {} c{number}\n", offset % 1024, kinds[kind])
    };
    let text: String = bytes[112..142].chunks_exact(2).enumerate().map(column).collect();
    bytes[104..112].copy_from_slice(&(text.len() as u64).to_le_bytes());
    bytes[112..1016].fill(0);
    bytes[112..][..text.len()].copy_from_slice(text.as_bytes());
}

fuzz_target!(|input: &[u8]| {
    let Some((&mode, input)) = input.split_first() else { return };
    let mut bytes = if mode & 8 == 8 { input.to_vec() } else { spread(input) };
    if bytes.len() == (SLOTS + 2) * PAGE {
        repair(&mut bytes, mode);
    }
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.file.set_len(0).expect("cut");
        scratch.file.write_all_at(&bytes, 0).expect("written");
        let Ok(board) = Board::open(&scratch.path) else { return };
        read(&board, &mut scratch.snapshot, mode & 7 == 7);
    });
});

fn read(board: &Board, snapshot: &mut Snapshot, repaired: bool) {
    board.snapshot_into(snapshot).expect("the size was checked");
    assert_eq!(snapshot.records().len(), board.slots());
    assert_eq!(snapshot.tally().total(), board.slots());
    let _ = (board.creator(), board.created(), board.kind(), snapshot.to_string());
    for record in snapshot.records() {
        let texts = [record.label(), record.client()];
        assert!(texts[0].len() <= 96 && texts[1].len() <= 64);
        assert!(texts.iter().all(|text| !text.contains(char::is_control)));
        assert!(record.pid().is_none_or(|pid| (1..=1 << 22).contains(&pid)));
        assert!(
            record
                .updated()
                .is_none_or(|updated| { updated.since(record.read_at()).as_secs_f64() <= 1.0 })
        );
        assert!((1..=format::MAX_CONCURRENCY).contains(&record.concurrency()));
        assert!(record.in_hand() <= record.concurrency());
        let _ = (record.since_update(), record.request_time(), record.started_wall());
        let unknown = matches!(
            record.status(),
            prefork_scoreboard::Status::Stalled(prefork_scoreboard::Stall::UnknownState(_))
        );
        assert!(!repaired || unknown || record.status().class() != Class::Stalled);
    }
    let facts = board.facts().expect("the size was checked");
    let mut length = 0;
    for (name, value) in facts.iter() {
        assert!((1..=32).contains(&name.len()) && value.len() <= 256);
        assert!(!value.contains(char::is_control));
        length += name.len() + value.len() + 2;
    }
    assert!(length <= 2976);
    read_columns(board);
    let pulse = board.pulse().expect("the size was checked");
    let _ = pulse.map(|pulse| (pulse.at(), pulse.at_wall(), pulse.due()));
    let _ = (board.creator_age(), board.creator_life(), board.creator_standing());
    assert!(board.record(board.slots()).is_err());
}

fn read_columns(board: &Board) {
    assert!(board.columns().len() <= format::MAX_COLUMNS);
    assert!(
        board.title().is_none_or(|title| title.len() <= 64 && !title.contains(char::is_control))
    );
    for column in board.columns() {
        assert!(
            (1..=32).contains(&column.name().len())
                && column.unit_name().is_none_or(|it| it.len() <= 16)
        );
    }
    for slot in 0..board.slots() {
        let Some(values) = board.values(slot).expect("the size was checked") else { continue };
        assert_eq!(values.len(), board.columns().len());
        for value in values {
            if let Value::Text(text) = value {
                assert!(text.len() <= 40 && !text.contains(char::is_control));
            }
        }
    }
    assert!(board.values(board.slots()).is_err());
}
