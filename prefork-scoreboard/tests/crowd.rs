//! Many processes claim at once, on boards that are far from empty.
mod common;

use common::{Forked, alone, calls_between_marks, directory, given_directory, own_role, role};
use prefork_scoreboard::{Board, Slot};
use std::fs;
use std::io::{PipeReader, PipeWriter, Read, Write};

const SLOTS: usize = 4096;
const TAKEN: usize = 2000;
const JOBS: usize = 400;

fn pipe() -> (PipeReader, PipeWriter) {
    std::io::pipe().expect("a pipe")
}

fn await_each(ready: &PipeReader, count: usize) -> Vec<u8> {
    let mut answers = vec![0; count];
    let mut ready = ready;
    ready.read_exact(&mut answers).expect("each writes a byte");
    answers
}

fn let_through(mut gate: &PipeWriter, count: usize) {
    gate.write_all(&vec![0; count]).expect("all wait at the gate");
}

/// As from a table of jobs that all begin on the hour.
#[test]
fn four_hundred_that_claim_at_once_all_have_a_slot() {
    alone("four_hundred_that_claim_at_once_all_have_a_slot", || {
        let directory = directory();
        let path = directory.path().join("board");
        let board = Board::open_or_create(&path, SLOTS).expect("a board");
        // Two gates: a job that is through the first must not take what lets another one through.
        let (ready, begin, end) = (pipe(), pipe(), pipe());
        let wait = |mut gate: &PipeReader| gate.read_exact(&mut [0]).expect("it is opened");
        let report = |answer: &[u8]| (&ready.1).write_all(answer).expect("the test reads it");
        let holder = Forked::new(|| {
            let _taken: Vec<Slot> =
                (0..TAKEN).map(|_| board.claim().expect("a free slot")).collect();
            report(b"h");
            wait(&end.0);
            0
        });
        await_each(&ready.0, 1);
        let job = |_| {
            Forked::new(|| {
                report(b"r");
                wait(&begin.0);
                let claim = Board::open_or_create(&path, SLOTS).expect("a board").claim();
                report(if claim.is_ok() { b"c" } else { b"x" });
                wait(&end.0);
                0
            })
        };
        let jobs: Vec<Forked> = (0..JOBS).map(job).collect();
        await_each(&ready.0, JOBS);
        let_through(&begin.1, JOBS);
        let answers = await_each(&ready.0, JOBS);
        let without = answers.iter().filter(|answer| **answer == b'x').count();
        assert_eq!(without, 0, "of {JOBS} so many have no slot");
        assert_eq!(board.tally(0..SLOTS).expect("a tally").starting, TAKEN + JOBS);
        let_through(&end.1, JOBS + 1);
        jobs.into_iter().chain([holder]).for_each(Forked::succeed);
        assert_eq!(board.tally(0..SLOTS).expect("a tally").empty, SLOTS);
    });
}

/// Claims one slot of a board on which all but one are taken, between two calls that stand out in a trace.
fn claim_the_last() {
    let board = Board::open_or_create(given_directory().join("board"), TAKEN).expect("a board");
    let _taken: Vec<Slot> = (1..TAKEN).map(|_| board.claim().expect("a free slot")).collect();
    let _ = fs::metadata(given_directory().join("begin"));
    let last = board.claim();
    let _ = fs::metadata(given_directory().join("end"));
    assert_eq!(last.expect("the last one is free").index(), TAKEN - 1);
}

#[test]
fn a_claim_costs_the_same_on_a_board_that_is_nearly_full() {
    if own_role().is_some() {
        return claim_the_last();
    }
    let name = "a_claim_costs_the_same_on_a_board_that_is_nearly_full";
    let Some(between) = calls_between_marks(&mut role(name, "claim")) else { return };
    assert!((10..=50).contains(&between.len()), "{} calls: {between:#?}", between.len());
    let sleeps = between.iter().filter(|line| line.contains("nanosleep")).count();
    assert_eq!(sleeps, 0, "a claim waited: {between:#?}");
}

/// What `kill -9` leaves is taken over while there are empty slots too.
#[test]
fn what_the_dead_left_is_taken_before_what_is_empty() {
    alone("what_the_dead_left_is_taken_before_what_is_empty", || {
        let directory = directory();
        let board = Board::open_or_create(directory.path().join("board"), 8).expect("a board");
        let (ready, never) = (pipe(), pipe());
        let victim = Forked::new(|| {
            let _slot = board.claim().expect("the first slot");
            (&ready.1).write_all(b"c").expect("the test reads it");
            (&never.0).read_exact(&mut [0]).map_or(1, |()| 0)
        });
        await_each(&ready.0, 1);
        let counts = || {
            let (tally, snapshot) = (board.tally(0..8), board.snapshot());
            let (tally, snapshot) = (tally.expect("a tally"), snapshot.expect("a snapshot"));
            assert_eq!(tally, snapshot.tally());
            assert_eq!(tally.total(), 8);
            (tally.taken(), tally.gone, snapshot.gone().to_vec())
        };
        assert_eq!(counts(), (1, 0, vec![]));
        victim.kill();
        assert_eq!(counts(), (0, 1, vec![0]), "the dead are not at work");
        assert_eq!(board.snapshot().expect("a snapshot").to_string(), "x.......");
        // Each claim looks at one of the eight slots in turn, and gives the one it takes back.
        let claim = || board.claim().expect("a free slot").index();
        let taken: Vec<usize> = (0..8).map(|_| claim()).collect();
        assert!(taken.contains(&0), "the dead keep their slot: {taken:?}");
        assert_eq!(counts(), (0, 0, vec![]));
    });
}
