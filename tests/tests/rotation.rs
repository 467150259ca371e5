//! Logs that are rotated: all processes go over to the new files, nobody is replaced for it, and no line is lost.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    time::{Duration, Instant},
};

use prefork_tests::{
    Daemon, End, Finished, Launch, Load, PATIENCE, Scene, Sent, kill, require_tool, scene,
    wait_until,
};
use rustix::process::{Signal, geteuid};

const SNIPPET: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../prefork/deploy/hello.logrotate"));

/// As the user who has the right to, children are another user's, who may not open the logs.
fn as_usual(launch: Launch<'_>) -> Launch<'_> {
    if geteuid().is_root() { launch.args(["--user", "nobody"]) } else { launch }
}

fn command<'a>(scene: &'a Scene, words: &[&str]) -> Launch<'a> {
    scene.tool(env!("CARGO_BIN_EXE_prefork-command")).args(words)
}

#[track_caller]
fn reopen(scene: &Scene) -> Finished {
    let reopen = command(scene, &["reopen", "--wait", "--timeout", "20"]);
    let finished = reopen.args([scene.path("pid")]).finish();
    assert_eq!(finished.end, End::Exited(0), "{finished:?}");
    finished
}

/// Waits for the one line about a request, which comes after its answer.
#[track_caller]
fn wait_for_line(scene: &Scene, request: &str) {
    let is_there = || scene.lines_with("access.log", request).len() == 1;
    wait_until(PATIENCE, &format!("the line of {request} is in the new log"), is_there);
}

fn rotate(scene: &Scene, name: &str, number: usize) {
    fs::rename(scene.path(name), scene.path(&format!("{name}.{number}"))).expect("renamed");
}

/// The processes of a daemon that have a file open.
fn holders(daemon: &Daemon<'_>, path: &Path) -> Vec<u32> {
    let inode = fs::metadata(path).expect("there").ino();
    let has_it = |pid: u32| {
        let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        let mut files = open.flatten().filter_map(|entry| fs::metadata(entry.path()).ok());
        files.any(|file| file.ino() == inode && file.is_file())
    };
    let children = daemon.children().into_iter().map(|child| child.pid);
    children.chain([daemon.pid()]).filter(|pid| has_it(*pid)).collect()
}

/// G1: parent, children and the process of the status page let go of old logs at once, as the very same processes.
#[test]
fn nobody_is_replaced_for_new_logs() {
    let scene = scene!();
    let page = scene.page().to_string();
    let launch = as_usual(scene.hello()).board().args(["--status-listen", &page]);
    let daemon = launch.daemon();
    daemon.get("/").expect("it serves");
    wait_until(PATIENCE, "the page is there", || daemon.children().len() == 4);
    let mut before = daemon.living();
    before.sort_unstable();
    for number in 1..=5 {
        for log in ["access.log", "error.log"] {
            rotate(&scene, log, number);
        }
        reopen(&scene);
        for log in ["access.log", "error.log"] {
            let old = scene.path(&format!("{log}.{number}"));
            wait_until(PATIENCE, "nobody has the old log open", || {
                holders(&daemon, &old).is_empty()
            });
        }
        daemon.get(&format!("/{number}")).expect("it serves");
        wait_for_line(&scene, &format!("GET /{number}"));
        let mut now = daemon.living();
        now.sort_unstable();
        assert_eq!(now, before, "somebody was replaced");
    }
    assert_eq!(scene.lines_with("error.log.5", "no child writes to an old one").len(), 1);
    daemon.stop_in_order();
    assert_eq!(scene.lines_with("error.log", "warning").len(), 0);
}

/// G1: a child with a request in hand is waited for by nobody, and its line is in the new log.
#[test]
fn a_child_at_work_writes_its_line_to_the_new_log() {
    let scene = scene!();
    let daemon = as_usual(scene.hello()).board();
    let daemon = daemon.args(["--prefork", "2", "--max-children", "2"]).daemon();
    let before = daemon.living();
    let request = Sent::to(scene.address(), "/sleep?ms=6000").expect("it listens");
    wait_until(PATIENCE, "it is in hand", || {
        let status = command(&scene, &["status"]).args([scene.path("scoreboard")]);
        status.finish().stdout.contains("sleep")
    });
    rotate(&scene, "access.log", 1);
    let begun = Instant::now();
    reopen(&scene);
    assert!(begun.elapsed() < Duration::from_secs(4), "it waited for the request");
    daemon.get("/after").expect("it serves");
    assert_eq!(request.answer().expect("it is answered").body, "hello");
    wait_for_line(&scene, "GET /sleep?ms=6000");
    assert_eq!(scene.lines_with("access.log.1", "/sleep").len(), 0);
    assert!(daemon.living().iter().all(|pid| before.contains(pid)), "somebody was replaced");
    daemon.stop_in_order();
}

/// What a main loop prints that never looks goes to the error log, which it can only be given as a new child.
#[test]
fn a_child_that_never_looks_is_replaced_for_a_new_error_log() {
    let scene = scene!();
    let launch = as_usual(scene.probe()).board().args(["--main-loop", "sleep", "--prefork", "2"]);
    let daemon = launch.args(["--graceful-timeout", "1"]).daemon();
    let before = daemon.living();
    rotate(&scene, "error.log", 1);
    daemon.signal(Signal::USR1);
    wait_until(PATIENCE, "they were replaced", || {
        let now = daemon.living();
        now.len() == 2 && !now.iter().any(|pid| before.contains(pid))
    });
    wait_until(PATIENCE, "nobody has the old log open", || {
        holders(&daemon, &scene.path("error.log.1")).is_empty()
    });
    daemon.stop_in_order();
}

