//! Programs that a supervisor executes have slots of its board.
mod common;

use common::{
    Forked, Started, alone, directory, give_directory, given_directory, own_role, role, wait_for,
};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use prefork_scoreboard::{
    Board, BoardOptions, Column, EnterError, Life, OwnedBoard, Slot, Status, Value, variables,
};
use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// What is executed: enters the slot that it was given, reports, and ends when its input does.
fn program() {
    match Slot::from_environment() {
        Ok(Some(mut slot)) => {
            let queue = slot.number("queue").expect("a column");
            slot.busy("cat.png");
            slot.set(queue, 17);
            let _ = std::io::stdin().read(&mut [0]);
        }
        Ok(None) => std::fs::write(given_directory().join("free"), "").expect("written"),
        Err(error) => {
            let path = given_directory().join("error");
            std::fs::write(path, error.to_string()).expect("written");
        }
    }
}

fn supervisor(directory: &tempfile::TempDir) -> OwnedBoard {
    let options = BoardOptions::new().column(Column::gauge("queue"));
    options.create(directory.path().join("board"), 4).expect("a board")
}

#[test]
fn a_program_reports_in_the_slot_that_it_was_given() {
    let name = "a_program_reports_in_the_slot_that_it_was_given";
    if own_role().is_some() {
        return program();
    }
    let directory = directory();
    let board = supervisor(&directory);
    for generation in 1..3 {
        board.assign(2, generation).expect("a slot");
        let mut command = role(name, "program");
        give_directory(&mut command, &directory).stdin(Stdio::piped());
        let mut started = Started::new(command.envs(board.variables(2).expect("it has a path")));
        wait_for("a report", || board.tally(0..4).expect("a tally").busy == 1);
        let record = board.record(2).expect("a record");
        assert_eq!((record.label(), record.pid()), ("cat.png", Some(started.0.id())));
        assert_eq!((record.generation(), board.life_of(&record)), (generation, Life::Running));
        wait_for("a number", || {
            board.values(2).expect("readable") == Some(vec![Value::Number(17)])
        });
        drop(started.0.stdin.take());
        started.succeed("the program");
        assert_eq!(board.life_of(&record), Life::Gone);
        board.clear(2).expect("reaped");
        assert_eq!(board.snapshot().expect("a snapshot").to_string(), "....");
    }
    // Without the variables it is somebody else's, and what goes wrong is in words.
    give_directory(&mut role(name, "program"), &directory).status().expect("it runs");
    assert!(directory.path().join("free").exists());
    for (path, slot, expected) in [
        (
            None,
            Some("2"),
            "environment variable SCOREBOARD_PATH is not set; set SCOREBOARD_PATH and SCOREBOARD_SLOT, or neither",
        ),
        (
            Some("board"),
            Some("-1"),
            "environment variable SCOREBOARD_SLOT is -1, which is no number of a slot",
        ),
        (
            Some("board"),
            Some("3"),
            "slot 3 of scoreboard BOARD is assigned to nobody; let the supervisor start this program",
        ),
        (
            Some("board"),
            Some("4"),
            "scoreboard BOARD has 4 slots, so there is no slot 4: the first is 0",
        ),
    ] {
        let mut command = role(name, "program");
        let path = path.map(|name| directory.path().join(name));
        give_directory(&mut command, &directory).stdin(Stdio::null());
        command.envs(path.map(|path| (variables::PATH, path)));
        command.envs(slot.map(|slot| (variables::SLOT, slot)));
        command.status().expect("it runs");
        let error = std::fs::read_to_string(directory.path().join("error")).expect("an error");
        let board = directory.path().join("board");
        assert_eq!(error.replace(&*board.to_string_lossy(), "BOARD"), expected);
    }
}

/// A shell between the two, which is the parent of the program, does not matter.
#[test]
fn a_program_need_not_be_a_child_of_its_supervisor() {
    let name = "a_program_need_not_be_a_child_of_its_supervisor";
    if own_role().is_some() {
        return program();
    }
    let directory = directory();
    let board = supervisor(&directory);
    board.assign(0, 1).expect("a slot");
    let program = role(name, "program");
    let mut shell = Command::new("sh");
    shell.args(["-c", "\"$@\"; exit $?", "sh"]).arg(program.get_program()).args(program.get_args());
    shell.envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    give_directory(&mut shell, &directory).stdin(Stdio::piped());
    let mut started = Started::new(shell.envs(board.variables(0).expect("it has a path")));
    wait_for("a report", || board.tally(0..4).expect("a tally").busy == 1);
    let record = board.record(0).expect("a record");
    assert_ne!(record.pid(), Some(started.0.id()), "there is a shell between");
    assert_eq!(board.life_of(&record), Life::Running);
    drop(started.0.stdin.take());
    started.succeed("the shell");
}

