//! Logs that many write, that are cut, and whose disk is full.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs::{self, File},
    io::{Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    thread,
    time::Duration,
};

use prefork_tests::{
    Daemon, Load, PATIENCE, Scene, get, kill, require_root, require_tool, scene, wait_until,
};
use rustix::{
    fs::{Mode, OFlags, open},
    pipe::{PipeFlags, pipe_with},
    process::Signal,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

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

/// What is logged is what matters as much as the level, or more: children that come and go are for `debug` alone.
#[test]
fn a_level_leaves_out_what_matters_less() {
    let scene = scene!();
    let lines = |level| format!(" {level}: ");
    for (level, logged) in [("error", 0), ("warn", 1), ("info", 2), ("debug", 3)] {
        let log = format!("{level}.log");
        // The pool cannot grow without a scoreboard, which is a warning.
        let hello = scene.hello().args(["--max-children", "9", "--log-level", level]);
        let daemon = hello.daemon();
        let child = daemon.living()[0];
        assert!(kill(child, Signal::KILL));
        daemon.wait_for_children(PATIENCE, 3, &[child]);
        daemon.stop_in_order();
        fs::rename(scene.path("error.log"), scene.path(&log)).expect("renamed");
        let found = |text: &str| scene.lines_with(&log, text);
        let died = found(&format!("child {child} (slot "));
        assert!(died.iter().any(|line| line.contains(&lines("error"))), "{level}: {died:?}");
        let texts = ["the pool stays at prefork", "ready, with 3", "asked to leave"];
        for (place, (text, name)) in texts.into_iter().zip(["warning", "info", "debug"]).enumerate()
        {
            let found = found(text);
            assert_eq!(found.is_empty(), place >= logged, "{level}: {text}: {found:?}");
            assert!(found.iter().all(|line| line.contains(&lines(name))), "{found:?}");
        }
        assert_eq!(found("started, of generation").is_empty(), level != "debug");
    }
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
        scene.read("piped.log").contains("\"GET /pid HTTP/1.1\" 200")
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
    let expected = |line: &str| line.contains(" \"GET /pid?a%0Ab HTTP/1.1\" 200 ");
    let strange: Vec<_> = log.lines().filter(|line| !expected(line)).collect();
    assert_eq!(strange, [""; 0]);
    assert_eq!(log.lines().count(), 400);
}

/// Has many clients have lines of all lengths logged to standard output, and reads them slowly. Every line that comes is
/// whole, and those that do not are lines of which the program knows.
#[track_caller]
fn assert_lines_are_whole(
    scene: &Scene,
    output: impl Into<OwnedFd>,
    mut input: File,
    division: Division,
) {
    const LENGTHS: [usize; 6] = [40, 3000, 4095, 6000, 20_000, 50_000];
    const CLIENTS: usize = 6;
    const LINES: usize = 30;
    let running = scene
        .probe()
        .args(["--prefork", "6", "--access-log-path", "/dev/stdout"])
        .path("--pid-path", "pid")
        .path("--error-log-path", "error.log")
        .stdout(output)
        .start();
    let address = scene.address();
    wait_until(PATIENCE, "it serves", || get(address, "/").is_ok());
    let daemon = Daemon::of_pid_file(scene);
    let reader = thread::spawn(move || {
        let (mut text, mut part) = (Vec::new(), [0; 4096]);
        // The other end of a terminal that is closed is an error.
        while let Ok(count) = input.read(&mut part)
            && count > 0
        {
            text.extend_from_slice(&part[..count]);
            // Slower than they write, and so that none of them has to give up.
            thread::sleep(Duration::from_micros(500));
        }
        text
    });
    let line = |client: usize, number: usize| {
        let length = LENGTHS[(client + number) % LENGTHS.len()];
        format!("{client}-{number}:{}:{length}", "x".repeat(length))
    };
    let client = |client: usize| {
        let ask = move |number: usize| {
            let answer = get(address, &format!("/log/{}", line(client, number)));
            !answer.expect("an answer").body.starts_with("not logged")
        };
        thread::spawn(move || (0..LINES).filter(|number| ask(*number)).count())
    };
    let clients: Vec<_> = (0..CLIENTS).map(client).collect();
    let logged: usize = clients.into_iter().map(|client| client.join().expect("answered")).sum();
    daemon.signal(Signal::TERM);
    assert!(running.finish().end.is_success());
    drop(running);
    let text = String::from_utf8(reader.join().expect("read")).expect("text");
    let numbers = (0..CLIENTS).flat_map(|client| (0..LINES).map(move |number| (client, number)));
    let written: BTreeSet<String> = numbers.map(|(client, number)| line(client, number)).collect();
    let lines = text.lines().map(|line| line.trim_end_matches('\r'));
    let (whole, cut): (Vec<&str>, Vec<_>) = lines.partition(|line| written.contains(*line));
    let distinct = whole.iter().collect::<BTreeSet<_>>().len();
    assert_eq!(whole.len(), distinct, "no line comes twice");
    match division {
        // Every line that was reported as written is there, and nothing else.
        Division::Never => assert_eq!((whole.len(), cut), (logged, vec![])),
        // A reader that is slow for too long gets a line cut, and may get the next one behind it.
        Division::WhenGivenUp => {
            let given_up = CLIENTS * LINES - logged;
            let missing = logged.saturating_sub(whole.len());
            assert!(missing <= given_up, "{missing} of {logged} are missing, {given_up} given up");
        }
    }
    assert!(logged > 0, "{logged} lines");
}

/// Whether a line may be cut that was begun.
#[derive(Clone, Copy)]
enum Division {
    Never,
    WhenGivenUp,
}

/// I3: also lines of which a pipe takes only the beginning when it is nearly full.
#[test]
fn lines_in_a_pipe_that_is_read_slowly_are_whole() {
    let scene = scene!();
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("made");
    assert_lines_are_whole(&scene, writer, reader.into(), Division::Never);
}

/// I3: also lines that are longer than one buffer of the socket.
#[test]
fn lines_in_a_socket_that_is_read_slowly_are_whole() {
    let scene = scene!();
    let (reader, writer) = UnixStream::pair().expect("made");
    assert_lines_are_whole(&scene, writer, OwnedFd::from(reader).into(), Division::Never);
}

/// I3: on a terminal that is slow: as long as no line is given up.
#[test]
fn lines_on_a_terminal_that_is_read_slowly_are_whole() {
    let scene = scene!();
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let near = openpt(flags).expect("a terminal can be had");
    grantpt(&near).and_then(|()| unlockpt(&near)).expect("it is ours");
    let name = ptsname(&near, Vec::new()).expect("it has a name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let far = open(&*name, flags, Mode::empty()).expect("it has another side");
    assert_lines_are_whole(&scene, far, near.into(), Division::WhenGivenUp);
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
    let mut losers = HashSet::new();
    for _ in 0..50 {
        let reply = daemon.get(&format!("/log/{long}")).expect("it serves with a full disk");
        if reply.body.starts_with("not logged") {
            losers.insert(reply.worker().pid);
        }
    }
    // Its own messages cannot be written either, and that must not matter. A child that has lost lines is to be left.
    let children = daemon.living();
    let victim = children.iter().find(|child| !losers.contains(child) || losers.len() > 1);
    let victim = *victim.expect("the disk was full");
    assert!(kill(victim, Signal::KILL));
    daemon.wait_for_children(PATIENCE, 2, &[victim]);
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
    let reports = || -> Vec<String> {
        let log = fs::read_to_string(inside("error.log")).expect("read");
        log.lines().filter(|line| line.contains(" lost: ")).map(str::to_owned).collect()
    };
    wait_until(PATIENCE, "what was lost is reported", || {
        // By who has lost it, with its next line.
        daemon.get("/log/more").expect("an answer");
        reports().iter().any(|line| line.contains(" child warning: access log: "))
    });
    for line in reports() {
        assert!(line.ends_with(" lost: No space left on device (os error 28)"), "{line}");
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
