//! The scoreboard of a daemon: its file, what it says, and what happens when somebody spoils it.

mod forge;
mod lies;

use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    thread,
    time::{Duration, Instant},
};

use prefork::scoreboard::{Board, Class, Record, Snapshot, format::header};
use prefork_tests::{
    Daemon, End, InHand, Load, PATIENCE, Scene, holds_for, kill, require_root, require_tool, scene,
    wait_until,
};
use rustix::{
    fs::{CWD, Mode, mkfifoat},
    process::Signal,
};

use forge::{Again, Forger, random};

/// S1: a scoreboard for which there is no room is a clear error at the start, and nothing is left.
#[test]
fn a_board_that_does_not_fit_fails_the_start() {
    if !require_root() || !require_tool("unshare") {
        return;
    }
    let scene = scene!();
    let disk = scene.path("disk");
    fs::create_dir(&disk).expect("made");
    // The shell looks for what is left before its mount namespace vanishes.
    let script = format!(
        "mount -t tmpfs -o size=64k none {disk} && {{ \"$@\"; s=$?; ls -A {disk} > listing; exit $s; }}",
        disk = disk.display()
    );
    let start = || {
        scene
            .hello()
            .args(["--daemonize", "--max-children", "150"])
            .paths()
            .path("--scoreboard-path", "disk/board")
            .under(["unshare", "-m", "/bin/sh", "-c", &script, "sh"])
            .finish()
    };
    let refused = start();
    let board = disk.join("board");
    refused.assert_refused(&format!("bytes for scoreboard {}", board.display()));
    refused.assert_refused("No space left");
    assert_eq!(refused.end, End::Exited(1), "{refused:?}");
    assert!(scene.path("listing").exists(), "nobody has looked: {refused:?}");
    assert_eq!(scene.read("listing"), "", "files are left on the full disk");
    scene.wait_until_deserted(PATIENCE);
    scene.assert_nothing_is_left();
}

/// S6: what is no board is refused with its path and a reason, and left as it was.
#[test]
fn a_file_that_is_no_board_is_refused_and_left_alone() {
    let long = "x".repeat(1 << 20);
    let contents = ["precious", "\0", "PFSBOAR", "QFSBOARD\u{1}\0\0\0", &long];
    for content in contents {
        let scene = scene!();
        fs::write(scene.path("scoreboard"), content).expect("written");
        let before = fs::metadata(scene.path("scoreboard")).expect("there");
        let refused = scene.hello().args(["--daemonize"]).paths().board().finish();
        let path = scene.path("scoreboard").display().to_string();
        refused.assert_refused(&format!("{path} exists and is not a scoreboard"));
        let after = fs::metadata(scene.path("scoreboard")).expect("still there");
        assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()), "another file");
        assert_eq!(scene.read("scoreboard"), content, "the file was changed");
        scene.wait_until_deserted(PATIENCE);
        assert!(!scene.path("pid").exists(), "the pid file is left");
    }
}

/// S6: nor is what is no file of ours: a link, a hard link, a FIFO, a directory.
#[test]
fn a_path_that_leads_elsewhere_is_refused() {
    type Prepare = fn(&Scene);
    let cases: [(&str, Prepare); 4] = [
        ("is a symbolic link", |scene| {
            symlink(scene.path("victim"), scene.path("scoreboard")).expect("made");
        }),
        ("has 2 hard links", |scene| {
            fs::hard_link(scene.path("victim"), scene.path("scoreboard")).expect("made");
        }),
        ("is not a regular file", |scene| {
            mkfifoat(CWD, scene.path("scoreboard"), Mode::RWXU).expect("made");
        }),
        ("is not a regular file", |scene| fs::create_dir(scene.path("scoreboard")).expect("made")),
    ];
    for (reason, prepare) in cases {
        let scene = scene!();
        fs::write(scene.path("victim"), "").expect("written");
        prepare(&scene);
        let refused = scene.hello().args(["--daemonize"]).paths().board().finish();
        refused.assert_refused(reason);
        refused.assert_refused(&scene.path("scoreboard").display().to_string());
        assert_eq!(scene.read("victim"), "", "the file behind it was written to");
        scene.wait_until_deserted(PATIENCE);
    }
}

