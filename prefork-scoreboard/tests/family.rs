//! A parent, its children, and what can happen to them.
mod common;

use common::{Forked, Numbers, alone, directory, endurance, wait_for};
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use prefork_scoreboard::{
    Board, Class, CreateError, Fault, OwnedBoard, SlotError, Snapshot, State, Status,
};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

fn sleep_until_killed() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn a_child_lives_in_its_slot_and_leaves_the_board_alone() {
    alone("a_child_lives_in_its_slot_and_leaves_the_board_alone", || {
        let directory = directory();
        let path = directory.path().join("board");
        let board = OwnedBoard::create(&path, 3).expect("a board");
        board.assign(1, 7).expect("a slot");
        let assigned = board.record(1).expect("a record");
        assert_eq!((assigned.status(), assigned.pid()), (Status::Live(State::Starting), None));

        let inherited = path.clone();
        let mut owner = Some(board);
        let child = Forked::new(|| {
            let board = owner.take().expect("inherited");
            let mut slot = board.enter(1).expect("my slot");
            drop(board);
            assert!(inherited.exists(), "dropping the board in a child removed the file");
            let open = fs::read_dir("/proc/self/fd").expect("/proc");
            let open = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
            assert!(!open.into_iter().any(|link| link == inherited), "the file is still open");
            let maps = fs::read_to_string("/proc/self/maps").expect("/proc");
            let name = inherited.to_string_lossy();
            let mapped: Vec<_> = maps.lines().filter(|line| line.contains(&*name)).collect();
            let [own] = mapped[..] else { panic!("more or less than one page: {mapped:?}") };
            assert!(own.contains(" 00002000 "), "not the page of slot 1: {own}");
            slot.client("192.0.2.1:80");
            slot.finished();
            slot.busy("GET /");
            sleep_until_killed()
        });

        let board = Board::open(&path).expect("the board");
        wait_for("the child to write", || {
            board.status(1).expect("a status") == Status::Live(State::Writing)
        });
        let record = board.record(1).expect("a record");
        assert_eq!(record.pid(), Some(child.pid()));
        assert_eq!((record.generation(), record.requests()), (7, 1));
        assert_eq!((record.label(), record.client()), ("GET /", "192.0.2.1:80"));
        assert_eq!(record.started(), assigned.started(), "the child changed the start");
        assert!(record.updated() >= record.request_started() && record.request_time().is_some());
        assert_eq!(board.snapshot().expect("a snapshot").to_string(), ".W.");
        child.kill();
        assert!(path.exists(), "the death of a child removed the file");
        drop(owner);
        assert!(!path.exists(), "the parent left the file behind");
    });
}

#[test]
fn a_reaped_childs_slot_is_cleared_and_assigned_again() {
    alone("a_reaped_childs_slot_is_cleared_and_assigned_again", || {
        let board = OwnedBoard::anonymous(1).expect("a board");
        for generation in 1..=20 {
            board.assign(0, generation).expect("a slot");
            Forked::new(|| {
                let mut slot = board.enter(0).expect("my slot");
                assert_eq!((slot.generation(), slot.requests()), (generation, 0));
                slot.finished();
                0
            })
            .succeed();
            let record = board.record(0).expect("a record");
            assert_eq!((record.generation(), record.requests()), (generation, 1));
            board.clear(0).expect("cleared");
            assert_eq!(board.status(0).expect("a status"), Status::Empty);
        }
    });
}

/// A mapping keeps the open file description it was made through, and a lock of that description.
#[test]
fn an_orphan_does_not_hold_the_lock_of_its_parent() {
    alone("an_orphan_does_not_hold_the_lock_of_its_parent", || {
        let directory = directory();
        let path = directory.path().join("board");
        let mut board = Some(OwnedBoard::create(&path, 1).expect("a board"));
        board.as_ref().expect("made").assign(0, 1).expect("a slot");
        let child = Forked::new(|| {
            let mut slot = board.as_ref().expect("made").enter(0).expect("my slot");
            drop(board.take());
            slot.idle();
            sleep_until_killed()
        });
        let reader = Board::open(&path).expect("the board");
        wait_for("the child", || reader.status(0).expect("a status").class() == Class::Idle);
        // As after the sudden death of the parent: nothing is removed, but its lock is gone.
        let copy = directory.path().join("copy");
        fs::hard_link(&path, &copy).expect("another name, so that the file survives");
        drop(board.take());
        fs::rename(&copy, &path).expect("its old name");
        drop(OwnedBoard::create(&path, 1).expect("the child holds no lock"));
        child.kill();
    });
}