#[test]
fn who_was_not_given_the_slot_is_refused() {
    alone("who_was_not_given_the_slot_is_refused", || {
        let directory = directory();
        let path = directory.path().join("board");
        let mut board = supervisor(&directory);
        let refused = |slot| Board::enter(&path, slot).expect_err("refused");
        assert!(matches!(refused(0), EnterError::Unassigned { slot: 0, .. }));
        assert!(matches!(refused(4), EnterError::Slot { .. }));
        board.assign(0, 1).expect("a slot");
        let rival = std::fs::OpenOptions::new().write(true).open(&path).expect("the board");
        lock(&rival, libc::F_WRLCK, 4096);
        assert!(matches!(refused(0), EnterError::Taken { pid: None, .. }), "it is being entered");
        lock(&rival, libc::F_UNLCK, 4096);
        let first = Forked::new(|| {
            let _slot = Board::enter(&path, 0).expect("assigned to it");
            loop {
                std::thread::park();
            }
        });
        let pid = || board.record(0).expect("a record").pid();
        wait_for("the first one", || pid() == Some(first.pid()));
        let error = refused(0);
        assert!(
            matches!(error, EnterError::Taken { pid, .. } if pid == Some(first.pid())),
            "{error}"
        );
        // Whoever had it, and left others behind with what it had open: the owner decides.
        first.kill();
        assert!(matches!(refused(0), EnterError::Taken { .. }), "not cleared yet");
        board.assign(0, 2).expect("reaped");
        let slot = Board::enter(&path, 0).expect("assigned to this one");
        drop(slot);
        Board::enter(&path, 0).expect("as after execve(2), in the same process");

        let shared = directory.path().join("shared");
        drop(Board::open_or_create(&shared, 1).expect("a board"));
        assert!(matches!(Board::enter(&shared, 0), Err(EnterError::Shared { .. })));
        board.resize(2).expect("another board");
        assert!(matches!(refused(0), EnterError::Unassigned { .. }));
        let unnamed = OwnedBoard::anonymous(1).expect("a board");
        assert!(matches!(unnamed.variables(0), Err(EnterError::Unnamed)));
        assert!(matches!(board.variables(2), Err(EnterError::Slot { .. })), "there is no slot 2");

        board.assign(1, 1).expect("a slot");
        let kept = directory.path().join("kept");
        std::fs::copy(&path, &kept).expect("a copy, as a killed owner leaves it");
        assert!(matches!(Board::enter(&kept, 1), Err(EnterError::NoOwner { .. })));
        std::fs::hard_link(&path, directory.path().join("link")).expect("a link");
        assert!(matches!(refused(1), EnterError::Open { .. }));
    });
}

/// Two programs that were given the same slot by mistake, at the same moment, again and again.
#[test]
fn of_many_who_enter_at_once_one_has_the_slot() {
    let name = "of_many_who_enter_at_once_one_has_the_slot";
    alone(name, || {
        let directory = directory();
        let path = directory.path().join("board");
        let board = supervisor(&directory);
        let (start, mut go) = std::io::pipe().expect("a pipe");
        for generation in 0..50 {
            board.assign(0, generation).expect("a slot");
            let rivals: Vec<_> = (0..4)
                .map(|_| {
                    Forked::new(|| {
                        let _ = (&start).read_exact(&mut [0]);
                        match Board::enter(&path, 0) {
                            Ok(_slot) => 1,
                            Err(EnterError::Taken { .. }) => 0,
                            Err(_) => 2,
                        }
                    })
                })
                .collect();
            go.write_all(b"four").expect("they read it");
            let ends: Vec<_> =
                rivals.into_iter().map(|rival| format!("{:?}", rival.wait())).collect();
            let entered = ends.iter().filter(|end| end.contains(", 1)")).count();
            assert!(entered == 1 && !ends.iter().any(|end| end.contains(", 2)")), "{ends:?}");
            assert!(matches!(board.status(0), Ok(Status::Live(_))));
        }
    });
}

/// As a process does that is about to enter the slot at `offset`.
fn lock(file: &std::fs::File, kind: i32, offset: i64) {
    let (l_type, l_whence) = (i16::try_from(kind), i16::try_from(libc::SEEK_SET));
    let (l_type, l_whence) = (l_type.expect("small"), l_whence.expect("small"));
    let lock = libc::flock { l_type, l_whence, l_start: offset, l_len: 1, l_pid: 0 };
    fcntl(file, FcntlArg::F_OFD_SETLK(&lock)).expect("nobody else is there");
}
