//! A day's lines of the error log, read whole as an operator reads them.

use std::{
    fs, process,
    time::{Duration, Instant},
};

use prefork_tests::{
    InHand, Load, PATIENCE, Scene, find_process, get, kill, require_root, scene, wait_until,
};
use rustix::process::Signal;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Returns what the lines of the parent say, without their time, name and pid: `info: ready, with 3 children`.
fn said(scene: &Scene, log: &str) -> Vec<String> {
    let lines = scene.lines_with(log, "] parent ");
    let said = lines.iter().filter_map(|line| Some(line.split_once("] parent ")?.1.to_owned()));
    said.collect()
}

/// Waits for a whole line of the parent's.
#[track_caller]
fn wait_for(scene: &Scene, line: &str) {
    wait_until(PATIENCE, line, || said(scene, "error.log").iter().any(|it| it == line));
}

/// How this process is named where it has sent a signal.
fn own_name() -> String {
    let (pid, uid) = (process::id(), rustix::process::geteuid().as_raw());
    let name = fs::read_to_string("/proc/self/comm").expect("it has a name");
    format!("pid {pid} ({}, uid {uid})", name.trim())
}

/// Replaces a time by `TIME`: `517 ms`, `1.2 s`, `3h 2m 1s`.
fn without_times(line: &str) -> String {
    let units = ["ms", "s", "s,", "s;", "s:", "ms,", "ms;", "ms:"];
    let mut words: Vec<&str> = Vec::new();
    for word in line.split(' ') {
        let number = |word: &&&str| word.parse::<f64>().is_ok();
        if units.contains(&word) && words.last().iter().any(number) {
            words.pop();
            words.push("TIME");
        } else {
            words.push(word);
        }
    }
    words.join(" ")
}

/// The first line says what runs, where, how large, as whom and within what limits; the last that it has stopped, and how.
#[test]
fn the_first_line_introduces_the_daemon_and_the_last_says_how_it_stopped() {
    let scene = scene!();
    let limits = ["--prefork", "2", "--max-children", "5", "--request-timeout", "90"];
    let settings = scene.path("hello.toml");
    fs::write(&settings, "[daemon]\nmax_requests = 1000\ncalm_time = \"1m\"\nmin_spare = 2\n")
        .expect("written");
    let daemon = scene.hello().board().args(limits).path("--config", "hello.toml").daemon();
    get(scene.address(), "/").expect("answered");
    daemon.stop_in_order();
    let (program, uid) = (env!("CARGO_BIN_EXE_hello"), rustix::process::geteuid().as_raw());
    let lines = said(&scene, "error.log");
    let first = format!(
        "info: starting hello {VERSION} on prefork {VERSION}: program {program}; settings {}; listening on {}; \
         2 to 5 children as uid {uid}; request_timeout 90 s, graceful_timeout 30 s, calm_time 60 s, max_requests 1000, min_spare 2",
        settings.display(),
        scene.address()
    );
    let seal = |line: &&String| !line.contains("mseal(2)");
    let lines: Vec<_> = lines.iter().filter(seal).map(String::as_str).collect();
    assert_eq!(lines[..2], [&*first, "info: ready, with 2 children"]);
    assert_eq!(lines[2], format!("info: SIGTERM from {}", own_name()));
    assert_eq!(lines[3], "info: stopping gracefully, with 2 children");
    let (last, uptime) = lines[4].rsplit_once("it has run for ").expect(lines[4]);
    assert_eq!(
        without_times(last),
        "info: stopped, TIME after it was asked: every child has left by itself; "
    );
    assert!(uptime.ends_with('s'), "{uptime}");
    assert_eq!(lines.len(), 5, "{lines:#?}");
}

/// Who was cut off by a stop is counted in its last line.
#[test]
fn the_last_line_counts_whom_the_stop_has_interrupted() {
    let scene = scene!();
    let daemon = scene.hello().board().args(["--graceful-timeout", "0.2"]).daemon();
    let request = InHand::at(scene.address(), "/sleep?ms=60000");
    daemon.signal(Signal::TERM);
    daemon.assert_ends_in_order(PATIENCE);
    request.answer().expect_err("it was cut off");
    let lines = said(&scene, "error.log");
    let last = without_times(lines.last().expect("there are lines"));
    let expected =
        "info: stopped, TIME after it was asked: 1 child interrupted (SIGINT); it has run for ";
    assert!(last.starts_with(expected), "{last}");
}

