//! Programs that know nothing of prefork, under `prefork run`: what holds for any of them.

mod ends;
mod handed;
mod limits;
mod load;
mod ready;

use std::fs;

use prefork::scoreboard::{Board, Record, Status};
use prefork_tests::{Launch, PATIENCE, Scene, wait_until};

/// Prepares to run the plain server with these arguments, two children of it, with further settings as they stand in a file.
fn run<'a>(scene: &'a Scene, arguments: &[&str], settings: &str) -> Launch<'a> {
    let program = env!("CARGO_BIN_EXE_plain");
    let command: Vec<String> =
        [program].iter().chain(arguments).map(|word| format!("{word:?}")).collect();
    let command = command.join(", ");
    fs::write(scene.path("app.toml"), format!("command = [{command}]\n{settings}"))
        .expect("written");
    let file = scene.path("app.toml");
    let launch = scene.tool(env!("CARGO_BIN_EXE_prefork-command")).args(["run"]).args([file]);
    // Variables stand between the file and flags that a test adds.
    let launch = launch.variable("PREFORK_RUN_LISTEN", scene.address().to_string());
    launch.args(["--name", "app"]).variable("PREFORK_RUN_PREFORK", "2").board()
}

/// What the board shows of the children.
fn records(scene: &Scene) -> Vec<Record> {
    let board = Board::open(scene.path("scoreboard")).expect("a board");
    let snapshot = board.snapshot().expect("whole");
    let taken = snapshot.records().iter().filter(|record| record.status() != Status::Empty);
    taken.cloned().collect()
}

/// How many requests all children have in hand, as the board shows it.
fn in_hand(scene: &Scene) -> u32 {
    records(scene).iter().map(Record::in_hand).sum()
}

#[track_caller]
fn wait_for_in_hand(scene: &Scene, count: u32) {
    wait_until(PATIENCE, &format!("{count} are in hand"), || in_hand(scene) == count);
}

/// Waits until no process of this number is there.
#[track_caller]
fn wait_until_gone(pid: u32) {
    let path = format!("/proc/{pid}");
    wait_until(PATIENCE, &format!("process {pid} is gone"), || !fs::exists(&path).unwrap_or(true));
}
