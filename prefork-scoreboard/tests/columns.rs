//! Boards whose makers have declared a title and columns.
mod common;

use common::{Forked, alone, directory, endurance, wait_for};
use prefork_scoreboard::{
    Board, BoardOptions, Column, ColumnError, CreateError, Fault, OwnedBoard, Slot, SlotMemory,
    Status, Value,
};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

const PAGE: u64 = 4096;

fn options() -> BoardOptions {
    BoardOptions::new()
        .title("thumbnails")
        .column(Column::counter("written").unit("bytes"))
        .column(Column::text("volume"))
        .column(Column::gauge("queue"))
}

fn shown(board: &Board, slot: usize) -> String {
    let values = board.values(slot).expect("readable").expect("nobody is writing");
    let columns = board.columns().zip(values);
    columns.map(|(column, value)| format!("{column}={value}")).collect::<Vec<_>>().join(", ")
}

const NOTHING: &str = "counter written bytes=0, text volume=, gauge queue=0";

fn report(slot: &mut Slot) {
    let (written, volume) =
        (slot.number("written").expect("there"), slot.text("volume").expect("there"));
    let queue = slot.number("queue").expect("there");
    slot.set(queue, 17);
    slot.add(written, 1000);
    slot.set_text(volume, "photos-3 \u{e9}\0hidden");
    slot.update(|report| {
        report.add(written, 24).set(queue, u64::MAX).add(queue, 1);
    });
}

const REPORTED: &str =
    "counter written bytes=1024, text volume=photos-3 \u{e9}, gauge queue=18446744073709551615";

#[test]
fn any_reader_shows_what_was_declared_and_reported() {
    let directory = directory();
    let path = directory.path().join("board");
    let board = options().open_or_create(&path, 4).expect("a board");
    let mut slot = board.claim().expect("a slot");
    report(&mut slot);
    let reader = Board::open(&path).expect("a board");
    assert_eq!(reader.title(), Some("thumbnails"));
    assert_eq!(shown(&reader, slot.index()), REPORTED);
    assert_eq!(shown(&reader, 3), NOTHING);
    let volume = slot.text("volume").expect("there");
    slot.set_text(volume, &"\u{e9}".repeat(30));
    slot.set_text(volume, "x");
    let values = reader.values(slot.index()).expect("readable").expect("whole");
    assert_eq!(values[1], Value::Text("x".into()), "shorter than the text before");

    let plain = OwnedBoard::create(directory.path().join("plain"), 1).expect("a board");
    assert_eq!((plain.title(), plain.columns().len()), (None, 0));
    assert_eq!(plain.values(0).expect("readable"), Some(vec![]));
    assert!(plain.values(1).is_err(), "there is no such slot");
}

/// Whoever had the slot before, and however that ended.
#[test]
fn a_slot_that_changes_hands_begins_at_zero() {
    alone("a_slot_that_changes_hands_begins_at_zero", || {
        let directory = directory();
        let path = directory.path().join("board");
        let board = options().open_or_create(&path, 1).expect("a board");
        for _ in 0..2 {
            let mut slot = board.claim().expect("the only slot");
            assert_eq!(shown(&board, 0), NOTHING);
            report(&mut slot);
            assert_eq!(shown(&board, 0), REPORTED);
        }
        let dead = Forked::new(|| {
            let mut slot = board.claim().expect("the only slot");
            report(&mut slot);
            loop {
                std::thread::park();
            }
        });
        // What was there before is still in the empty slot.
        let is_taken = || board.tally([0]).expect("a tally").taken() == 1;
        wait_for("a report", || is_taken() && shown(&board, 0) == REPORTED);
        dead.kill();
        assert_eq!(board.tally([0]).expect("a tally").gone, 1);
        // It was killed in the middle of a change.
        let vandal = OpenOptions::new().write(true).open(&path).expect("the file");
        vandal.write_all_at(&7_u64.to_le_bytes(), PAGE + 256).expect("an odd sequence");
        assert_eq!(board.values(0).expect("readable"), None);
        let mut slot = board.claim().expect("the dead's slot");
        assert_eq!(shown(&board, 0), NOTHING);
        report(&mut slot);
        assert_eq!(shown(&board, 0), REPORTED);
        Forked::new(|| {
            let queue = slot.number("queue").expect("there");
            slot.set(queue, 1);
            0
        })
        .succeed();
        assert_eq!(shown(&board, 0), REPORTED, "a forked copy reports nothing");
    });
}

#[test]
fn an_owner_assigns_slots_with_nothing_in_their_columns() {
    let directory = directory();
    let path = directory.path().join("board");
    for mut board in [
        options().mode(0o640).create(&path, 2).expect("a board"),
        options().anonymous(2).expect("a board"),
    ] {
        for _ in 0..2 {
            board.assign(1, 1).expect("a slot");
            assert_eq!(shown(&board, 1), NOTHING);
            let mut slot = board.enter(1).expect("mine");
            report(&mut slot);
            assert_eq!(shown(&board, 1), REPORTED);
            slot.idle();
            assert_eq!(shown(&board, 1), REPORTED, "a change without values changes none");
        }
        board.clear(1).expect("mine");
        assert_eq!(shown(&board, 1), NOTHING);
        board.resize(5).expect("a larger one");
        assert_eq!((board.title(), shown(&board, 4).as_str()), (Some("thumbnails"), NOTHING));
        board.check().expect("sound");
    }
}