/// As whom children run stands in the first line.
#[test]
fn the_first_line_names_the_user_of_the_children() {
    if !require_root() {
        return;
    }
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "1", "--user", "nobody"]).daemon();
    daemon.stop_in_order();
    let first =
        said(&scene, "error.log").into_iter().find(|line| line.starts_with("info: starting"));
    let first = first.expect("there is one");
    assert!(first.ends_with("; 1 child as nobody; graceful_timeout 30 s"), "{first}");
}

/// Without children the lines are the same, but for what concerns those.
#[test]
fn a_daemon_without_children_has_a_first_and_a_last_line() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "0"]).daemon();
    daemon.stop_in_order();
    let lines = said(&scene, "error.log");
    let first = &lines[0];
    assert!(first.starts_with(&format!("info: starting hello {VERSION} on prefork ")), "{first}");
    assert!(first.contains("; no children as uid "), "{first}");
    let last = without_times(lines.last().expect("there are lines"));
    let expected =
        "info: stopped, TIME after it was asked: the main loop has ended; it has run for ";
    assert!(last.starts_with(expected), "{last}");
}

/// A request that takes too long has one line (the limit, the child, what it was at, for whom, and what was done), and behind
/// it one for each thread of the child: what that waits for.
#[test]
fn a_time_limit_has_one_line_and_the_reason_another() {
    let scene = scene!();
    let daemon = scene.hello().board().args(["--request-timeout", "1"]).daemon();
    let request = InHand::at(scene.address(), "/sleep?ms=60000");
    let (worker, client) = (request.worker(), request.client());
    request.answer().expect_err("it was ended");
    daemon.wait_for_children(PATIENCE, 3, &[worker.pid]);
    daemon.stop_in_order();
    let lines = scene.lines_with("error.log", &format!(" error: child {} ", worker.pid));
    let of_line = |line: &str| line.split_once(" error: ").map(|(_, said)| said.to_owned());
    let lines: Vec<_> = lines.iter().filter_map(|line| of_line(line)).collect();
    let [hung, reason] = &lines[..] else { panic!("{lines:#?}") };
    let (before, rest) = hung.split_once(" (slot ").expect("it has its slot");
    let (_, rest) = rest.split_once(") ").expect("it has its slot");
    assert_eq!(before, format!("child {}", worker.pid));
    assert_eq!(
        without_times(rest),
        format!(
            "has been at one request for TIME with a request_timeout of 1 s: GET /sleep?ms=60000, of {client}; \
             it is looked into, and aborted (SIGABRT) then"
        )
        .replace("of 1 s:", "of TIME")
    );
    let thread = format!("): thread {} (", worker.pid);
    assert!(reason.starts_with(before) && reason.contains(&thread), "{reason}");
    assert!(reason.contains(" sleeps in clock_nanosleep for "), "{reason}");
}

/// Where many hang at once the first are looked into, and nobody is ended later for that.
#[test]
fn many_that_hang_at_once_are_ended_together() {
    const MANY: usize = 24;
    let scene = scene!();
    let many = MANY.to_string();
    let limits = ["--prefork", &many, "--max-children", &many, "--request-timeout", "2"];
    let daemon = scene.hello().board().args(limits).daemon();
    let first = daemon.living();
    let requests: Vec<_> =
        (0..MANY).map(|_| InHand::at(scene.address(), "/sleep?ms=60000")).collect();
    let begun = Instant::now();
    requests.into_iter().for_each(|request| drop(request.answer().expect_err("it was ended")));
    // Without a bound, 24 looks would take 2.4 s and a hundred 10: see LOOK_INTO. The rest is for a machine that is busy.
    let most = Duration::from_secs(2 + 2 + 4);
    assert!(begun.elapsed() < most, "{:?}", begun.elapsed());
    daemon.wait_for_children(PATIENCE, MANY, &first);
    daemon.stop_in_order();
    let reasons = scene.logged("): thread ");
    let left_out = scene.logged(" was not looked into: ");
    assert!(reasons > 0 && reasons + left_out <= MANY, "{reasons} and {left_out}");
    assert_eq!(scene.logged("it is looked into, and aborted (SIGABRT) then"), MANY);
}

