//! System calls that fail, by fault injection.
mod common;

use common::{directory, give_directory, given_directory, own_role, role};
use prefork_scoreboard::OwnedBoard;
use std::error::Error;
use std::fs;
use std::process::{Command, Stdio};

/// Runs the test `name` in `doing` under strace(1) with `fault`; gives what it said after `= `.
fn under(name: &str, doing: &str, fault: &str) -> Option<String> {
    let directory = directory();
    let program = role(name, doing);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o", "/dev/null", "-e", &format!("inject={fault}")]);
    strace.arg(program.get_program()).args(program.get_args());
    strace.envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    strace.stdin(Stdio::null());
    let output = give_directory(&mut strace, &directory).output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if said.contains("ptrace") {
        return None;
    }
    assert!(output.status.success(), "{doing} with {fault} ended with {}:\n{said}", output.status);
    let answer = said.lines().find_map(|line| line.split_once("= "));
    Some(answer.unwrap_or_else(|| panic!("{doing} with {fault} said only:\n{said}")).1.to_owned())
}

fn create() -> String {
    let path = given_directory().join("board");
    let said = match OwnedBoard::create(&path, 2) {
        Ok(board) => {
            board.assign(1, 1).expect("a slot");
            board.enter(1).expect("my slot").idle();
            board.check().expect("a sound board");
            board.snapshot().expect("a snapshot").to_string()
        }
        Err(error) => {
            let cause = error.source().map_or_else(String::new, |source| format!(": {source}"));
            format!("{error}{cause}").replace(&*path.to_string_lossy(), "PATH")
        }
    };
    // What could not be locked is not ours to remove.
    let unlocked = said.contains("cannot lock") || said.contains("being created");
    let left = fs::read_dir(given_directory()).expect("there").count();
    assert!(left == 0 || unlocked, "{left} files left behind: {said}");
    said
}

fn anonymous() -> String {
    let board = OwnedBoard::anonymous(1).expect("a board");
    board.assign(0, 1).expect("a slot");
    board.enter(0).expect("my slot").idle();
    board.snapshot().expect("a snapshot").to_string()
}

/// Fails in the middle of an assignment, then assigns again.
fn assign() -> String {
    let board = OwnedBoard::anonymous(1).expect("a board");
    let failed = board.assign(0, 1).expect_err("the fault");
    let between = board.status(0).expect("a status");
    board.assign(0, 1).expect("recovers");
    format!("{failed}, {between}, {}", board.status(0).expect("a status"))
}

#[test]
fn system_calls_that_fail_are_errors_or_overcome() {
    let name = "system_calls_that_fail_are_errors_or_overcome";
    if let Some(doing) = own_role() {
        let said = match doing.as_str() {
            "create" => create(),
            "anonymous" => anonymous(),
            "assign" => assign(),
            other => panic!("there is no role {other}"),
        };
        return println!("= {said}");
    }
    let table = [
        ("create", "fallocate:error=ENOSPC", "cannot reserve 12288 bytes for scoreboard PATH"),
        ("create", "fallocate:error=EDQUOT", "cannot reserve 12288 bytes for scoreboard PATH"),
        ("create", "fallocate:error=EINTR:when=1..3", "._"),
        ("create", "fallocate:error=EINTR", "cannot reserve 12288 bytes for scoreboard PATH"),
        ("create", "fallocate:error=EOPNOTSUPP", "._"),
        ("create", "pwrite64:error=ENOSPC:when=1", "cannot write scoreboard PATH: No space"),
        ("create", "pwrite64:error=EINTR:when=1", "._"),
        ("create", "rename:error=EACCES", "cannot rename scoreboard PATH: Permission denied"),
        ("create", "flock:error=ENOLCK", "cannot lock scoreboard PATH: No locks"),
        ("create", "flock:error=EAGAIN", "scoreboard PATH is being created by another"),
        ("create", "madvise:error=EINVAL", "._"),
        ("anonymous", "memfd_create:error=EINVAL:when=1", "_"),
        ("anonymous", "madvise:error=EINVAL", "_"),
        (
            "assign",
            "pwrite64:error=EIO:when=2",
            "cannot write slot 0 of scoreboard [anonymous], ., S",
        ),
        (
            "assign",
            "pwrite64:error=EIO:when=3",
            "cannot write slot 0 of scoreboard [anonymous], ?, S",
        ),
        (
            "assign",
            "pwrite64:error=EIO:when=4",
            "cannot write slot 0 of scoreboard [anonymous], ?, S",
        ),
    ];
    for (doing, fault, expected) in table {
        let Some(said) = under(name, doing, fault) else {
            return println!("skipped: strace(1) is not here or may not trace");
        };
        assert!(said.starts_with(expected), "{doing} with {fault} said {said:?}, not {expected:?}");
    }
}