#[test]
fn a_grandchild_changes_nothing() {
    alone("a_grandchild_changes_nothing", || {
        let board = OwnedBoard::anonymous(1).expect("a board");
        board.assign(0, 1).expect("a slot");
        Forked::new(|| {
            let mut slot = board.enter(0).expect("my slot");
            slot.busy("child");
            let before = board.record(0).expect("a record");
            let grandchild = Forked::new(|| {
                slot.busy("grandchild");
                slot.finished();
                drop(slot);
                0
            });
            grandchild.succeed();
            let after = board.record(0).expect("a record");
            assert_eq!(after.label(), "child");
            assert_eq!(after.updated(), before.updated());
            0
        })
        .succeed();
    });
}

/// S2: truncated while serving.
#[test]
fn truncation_kills_the_writer_and_never_the_parent() {
    alone("truncation_kills_the_writer_and_never_the_parent", || {
        let directory = directory();
        let path = directory.path().join("board");
        let mut board = OwnedBoard::create(&path, 4).expect("a board");
        board.check().expect("a sound board");
        board.assign(3, 1).expect("a slot");
        let child = Forked::new(|| {
            let mut slot = board.enter(3).expect("my slot");
            loop {
                slot.idle();
            }
        });
        wait_for("the child", || board.status(3).expect("a status").class() == Class::Idle);
        OpenOptions::new().write(true).open(&path).expect("the file").set_len(5000).expect("cut");

        let status = child.wait();
        assert!(
            matches!(status, WaitStatus::Signaled(_, Signal::SIGBUS, _)),
            "the child ended with {status:?}; expected was SIGBUS"
        );
        assert!(matches!(
            board.check(),
            Err(Fault::Truncated { expected: 20_480, found: 5000, .. })
        ));
        assert!(matches!(board.clear(3), Err(SlotError::Truncated { slot: 3, .. })));
        assert!(matches!(board.assign(0, 1), Ok(()) | Err(SlotError::Truncated { .. })));
        assert!(matches!(board.enter(3), Err(SlotError::Truncated { slot: 3, .. })));
        assert!(matches!(board.enter(0), Err(SlotError::Truncated { slot: 0, .. })));
        assert!(matches!(board.record(3), Err(SlotError::Truncated { slot: 3, .. })));
        assert!(board.snapshot().is_err() && board.tally(0..4).is_err());
        assert_eq!(fs::metadata(&path).expect("the file").len(), 5000, "the parent grew the file");

        OpenOptions::new().write(true).open(&path).expect("the file").set_len(0).expect("cut");
        assert!(matches!(board.check(), Err(Fault::Truncated { found: 0, .. })));
        assert!(matches!(Board::open(&path), Err(error) if error.to_string().contains("bytes")));

        board.resize(4).expect("a new board in the old one's place");
        board.check().expect("a sound board");
        board.assign(3, 2).expect("a slot");
        assert_eq!(
            Board::open(&path).expect("the board").snapshot().expect("a snapshot").to_string(),
            "...S"
        );
        assert!(matches!(OwnedBoard::create(&path, 1), Err(error) if is_held(&error)));
        drop(board);
        assert!(!path.exists(), "the new board was left behind");
    });
}

fn is_held(error: &CreateError) -> bool {
    matches!(error, CreateError::Held { pid, .. } if *pid == Some(std::process::id()))
}

