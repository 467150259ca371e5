//! Children that end, strangers that end, a parent that ends, clocks that jump.

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use prefork_testing::Daemon as Testing;
use prefork_tests::{
    InHand, Lack, PATIENCE, Process, Scene, find_process, get, holds_for, kill, require_root,
    require_tool, scene, skip, wait_until,
};
use rustix::process::Signal;

/// How long an orphan may live. The scenario says one second; an orphan that is one lives for ever,
/// so more costs nothing on a machine that is busy.
const ORPHAN: Duration = Duration::from_secs(5);

/// R1: a child that is killed costs the request that it had in hand, and nothing else.
#[test]
fn killed_children_cost_no_more_than_the_requests_in_hand() {
    let hello = env!("CARGO_BIN_EXE_hello");
    let daemon = Testing::start(hello, ["--listen", "{address}", "--prefork", "4"]);
    let load = daemon.load(8, "/sleep?ms=3");
    for round in 0..40 {
        let killed = daemon.kill(round % daemon.children().len());
        thread::sleep(Duration::from_millis(25));
        daemon.wait_for_replacement(&killed);
    }
    let tally = load.stop();
    assert!(tally.answered > 100, "{tally}");
    assert!(tally.failed() <= 40 && tally.refused + tally.wrong == 0, "{tally}");
    daemon.wait_for_children(4);
    daemon.stop();
}

/// A death is logged with what the child was doing, for whom and for how long, and how much it had done before. What it
/// had finished by then is not what it was doing.
#[test]
fn a_death_is_logged_with_the_request_in_hand() {
    let scene = scene!();
    let daemon = scene.hello().board().args(["--prefork", "1", "--max-children", "1"]).daemon();
    let line = |child: u32| {
        let named = format!("child {child} (slot 0) ");
        wait_until(PATIENCE, "its death is logged", || scene.logged(&named) > 0);
        scene.lines_with("error.log", &named).remove(0)
    };
    for finished in ["1 request", "2 requests"] {
        let child = daemon.living()[0];
        for _ in 0..finished[..1].parse().expect("a number") {
            daemon.get("/").expect("it serves");
        }
        let request = InHand::at(scene.address(), "/sleep?ms=60000");
        let client = request.client();
        assert!(kill(child, Signal::KILL), "it was there");
        let line = line(child);
        assert!(
            line.contains(" error: ") && line.contains("was ended by SIGKILL after "),
            "{line}"
        );
        assert!(line.contains(&format!(" and {finished}; in hand for ")), "{line}");
        assert!(line.contains(&format!(": GET /sleep?ms=60000, of {client}")), "{line}");
        request.answer().expect_err("nobody can answer it");
        daemon.wait_for_children(PATIENCE, 1, &[child]);
    }
    daemon.get("/").expect("it serves");
    let idle = daemon.living()[0];
    // The answer is whole before the child says that it has finished; then it sleeps.
    wait_until(PATIENCE, "it waits for another request", || {
        fs::read_to_string(format!("/proc/{idle}/stat")).is_ok_and(|stat| stat.contains(") S "))
    });
    assert!(kill(idle, Signal::KILL), "it was there");
    let line = line(idle);
    assert!(line.contains("; nothing in hand") && !line.contains("GET /"), "{line}");
    daemon.wait_for_children(PATIENCE, 1, &[idle]);
    daemon.stop_in_order();
}

/// A child that exits in the middle of a request has failed its client, whatever its status; one that leaves in order
/// is nobody's concern.
#[test]
fn an_exit_in_the_middle_of_a_request_is_a_warning() {
    let scene = scene!();
    let launch = scene.probe().board().path("--witness", "witness");
    let daemon = launch.args(["--prefork", "1", "--max-children", "1"]).daemon();
    daemon.get("/").expect("it serves");
    let first = daemon.living()[0];
    get(scene.address(), "/exit/0").expect_err("nobody can answer it");
    let line = "exited with status 0 in the middle of a request, after ";
    wait_until(PATIENCE, "it is logged", || scene.logged(line) == 1);
    let line = scene.lines_with("error.log", line).remove(0);
    assert!(line.contains(&format!(" warning: child {first} (slot 0) ")), "{line}");
    assert!(
        line.contains(" and 1 request; in hand for ") && line.contains(": a request of "),
        "{line}"
    );
    let ends = |child: u32| scene.lines_with("witness", &format!("end of {child} by Code(0)"));
    wait_until(PATIENCE, "the hook is called", || ends(first).len() == 1);
    let ended = &ends(first)[0];
    assert!(ended.contains("after 1 requests, with a request in hand: \"\" of \"127."), "{ended}");
    daemon.wait_for_children(PATIENCE, 1, &[first]);
    let second = daemon.living()[0];
    daemon.get("/").expect("it serves");
    daemon.signal(Signal::HUP);
    wait_until(PATIENCE, "the hook is called", || ends(second).len() == 1);
    assert!(ends(second)[0].contains("with nothing in hand: \"\" of \"\""), "{:?}", ends(second));
    daemon.stop_in_order();
    assert_eq!(scene.logged("in the middle of a request"), 1);
    assert_eq!(scene.logged(&format!("child {second} ")), 0);
}

