//! Logs that many write, that are cut, and whose disk is full.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Write,
    time::Duration,
};

use prefork_tests::{
    Daemon, Load, PATIENCE, get, kill, require_root, require_tool, scene, wait_until,
};
use rustix::process::Signal;

/// G2: lines of twenty writers never mix, while the log is copied and cut again and again.
#[test]
fn lines_of_many_writers_never_mix() {
    let scene = scene!();
    let daemon = scene.probe().args(["--prefork", "20", "--main-loop", "count"]).daemon();
    let path = scene.path("access.log");
    let mut seen = 0;
    for round in 0..10 {
        let long_enough = || fs::metadata(&path).expect("there").len() > 200_000;
        wait_until(PATIENCE, "the log has grown", long_enough);
        if round < 9 {
            // As `logrotate` does with copytruncate.
            let copy = fs::read(&path).expect("read");
            assert!(!copy.contains(&0), "NUL bytes in copy {round}");
            File::options().write(true).open(&path).expect("opened").set_len(0).expect("cut");
        }
    }
    daemon.stop_in_order();
    let log = fs::read(&path).expect("read");
    assert!(!log.contains(&0), "NUL bytes");
    let log = String::from_utf8(log).expect("text");
    assert!(log.ends_with('\n'), "the last line is not whole");
    let mut last: HashMap<&str, u64> = HashMap::new();
    for line in log.lines() {
        let (pid, number) = whole(line).unwrap_or_else(|| panic!("a line is not whole: {line:?}"));
        let before = last.insert(pid, number);
        // Every line of one writer, in order, from the first one after the cut.
        assert!(before.is_none_or(|before| before + 1 == number), "{pid}: {before:?}, {number}");
        seen += 1;
    }
    // On a busy machine not all of them have had their turn since the cut.
    assert!(last.len() > 5, "{} writers", last.len());
    assert!(seen > 200, "{seen} lines");
}

/// In a container, and under a service manager, standard output is a pipe or a socket.
#[test]
fn standard_output_can_be_the_access_log_also_as_a_pipe() {
    let scene = scene!();
    let (pipe, log) = (scene.path("pipe"), scene.path("piped.log"));
    let (pipe, log) = (pipe.display(), log.display());
    let daemon = scene
        .hello()
        .path("--pid-path", "pid")
        .path("--error-log-path", "error.log")
        .args(["--access-log-path", "/dev/stdout"])
        .after_shell(&format!("mkfifo '{pipe}'; cat '{pipe}' > '{log}' & exec > '{pipe}'"))
        .start()
        .ready();
    get(scene.address(), "/pid").expect("answered");
    wait_until(PATIENCE, "the line has come through the pipe", || {
        scene.read("piped.log").contains("\"GET /pid\" 200")
    });
    daemon.stop_in_order();
}

/// G2: every request has one line, however many clients and children there are.
#[test]
fn every_request_has_one_line() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "5"]).daemon();
    let tally = Load::bounded(8, 50, scene.address(), "/pid?a%0Ab").finish();
    assert_eq!((tally.answered, tally.failures), (400, vec![]));
    daemon.stop_in_order();
    let log = scene.read("access.log");
    let expected = |line: &str| line.contains(" \"GET /pid?a%0Ab\" 200 ");
    let strange: Vec<_> = log.lines().filter(|line| !expected(line)).collect();
    assert_eq!(strange, [""; 0]);
    assert_eq!(log.lines().count(), 400);
}

/// G3: a full disk costs log lines and nothing else; the next lines are whole again.
#[test]
fn a_full_log_disk_does_not_stop_the_service() {
    if !require_root() || !require_tool("unshare") {
        return;
    }
    let scene = scene!();
    fs::create_dir(scene.path("disk")).expect("made");
    // In a mount namespace of its own, which vanishes with the daemon.
    let disk = scene.path("disk");
    let mount = format!("mount -t tmpfs -o size=64k none {}", disk.display());
    let running = scene
        .probe()
        .args(["--prefork", "2"])
        .path("--pid-path", "pid")
        .path("--error-log-path", "disk/error.log")
        .path("--access-log-path", "disk/access.log")
        .after_shell(&mount)
        .under(["unshare", "-m"])
        .start();
    wait_until(PATIENCE, "it serves", || get(scene.address(), "/").is_ok());
    let daemon = Daemon::of_pid_file(&scene);
    let inside = |name: &str| {
        let path = disk.join(name);
        format!("/proc/{}/root{}", daemon.pid(), path.display())
    };
    assert!(!daemon.get("/log/first").expect("an answer").body.starts_with("not logged"));

    let mut filler = File::create(inside("filler")).expect("made");
    while filler.write_all(&[b'x'; 512]).is_ok() {}
    while filler.write_all(b"x").is_ok() {}
    let long = "y".repeat(6000);
    let mut refused = 0;
    for _ in 0..50 {
        let reply = daemon.get(&format!("/log/{long}")).expect("it serves with a full disk");
        refused += usize::from(reply.body.starts_with("not logged"));
    }
    assert!(refused > 0, "the disk was not full");
    // Its own messages cannot be written either, and that must not matter.
    assert!(kill(daemon.living()[0], Signal::KILL));
    daemon.wait_for_children(PATIENCE, 2, &[]);
    daemon.get("/").expect("it serves");

    fs::remove_file(inside("filler")).expect("removed");
    drop(filler);
    for number in 0..10 {
        let reply = daemon.get(&format!("/log/after-{number}")).expect("an answer");
        assert!(!reply.body.starts_with("not logged"), "{reply:?}");
    }
    let log = fs::read_to_string(inside("access.log")).expect("read");
    for number in 0..10 {
        let line = format!("after-{number}");
        let ends: Vec<_> = log.lines().map(|line| &line[line.len().saturating_sub(40)..]).collect();
        assert!(ends.contains(&&*line), "{line} is not on a line of its own: {ends:#?}");
    }
    daemon.signal(Signal::TERM);
    assert!(running.finish().end.is_success());
    assert!(!scene.path("pid").exists(), "the pid file is left");
    scene.wait_until_deserted(Duration::from_secs(5));
}

/// Takes `PID NUMBER xxx...xxx LENGTH` apart, if the line is whole.
fn whole(line: &str) -> Option<(&str, u64)> {
    let mut words = line.split(' ');
    let (pid, number, filling) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
    let length: usize = words.next()?.parse().ok()?;
    let is_whole = filling.len() == length && filling.bytes().all(|byte| byte == b'x');
    (is_whole && words.next().is_none()).then_some((pid, number))
}
