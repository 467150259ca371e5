//! A board that is cut, removed, or says what is not so.

use std::{collections::BTreeSet, fs, thread, time::Duration};

use prefork::scoreboard::{Board, Record};
use prefork_tests::{
    Census, Daemon, Load, PATIENCE, Population, Scene, get, holds_for, kill, require_tool, scene,
    wait_until,
};
use rustix::process::Signal;

use crate::forge::{Again, Forger, random};

/// What the parent says of a board that it cannot use.
const COMPLAINT: &str = "the next reload makes a new scoreboard";

/// S2: a board that is cut short costs at most the request in hand of each child; the parent says
/// it once and goes on.
#[test]
fn a_truncated_board_is_survived() {
    // To nothing; in the middle of the slots; in the middle of a record.
    for length in [0, 3 * 4096, 2 * 4096 + 100] {
        let scene = scene!();
        let args = ["--prefork", "4", "--max-children", "8"];
        let daemon = scene.hello().args(args).board().daemon();
        let load = Load::start(6, scene.address(), "/sleep?ms=3");
        wait_until(PATIENCE, "it has grown", || daemon.living().len() > 4);
        let forger = Forger::open(&scene.path("scoreboard"));
        forger.truncate(length);
        wait_until(PATIENCE, "the parent says so", || complaints(&scene) > 0);
        let tally = load.stop();
        let ended = || scene.lines_with("error.log", "was ended by SIGBUS").len();
        let mut failed = tally.failures.len();
        wait_until(PATIENCE, &format!("a child ended for each of {failed} failures"), || {
            ended() >= failed
        });

        // What is left serves as before, and can be replaced.
        let serves = || get(scene.address(), "/").is_ok();
        wait_until(PATIENCE, "it serves", serves);
        assert!(kill(daemon.living()[0], Signal::KILL));
        let census = Census::begin(daemon.pid());
        let ask = Load::start(6, scene.address(), "/sleep?ms=3");
        holds_for(Duration::from_secs(1), "the same parent", || is_alive(&daemon));
        let (tally, population) = (ask.stop(), census.end());
        // Children that had nothing to do until now may still touch a page that is gone; and one was
        // killed.
        failed += tally.failures.len();
        wait_until(PATIENCE, &format!("a child ended for each of {failed} failures"), || {
            ended() + 1 >= failed
        });
        assert!(tally.answered > 6, "cut to {length}: {tally:?}");
        assert!(population.most <= 8, "cut to {length}: {population:?}");
        assert_eq!(complaints(&scene), 1, "cut to {length}");
        assert_reload_renews_the_board(&scene, &daemon);
        daemon.stop_in_order();
    }
}

/// S2: nor does a truncated board keep the parent from its sleep.
#[test]
fn a_truncated_board_does_not_keep_the_parent_awake() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    Forger::open(&scene.path("scoreboard")).truncate(0);
    // Each child ends at the first request that it takes.
    wait_until(PATIENCE, "all children are new", || {
        let _ = daemon.get("/");
        scene.lines_with("error.log", "was ended by SIGBUS").len() == 3
    });
    wait_until(PATIENCE, "children work again", || {
        !scene.read("error.log").contains("before they have worked")
            || scene.read("error.log").contains("children work again")
    });
    let mut before = switches(daemon.pid());
    let mut calm = 0;
    wait_until(PATIENCE, "the parent sleeps for 2 s", || {
        thread::sleep(Duration::from_millis(100));
        let now = switches(daemon.pid());
        calm = if now == before { calm + 1 } else { 0 };
        before = now;
        calm == 20
    });
    daemon.stop_in_order();
}

/// S2: a board that is removed costs nothing; the parent says it once and goes on.
#[test]
fn a_removed_board_is_said_once() {
    let scene = scene!();
    let args = ["--prefork", "2", "--max-children", "6"];
    let daemon = scene.hello().args(args).board().daemon();
    let load = Load::start(4, scene.address(), "/sleep?ms=3");
    fs::remove_file(scene.path("scoreboard")).expect("removed");
    let said = || scene.lines_with("error.log", "scoreboard").len();
    wait_until(PATIENCE, "the parent says so", || said() > 0);
    holds_for(Duration::from_secs(1), "the same parent", || is_alive(&daemon));
    let tally = load.stop();
    assert_eq!(tally.failures, [""; 0]);
    assert_eq!(said(), 1, "it was said more than once");
    assert_reload_renews_the_board(&scene, &daemon);
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
            // That the lies are heard at all.
            wait_until(PATIENCE, "lies that all are busy make the pool grow", || {
                name != "busy" || daemon.living().len() == 8
            });
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
        let signals = "trace=kill,tkill,tgkill,pidfd_send_signal,rt_sigqueueinfo,rt_tgsigqueueinfo";
        let output = scene.path("strace").display().to_string();
        probe = probe.under(["strace", "-f", "-o", &output, "-e", signals, "-e", "signal=none"]);
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
    let board = Board::open(scene.path("scoreboard")).expect("a board");
    wait_until(PATIENCE, "the lies stand in every slot", || {
        let letters = board.snapshot().expect("whole").to_string();
        letters.bytes().all(|letter| letter == b'_')
    });
    // At once: those who are merely asked are asked without a signal.
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
    let witness = scene.lines_with("witness", "main_loop");
    let children: BTreeSet<&str> =
        witness.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    let mut signalled = BTreeSet::new();
    for line in scene.lines_with("strace", "(") {
        let mut words = line.split_ascii_whitespace();
        if words.next() == Some(&parent.to_string()) {
            let call = words.next().unwrap_or_default();
            let target = call.strip_prefix("kill(").and_then(|call| call.strip_suffix(','));
            let target = target.unwrap_or_else(|| panic!("a signal by other means: {line}"));
            assert!(children.contains(target), "no child: {line}; these are: {children:?}");
            signalled.insert(target.to_owned());
        }
    }
    assert!(signalled.len() >= 2, "the last 2 children were told to stop, but not {signalled:?}");
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

/// Replaces the children, and waits until all of them are on a new board.
#[track_caller]
fn assert_reload_renews_the_board(scene: &Scene, daemon: &Daemon<'_>) {
    daemon.signal(Signal::HUP);
    wait_until(PATIENCE, "the new board shows the new children", || {
        let board = Board::open(scene.path("scoreboard"));
        let snapshot = board.ok().and_then(|board| board.snapshot().ok());
        snapshot.is_some_and(|snapshot| {
            let pids = snapshot.records().iter().filter_map(Record::pid);
            let mut pids: Vec<u32> = pids.collect();
            pids.sort_unstable();
            !pids.is_empty() && pids == daemon.living()
        })
    });
    assert_eq!(complaints(scene), 1, "there is nothing to complain about now");
}

fn is_alive(daemon: &Daemon<'_>) -> bool {
    prefork_tests::find_process(daemon.pid()).is_some_and(|parent| !parent.is_zombie())
}

fn complaints(scene: &Scene) -> usize {
    scene.lines_with("error.log", COMPLAINT).len()
}

/// How often a process was woken or interrupted.
fn switches(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let counts = status.lines().filter_map(|line| line.split_once("ctxt_switches:"));
    counts.map(|(_, count)| count.trim().parse::<u64>().expect("a number")).sum()
}
