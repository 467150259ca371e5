//! Boards appear whole or not at all, and never over what is alive or foreign.
mod common;

use common::{Started, directory, give_directory, given_directory, own_role, role};
use prefork_scoreboard::{Board, CreateError, Foreign, OwnedBoard, Removal};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn a_live_board_is_refused_and_unharmed() {
    let directory = directory();
    let path = directory.path().join("board");
    let owner = OwnedBoard::create(&path, 2).expect("a board");
    owner.assign(1, 5).expect("a slot");
    let error = OwnedBoard::create(&path, 3).expect_err("the first is alive");
    assert!(
        matches!(&error, CreateError::Held { pid, .. } if *pid == Some(std::process::id())),
        "{error}"
    );
    owner.check().expect("the first board is unharmed");
    assert_eq!(Board::open(&path).expect("open").snapshot().expect("read").to_string(), ".S");
    assert_eq!(owner.remove().expect("removed"), Removal::Removed);
    assert_eq!(names(directory.path()), Vec::<String>::new(), "something was left behind");
    OwnedBoard::create(&path, 3).expect("the path is free again");
}

/// A child forked by another thread holds all descriptors, and their locks, until it execs.
#[test]
fn a_refusal_leaves_no_lock_behind() {
    let directory = directory();
    let path = directory.path().join("precious");
    fs::write(&path, "precious").expect("written");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let status = Command::new("true").status().expect("true runs");
                assert!(status.success());
            }
        });
        let refusals = (0..2000).find_map(|_| match OwnedBoard::create(&path, 1) {
            Err(CreateError::Foreign { reason: Foreign::Contents, .. }) => None,
            other => Some(other),
        });
        stop.store(true, Ordering::Relaxed);
        assert!(refusals.is_none(), "refused for another reason: {refusals:?}");
    });
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("the directory");
    entries.map(|entry| entry.expect("a name").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn stale_and_empty_files_and_leftovers_are_replaced() {
    let directory = directory();
    let path = directory.path().join("board");
    let stale = {
        let board = OwnedBoard::create(&path, 2).expect("a board");
        let bytes = fs::read(&path).expect("its bytes");
        drop(board);
        bytes
    };
    let headless = { stale[..40].to_vec() };
    for contents in [&stale[..], &headless[..], &[]] {
        fs::write(&path, contents).expect("written");
        fs::write(directory.path().join(".board.new"), "left by a creator that was killed")
            .expect("written");
        let old = fs::metadata(&path).expect("there").ino();
        let board = OwnedBoard::create(&path, 3).expect("replaces what is stale");
        assert_eq!(board.snapshot().expect("read").to_string(), "...");
        assert_ne!(fs::metadata(&path).expect("there").ino(), old, "written in place");
        assert_eq!(names(directory.path()), ["board"], "something was left behind");
    }
}

/// P5, for boards: what is there is refused at once and stays as it was.
#[test]
fn foreign_files_are_refused_and_unchanged() {
    let directory = directory();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("victim"), "precious").expect("written");
    symlink(at("victim"), at("symlink")).expect("linked");
    fs::write(at("twin"), "").expect("written");
    fs::hard_link(at("twin"), at("hard")).expect("linked");
    fs::create_dir(at("directory")).expect("made");
    let made = Command::new("mkfifo").arg(at("fifo")).status().expect("mkfifo runs");
    assert!(made.success());

    let cases = [
        ("victim", Foreign::Contents),
        ("symlink", Foreign::SymbolicLink),
        ("hard", Foreign::Linked { links: 2 }),
        ("fifo", Foreign::NotRegular),
    ];
    for (name, expected) in cases {
        for created in [
            OwnedBoard::create(at(name), 1).map(drop),
            Board::open_or_create(at(name), 1).map(drop),
        ] {
            match created {
                Err(CreateError::Foreign { reason, path }) => {
                    assert_eq!((reason, path), (expected, at(name)));
                }
                other => panic!("{name}: expected {expected:?}, got {other:?}"),
            }
        }
        assert!(Board::open(at(name)).is_err(), "{name} was opened");
    }
    let error = OwnedBoard::create(at("directory"), 1).expect_err("a directory");
    assert!(error.to_string().contains("directory"), "{error}");
    assert_eq!(fs::read(at("victim")).expect("still there"), b"precious");
    assert!(names(directory.path()).iter().all(|name| !name.starts_with('.')), "leftovers");

    // A trap at the name of the temporary file.
    symlink(at("victim"), at(".new.new")).expect("linked");
    let error = OwnedBoard::create(at("new"), 1).expect_err("a trap");
    assert!(matches!(error, CreateError::Foreign { reason: Foreign::SymbolicLink, .. }), "{error}");
    assert_eq!(fs::read(at("victim")).expect("still there"), b"precious");
}

