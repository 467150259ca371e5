//! A board that is cut, removed, or says what is not so.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

use prefork::scoreboard::{Board, Record};
use prefork_tests::{
    Census, Daemon, Load, PATIENCE, Population, Scene, holds_for, require_root, require_tool,
    scene, wait_until,
};
use rustix::process::Signal;

use crate::forge::{Again, Forger, random};

/// What the parent logs of a board that it cannot use.
const COMPLAINT: &str = "making the scoreboard again";

/// S2: a board that is cut short costs no request and no child; the parent logs it once, and has another at
/// once, with all children on it.
#[test]
fn a_truncated_board_is_made_again_at_once() {
    // To nothing; in the middle of the slots; in the middle of a record.
    for length in [0, 3 * 4096, 2 * 4096 + 100] {
        let scene = scene!();
        let args = ["--prefork", "4", "--max-children", "8"];
        let daemon = scene.hello().args(args).board().daemon();
        let load = Load::start(6, scene.address(), "/sleep?ms=3");
        wait_until(PATIENCE, "it has grown", || daemon.living().len() > 4);
        Forger::open(&scene.path("scoreboard")).truncate(length);
        wait_until(PATIENCE, "the parent says so", || complaints(&scene) > 0);
        assert_is_shown(&scene, &daemon);
        let tally = load.stop();
        assert_eq!(tally.failures, [""; 0], "cut to {length}");
        assert_eq!(complaints(&scene), 1, "cut to {length}");
        assert_eq!(scene.lines_with("error.log", "was ended by").len(), 0, "cut to {length}");
        daemon.stop_in_order();
        assert!(!scene.path("scoreboard").exists(), "the new one is removed at the stop");
    }
}

/// S2: as long as there is no room for another board, the daemon serves, scales and is not kept awake; then it
/// has one by itself.
#[test]
fn a_board_that_cannot_be_made_again_is_made_as_soon_as_it_can() {
    if !require_root() || !require_tool("unshare") {
        return;
    }
    let scene = scene!();
    let small = scene.path("small");
    fs::create_dir(&small).expect("made");
    let board = small.join("board").display().to_string();
    let args = ["--prefork", "2", "--max-children", "6", "--scoreboard-path", &board];
    // A file system that nobody else sees, and that ends with the daemon.
    let mounted =
        format!("mount -t tmpfs -o size=128k none {} || exit 9; exec \"$@\"", small.display());
    let daemon = scene.hello().args(args).after_shell(&mounted).under(["unshare", "-m"]).daemon();
    let inside = |path: &str| PathBuf::from(format!("/proc/{}/root{path}", daemon.pid()));
    let filler = inside(&small.join("filler").display().to_string());
    let _ = fs::write(&filler, vec![1; 1 << 20]);
    fs::remove_file(inside(&board)).expect("removed");
    let load = Load::start(6, scene.address(), "/sleep?ms=20");
    wait_until(PATIENCE, "it grows without a board", || daemon.living().len() == 6);
    wait_until(PATIENCE, "it says why there is none", || {
        scene.lines_with("error.log", "tried again every second").len() == 1
    });
    fs::remove_file(&filler).expect("removed");
    wait_until(PATIENCE, "there is a board", || inside(&board).exists());
    assert_eq!(load.stop().failures, [""; 0]);
    assert_eq!(scene.lines_with("error.log", "tried again every second").len(), 1);
    assert_eq!(scene.lines_with("error.log", "the scoreboard is there again").len(), 1);
    daemon.stop_in_order();
}

/// S2: a board that is removed costs nothing; the parent logs it once and has another.
#[test]
fn a_removed_board_is_made_again_at_once() {
    let scene = scene!();
    let args = ["--prefork", "2", "--max-children", "6"];
    let daemon = scene.hello().args(args).board().daemon();
    let load = Load::start(4, scene.address(), "/sleep?ms=3");
    fs::remove_file(scene.path("scoreboard")).expect("removed");
    wait_until(PATIENCE, "the parent says so", || complaints(&scene) > 0);
    assert_is_shown(&scene, &daemon);
    assert_eq!(load.stop().failures, [""; 0]);
    assert_eq!(complaints(&scene), 1, "it was said more than once");
    daemon.stop_in_order();
}

