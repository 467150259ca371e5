//! The supervisor in `examples/farm.rs`, with programs that it executes.
mod common;

use common::{directory, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use prefork_scoreboard::{Board, Life, Record, State, Status};
use std::path::Path;
use std::process::{Command, Stdio};

/// The pids of its workers, by slot; none while one of them has not begun.
fn workers(path: &Path) -> Option<Vec<u32>> {
    let board = Board::open(path).ok()?;
    let snapshot = board.snapshot().ok()?;
    let is_at_work = |record: &&Record| {
        record.status() == Status::Live(State::Writing) && board.life_of(record) == Life::Running
    };
    let pids: Vec<_> =
        snapshot.records().iter().filter(is_at_work).filter_map(Record::pid).collect();
    (pids.len() == snapshot.records().len()).then_some(pids)
}

fn end(pid: u32) {
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).expect("it is there");
}

/// One that was killed is replaced, and those of a farm that was killed leave, so that the next one has the work to itself.
#[test]
fn workers_are_replaced_and_end_with_their_supervisor() {
    let program = std::env::current_exe().expect("its path");
    let program = program.parent().and_then(Path::parent).expect("target").join("examples/farm");
    if !program.exists() {
        return println!("SKIPPED: {} was not built", program.display());
    }
    let directory = directory();
    let path = directory.path().join("board");
    let mut farm = Command::new(program);
    farm.arg(&path).arg("3").stdout(Stdio::null()).stderr(Stdio::null());
    let mut farm = farm.spawn().expect("it starts");
    let mut first = Vec::new();
    wait_for("all work", || workers(&path).map(|pids| first = pids).is_some());
    assert_eq!(first.len(), 3);
    // They are the farm's alone, which cannot have reaped one that is at work.
    end(first[1]);
    let mut second = Vec::new();
    wait_for("another one works", || {
        workers(&path).filter(|pids| pids[1] != first[1]).map(|pids| second = pids).is_some()
    });
    assert_eq!((second[0], second[2]), (first[0], first[2]));
    farm.kill().expect("it is there");
    farm.wait().expect("reaped");
    let board = Board::open(&path).expect("it is left behind");
    assert_eq!(board.creator_life(), Life::Gone);
    // Whoever has them now may not reap them.
    let is_there = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    };
    wait_for("its workers have left", || !second.iter().any(is_there));
}
