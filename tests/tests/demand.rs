//! Pools that follow what their program reports of jobs that wait.

use std::{fs::File, io::Write, time::Duration};

use prefork::scoreboard::{Board, names};
use prefork_tests::{
    Daemon, Launch, PATIENCE, Scene, find_process, holds_for, kill, require_open_to_others,
    require_root, require_tool, scene, wait_until,
};
use rustix::process::Signal;

/// How a test has the hook report a number, or do something else.
fn report(scene: &Scene, what: &str) {
    let mut options = File::options();
    let file = options.create(true).write(true).truncate(false).open(scene.path("demand"));
    // At once: a hook that reads meanwhile sees the one or the other.
    let text = format!("{what:<16}");
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("it can be written");
}

fn demanding<'a>(scene: &'a Scene, says: &str) -> Launch<'a> {
    report(scene, "0");
    let launch = scene.tool(env!("CARGO_BIN_EXE_demanding"));
    launch.path("--witness", "witness").path("--demand", "demand").board().args(["--says", says])
}

/// The processes that were asked, in their order, each once, with their users.
fn asked(scene: &Scene) -> Vec<(u32, u32)> {
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).expect("a number");
    let lines = scene.lines_with("witness", "asked ").into_iter().map(|line| {
        let mut words = line.split(' ').skip(1);
        (number(words.next()), number(words.next()))
    });
    let mut all: Vec<_> = lines.collect();
    all.dedup();
    all
}

/// Waits until the hook has been called so many times more.
fn wait_for_calls(scene: &Scene, more: usize) {
    let calls = || scene.lines_with("witness", "asked ").len();
    let before = calls();
    wait_until(PATIENCE, "the hook is called", || calls() >= before + more);
}

#[track_caller]
fn wait_for_size(daemon: &Daemon<'_>, size: usize) {
    wait_until(PATIENCE, &format!("there are {size} children"), || daemon.living().len() == size);
}

fn shown(scene: &Scene) -> Option<String> {
    let board = Board::open(scene.path("scoreboard")).expect("it is there");
    board.facts().expect("they can be read").get(names::JOBS_WAITING).map(str::to_owned)
}

#[test]
fn a_pool_grows_for_jobs_and_comes_back() {
    for says in ["work", "look"] {
        let scene = scene!();
        let daemon = demanding(&scene, says).daemon();
        daemon.wait_for_children(PATIENCE, 1, &[]);
        report(&scene, "20");
        wait_for_size(&daemon, 8);
        wait_until(PATIENCE, "it is shown", || shown(&scene).as_deref() == Some("20"));
        assert!(scene.logged("max_children (8) reached: ") >= 1);
        assert_eq!(scene.logged(", 20 jobs waiting; raise it if this lasts"), 1);
        report(&scene, "0");
        wait_for_size(&daemon, 1);
        wait_until(PATIENCE, "that is shown", || shown(&scene).as_deref() == Some("0"));
        assert_eq!(scene.logged("work waits while every child counts as idle"), 0);
        daemon.stop_in_order();
        assert_eq!(asked(&scene).len(), 1, "one process for all calls");
        scene.assert_nothing_is_left();
    }
}

#[test]
fn children_that_say_nothing_are_more_for_jobs_and_are_not_ended_for_want_of_any() {
    let scene = scene!();
    let daemon = demanding(&scene, "nothing").daemon();
    report(&scene, "3");
    wait_for_size(&daemon, 8);
    assert_eq!(scene.logged("work waits while every child counts as idle"), 1);
    report(&scene, "0");
    holds_for(Duration::from_secs(2), "all of them stay", || daemon.living().len() == 8);
    daemon.stop_in_order();
}

/// What it reads comes from others, for as long as the daemon lives.
#[test]
fn the_process_that_is_asked_has_the_rights_of_a_child() {
    if !require_root() {
        return;
    }
    let scene = scene!();
    let daemon = demanding(&scene, "work").args(["--user", "65534", "--group", "65534"]).daemon();
    report(&scene, "2");
    wait_until(PATIENCE, "the pool has grown", || daemon.living().len() >= 3);
    let asked = asked(&scene);
    assert_eq!(asked.iter().map(|(_, user)| *user).collect::<Vec<_>>(), [65534]);
    daemon.stop_in_order();
}

#[test]
fn a_daemon_of_nobody_asks_too() {
    if !require_root() || !require_tool("setpriv") {
        return;
    }
    let scene = scene!();
    let nobody =
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"];
    if !require_open_to_others(env!("CARGO_BIN_EXE_demanding").as_ref()) {
        return;
    }
    std::os::unix::fs::chown(scene.path(""), Some(65534), Some(65534)).expect("root may");
    let daemon = demanding(&scene, "work").under(nobody).foreground();
    report(&scene, "20");
    wait_for_size(&daemon, 8);
    report(&scene, "0");
    wait_for_size(&daemon, 1);
    daemon.stop_in_order();
}

