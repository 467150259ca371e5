//! Processes that do not know each other share a board.
mod common;

use common::{
    Forked, Numbers, Started, alone, directory, endurance, give_directory, given_directory,
    own_role, role, wait_for,
};
use prefork_scoreboard::{
    Board, ClaimError, CreateError, Fault, Kind, OwnedBoard, State, Status, format,
};
use std::fs;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// What the original never managed: 8 processes, 8 slots, 8 pids.
#[test]
fn never_gives_one_slot_to_two_processes() {
    let name = "never_gives_one_slot_to_two_processes";
    if own_role().is_some() {
        let board = Board::open_or_create(given_directory().join("board"), 8).expect("a board");
        let mut slot = board.claim().expect("a slot");
        slot.busy("here");
        let _ = std::io::stdin().read(&mut [0]);
        return;
    }
    let directory = directory();
    let path = directory.path().join("board");
    let mut claimers: Vec<_> = (0..8)
        .map(|_| {
            let mut command = role(name, "claim");
            Started::new(give_directory(&mut command, &directory).stdin(Stdio::piped()))
        })
        .collect();
    wait_for("the board", || Board::open(&path).is_ok());
    let board = Board::open(&path).expect("the board");
    wait_for("all eight", || board.tally(0..8).expect("a tally").busy == 8);
    let mut pids: Vec<_> =
        (0..8).map(|slot| board.record(slot).expect("a record").pid().expect("a pid")).collect();
    let mut expected: Vec<_> = claimers.iter().map(|claimer| claimer.0.id()).collect();
    pids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(pids, expected);
    assert!(matches!(board.claim(), Err(ClaimError::Full { slots: 8, .. })));
    let error = OwnedBoard::create(&path, 1).expect_err("processes use the board");
    assert!(matches!(error, CreateError::Shared { .. }), "{error}");

    // One leaves in order, one is killed: two slots are free, the dead one's after the empty one.
    drop(claimers[3].0.stdin.take());
    claimers.remove(3).succeed("a claimer");
    drop(claimers.remove(5));
    assert_eq!(board.tally(0..8).expect("a tally").empty, 1);
    let (one, other) = (board.claim().expect("the empty one"), board.claim().expect("the dead's"));
    assert_ne!(one.index(), other.index());
    assert!(matches!(board.claim(), Err(ClaimError::Full { .. })));
    drop((one, other));
    assert_eq!(board.tally(0..8).expect("a tally").empty, 2);
}

/// As from a table of jobs: the first one makes the board, and nobody takes that for an owner.
#[test]
fn all_who_start_together_have_a_slot() {
    let directory = directory();
    for round in 0..200 {
        let path = directory.path().join(format!("board{round}"));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let board = Board::open_or_create(&path, 8).expect("a board");
                    drop(board.claim().expect("a slot"));
                });
            }
        });
        fs::remove_file(&path).expect("nobody's to remove, so ours");
    }
}

/// The lock says that somebody is at it, not that the board belongs to somebody.
#[test]
fn who_is_just_making_the_board_is_waited_for() {
    let directory = directory();
    let path = directory.path().join("board");
    let file = fs::File::create(&path).expect("an empty file");
    fs2::FileExt::lock_exclusive(&file).expect("locked");
    std::thread::scope(|scope| {
        let sharing = scope.spawn(|| Board::open_or_create(&path, 8));
        // It would be over at once, if it were not waiting.
        let begun = Instant::now();
        wait_for("somebody to wait for the lock", || {
            sharing.is_finished() || begun.elapsed() > Duration::from_millis(50)
        });
        fs2::FileExt::unlock(&file).expect("unlocked");
        sharing.join().expect("no panic").expect("a board");
    });
}