/// R2: children that died while the parent was stopped are all reaped and replaced.
#[test]
fn a_parent_that_was_stopped_catches_up() {
    let scene = scene!();
    let daemon = scene.probe().args(["--prefork", "8"]).daemon();
    let before = daemon.living();
    // Children that have worked: their deaths are no reason to be careful.
    let requests: Vec<_> = before.iter().map(|_| InHand::at(scene.address(), "/hold")).collect();
    let mut worked: Vec<u32> = requests.iter().map(|request| request.worker().pid).collect();
    worked.sort_unstable();
    assert_eq!(worked, before);
    for request in requests {
        request.release().expect("it is answered");
    }
    // The answers are whole before the children report that they have worked; then they sleep.
    wait_until(PATIENCE, "all of them sleep", || {
        daemon.children().iter().all(|child| child.state == 'S')
    });
    daemon.signal(Signal::STOP);
    daemon.wait_until_stopped();
    for child in &before {
        assert!(kill(*child, Signal::KILL), "child {child} was there");
    }
    // One that is on its way out shows no title, and is nobody's child by that.
    wait_until(PATIENCE, "all are dead, and a stopped parent reaps nobody", || {
        let children = daemon.children();
        children.len() == 8 && children.iter().all(Process::is_zombie)
    });
    let begun = Instant::now();
    daemon.signal(Signal::CONT);
    daemon.wait_for_children(PATIENCE, 8, &before);
    println!("caught up in {:?}", begun.elapsed());
    assert_eq!(scene.logged("before they have worked"), 0, "nobody had to wait for a replacement");
    daemon.get("/").expect("it serves");
    daemon.stop_in_order();
}

/// R6: children do not outlive a parent that is killed at any moment of its start.
#[test]
fn a_parent_killed_while_it_starts_leaves_no_orphan() {
    assert_no_start_leaves_an_orphan(&scene!(), &[]);
}

/// R6: nor children that become another user, which unties them from their parent for a moment (see
/// `PR_SET_PDEATHSIG(2const)`).
#[test]
fn a_parent_killed_while_its_children_change_user_leaves_no_orphan() {
    if require_root() {
        assert_no_start_leaves_an_orphan(&scene!(), &["--user", "nobody"]);
    }
}

#[track_caller]
fn assert_no_start_leaves_an_orphan(scene: &Scene, args: &[&str]) {
    for delay in 0..=50 {
        let running = scene.hello().args(["--prefork", "8"]).args(args).paths().start();
        thread::sleep(Duration::from_millis(delay));
        running.signal(Signal::KILL);
        let _ = running.finish();
        scene.wait_until_deserted(ORPHAN);
    }
}

/// R6: nor one in the background; and its launcher says that it failed.
#[test]
fn a_daemon_killed_while_it_starts_leaves_no_orphan() {
    let scene = scene!();
    for delay in 0..=25 {
        let _ = fs::remove_file(scene.path("pid"));
        let args = ["--daemonize", "--prefork", "8"];
        let launcher = scene.hello().args(args).paths().start();
        let mut pid = 0;
        wait_until(PATIENCE, "the pid file is written", || {
            pid = scene.read("pid").trim().parse().unwrap_or(0);
            pid != 0
        });
        thread::sleep(Duration::from_millis(2 * delay));
        assert!(kill(pid, Signal::KILL), "the daemon was there");
        let end = launcher.finish();
        // Either it was ready before, or the launcher must say how it ended.
        if !end.end.is_success() {
            end.assert_refused("killed by SIGKILL");
        }
        scene.wait_until_deserted(ORPHAN);
    }
}

/// R6: nor when it dies before a child has tied itself to it.
#[test]
fn a_parent_killed_before_a_child_is_tied_to_it_leaves_no_orphan() {
    if !require_tool("strace") {
        return;
    }
    let scene = scene!();
    let log = scene.path("strace").display().to_string();
    // The child asks the kernel for the tie, and this takes its time.
    let slowly = "inject=prctl:delay_enter=500000";
    let strace = ["strace", "-f", "-o", &log, "-e", "trace=prctl", "-e", slowly];
    let args = ["--prefork", "1", "--main-loop", "sleep"];
    let running = scene.probe().args(args).paths().under(strace).start();
    let mut parent = None;
    wait_until(PATIENCE, "there is a child", || {
        let ours = scene.processes();
        let child = ours.iter().find(|child| {
            child.parent != running.pid() && ours.iter().any(|other| other.pid == child.parent)
        });
        parent = child.map(|child| child.parent);
        parent.is_some()
    });
    assert!(kill(parent.expect("it was found"), Signal::KILL), "the parent was there");
    scene.wait_until_deserted(ORPHAN);
    assert!(scene.read("strace").contains("PDEATHSIG"), "the child came as far as that");
}

/// R6: children in the middle of something do not outlive their parent either.
#[test]
fn children_at_work_do_not_outlive_their_parent() {
    for main_loop in ["serve", "sleep", "deaf", "poll", "freeze"] {
        let scene = scene!();
        let daemon = scene.probe().args(["--main-loop", main_loop]).foreground();
        assert_eq!(daemon.living().len(), 3);
        daemon.signal(Signal::KILL);
        scene.wait_until_deserted(ORPHAN);
    }
}