#[test]
fn a_hook_that_fails_is_logged_once_until_it_works_again() {
    for (does, line) in [
        ("fail", "demand failed: the queue does not answer"),
        ("panic", "demand failed: panicked: the queue is in disorder"),
        ("exit", "demand has ended its process before it returned; going on"),
    ] {
        let scene = scene!();
        let daemon = demanding(&scene, "work").daemon();
        wait_for_calls(&scene, 1);
        for episode in 1..=2 {
            report(&scene, does);
            wait_for_calls(&scene, 6);
            assert_eq!(scene.logged(line), episode, "{does}");
            // Nor does the panic itself fill the log.
            let panics = scene.logged("panicked at");
            assert_eq!(panics, if does == "panic" { episode } else { 0 });
            wait_until(PATIENCE, "nobody knows how many wait", || shown(&scene).is_none());
            report(&scene, "0");
            wait_until(PATIENCE, "it works", || scene.logged("demand works again") == episode);
        }
        daemon.stop_in_order();
        scene.assert_nothing_is_left();
    }
}

/// The parent reaps, replaces and serves meanwhile, and what the hook has started is ended with it.
#[test]
fn a_hook_that_hangs_is_ended_with_what_it_has_started() {
    let scene = scene!();
    let daemon = demanding(&scene, "work").args(["--hook-timeout", "400"]).daemon();
    wait_for_calls(&scene, 1);
    report(&scene, "hang");
    let started = || scene.lines_with("witness", "started ");
    wait_until(PATIENCE, "three have hung", || started().len() >= 3);
    assert_eq!(scene.logged("demand has not returned in 400 ms; not waiting any longer"), 1);
    let child = daemon.living()[0];
    assert!(kill(child, Signal::KILL));
    daemon.wait_for_children(PATIENCE, 1, &[child]);
    report(&scene, "20");
    wait_for_size(&daemon, 8);
    assert_eq!(scene.logged("demand works again"), 1);
    for line in started() {
        let pid: u32 = line.trim_start_matches("started ").parse().expect("a pid");
        let is_gone = || find_process(pid).is_none_or(|process| process.is_zombie());
        wait_until(PATIENCE, "what it has started is gone", is_gone);
    }
    daemon.stop_in_order();
    scene.assert_nothing_is_left();
}

#[test]
fn a_stop_does_not_wait_for_a_hook_that_hangs() {
    let scene = scene!();
    let daemon = demanding(&scene, "work").args(["--hook-timeout", "600000"]).daemon();
    report(&scene, "hang");
    wait_until(PATIENCE, "it hangs", || !scene.lines_with("witness", "started ").is_empty());
    daemon.stop_in_order();
    scene.assert_nothing_is_left();
}

/// By somebody, or by the kernel for want of memory.
#[test]
fn a_process_that_was_killed_is_replaced() {
    let scene = scene!();
    let daemon = demanding(&scene, "work").daemon();
    wait_for_calls(&scene, 1);
    let (first, _) = asked(&scene)[0];
    assert!(kill(first, Signal::KILL));
    wait_until(PATIENCE, "another one is asked", || asked(&scene).len() == 2);
    report(&scene, "20");
    wait_for_size(&daemon, 8);
    daemon.stop_in_order();
}

#[test]
fn a_new_program_and_new_logs_have_a_process_of_their_own() {
    let scene = scene!();
    let daemon = demanding(&scene, "work").daemon();
    wait_for_calls(&scene, 1);
    let before = asked(&scene).len();
    std::fs::rename(scene.path("error.log"), scene.path("old.log")).expect("renamed");
    daemon.signal(Signal::USR1);
    wait_until(PATIENCE, "another one is asked", || asked(&scene).len() > before);
    report(&scene, "print");
    wait_until(PATIENCE, "it prints into the new log", || scene.logged("printed by") > 0);
    assert_eq!(scene.lines_with("old.log", "printed by").len(), 0);
    report(&scene, "20");
    wait_for_size(&daemon, 8);
    let before = asked(&scene).len();
    daemon.signal(Signal::USR2);
    scene.wait_for_line("this program goes on with");
    wait_until(PATIENCE, "its own one is asked", || asked(&scene).len() > before);
    report(&scene, "0");
    wait_for_size(&daemon, 1);
    daemon.stop_in_order();
    scene.assert_nothing_is_left();
}