#[test]
fn wrong_arguments_have_errors_of_their_own() {
    let directory = directory();
    let path = directory.path().join("board");
    for slots in [0, 65_537, usize::MAX] {
        for error in [
            OwnedBoard::create(&path, slots).expect_err("too few or many"),
            OwnedBoard::anonymous(slots).expect_err("too few or many"),
        ] {
            assert!(matches!(error, CreateError::Slots { slots: found, .. } if found == slots));
        }
    }
    assert!(matches!(OwnedBoard::create("", 1), Err(CreateError::NoFileName { .. })));
    let nowhere = OwnedBoard::create("/nonexistent/board", 1).expect_err("no such directory");
    assert_eq!(
        nowhere.to_string(),
        "cannot create scoreboard /nonexistent/board: its directory does not exist; create it first"
    );
    OwnedBoard::create(&path, 65_536).expect("the most slots there may be");
}

/// The part of a test that runs in a process of its own: creates a board, says how that went, and
/// keeps the board until its input ends.
fn create_and_hold() {
    match OwnedBoard::create(given_directory().join("board"), 4) {
        Ok(board) => {
            println!("= created");
            let mut line = String::new();
            let _ = std::io::stdin().read_line(&mut line);
            drop(board);
        }
        Err(error) => println!("= {error}: {:?}", std::error::Error::source(&error)),
    }
}

fn answer(program: &mut Started) -> String {
    let output = program.0.stdout.as_mut().expect("piped");
    let lines = BufReader::new(output).lines().map(|line| line.expect("text"));
    let mut answers =
        lines.filter_map(|line| line.split_once("= ").map(|(_, said)| said.to_owned()));
    answers.next().unwrap_or_else(|| "nothing".to_owned())
}

/// D7: the mode is 0600 whatever the umask.
#[test]
fn the_mode_does_not_depend_on_the_umask() {
    let name = "the_mode_does_not_depend_on_the_umask";
    if own_role().is_some() {
        return create_and_hold();
    }
    for umask in ["000", "777"] {
        let directory = directory();
        let program = role(name, "create");
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]).arg(program.get_program());
        shell.args(program.get_args()).envs(program.get_envs().filter_map(|(k, v)| Some((k, v?))));
        give_directory(&mut shell, &directory).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut started = Started::new(&mut shell);
        assert_eq!(answer(&mut started), "created", "under umask {umask}");
        let mode = fs::metadata(directory.path().join("board")).expect("the board").mode();
        assert_eq!(mode & 0o7777, 0o600, "under umask {umask}");
    }
}

/// P1, for boards: of many creators at once exactly one succeeds, over a stale file or none.
#[test]
fn of_twenty_creators_exactly_one_succeeds() {
    let name = "of_twenty_creators_exactly_one_succeeds";
    if own_role().is_some() {
        return create_and_hold();
    }
    for stale in [false, true] {
        let directory = directory();
        let path = directory.path().join("board");
        if stale {
            File::create(&path).expect("an empty file");
        }
        let mut creators: Vec<_> = (0..20)
            .map(|_| {
                let mut command = role(name, "create");
                give_directory(&mut command, &directory);
                Started::new(command.stdin(Stdio::piped()).stdout(Stdio::piped()))
            })
            .collect();
        let answers: Vec<_> = creators.iter_mut().map(answer).collect();
        let created = answers.iter().filter(|answer| *answer == "created").count();
        assert_eq!(created, 1, "boards created; the answers were {answers:#?}");
        for refused in answers.iter().filter(|answer| *answer != "created") {
            let expected = refused.contains("in use by") || refused.contains("being created");
            assert!(expected, "refused for another reason: {refused}");
        }
        Board::open(&path).expect("the board of the one that succeeded");
        for mut creator in creators {
            drop(creator.0.stdin.take());
            creator.succeed("a creator");
        }
        assert_eq!(names(directory.path()), Vec::<String>::new(), "something was left behind");
    }
}

