//! What is to be seen at a glance of a daemon that does not run, does not get on, or is full: whole lines, as a person reads
//! them.

use prefork_tests::{End, InHand, PATIENCE, Scene, require_root, require_tool, scene, wait_until};
use rustix::process::Signal;

use crate::{command, run};

/// A text in which each length of time is `TIME`, and each moment `MOMENT`.
fn timeless(text: &str) -> String {
    let is_moment = |word: &str| word.contains('T') && word.ends_with('Z');
    let is_time = |word: &str| {
        word.ends_with(['s', 'm', 'h'])
            && word.starts_with(|first: char| first.is_ascii_digit())
            && word.chars().all(|it| it.is_ascii_digit() || ".smhd".contains(it))
    };
    let replace = |word: &str| {
        let bare = word.trim_end_matches([',', ':', ';', '\n']);
        let end = &word[bare.len()..];
        match (is_moment(bare), is_time(bare)) {
            (true, _) => format!("MOMENT{end}"),
            (false, true) => format!("TIME{end}"),
            (false, false) => word.to_owned(),
        }
    };
    text.split(' ').map(replace).collect::<Vec<_>>().join(" ")
}

fn first_line(text: &str) -> String {
    timeless(text.lines().next().unwrap_or_default())
}

/// What a check reports of the scoreboard of a scene.
#[track_caller]
fn check(scene: &Scene, status: i32) -> String {
    let found = timeless(&run(scene, "check @scoreboard", status).stdout);
    let path = format!("{}: ", scene.path("scoreboard").display());
    found.strip_prefix(&path).unwrap_or_else(|| panic!("no line about {path}{found}")).to_owned()
}

fn wait_for_idle(scene: &Scene, count: usize) {
    let idle = format!("{count} idle, 0 busy");
    wait_until(PATIENCE, "all children wait", || {
        run(scene, "status @scoreboard", 0).stdout.contains(&idle)
    });
}

/// R6: a daemon whose parent was killed does not run, and its children are counted as gone.
#[test]
fn a_killed_daemon_is_not_running_and_its_children_are_gone() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    wait_for_idle(&scene, 3);
    let shown = run(&scene, "status @scoreboard", 0).stdout;
    let pid = daemon.pid();
    assert_eq!(
        first_line(&shown),
        format!(
            "hello 0.1.0, pid {pid}, up TIME: 3 children of 3 to 150, 3 idle, 0 busy, queue 0 of 4096"
        )
    );
    daemon.signal(Signal::KILL);
    let _ = daemon.wait_for_end(PATIENCE);
    scene.wait_until_deserted(PATIENCE);

    let dead = format!(
        "NOT RUNNING: hello 0.1.0, pid {pid}, has ended without removing its board; last seen TIME ago, at MOMENT; 0 children of \
         3 to 150, 0 idle, 0 busy, 3 gone"
    );
    let shown = run(&scene, "status @scoreboard", 3).stdout;
    assert_eq!(first_line(&shown), dead, "{shown}");
    assert_eq!(check(&scene, 3), format!("{dead}\n"));
    // Where it is the only one that is found, it need not be named.
    let unnamed = |words| {
        let here = scene.path("");
        command(&scene, words).variable("PREFORK_PATH", here).finish()
    };
    let shown = unnamed("status");
    assert_eq!((shown.end, first_line(&shown.stdout)), (End::Exited(3), dead.clone()));
    let stopped = unnamed("stop");
    let refused =
        format!("prefork: not running: no daemon holds pid file {}\n", scene.path("pid").display());
    assert_eq!((stopped.end, stopped.stderr), (End::Exited(3), refused));
    let metrics = run(&scene, "metrics @scoreboard", 3);
    assert_eq!(timeless(&metrics.stderr), format!("prefork: {dead}\n"));
    for (state, count) in [("idle", 0), ("gone", 3)] {
        let line = format!("prefork_children{{name=\"hello\",state=\"{state}\"}} {count}");
        assert!(metrics.stdout.lines().any(|found| found == line), "{line}: {}", metrics.stdout);
    }
    let json = run(&scene, "status --json @scoreboard", 3).stdout;
    assert!(json.contains("\"life\": \"gone\""), "{json}");
}

/// R6: that a daemon was killed is seen from another pid namespace too, where its process never was to be seen.
#[test]
fn a_killed_daemon_of_another_pid_namespace_is_not_running() {
    if !require_root() || !require_tool("unshare") {
        return;
    }
    let scene = scene!();
    let container = ["unshare", "-pfm", "--mount-proc", "--kill-child"];
    let daemon = scene.hello().board().under(container).foreground();
    wait_for_idle(&scene, 3);
    let well =
        "hello 0.1.0, pid 1, up TIME: 3 children of 3 to 150, 3 idle, 0 busy, queue 0 of 4096";
    assert_eq!(check(&scene, 0), format!("all is well: {well}\n"));
    daemon.signal(Signal::KILL);
    scene.wait_until_deserted(PATIENCE);
    let dead = "NOT RUNNING: hello 0.1.0, pid 1, has ended without removing its board; last seen TIME ago, at MOMENT; 0 children of \
                3 to 150, 0 idle, 0 busy, 3 gone";
    assert_eq!(check(&scene, 3), format!("{dead}\n"));
}