#[test]
fn a_board_has_the_mode_that_was_asked_for() {
    let directory = directory();
    let path = directory.path().join("board");
    let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o7777;
    let mut board = options().mode(0o640).create(&path, 1).expect("a board");
    assert_eq!(mode(&path), 0o640);
    board.resize(2).expect("a larger one");
    assert_eq!(mode(&path), 0o640);
    let shared = directory.path().join("shared");
    options().mode(0o644).open_or_create(&shared, 1).expect("a board");
    assert_eq!(mode(&shared), 0o644);
    for wrong in [0, 0o400, 0o660, 0o622, 0o700, 0o4600, u32::MAX] {
        let error = options().mode(wrong).create(&path, 1).expect_err("others could write");
        assert!(matches!(error, CreateError::Mode { mode } if mode == wrong), "{error}");
    }
}

/// As in a rolling update whose new program has one column more.
#[test]
fn a_board_in_use_keeps_its_columns() {
    let directory = directory();
    let path = directory.path().join("board");
    let board = options().open_or_create(&path, 2).expect("a board");
    let slot = board.claim().expect("a slot");
    let fewer = BoardOptions::new().column(Column::gauge("queue")).open_or_create(&path, 2);
    assert_eq!(fewer.expect("has what is asked for").columns().len(), 3);
    let more = options().column(Column::counter("errors"));
    let error = more.open_or_create(&path, 2).expect_err("in use");
    let pid = std::process::id();
    assert_eq!(
        error.to_string(),
        format!(
            "scoreboard {} has no column \"counter errors\", and process {pid} has a slot of it; choose another path, or \
             wait until no process uses it",
            path.display()
        )
    );
    board.check().expect("unharmed");
    drop(slot);
    let replaced = more.open_or_create(&path, 2).expect("nobody uses it");
    assert_eq!(replaced.columns().len(), 4);
    assert!(matches!(board.check(), Err(Fault::Replaced { .. })));
    replaced.claim().expect("a slot").number("errors").expect("there");
}

#[test]
fn a_column_that_is_not_there_is_named_with_those_that_are() {
    let directory = directory();
    let board = options().open_or_create(directory.path().join("board"), 1).expect("a board");
    let slot = board.claim().expect("a slot");
    let error = slot.number("errors").expect_err("not declared").to_string();
    assert!(error.ends_with("has no column errors, but written, volume, queue"), "{error}");
    assert!(matches!(slot.number("volume"), Err(ColumnError::Text { .. })));
    assert!(matches!(slot.text("queue"), Err(ColumnError::Number { .. })));

    static WORDS: [AtomicU64; SlotMemory::WORDS] = [const { AtomicU64::new(0) }; SlotMemory::WORDS];
    let memory = SlotMemory::new(&WORDS);
    memory.assign(1);
    let slot = memory.enter(7);
    let error = slot.number("errors").expect_err("a slot in memory").to_string();
    assert!(error.starts_with("slot 7 has no column errors, as "), "{error}");
}

#[test]
#[should_panic(expected = "the column is of another board")]
fn a_column_of_another_board_is_no_silence() {
    let board = options().anonymous(1).expect("a board");
    let queue = board.enter(0).expect("mine").number("queue").expect("there");
    OwnedBoard::anonymous(1).expect("a board").enter(0).expect("mine").set(queue, 1);
}

#[test]
fn columns_that_were_written_over_are_noticed() {
    let directory = directory();
    let path = directory.path().join("board");
    let board = options().create(&path, 1).expect("a board");
    let vandal = OpenOptions::new().write(true).open(&path).expect("the file");
    vandal.write_all_at(b"x", 130).expect("a byte");
    assert!(matches!(board.check(), Err(Fault::Overwritten { .. })));
    assert_eq!(Board::open(&path).expect("a board").columns().len(), 0, "nothing is believed");
    assert_eq!(board.columns().len(), 3, "the owner knows its own");
}

#[test]
fn values_are_never_a_mixture_of_two_changes() {
    let board = options().anonymous(1).expect("a board");
    board.assign(0, 1).expect("a slot");
    let (mut slot, stop) = (board.enter(0).expect("mine"), AtomicBool::new(false));
    let (written, queue) =
        (slot.number("written").expect("there"), slot.number("queue").expect("there"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                slot.update(|report| {
                    report.set(written, number).set(queue, number);
                });
            }
        });
        let (begun, mut seen) = (Instant::now(), 0);
        while seen < 100 || begun.elapsed() < endurance() {
            let Some(values) = board.values(0).expect("readable") else { continue };
            assert_eq!(values[0], values[2]);
            seen += 1;
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(matches!(board.status(0), Ok(Status::Live(_))));
}