/// P2, for boards: starting and stopping without a pause never gives two owners.
#[test]
fn creators_that_come_and_go_never_overlap() {
    let name = "creators_that_come_and_go_never_overlap";
    if own_role().is_some() {
        let directory = given_directory();
        let mut rounds = 0;
        while rounds < 200 {
            let Ok(board) = OwnedBoard::create(directory.join("board"), 1) else { continue };
            // A process that finds this file while owning a board shares the path with another owner.
            File::create_new(directory.join("owned")).expect("there is another owner");
            board.check().expect("my board is at its path");
            fs::remove_file(directory.join("owned")).expect("mine");
            assert_eq!(board.remove().expect("removed"), Removal::Removed);
            rounds += 1;
        }
        return;
    }
    let directory = directory();
    let creators: Vec<_> = (0..4)
        .map(|_| Started::new(give_directory(&mut role(name, "churn"), &directory)))
        .collect();
    for creator in creators {
        creator.succeed("a creator");
    }
    assert_eq!(names(directory.path()), Vec::<String>::new(), "something was left behind");
}

#[test]
fn a_killed_owner_is_succeeded() {
    let name = "a_killed_owner_is_succeeded";
    if own_role().is_some() {
        return create_and_hold();
    }
    let directory = directory();
    let path = directory.path().join("board");
    let mut command = role(name, "create");
    give_directory(&mut command, &directory);
    let mut owner = Started::new(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    assert_eq!(answer(&mut owner), "created");
    let pid = owner.0.id();
    let error = OwnedBoard::create(&path, 1).expect_err("the owner is alive");
    assert!(error.to_string().contains(&format!("in use by process {pid}")), "{error}");
    drop(owner);
    assert!(path.exists(), "nobody was there to remove it");
    OwnedBoard::create(&path, 1).expect("the owner was killed");
}

/// S1: a full file system is an error at creation, and leaves nothing behind.
#[test]
fn a_full_file_system_is_an_error_at_once() {
    let name = "a_full_file_system_is_an_error_at_once";
    if own_role().is_some() {
        let path = given_directory().join("board");
        let error = OwnedBoard::create(&path, 100).expect_err("there is room for 16 pages");
        let CreateError::Space { bytes, source, .. } = &error else { panic!("{error:?}") };
        assert_eq!((*bytes, source.kind()), (413_696, std::io::ErrorKind::StorageFull));
        assert_eq!(names(&given_directory()), Vec::<String>::new(), "something was left behind");
        let board = OwnedBoard::create(&path, 8).expect("there is room for this one");
        board.assign(7, 1).expect("a slot");
        board.enter(7).expect("a page").idle();
        let error = Board::open_or_create(given_directory().join("other"), 8).expect_err("no room");
        assert!(matches!(error, CreateError::Space { .. }), "{error}");
        board.check().expect("the first board is unharmed");
        return;
    }
    let directory = directory();
    let program = role(name, "full");
    let mut shell = Command::new("unshare");
    shell.args(["-m", "sh", "-c"]);
    shell.arg(
        "mount -t tmpfs -o size=64k none \"$0\" || { echo cannot mount; exit 77; }; exec \"$@\"",
    );
    shell.arg(directory.path()).arg(program.get_program()).args(program.get_args());
    shell.envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let output = give_directory(&mut shell, &directory).output();
    let Ok(output) = output else { return println!("skipped: there is no unshare(1) here") };
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || said.contains("unshare failed") {
        return println!("skipped: needs the right to mount: {said}");
    }
    assert!(output.status.success(), "on a full tmpfs it ended with {}:\n{said}", output.status);
}

#[test]
fn relative_paths_are_resolved_at_creation() {
    let name = "relative_paths_are_resolved_at_creation";
    if own_role().is_some() {
        std::env::set_current_dir(given_directory()).expect("the directory");
        let mut board = OwnedBoard::create("board", 1).expect("a board");
        let open = Board::open_or_create("shared", 1).expect("a board");
        std::env::set_current_dir("/").expect("the root");
        board.check().expect("found from another directory");
        board.resize(1).expect("made again from another directory");
        open.claim().expect("claimed from another directory");
        assert_eq!(board.remove().expect("removed"), Removal::Removed);
        return;
    }
    let directory = directory();
    Started::new(give_directory(&mut role(name, "relative"), &directory)).succeed("the program");
    assert_eq!(names(directory.path()), ["shared"]);
}