/// A parent that was stopped decides nothing, and is well again when it goes on.
#[test]
fn a_stopped_daemon_is_not_well() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    wait_for_idle(&scene, 3);
    let pid = daemon.pid();
    let rest = format!(
        "hello 0.1.0, pid {pid}, up TIME: 3 children of 3 to 150, 3 idle, 0 busy, queue 0 of 4096"
    );
    daemon.signal(Signal::STOP);
    let stopped = format!(
        "NOT WELL: process {pid} was stopped by a signal and decides nothing; `kill -CONT {pid}` lets it go on: STOPPED: \
         {rest}\n"
    );
    wait_until(PATIENCE, "it is stopped", || {
        let shown = run(&scene, "status @scoreboard", 0).stdout;
        first_line(&shown) == format!("STOPPED: {rest}")
    });
    assert_eq!(check(&scene, 1), stopped);
    let of_pid_file = run(&scene, "check @pid", 1).stdout;
    let path = scene.path("pid").display().to_string();
    assert_eq!(
        of_pid_file,
        format!(
            "{path}: NOT WELL: it is held, but process {pid} was stopped by a signal and decides nothing; `kill -CONT {pid}` \
             lets it go on\n"
        )
    );
    let trouble = format!(
        "process {pid} was stopped by a signal and decides nothing; `kill -CONT {pid}` lets it go on"
    );
    let shown = run(&scene, "status @scoreboard", 0).stdout;
    assert_eq!(shown.lines().nth(1), Some(format!("NOT WELL: {trouble}").as_str()), "{shown}");
    let json = run(&scene, "status --json @scoreboard", 0).stdout;
    for line in ["  \"state\": \"stopped\",".to_owned(), format!("  \"trouble\": \"{trouble}\",")] {
        assert!(json.lines().any(|found| found == line), "{line}: {json}");
    }
    let metrics = run(&scene, "metrics @scoreboard", 0).stdout;
    for (state, value) in [("stopped", 1), ("running", 0)] {
        let line = format!("prefork_daemon_state{{name=\"hello\",state=\"{state}\"}} {value}");
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    daemon.signal(Signal::CONT);
    wait_until(PATIENCE, "it goes on", || {
        command(&scene, "check @scoreboard").finish().end == End::Exited(0)
    });
    assert_eq!(check(&scene, 0), format!("all is well: {rest}\n"));
    daemon.stop_in_order();
}

/// A parent that uses a processor and decides nothing is not well, nor is one that has slept for too long.
#[test]
fn a_daemon_that_does_not_get_on_is_not_well() {
    let scene = scene!();
    let path = scene.path("scoreboard").display().to_string();
    let halted = |what: &str| {
        let started = scene.tool(env!("CARGO_BIN_EXE_halted")).args([what, &path]).start();
        wait_until(PATIENCE, "it has a board", || {
            command(&scene, "status @scoreboard").finish().stdout.contains("1 idle")
        });
        started
    };
    let found_after = |text: &str, status: i32| {
        let mut found = String::new();
        wait_until(PATIENCE, text, || {
            let checked = command(&scene, "check @scoreboard").finish();
            found = timeless(&checked.stdout);
            checked.end == End::Exited(status)
        });
        found
    };
    let spinning = halted("spins");
    let pid = spinning.pid();
    assert_eq!(
        found_after("it is seen to spin", 1),
        format!(
            "{path}: NOT WELL: process {pid} uses a processor, and has decided nothing for TIME: halted, pid {pid}, up TIME: 1 \
             child of 1, 1 idle, 0 busy\n"
        )
    );
    spinning.signal(Signal::KILL);
    let _ = spinning.finish();
    let sleeping = halted("oversleeps");
    let pid = sleeping.pid();
    assert_eq!(
        found_after("it is seen to be late", 1),
        format!(
            "{path}: NOT WELL: process {pid} was to wake TIME ago, and has not: NOT RESPONDING: halted, pid {pid}, up TIME: 1 \
             child of 1, 1 idle, 0 busy\n"
        )
    );
    sleeping.signal(Signal::KILL);
    let _ = sleeping.finish();
}

/// A pool in which nobody is left for the next client is warned of, with how many wait.
#[test]
fn a_full_pool_is_warned_of() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "2", "--max-children", "2"]).board().daemon();
    wait_for_idle(&scene, 2);
    let requests: Vec<_> = (0..2).map(|_| InHand::at(scene.address(), "/sleep?ms=60000")).collect();
    let waiting: Vec<_> = (0..3)
        .map(|_| std::net::TcpStream::connect(scene.address()).expect("it listens"))
        .collect();
    let pid = daemon.pid();
    let expected = format!(
        "WARNING: full, 2 of 2 busy, 3 waiting: hello 0.1.0, pid {pid}, up TIME: 2 children of 2, 0 idle, 2 busy, queue 3 of 4096\n"
    );
    let mut found = String::new();
    wait_until(PATIENCE, "it is full", || {
        found = check(&scene, 0);
        found.contains("3 waiting")
    });
    assert_eq!(found, expected);
    drop((requests, waiting));
    daemon.signal(Signal::INT);
    daemon.assert_ends_in_order(PATIENCE);
}