/// S2: removed, and replaced, while serving.
#[test]
fn removal_is_noticed_and_repaired() {
    alone("removal_is_noticed_and_repaired", || {
        let directory = directory();
        let path = directory.path().join("board");
        let mut board = OwnedBoard::create(&path, 2).expect("a board");
        board.assign(0, 1).expect("a slot");
        let mut slot = board.enter(0).expect("my slot");
        fs::remove_file(&path).expect("removed");
        assert!(matches!(board.check(), Err(Fault::Removed { .. })));
        slot.idle();
        assert_eq!(board.tally(0..2).expect("a tally").idle, 1, "the board works without a name");

        fs::write(&path, "precious").expect("another file");
        assert!(matches!(board.check(), Err(Fault::Replaced { .. })));
        let error = board.resize(2).expect_err("another file is in the way");
        assert!(error.to_string().contains("is not a scoreboard"), "{error}");
        board.assign(1, 1).expect("the old board is still there");
        assert_eq!(fs::read(&path).expect("the file"), b"precious");

        fs::remove_file(&path).expect("removed");
        board.resize(2).expect("a new board");
        board.check().expect("a sound board");
        slot.idle();
        assert_eq!(board.tally(0..2).expect("a tally").empty, 2, "the new board is empty");

        let vandal = OpenOptions::new().write(true).open(&path).expect("the file");
        vandal.write_all_at(&[0xff], 30).expect("a byte");
        assert!(matches!(board.check(), Err(Fault::Overwritten { .. })));
        board.assign(1, 1).expect("the geometry is the parent's own");

        fs::remove_file(&path).expect("removed");
        fs::write(&path, "precious").expect("another file");
        drop(board);
        assert_eq!(fs::read(&path).expect("the file"), b"precious", "somebody else's file is gone");
    });
}

/// S3, S4: random bytes all over the file, under load.
#[test]
fn a_vandal_upsets_neither_parent_nor_readers() {
    alone("a_vandal_upsets_neither_parent_nor_readers", || {
        const SLOTS: usize = 16;
        let directory = directory();
        let path = directory.path().join("board");
        let board = OwnedBoard::create(&path, SLOTS).expect("a board");
        let vandal = Forked::new(|| {
            let file = OpenOptions::new().write(true).open(&path).expect("the file");
            let mut numbers = Numbers::new();
            loop {
                let bytes = numbers.next().to_le_bytes();
                let length = 1 + numbers.below(8);
                let page = numbers.below(SLOTS + 1) * 4096;
                let offset = (page + numbers.below(256)) as u64;
                file.write_all_at(&bytes[..length], offset).expect("it fits");
            }
        });
        let workers: Vec<_> = (0..4)
            .map(|index| {
                board.assign(index, 1).expect("a slot");
                Forked::new(|| {
                    let mut slot = board.enter(index).expect("my slot");
                    loop {
                        slot.busy("work");
                        slot.finished();
                    }
                })
            })
            .collect();
        let deadline = Instant::now() + endurance();
        let mut snapshot = Snapshot::new();
        let (mut rounds, mut damaged) = (0_u64, 0);
        while Instant::now() < deadline || damaged == 0 {
            let started = Instant::now();
            board.snapshot_into(&mut snapshot).expect("a snapshot");
            assert!(started.elapsed() < Duration::from_secs(5), "took {:?}", started.elapsed());
            assert_eq!(snapshot.tally().total(), SLOTS);
            damaged += snapshot.tally().stalled;
            for (index, record) in snapshot.records().iter().enumerate() {
                assert_eq!(record.slot(), index);
                assert!(record.pid().is_none_or(|pid| (1..=4_194_304).contains(&pid)));
                let texts = [record.label(), record.client()];
                assert!(texts.iter().all(|text| !text.contains(char::is_control)));
            }
            let other = 4 + usize::try_from(rounds % 12).expect("small");
            board.assign(other, rounds).expect("assigned");
            board.clear(other).expect("cleared");
            let _ = board.check();
            rounds += 1;
        }
        println!("{rounds} rounds, {damaged} damaged records");
        drop((vandal, workers));
        // What the vandal damaged is sound again once it is assigned again.
        for index in 0..SLOTS {
            board.assign(index, 9).expect("assigned");
        }
        assert_eq!(board.tally(0..SLOTS).expect("a tally").starting, SLOTS);
    });
}