/// Children that have the files of an edition that is two rotations old, or that are new, find the newest.
#[test]
fn an_upgrade_goes_on_with_the_logs_that_are_there() {
    let scene = scene!();
    let program = scene.program();
    let daemon = as_usual(program.launch()).board().daemon();
    for number in 1..=3 {
        for log in ["access.log", "error.log"] {
            rotate(&scene, log, number);
        }
        reopen(&scene);
        let before = daemon.living();
        program.install(&format!("--version {}", number + 1));
        daemon.signal(Signal::USR2);
        wait_until(PATIENCE, "it is the new program with new children", || {
            let now = daemon.living();
            now.len() == 3 && !now.iter().any(|pid| before.contains(pid))
        });
        for log in ["access.log", "error.log"] {
            assert_eq!(holders(&daemon, &scene.path(&format!("{log}.{number}"))), [0; 0]);
            assert!(holders(&daemon, &scene.path(log)).len() > 3, "not all have the new one");
        }
    }
    daemon.stop_in_order();
}

/// Where to rotate, and what has to be there to do it.
fn configuration(scene: &Scene, more: &str) -> Option<String> {
    if !require_tool("logrotate") || !require_tool("gzip") {
        return None;
    }
    // Logs of a folder that others may write to are not rotated.
    let folder = scene.path("logs");
    fs::create_dir(&folder).expect("made");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o750)).expect("set");
    let here = |text: &str, from: &str, to: &Path| {
        assert!(text.contains(from), "the snippet has no {from}");
        text.replace(from, &to.display().to_string())
    };
    let text = here(SNIPPET, "/var/log/hello/*.log", &folder.join("*.log"));
    let text = here(&text, "/run/hello/hello.pid", &scene.path("pid"));
    let command = Path::new(env!("CARGO_BIN_EXE_prefork-command"));
    let text = here(&text, "/usr/local/bin/prefork", command);
    Some(text.replace("    compress\n", more))
}

/// G1: with the real logrotate, all lines are there afterwards, in whatever way it is set up.
#[track_caller]
fn assert_rotates(scene: &Scene, more: &str, requests: usize) {
    const CLIENTS: usize = 6;
    let Some(text) = configuration(scene, more) else { return };
    fs::write(scene.path("logrotate.conf"), text).expect("written");
    fs::set_permissions(scene.path("logrotate.conf"), fs::Permissions::from_mode(0o644))
        .expect("set");
    let launcher = as_usual(scene.hello())
        .path("--access-log-path", "logs/access.log")
        .path("--error-log-path", "logs/error.log")
        .path("--pid-path", "pid")
        .path("--scoreboard-path", "scoreboard")
        .args(["--daemonize", "--prefork", "4"])
        .finish();
    assert!(launcher.end.is_success(), "{launcher:?}");
    let daemon = Daemon::of_pid_file(scene);
    let load = Load::bounded(CLIENTS, requests / CLIENTS, scene.address(), "/");
    let lines = || fs::read_to_string(scene.path("logs/access.log")).unwrap_or_default();
    let mut rotations = 0;
    while !load.is_finished() && rotations < 8 {
        wait_until(PATIENCE, "there is something to rotate", || {
            load.is_finished() || lines().lines().count() > requests / 20
        });
        let logrotate = scene.tool("logrotate").args(["--force", "--state"]);
        let state = scene.path("logrotate.state");
        let rotated = logrotate.args([state, scene.path("logrotate.conf")]).finish();
        assert!(rotated.end.is_success() && rotated.stderr.is_empty(), "{rotated:?}");
        rotations += 1;
    }
    let tally = load.finish();
    assert_eq!((tally.answered, tally.failures), (requests, vec![]));
    assert!(rotations >= 3, "{rotations} rotations");
    daemon.stop_in_order();
    let script = "for log in \"$0\"/access.log*; do gzip -dcf \"$log\"; done";
    let found = scene.tool("sh").args(["-c", script]).args([scene.path("logs")]).finish();
    let whole = |line: &&str| line.ends_with(" \"GET / HTTP/1.1\" 200 6");
    let lines = found.stdout.lines().filter(whole).count();
    assert_eq!(
        (lines, found.stdout.lines().count()),
        (requests, requests),
        "{rotations} rotations"
    );
}

#[test]
fn logrotate_loses_no_line_that_it_compresses_at_once() {
    assert_rotates(&scene!(), "    compress\n", 30_000);
}

#[test]
fn logrotate_loses_no_line_that_it_compresses_later() {
    assert_rotates(&scene!(), "    compress\n    delaycompress\n", 6000);
}

#[test]
fn logrotate_loses_no_line_where_it_makes_the_new_files() {
    assert_rotates(&scene!(), "    create 0640\n", 6000);
}

/// One that cannot go over now will do so before it writes.
#[test]
fn a_child_that_is_stopped_keeps_nobody_waiting() {
    let scene = scene!();
    let daemon = as_usual(scene.hello()).board().args(["--prefork", "1"]).daemon();
    let child = daemon.living()[0];
    assert!(kill(child, Signal::STOP));
    rotate(&scene, "access.log", 1);
    reopen(&scene);
    assert!(kill(child, Signal::CONT));
    daemon.get("/").expect("it serves");
    wait_for_line(&scene, "GET /");
    daemon.stop_in_order();
}