/// A child that has more memory than max_memory from its first request on, as its successors would, is not replaced for ever:
/// one line has both sizes, and it is replaced when it has grown by as much again.
#[test]
fn a_child_that_is_large_from_the_start_serves_on() {
    let scene = scene!();
    // More than what a child touches for the first time as it serves, and less than it has from the start.
    let daemon = scene.probe().args(["--prefork", "1", "--max-memory", "2048"]).daemon();
    let child = daemon.living()[0];
    for _ in 0..50 {
        assert_eq!(daemon.get("/pid").expect("answered").worker().pid, child);
    }
    daemon.get("/leak/4").expect("answered");
    daemon.wait_for_children(PATIENCE, 1, &[child]);
    daemon.stop_in_order();
    let lines = scene.lines_with("error.log", &format!("[{child}] child "));
    let said: Vec<_> = lines.iter().filter_map(|line| line.split_once("] child ")).collect();
    let [(_, warning), (_, replaced)] = said[..] else { panic!("{lines:#?}") };
    let shape = |line: &str| line.replace(|it: char| it.is_ascii_digit() || it == '.', "");
    assert_eq!(
        shape(warning),
        "warning:  MiB of memory in use after the first request, more than max_memory ( MiB), as any child would have: \
         this one is replaced when it has more than  MiB; set max_memory above  MiB"
    );
    assert_eq!(
        shape(replaced),
        "info:  MiB of memory in use, more than max_memory ( MiB); this child is to be replaced"
    );
}

/// Why a child is replaced that has used up what it may is one line with the figures.
#[test]
fn who_has_used_up_a_limit_says_which_and_how_much() {
    let scene = scene!();
    let limits = ["--prefork", "1", "--log-level", "debug", "--max-requests", "5"];
    let daemon = scene.hello().args(limits).daemon();
    let child = daemon.living();
    wait_until(PATIENCE, "it is replaced", || {
        let _ = get(scene.address(), "/");
        daemon.living().iter().all(|pid| !child.contains(pid))
    });
    daemon.stop_in_order();
    let line = format!(
        "hello[{}] child debug: 5 requests served, and the limit is about 5; this child is to be replaced",
        child[0]
    );
    let lines = scene.lines_with("error.log", &line);
    assert!(lines.len() == 1 && lines[0].ends_with(&line), "{lines:#?}");

    let scene = scene!();
    let daemon = scene.probe().args(["--prefork", "1", "--max-memory", "102400"]).daemon();
    let child = daemon.living()[0];
    daemon.get("/").expect("answered");
    daemon.get("/leak/200").expect("answered");
    daemon.wait_for_children(PATIENCE, 1, &[child]);
    daemon.stop_in_order();
    let line = scene.lines_with("error.log", &format!("[{child}] child info: "));
    let (_, line) = line[0].split_once(" child info: ").expect("it says why");
    let (figure, rest) = line.split_once(" MiB of memory in use").expect(line);
    assert!(figure.parse::<f64>().is_ok_and(|mib| mib > 200.0), "{figure}");
    assert_eq!(rest, ", more than max_memory (100 MiB); this child is to be replaced");

    let scene = scene!();
    let limits = ["--prefork", "1", "--log-level", "debug", "--max-lifetime", "1"];
    let daemon = scene.hello().args(limits).daemon();
    let child = daemon.living()[0];
    daemon.wait_for_children(PATIENCE, 1, &[child]);
    daemon.stop_in_order();
    let lines = said(&scene, "error.log");
    let line =
        lines.iter().map(|line| without_times(line)).find(|line| line.contains("is TIME old"));
    assert_eq!(
        line.expect("it says why").replace(&child.to_string(), "PID"),
        "debug: child PID (slot 0) is TIME old, and max_lifetime is about TIME it is to be replaced"
    );
}

/// A pool that was full says when it is so no more, and for how long it was.
#[test]
fn the_end_of_being_full_is_logged_with_how_long_it_was() {
    let scene = scene!();
    let daemon = scene.hello().board().args(["--prefork", "1", "--max-children", "2"]).daemon();
    let crowd = Load::start(6, scene.address(), "/sleep?ms=100");
    wait_until(PATIENCE, "it is full", || scene.logged("max_children (2) reached") == 1);
    assert_eq!(crowd.stop().failures, [""; 0]);
    let over = "info: no longer full: max_children is enough again, after TIME";
    let lines = || said(&scene, "error.log").iter().map(|it| without_times(it)).collect::<Vec<_>>();
    wait_until(PATIENCE, over, || lines().iter().any(|line| line == over));
    daemon.wait_for_rest();
    daemon.stop_in_order();
    assert_eq!(lines().iter().filter(|line| *line == over).count(), 1);
}