/// S6: a board that nobody holds any more is replaced, however absurd its header is; and nobody
/// reads an absurd one.
#[test]
fn an_absurd_board_that_nobody_holds_is_replaced() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    daemon.signal(Signal::KILL);
    daemon.wait_for_end(PATIENCE);
    scene.wait_until_deserted(PATIENCE);
    let pristine = fs::read(scene.path("scoreboard")).expect("a killed daemon leaves its board");
    scene.hello().board().daemon().stop_in_order();
    let fields = [header::VERSION, header::KIND, header::STRIDE, header::RECORD, header::SLOTS];
    let extremes = [0, 3, 4095, 65_537, u32::MAX];
    for (field, extreme) in fields.into_iter().zip(extremes) {
        fs::write(scene.path("scoreboard"), &pristine).expect("written");
        let forger = Forger::open(&scene.path("scoreboard"));
        forger.header(field, extreme);
        let error = Board::open(scene.path("scoreboard")).expect_err("it is absurd").to_string();
        let path = scene.path("scoreboard").display().to_string();
        assert!(error.contains(&path) && error.contains("no scoreboard"), "{error}");
        let daemon = scene.hello().board().daemon();
        wait_for_snapshot(&scene, &daemon);
        daemon.stop_in_order();
    }
}

/// The board goes with the daemon, whichever way that is asked to stop.
#[test]
fn an_orderly_stop_removes_the_board() {
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        for children in ["3", "0"] {
            let scene = scene!();
            let daemon = scene.hello().args(["--prefork", children]).board().daemon();
            assert!(scene.path("scoreboard").exists(), "there is no board");
            daemon.signal(signal);
            daemon.assert_ends_in_order(PATIENCE);
        }
    }
}

/// A second daemon with the same board is refused, and the first does not notice.
#[test]
fn a_board_in_use_is_refused_and_unharmed() {
    let (scene, other) = (scene!(), scene!());
    let daemon = scene.hello().board().daemon();
    wait_for_snapshot(&scene, &daemon);
    let (children, inode) = (daemon.living(), inode(&scene));
    for children in ["3", "0"] {
        let refused = other
            .hello()
            .args(["--daemonize", "--prefork", children, "--scoreboard-path"])
            .args([scene.path("scoreboard")])
            .paths()
            .finish();
        refused.assert_refused(&format!("is in use by process {}", daemon.pid()));
        other.wait_until_deserted(PATIENCE);
        other.assert_nothing_is_left();
    }
    assert_eq!(self::inode(&scene), inode, "the board was replaced");
    assert_eq!(daemon.living(), children, "children were lost");
    daemon.get("/").expect("it serves");
    wait_for_snapshot(&scene, &daemon);
    daemon.stop_in_order();
}

/// A board shows what each child has in hand, since when and for whom, and what it has done.
#[test]
fn the_board_shows_what_a_child_does() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "2", "--max-children", "2"]).board().daemon();
    wait_for_snapshot(&scene, &daemon);
    let board = Board::open(scene.path("scoreboard")).expect("a board");
    let records = || taken(&board.snapshot().expect("whole"));
    assert_eq!(records().len(), 2);
    for record in records() {
        assert_eq!((record.requests(), record.generation()), (0, 1), "{record:?}");
    }

    let request = InHand::at(scene.address(), "/sleep?ms=4000");
    let worker = request.worker();
    let in_hand = |record: &Record| record.label() == "GET /sleep?ms=4000";
    let mut found = None;
    wait_until(PATIENCE, "the board shows the request", || {
        found = records().into_iter().find(in_hand);
        found.is_some()
    });
    let record = found.expect("just found");
    let me = request.client().to_string();
    assert_eq!((record.status().letter(), record.client()), ('W', &*me), "{record:?}");
    assert_eq!((record.generation(), record.requests()), (1, 0), "{record:?}");
    assert_eq!((record.pid(), record.slot()), (Some(worker.pid), worker.slot as usize));
    let took = record.request_time().expect("a request is in hand");
    assert!(took < PATIENCE, "it has lasted for {took:?}");
    assert_eq!(board.creator(), Some(daemon.pid()));

    request.answer().expect("it is answered");
    let done = |record: &Record| record.pid() == Some(worker.pid) && record.requests() == 1;
    wait_until(PATIENCE, "the request is counted", || records().iter().any(done));
    wait_until(PATIENCE, "all wait again", || {
        records().iter().all(|record| record.status().letter() == '_')
    });
    let tally = Load::bounded(2, 50, scene.address(), "/").finish();
    assert_eq!((tally.answered, tally.failures), (100, vec![]));
    wait_until(PATIENCE, "all requests are counted", || {
        records().iter().map(Record::requests).sum::<u64>() == 101
    });
    daemon.stop_in_order();
}

