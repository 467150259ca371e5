//! The processes in `examples/counting.rs`.
mod common;

use common::{PATIENCE, directory};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

struct Counting {
    program: Child,
    printed: Receiver<String>,
}

impl Counting {
    fn start(path: &Path, kind: &str) -> Option<Self> {
        let program = std::env::current_exe().expect("its path");
        let target = program.parent().and_then(Path::parent).expect("target");
        let program = target.join("examples/counting");
        if !program.exists() {
            println!("SKIPPED: {} was not built", program.display());
            return None;
        }
        let mut program = Command::new(program);
        program.arg(path).arg(kind).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = program.spawn().expect("it starts");
        let lines = BufReader::new(program.stdout.take().expect("piped")).lines();
        let (send, printed) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|it| send.send(it)));
        Some(Self { program, printed })
    }

    /// Has it count a line; returns the next `lines` that it prints.
    fn count(&mut self, line: &str, lines: usize) -> Vec<String> {
        let input = self.program.stdin.as_mut().expect("piped");
        writeln!(input, "{line}").expect("it reads");
        let next = || self.printed.recv_timeout(PATIENCE).expect("it prints");
        (0..lines).map(|_| next()).collect()
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

#[test]
fn what_a_killed_process_has_counted_stays_and_its_gauge_goes() {
    let directory = directory();
    let path = directory.path().join("board");
    let Some(mut one) = Counting::start(&path, "cat") else { return };
    let Some(mut other) = Counting::start(&path, "dog") else { return };
    let printed = one.count("a line", 3);
    assert_eq!(printed[0], "example_lines_total cat 1");
    let printed = other.count("a longer line", 4);
    let expected = [
        "example_lines_total cat 1",
        "example_lines_total dog 1",
        "example_readers  2",
        "example_line_bytes  [1, 1, 0, 0]",
    ];
    assert_eq!(printed, expected);
    drop(one);
    let printed = other.count("third", 4);
    let expected = [
        "example_lines_total cat 1",
        "example_lines_total dog 2",
        "example_readers  1",
        "example_line_bytes  [2, 1, 0, 0]",
    ];
    assert_eq!(printed, expected);
}