/// S2: a pool at rest notices too, whatever is done to the file, and goes back to its sleep.
#[test]
fn a_board_is_made_again_while_nobody_works() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    let path = scene.path("scoreboard");
    let disturb: [fn(&Path); 4] = [
        |path| fs::remove_file(path).expect("removed"),
        |path| Forger::open(path).truncate(4096),
        |path| fs::rename(path, path.with_extension("old")).expect("moved"),
        |path| Forger::open(path).records(b'W', 1),
    ];
    for disturb in disturb {
        assert_is_shown(&scene, &daemon);
        daemon.wait_for_rest();
        disturb(&path);
        assert_is_shown(&scene, &daemon);
        let board = || Board::open(&path).ok()?.snapshot().ok();
        wait_until(PATIENCE, "all children wait", || {
            board().is_some_and(|board| board.tally().idle == 3 && board.tally().taken() == 3)
        });
        daemon.wait_for_rest();
    }
    assert_eq!(complaints(&scene), 3, "once for each");
    assert_eq!(scene.lines_with("error.log", "written over by another process").len(), 1);
    daemon.stop_in_order();
}

/// S2: what the daemon publishes about itself is there again at once, at rest too, when others have written over it or had
/// the board made again.
#[test]
fn what_a_daemon_publishes_is_there_again_at_once() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    let path = scene.path("scoreboard");
    let facts = || Board::open(&path).ok()?.facts().ok().filter(|facts| !facts.is_empty());
    let pid_file = scene.path("pid").display().to_string();
    let is_published = || {
        let facts = facts()?;
        let expected = [("name", "hello"), ("phase", "serving"), ("pid_file", &pid_file)];
        Some(expected.iter().all(|(name, value)| facts.get(name) == Some(value)))
    };
    wait_until(PATIENCE, "it is published", || is_published() == Some(true));
    for (offset, bytes) in [(1120, &b"name=liar\n"[..]), (1096, &[1; 8]), (0, &[0; 4096])] {
        let vandal = fs::File::options().write(true).open(&path).expect("it is there");
        vandal.write_all_at(bytes, offset).expect("written");
        drop(vandal);
        wait_until(PATIENCE, "it is published again", || is_published() == Some(true));
    }
    daemon.stop_in_order();
}

/// S2: another file in the place of the board is nobody's but its owner's: it stays when the daemon
/// stops.
#[test]
fn a_file_in_the_place_of_the_board_stays() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    fs::write(scene.path("new"), "precious").expect("written");
    fs::rename(scene.path("new"), scene.path("scoreboard")).expect("renamed");
    let tally = Load::bounded(4, 50, scene.address(), "/").finish();
    assert_eq!((tally.answered, tally.failures), (200, vec![]));
    daemon.signal(Signal::TERM);
    assert!(daemon.wait_for_end(PATIENCE).is_success());
    assert_eq!(scene.read("scoreboard"), "precious");
}

/// S3: whatever is written over the board under load, the parent lives, the bounds hold, and no
/// request fails.
#[test]
fn random_bytes_all_over_the_board_do_no_harm() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "3", "--max-children", "8"]).board().daemon();
    let forger = Forger::open(&scene.path("scoreboard"));
    let vandal = Again::and_again(move || forger.damage());
    let population = serve_while(&scene, &daemon, || {
        holds_for(Duration::from_secs(3), "the same parent", || is_alive(&daemon));
    });
    vandal.end();
    assert!(population.fewest >= 3 && population.most <= 8, "{population:?}");
    daemon.stop_in_order();
}

/// S5: a board on which all are busy, idle, something else or nothing does not move the pool out of
/// its bounds, and no request fails.
#[test]
fn lies_do_not_move_the_pool_out_of_its_bounds() {
    for (name, letters) in
        [("busy", &b"WRKDCL"[..]), ("idle", b"_"), ("used", b"SGI?\xff\x01"), ("empty", b"\0")]
    {
        let scene = scene!();
        let daemon = scene.hello().args(["--prefork", "3", "--max-children", "8"]).board().daemon();
        let forger = Forger::open(&scene.path("scoreboard"));
        let letter =
            move || letters[usize::try_from(random() % 64).expect("small") % letters.len()];
        let liar = Again::and_again(move || {
            let pid = u32::try_from(random() % 70_000).expect("it is small");
            forger.records(letter(), pid);
        });
        let population = serve_while(&scene, &daemon, || {
            holds_for(Duration::from_millis(1500), "the same parent", || is_alive(&daemon));
        });
        liar.end();
        let Population { fewest, most } = population;
        assert!(fewest >= 3 && most <= 8, "all {name}: {population:?}");
        daemon.stop_in_order();
    }
}