/// Without children, the parent has the one slot.
#[test]
fn a_daemon_without_children_reports_itself() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "0"]).board().daemon();
    let board = Board::open(scene.path("scoreboard")).expect("a board");
    assert_eq!(board.slots(), 1);
    let record = || board.record(0).expect("whole");
    wait_until(PATIENCE, "it waits", || record().status().letter() == '_');
    assert_eq!(record().pid(), Some(daemon.pid()));
    let request = InHand::at(scene.address(), "/sleep?ms=4000");
    wait_until(PATIENCE, "the board shows the request", || {
        record().label() == "GET /sleep?ms=4000" && record().status().letter() == 'W'
    });
    request.answer().expect("it is answered");
    wait_until(PATIENCE, "it is counted", || {
        record().requests() == 1 && record().status().class() == Class::Idle
    });
    daemon.stop_in_order();
}

/// Without a board, no file appears, the pool keeps its size, and the log names the setting that asks for
/// more, once.
#[test]
fn without_a_board_there_is_no_file_and_one_warning() {
    for (args, warnings) in
        [(&["--max-children", "9"][..], 1), (&["--max-children", "3"], 0), (&[], 0)]
    {
        let scene = scene!();
        let daemon = scene.hello().args(args).daemon();
        let children = daemon.living();
        let load = Load::start(8, scene.address(), "/sleep?ms=20");
        holds_for(Duration::from_millis(500), "the same children", || daemon.living() == children);
        let tally = load.stop();
        assert_eq!(tally.failures, [""; 0]);
        let warned = scene.lines_with("error.log", "set scoreboard_path");
        assert_eq!(warned.len(), warnings, "with {args:?}: {warned:?}");
        let files = fs::read_dir(scene.path("")).expect("read").flatten();
        let mut names: Vec<_> = files.map(|file| file.file_name()).collect();
        names.sort();
        let expected = ["1.stderr", "1.stdout", "access.log", "error.log", "pid"];
        assert_eq!(names, expected, "with {args:?}");
        daemon.stop_in_order();
    }
}

/// S7: children killed in the middle of their work leave no slot behind, and a process that reads
/// meanwhile waits for nobody and never sees a mixture.
#[test]
fn slots_of_killed_children_are_emptied_and_used_again() {
    let scene = scene!();
    let args = ["--prefork", "4", "--max-children", "8"];
    let daemon = scene.hello().args(args).board().daemon();
    let path = scene.path("scoreboard");
    let reader = Again::and_again(move || {
        let begun = Instant::now();
        let snapshot = Board::open(&path).expect("a board").snapshot().expect("whole");
        assert!(begun.elapsed() < Duration::from_secs(2), "it took {:?}", begun.elapsed());
        for record in snapshot.records() {
            let (label, client) = (record.label(), record.client());
            assert!(["", "GET /sleep?ms=2"].contains(&label), "a mixture: {record:?}");
            assert!(client.is_empty() || client.parse().is_ok_and(is_loopback), "{record:?}");
        }
    });
    let load = Load::start(6, scene.address(), "/sleep?ms=2");
    let mut kills = 0;
    while kills < 60 {
        let living = daemon.living();
        let victim = random() % living.len().max(1) as u64;
        let victim = living.get(usize::try_from(victim).expect("it is small"));
        kills += usize::from(victim.is_some_and(|pid| kill(*pid, Signal::KILL)));
        thread::sleep(Duration::from_millis(15));
    }
    let tally = load.stop();
    assert!(tally.failures.len() <= kills, "{kills} kills: {tally:?}");
    wait_for_snapshot(&scene, &daemon);
    reader.end();
    daemon.stop_in_order();
}

fn is_loopback(address: std::net::SocketAddr) -> bool {
    address.ip().is_loopback()
}

/// Waits until the board shows just the children that there are.
#[track_caller]
fn wait_for_snapshot(scene: &Scene, daemon: &Daemon<'_>) {
    let board = Board::open(scene.path("scoreboard")).expect("a board");
    wait_until(PATIENCE, "the board shows the children that there are", || {
        let snapshot = board.snapshot().expect("whole");
        let mut pids: Vec<u32> = taken(&snapshot).iter().filter_map(Record::pid).collect();
        pids.sort_unstable();
        pids == daemon.living() && snapshot.tally().idle == pids.len()
    });
}

/// Returns the records of the slots that are somebody's.
fn taken(snapshot: &Snapshot) -> Vec<Record> {
    let records = snapshot.records().iter();
    records.filter(|record| record.status().class() != Class::Empty).cloned().collect()
}

fn inode(scene: &Scene) -> u64 {
    fs::metadata(scene.path("scoreboard")).expect("there is a board").ino()
}