/// The library that fools programs about the time, in the folder of whatever processor this is.
fn faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let folders = folders.chain([PathBuf::from("/usr/lib"), PathBuf::from("/usr/lib64")]);
    let mut files = folders.map(|folder| folder.join("faketime/libfaketime.so.1"));
    files.find(|file| file.exists())
}

/// R7: a wall clock that jumps by a year kills nobody, and time limits stay what they are.
///
/// Only what asks the C library for the wall clock is fooled here, which is everything that Rust's
/// `SystemTime` stands for; the log proves that the daemon saw the jump.
#[test]
fn a_wall_clock_that_jumps_changes_nothing() {
    let Some(library) = faketime() else {
        skip(Lack::Missing("libfaketime is not installed"));
        return;
    };
    let scene = scene!();
    let set_clock = |offset: &str| {
        // By rename: the daemon must never see an empty file.
        fs::write(scene.path("offset.new"), offset).expect("written");
        fs::rename(scene.path("offset.new"), scene.path("offset")).expect("renamed");
    };
    set_clock("+0d");
    let daemon = scene
        .probe()
        .args(["--main-loop", "deaf", "--graceful-timeout", "1000"])
        .path("--witness", "witness")
        .variable("LD_PRELOAD", library)
        .variable("FAKETIME_TIMESTAMP_FILE", scene.path("offset"))
        .variable("FAKETIME_NO_CACHE", "1")
        .variable("DONT_FAKE_MONOTONIC", "1")
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .foreground();
    let children = daemon.living();
    let year_in_log = || scene.read("error.log").lines().last().map(|line| line[..4].to_owned());
    let this_year = year_in_log().expect("it has logged").parse::<i32>().expect("a year");

    for offset in ["+366d", "-366d"] {
        set_clock(offset);
        let time = Duration::from_millis(1200);
        holds_for(time, "the same children", || daemon.living() == children);
    }
    set_clock("+366d");
    let begun = Instant::now();
    daemon.signal(Signal::TERM);
    wait_until(PATIENCE, "it begins to stop", || scene.read("error.log").contains("stopping"));
    set_clock("-366d");
    daemon.assert_ends_in_order(Duration::from_secs(10));
    let took = begun.elapsed();
    // A second for the requests in hand, one to be interrupted in; then they are killed.
    assert!(took >= Duration::from_millis(1900), "it ended too early, after {took:?}");
    let stopping = scene.lines_with("error.log", "stopping gracefully");
    let year = (this_year + 1).to_string();
    assert!(stopping[0].starts_with(&year), "the daemon did not see the jump: {stopping:?}");
    let killed = scene.lines_with("error.log", "SIGKILL");
    let year = (this_year - 1).to_string();
    assert!(killed[0].starts_with(&year), "the daemon did not see the jump: {killed:?}");
}

/// R8: a process that the parent did not start is reaped, and nothing else follows.
#[test]
fn a_stranger_that_ends_is_reaped_in_silence() {
    let scene = scene!();
    // It lives until somebody opens the gate and closes it again.
    let gate = scene.path("gate");
    let waits = format!("mkfifo '{0}'; cat '{0}' &", gate.display());
    let daemon = scene.hello().after_shell(&waits).foreground();
    let is_stranger = |child: &Process| child.command_line().starts_with("cat ");
    // The shell may not have executed it yet.
    let mut found = None;
    wait_until(PATIENCE, "the stranger is a child of the parent", || {
        found = daemon.children().into_iter().find(is_stranger);
        found.is_some()
    });
    let stranger = found.expect("just found").pid;
    let before = daemon.living();
    assert!(before.contains(&stranger) && before.len() == 4, "{before:?}");
    let log = scene.read("error.log");
    drop(fs::File::options().write(true).open(gate).expect("somebody reads"));
    wait_until(PATIENCE, "the stranger is reaped", || find_process(stranger).is_none());
    let rest: Vec<u32> = before.into_iter().filter(|pid| *pid != stranger).collect();
    holds_for(Duration::from_millis(300), "nothing has changed", || daemon.living() == rest);
    assert_eq!(scene.read("error.log"), log, "it has said something");
    daemon.get("/").expect("it serves");
    daemon.stop_in_order();
}

/// R8: also one that ended before the daemon had begun to look.
#[test]
fn a_stranger_that_ended_before_the_start_is_reaped() {
    let scene = scene!();
    // The shell becomes the daemon when the stranger has ended. It only looks, as a shell that runs other
    // programs reaps.
    let ended = "true & state=; while [ -e /proc/$! ] && [ \"$state\" != Z ]; do \
                 read -r pid name state rest < /proc/$!/stat || :; done";
    let daemon = scene.probe().args(["--dawdle", "400"]).after_shell(ended).foreground();
    wait_until(PATIENCE, "no zombie is left", || {
        daemon.children().iter().all(|child| !child.is_zombie())
    });
    daemon.wait_for_children(PATIENCE, 3, &[]);
    daemon.stop_in_order();
}