/// S4: whatever pids stand in the board, only children are signalled, while the pool shrinks and
/// when it stops.
#[test]
fn forged_pids_are_never_signalled() {
    let scene = scene!();
    let innocent = scene.tool("sleep").args(["1000"]).start();
    let mut probe = scene
        .probe()
        .args(["--prefork", "2", "--max-children", "6"])
        .path("--witness", "witness")
        .board()
        .paths();
    let is_traced = require_tool("strace");
    if is_traced {
        let signals = "trace=clone,clone3,fork,vfork,kill,tkill,tgkill,pidfd_send_signal,rt_sigqueueinfo,rt_tgsigqueueinfo";
        let output = scene.path("strace").display().to_string();
        probe =
            probe.under(["strace", "-f", "-yy", "-o", &output, "-e", signals, "-e", "signal=none"]);
    }
    let running = probe.start();
    let daemon = running.ready();
    let load = Load::start(6, scene.address(), "/sleep/20");
    wait_until(PATIENCE, "all 6 children are there", || daemon.living().len() == 6);
    assert_eq!(load.stop().failures, [""; 0]);

    let forger = Forger::open(&scene.path("scoreboard"));
    let pids = [innocent.pid(), 1, daemon.pid(), 0, u32::MAX];
    let mut next = pids.into_iter().cycle();
    let liar = Again::and_again(move || {
        let pid = next.next().expect("a cycle has no end");
        forger.records(b'_', pid);
    });
    wait_until(Duration::from_secs(40), "the pool has shrunk", || daemon.living().len() == 2);
    // At once: children that are merely asked are asked without a signal.
    daemon.signal(Signal::INT);
    assert!(running.finish().end.is_success());
    liar.end();
    assert_eq!(innocent.end(), None, "a process that is no child was ended");
    innocent.signal(Signal::KILL);
    let _ = innocent.finish();
    scene.assert_nothing_is_left();
    if is_traced {
        assert_only_children_were_signalled(&scene, daemon.pid());
    }
}

/// Looks through the trace for the targets of all signals that the parent has sent.
#[track_caller]
fn assert_only_children_were_signalled(scene: &Scene, parent: u32) {
    // Whom the parent has forked: children, and processes for hooks.
    let forked = |line: &String| {
        let is_fork = line.starts_with(&parent.to_string())
            && ["clone", "fork"].iter().any(|call| line.contains(call));
        let (_, result) = line.rsplit_once("= ").filter(|_| is_fork)?;
        result.parse::<u32>().ok().map(|pid| pid.to_string())
    };
    let children: BTreeSet<String> =
        scene.lines_with("strace", "= ").iter().filter_map(forked).collect();
    let mut signalled = BTreeSet::new();
    for line in scene.lines_with("strace", "(") {
        let mut words = line.split_ascii_whitespace();
        if words.next() == Some(&parent.to_string()) {
            let call = words.next().unwrap_or_default();
            // Calls that are too new for strace are shown whatever is asked for.
            if call.starts_with("syscall_") || call.contains("clone") || call.contains("fork") {
                continue;
            }
            // By a descriptor, as `strace -y` shows it: `pidfd_send_signal(9<pid:1234>, ...`.
            let target = call.strip_prefix("pidfd_send_signal(").and_then(|call| {
                call.split_once("<pid:").and_then(|(_, rest)| rest.split_once('>'))
            });
            let (target, _) = target.unwrap_or_else(|| panic!("a signal by other means: {line}"));
            if target == parent.to_string() {
                // Whether the call works is asked of the parent itself, with no signal.
                assert!(line.contains(", 0, NULL"), "{line}");
                continue;
            }
            assert!(children.contains(target), "no child: {line}; these are: {children:?}");
            signalled.insert(target.to_owned());
        }
    }
    assert!(signalled.len() >= 2, "the last 2 children were asked to stop, but not {signalled:?}");
}

/// Asks a lot while `time` passes, and returns how large the pool was meanwhile.
#[track_caller]
fn serve_while(scene: &Scene, daemon: &Daemon<'_>, time: impl FnOnce()) -> Population {
    let census = Census::begin(daemon.pid());
    let load = Load::start(5, scene.address(), "/sleep?ms=2");
    time();
    let tally = load.stop();
    assert_eq!(tally.failures, [""; 0], "{} were answered", tally.answered);
    // Of each client more than one request, on a machine that has other things to do.
    assert!(tally.answered > 5, "{tally:?}");
    census.end()
}

/// Waits until the board shows the very children that there are.
#[track_caller]
fn assert_is_shown(scene: &Scene, daemon: &Daemon<'_>) {
    wait_until(PATIENCE, "the board shows the children", || {
        let board = Board::open(scene.path("scoreboard"));
        let snapshot = board.ok().and_then(|board| board.snapshot().ok());
        snapshot.is_some_and(|snapshot| {
            let pids = snapshot.records().iter().filter_map(Record::pid);
            let mut pids: Vec<u32> = pids.collect();
            pids.sort_unstable();
            !pids.is_empty() && pids == daemon.living()
        })
    });
}

fn is_alive(daemon: &Daemon<'_>) -> bool {
    prefork_tests::find_process(daemon.pid()).is_some_and(|parent| !parent.is_zombie())
}

fn complaints(scene: &Scene) -> usize {
    scene.lines_with("error.log", COMPLAINT).len()
}
