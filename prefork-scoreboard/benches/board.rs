//! What a report costs the worker, and what reading costs the parent.

use divan::{Bencher, black_box};
use prefork_scoreboard::{Board, BoardOptions, Column, OwnedBoard, Slot, Snapshot, State};

fn main() {
    divan::main();
}

fn slot() -> Slot {
    let board = OwnedBoard::anonymous(1).expect("memory for a board");
    board.assign(0, 1).expect("a slot");
    board.enter(0).expect("a page")
}

/// One change of state, time stamp included.
#[divan::bench]
fn state_change(bencher: Bencher<'_, '_>) {
    let mut slot = slot();
    let mut states = [State::Idle, State::Reading].into_iter().cycle();
    bencher.bench_local(|| slot.state(black_box(states.next().expect("endless"))));
}

/// The start and the end of a request: two changes, one with a new label.
#[divan::bench]
fn request(bencher: Bencher<'_, '_>) {
    let mut slot = slot();
    let mut labels = ["GET /index.html HTTP/1.1", "GET /style.css HTTP/1.1"].into_iter().cycle();
    bencher.bench_local(|| {
        slot.busy(black_box(labels.next().expect("endless")));
        slot.finished();
    });
}

/// A number in a column, time stamp included.
#[divan::bench]
fn set(bencher: Bencher<'_, '_>) {
    let board = columns().anonymous(1).expect("memory for a board");
    let mut slot = board.enter(0).expect("a page");
    let queue = slot.number("queue").expect("a column");
    let mut lengths = [17, 18].into_iter().cycle();
    bencher.bench_local(|| slot.set(queue, black_box(lengths.next().expect("endless"))));
}

/// The end of a request that counts in two columns, as one change.
#[divan::bench]
fn finished_with_columns(bencher: Bencher<'_, '_>) {
    let board = columns().anonymous(1).expect("memory for a board");
    let mut slot = board.enter(0).expect("a page");
    let (sent, queue) = (slot.number("sent"), slot.number("queue"));
    let (sent, queue) = (sent.expect("a column"), queue.expect("a column"));
    bencher.bench_local(|| {
        slot.update(|report| {
            report.state(State::Idle).count_requests(1).add(sent, black_box(4711)).set(queue, 3);
        });
    });
}

fn columns() -> BoardOptions {
    BoardOptions::new().column(Column::counter("sent").unit("bytes")).column(Column::gauge("queue"))
}

/// The clock alone, for comparison.
#[divan::bench]
fn clock() -> prefork_scoreboard::Monotonic {
    prefork_scoreboard::Monotonic::now()
}

fn full(slots: usize) -> OwnedBoard {
    let board = OwnedBoard::anonymous(slots).expect("memory for a board");
    for index in 0..slots {
        board.assign(index, 1).expect("a slot");
        let mut slot = board.enter(index).expect("a page");
        slot.client("192.0.2.200:54321");
        slot.busy("GET /index.html HTTP/1.1");
    }
    board
}

#[divan::bench(args = [150, 10_000])]
fn snapshot(bencher: Bencher<'_, '_>, slots: usize) {
    let board = full(slots);
    let mut buffer = Snapshot::new();
    bencher.bench_local(|| board.snapshot_into(&mut buffer).expect("a whole board"));
}

#[divan::bench(args = [150, 10_000])]
fn tally(bencher: Bencher<'_, '_>, slots: usize) {
    let board = full(slots);
    bencher.bench_local(|| board.tally(0..slots).expect("a whole board"));
}

#[divan::bench]
fn assign(bencher: Bencher<'_, '_>) {
    let board = OwnedBoard::anonymous(1).expect("memory for a board");
    bencher.bench_local(|| board.assign(0, 1).expect("a slot"));
}

/// Claiming the last but one slot of a shared board and giving it back.
#[divan::bench(args = [2, 2_000, 10_000])]
fn claim(bencher: Bencher<'_, '_>, slots: usize) {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
    let board =
        Board::open_or_create(directory.path().join("board"), slots).expect("room for a board");
    let _taken: Vec<Slot> = (2..slots).map(|_| board.claim().expect("a free slot")).collect();
    bencher.bench_local(|| board.claim().expect("the last but one"));
}