/// The first line of a file after a rotation says why it begins, and who asked for it.
#[test]
fn the_first_line_after_a_rotation_says_why_it_begins() {
    let scene = scene!();
    let daemon = scene.hello().daemon();
    fs::rename(scene.path("error.log"), scene.path("error.log.1")).expect("renamed");
    daemon.signal(Signal::USR1);
    wait_for(&scene, &format!("info: error log opened again, on SIGUSR1 from {}", own_name()));
    daemon.stop_in_order();
    let new = scene.read("error.log");
    let first = new.lines().next().expect("there are lines");
    let expected = format!("parent info: error log opened again, on SIGUSR1 from {}", own_name());
    assert!(first.ends_with(&expected), "{first}");
    let old = said(&scene, "error.log.1");
    assert_eq!(*old.last().expect("lines"), format!("info: SIGUSR1 from {}", own_name()));
}

/// A sender that has ended by the time has no name, but its pid and user.
#[test]
fn a_sender_that_has_gone_is_named_by_pid_and_user() {
    let scene = scene!();
    let daemon = scene.hello().daemon();
    // The parent is stopped while its sender comes and goes.
    assert!(kill(daemon.pid(), Signal::STOP));
    let sender = scene.tool("kill").args(["-HUP", &daemon.pid().to_string()]).start();
    let pid = sender.pid();
    assert!(sender.finish().end.is_success());
    wait_until(PATIENCE, "it is gone", || find_process(pid).is_none());
    assert!(kill(daemon.pid(), Signal::CONT));
    let uid = rustix::process::geteuid().as_raw();
    wait_for(&scene, &format!("info: SIGHUP from pid {pid} (uid {uid})"));
    daemon.stop_in_order();
}

/// The reason of a start that fails is in the log with its time, and at the terminal; each once.
#[test]
fn a_start_that_fails_says_why_in_the_log_and_at_the_terminal() {
    for background in [false, true] {
        let scene = scene!();
        let daemon = scene.hello().daemon();
        let before = scene.read("error.log").lines().count();
        let launch = scene.hello().paths();
        let launch = if background { launch.args(["--daemonize"]) } else { launch };
        let second = launch.start();
        let finished = second.finish();
        let why = format!(
            "already running (pid {}): it holds pid file {}",
            daemon.pid(),
            scene.path("pid").display()
        );
        let at_terminal: Vec<_> =
            finished.stderr.lines().filter(|line| line.contains("already running")).collect();
        assert_eq!(at_terminal, [format!("hello: {why}")], "background: {background}");
        let log = scene.read("error.log");
        let since: Vec<_> = log.lines().skip(before).collect();
        assert_eq!(since.len(), 1, "{since:#?}");
        let (time, line) = since[0].split_once(' ').expect("a time stands before");
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
        assert!(line.starts_with("hello["), "{line}");
        assert!(line.ends_with(&format!("] parent error: cannot start: {why}")), "{line}");
        daemon.stop_in_order();
    }
}

/// What children log while the daemon does not serve yet is shown at the terminal too, and then no more.
#[test]
fn errors_are_shown_at_the_terminal_until_the_daemon_serves() {
    let scene = scene!();
    let running = scene.probe().paths().args(["--main-loop", "fail"]).start();
    let finished = running.finish();
    assert!(!finished.end.is_success(), "{finished:?}");
    let failed = " child error: main_loop failed: failing as asked";
    for text in [&finished.stderr, &scene.read("error.log")] {
        assert!(text.lines().any(|line| line.contains(failed)), "{text}");
    }

    let scene = scene!();
    let running = scene.hello().paths().start();
    let daemon = running.ready();
    let victim = daemon.living()[0];
    assert!(kill(victim, Signal::KILL));
    scene.wait_for_line(&format!("child {victim} (slot "));
    daemon.signal(Signal::TERM);
    assert_eq!(running.finish().stderr, "");
}
