//! The documentation of the format is enough to write a reader in another language.
mod common;

use common::directory;
use prefork_scoreboard::{Facts, OwnedBoard, State};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

#[test]
fn a_reader_in_python_reads_what_was_written() {
    let directory = directory();
    let path = directory.path().join("board");
    let board = OwnedBoard::create(&path, 4).expect("a board");
    board.assign(0, 3).expect("a slot");
    board.assign(2, u64::MAX).expect("a slot");
    let mut slot = board.enter(2).expect("my slot");
    slot.update(|report| {
        report.state(State::Keepalive).count_requests(u64::MAX - 1);
        report.label("GET /caf\u{e9}").client("[2001:db8::1]:443");
    });
    let mut facts = Facts::new();
    facts.add("name", "hello").add("listen", "127.0.0.1:80");
    board.publish_facts(&facts).expect("room");
    let vandal = OpenOptions::new().write(true).open(&path).expect("the file");
    vandal.write_all_at(b"x", 4096 * 4 + 100).expect("a byte");

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reader.py");
    let output = Command::new("python3").env("PYTHONUTF8", "1").arg(script).arg(&path).output();
    let Ok(output) = output else { return println!("skipped: there is no python3 here") };
    let pid = std::process::id();
    let expected = format!(
        "board 1 4 {pid}\nname=hello\nlisten=127.0.0.1:80\n0|S|0|3|0||\n1 .\n2|K|{pid}|{}|{}|GET /caf\u{e9}|[2001:db8::1]:443\n3 ?\n",
        u64::MAX,
        u64::MAX - 1,
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        expected,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