/// Claimers that come, go and are killed, each watching over its own slot.
#[test]
fn claims_survive_churn_and_kills() {
    let name = "claims_survive_churn_and_kills";
    if own_role().is_some() {
        let board = Board::open_or_create(given_directory().join("board"), 6).expect("a board");
        loop {
            let Ok(mut slot) = board.claim() else { continue };
            for round in 0..20 {
                slot.update(|report| {
                    report.state(State::Writing).count_requests(1).label("mine");
                });
                let record = board.record(slot.index()).expect("a record");
                assert_eq!(record.pid(), Some(std::process::id()), "somebody else's slot");
                assert_eq!((record.requests(), record.label()), (round + 1, "mine"));
            }
        }
    }
    let directory = directory();
    let start = || {
        let mut command = role(name, "churn");
        Started::new(give_directory(&mut command, &directory).stdout(Stdio::null()))
    };
    let mut claimers: Vec<_> = (0..8).map(|_| start()).collect();
    let mut numbers = Numbers::new();
    let deadline = Instant::now() + endurance();
    let mut kills = 0;
    while Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_micros(numbers.next() % 20_000));
        for claimer in &mut claimers {
            let ended = claimer.0.try_wait().expect("ours");
            assert_eq!(ended, None, "a claimer failed; see its message above");
        }
        let victim = numbers.below(claimers.len());
        drop(std::mem::replace(&mut claimers[victim], start()));
        kills += 1;
    }
    drop(claimers);
    println!("{kills} claimers killed");
    // All are gone, so every slot can be had, though most were killed in the midst of something.
    let board = Board::open(directory.path().join("board")).expect("the board");
    let slots: Vec<_> = (0..6).map(|_| board.claim().expect("a slot of a dead process")).collect();
    let mut indexes: Vec<_> = slots.iter().map(prefork_scoreboard::Slot::index).collect();
    indexes.sort_unstable();
    assert_eq!(indexes, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_forked_child_releases_nothing() {
    alone("a_forked_child_releases_nothing", || {
        let directory = directory();
        let board = Board::open_or_create(directory.path().join("board"), 2).expect("a board");
        let mut slot = Some(board.claim().expect("a slot"));
        Forked::new(|| {
            drop(slot.take());
            0
        })
        .succeed();
        assert_eq!(board.status(0).expect("a status"), Status::Live(State::Starting));
        // A child that claims for itself gets another slot, and excludes its parent from it.
        let child = Forked::new(|| {
            let own = board.claim().expect("the other slot");
            assert_eq!(own.index(), 1);
            std::mem::drop(own);
            0
        });
        child.succeed();
        drop(slot);
        assert_eq!(board.snapshot().expect("a snapshot").to_string(), "..");
    });
}

/// Were the pid cleared, a slot whose owner is put to sleep while giving it back would pass for
/// abandoned, and be written by two processes.
#[test]
fn a_slot_given_back_still_names_its_last_owner() {
    let directory = directory();
    let path = directory.path().join("board");
    let board = Board::open_or_create(&path, 1).expect("a board");
    let mut slot = board.claim().expect("a slot");
    slot.busy("secret");
    drop(slot);
    assert_eq!(board.status(0).expect("a status"), Status::Empty);
    assert_eq!(board.record(0).expect("a record").pid(), None, "an empty slot has no pid");
    let bytes = fs::read(&path).expect("the board");
    let pid = &bytes[4096 + format::record::PID..][..4];
    assert_eq!(pid, std::process::id().to_le_bytes());
    assert!(!bytes.windows(6).any(|text| text == b"secret"), "the label was left behind");
}

#[test]
fn a_zombie_has_no_slot() {
    alone("a_zombie_has_no_slot", || {
        let directory = directory();
        let board = Board::open_or_create(directory.path().join("board"), 1).expect("a board");
        let child = Forked::new(|| {
            // Left without dropping the slot, as by a crash.
            let _slot = std::mem::ManuallyDrop::new(board.claim().expect("a slot"));
            0
        });
        let stat = format!("/proc/{}/stat", child.pid());
        wait_for("the child to be a zombie", || {
            fs::read_to_string(&stat).expect("not reaped yet").contains(") Z ")
        });
        board.claim().expect("the slot of a zombie");
        child.succeed();
    });
}

#[test]
fn boards_with_an_owner_are_not_for_claiming() {
    let directory = directory();
    let path = directory.path().join("board");
    let owner = OwnedBoard::create(&path, 2).expect("a board");
    let board = Board::open(&path).expect("the board");
    assert_eq!(board.kind(), Kind::Owned);
    assert!(matches!(board.claim(), Err(ClaimError::Owned { .. })));
    assert!(matches!(Board::open_or_create(&path, 2), Err(CreateError::Held { .. })));
    owner.check().expect("unharmed");
    let anonymous = OwnedBoard::anonymous(1).expect("a board");
    assert!(matches!(anonymous.claim(), Err(ClaimError::Owned { .. })));
}

#[test]
fn a_replaced_board_is_not_claimed_by_its_old_readers() {
    let directory = directory();
    let path = directory.path().join("board");
    let old = Board::open_or_create(&path, 2).expect("a board");
    fs::remove_file(&path).expect("removed");
    let error = old.claim().expect_err("it is gone");
    assert!(matches!(error, ClaimError::Open { .. }), "{error}");
    assert_eq!(error.to_string(), format!("cannot open scoreboard {}", path.display()));
    let _new = Board::open_or_create(&path, 2).expect("a new board");
    assert!(matches!(old.claim(), Err(ClaimError::Replaced { .. })));
}

/// Those who report there would go on for ever, and nobody would see it.
#[test]
fn holders_notice_that_their_board_was_removed_or_replaced() {
    let directory = directory();
    let path = directory.path().join("board");
    let board = Board::open_or_create(&path, 2).expect("a board");
    let mut slot = board.claim().expect("a slot");
    let reader = Board::open(&path).expect("a board");
    let of_file = Board::of_file(fs::File::open(&path).expect("open"), "a board").expect("a board");
    for board in [&board, &reader] {
        board.check().expect("it is at its path");
    }
    fs::remove_file(&path).expect("removed");
    of_file.check().expect("it has no path");
    for board in [&board, &reader] {
        assert!(matches!(board.check(), Err(Fault::Removed { .. })));
    }
    let again = Board::open_or_create(&path, 2).expect("a new board");
    assert!(matches!(board.check(), Err(Fault::Replaced { .. })));
    slot.idle();
    assert_eq!(again.tally(0..2).expect("a tally").empty, 2, "they report to the old one");
    again.check().expect("it is at its path");

    let file = fs::OpenOptions::new().write(true).open(&path).expect("the file");
    file.write_all_at(&[0xff], 30).expect("a byte");
    assert!(matches!(again.check(), Err(Fault::Overwritten { .. })));
    file.set_len(4096).expect("cut");
    assert!(matches!(again.check(), Err(Fault::Truncated { found: 4096, .. })));
}

/// The checksum of a header, as `format.md` has it for all versions.
fn header_checksum(bytes: &[u8]) -> u64 {
    let word =
        |index: usize| u64::from_le_bytes(bytes[index * 8..][..8].try_into().expect("eight bytes"));
    let term = |index: usize| {
        let multiplier = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(index as u64 + 1) | 1;
        let folded = (word(index) ^ (word(index) >> 32)).wrapping_mul(multiplier);
        folded ^ (folded >> 29)
    };
    (0..12).fold(0, |sum, index| sum.wrapping_add(term(index)))
}

/// Changes bytes of the header in place, as another version would have written them.
fn change_header(path: &Path, change: impl FnOnce(&mut [u8])) {
    let file = fs::File::options().read(true).write(true).open(path).expect("the board");
    let mut header = [0; format::HEADER_SIZE];
    file.read_exact_at(&mut header, 0).expect("a header");
    change(&mut header);
    file.write_all_at(&header, 0).expect("written");
}

/// Two versions of this crate in one rolling update must not take each other's board away.
#[test]
fn a_board_of_another_version_is_never_replaced() {
    let directory = directory();
    let path = directory.path().join("board");
    drop(Board::open_or_create(&path, 2).expect("a board"));
    change_header(&path, |header| {
        header[format::header::VERSION] = 2;
        let sum = header_checksum(header);
        header[format::header::CHECKSUM..].copy_from_slice(&sum.to_le_bytes());
    });
    let before = fs::read(&path).expect("the board");
    let refused =
        [Board::open_or_create(&path, 2).map(drop), OwnedBoard::create(&path, 2).map(drop)];
    for result in refused {
        let error = result.expect_err("another version");
        assert!(matches!(error, CreateError::Version { found: 2, supported: 1, .. }), "{error}");
        assert!(error.to_string().contains(path.to_str().expect("text")), "no path: {error}");
    }
    assert_eq!(fs::read(&path).expect("still there"), before);

    // What an owner of another version has left is nobody's: it would have the lock.
    change_header(&path, |header| {
        header[format::header::KIND] = 1;
        let sum = header_checksum(header);
        header[format::header::CHECKSUM..].copy_from_slice(&sum.to_le_bytes());
    });
    drop(OwnedBoard::create(&path, 2).expect("it is stale"));
}

#[test]
fn a_damaged_board_is_replaced_once_nobody_reports_there() {
    let directory = directory();
    let path = directory.path().join("board");
    let board = Board::open_or_create(&path, 3).expect("a board");
    let (first, last) = (board.claim().expect("a slot"), board.claim().expect("a slot"));
    drop(first);
    change_header(&path, |header| header[format::header::SLOTS] ^= 0xff);
    let own = std::process::id();
    let refused =
        [Board::open_or_create(&path, 3).map(drop), OwnedBoard::create(&path, 3).map(drop)];
    for result in refused {
        let error = result.expect_err("this process has a slot");
        assert!(matches!(error, CreateError::Damaged { pid, .. } if pid == own), "{error}");
    }
    drop(last);
    assert_eq!(
        Board::open_or_create(&path, 3).expect("a new board").snapshot().expect("read").to_string(),
        "..."
    );
}

#[test]
fn the_number_of_slots_is_that_of_the_board_there_is() {
    let directory = directory();
    let path = directory.path().join("board");
    assert_eq!(Board::open_or_create(&path, 3).expect("a board").slots(), 3);
    assert_eq!(Board::open_or_create(&path, 9).expect("the same board").slots(), 3);
    // Nobody uses it, so a parent may have the path.
    let owner = OwnedBoard::create(&path, 5).expect("nobody uses the old one");
    assert_eq!(owner.slots(), 5);
    drop(owner);
}
