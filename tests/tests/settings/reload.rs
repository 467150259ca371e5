//! Settings that are edited while the daemon serves.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown},
    time::Duration,
};

use nix::{sys::stat::Mode, unistd::mkfifo};
use prefork_tests::{
    Daemon, InHand, Launch, PATIENCE, Scene, get, holds_for, require_root, scene, wait_until,
};
use rustix::process::Signal;

const READ: &str = "settings read again: ";
const REFUSED: &str = "reload refused: ";

/// `hello` with a file of settings.
fn hello<'a>(scene: &'a Scene, settings: &str) -> Launch<'a> {
    write(scene, settings);
    scene.hello().board().path("--config", "hello.toml")
}

fn write(scene: &Scene, settings: &str) {
    fs::write(scene.path("hello.toml"), format!("[daemon]\n{settings}\n")).expect("written");
}

/// What distinguishes one program of a process from the next: where its memory is.
fn image(daemon: &Daemon<'_>) -> String {
    let maps = fs::read_to_string(format!("/proc/{}/maps", daemon.pid())).expect("it is there");
    maps.lines().next().unwrap_or_default().to_owned()
}

/// Asks for a reload of the settings, and waits until all children are new; returns what is logged of that.
#[track_caller]
fn reload(scene: &Scene, daemon: &Daemon<'_>) -> String {
    let (before, old) = (scene.logged("all children are of generation"), daemon.living());
    daemon.signal(Signal::HUP);
    wait_until(PATIENCE, "all children are new", || {
        scene.logged("all children are of generation") > before
            && daemon.living().iter().all(|child| !old.contains(child))
    });
    scene.lines_with("error.log", READ).pop().unwrap_or_default()
}

/// Asks for a reload of settings that are wrong: no child is replaced. Returns why.
#[track_caller]
fn refused(scene: &Scene, daemon: &Daemon<'_>) -> String {
    let (before, old) = (scene.logged(REFUSED), daemon.living());
    daemon.signal(Signal::HUP);
    wait_until(PATIENCE, "the reload is refused", || scene.logged(REFUSED) > before);
    holds_for(Duration::from_millis(300), "nobody is replaced", || {
        daemon.living() == old && scene.logged("replacing all children") == 0
    });
    daemon.get("/").expect("it serves");
    scene.lines_with("error.log", REFUSED).pop().unwrap_or_default()
}

/// L10: that the program's own part of a file has changed is logged where it has, and not for each edit.
#[test]
fn only_what_is_the_programs_own_takes_an_upgrade() {
    let scene = scene!();
    let notices = |scene: &Scene| scene.logged("is the program's own there");
    let daemon = hello(&scene, "prefork = 2").daemon();
    write(&scene, "# more of them\nprefork = 3");
    reload(&scene, &daemon);
    assert_eq!(notices(&scene), 0, "{}", scene.read("error.log"));
    let own = format!("listen = [\"{}\"]\n[daemon]\nprefork = 2\n", scene.other_address());
    fs::write(scene.path("hello.toml"), own).expect("written");
    reload(&scene, &daemon);
    let path = scene.path("hello.toml").display().to_string();
    let line = format!(
        "parent info: {path} has changed: what is the program's own there, such as addresses to listen on, takes an upgrade \
         (SIGUSR2)"
    );
    assert_eq!(scene.logged(&line), 1, "{}", scene.read("error.log"));
    write(&scene, "prefork = 2");
    reload(&scene, &daemon);
    assert_eq!(notices(&scene), 1, "it is as it was: {}", scene.read("error.log"));
    daemon.stop_in_order();
}

/// L10: the same process of the same program has another number of children, up and down, and other limits.
#[test]
fn a_reload_applies_what_the_file_says_by_then() {
    let scene = scene!();
    let daemon = hello(&scene, "prefork = 2\nmax_children = 4").daemon();
    let image_before = image(&daemon);
    for (prefork, max_children) in [(30, 40), (3, 3), (1, 150)] {
        write(&scene, &format!("prefork = {prefork}\nmax_children = {max_children}"));
        let line = reload(&scene, &daemon);
        assert!(line.contains(&format!("prefork {prefork}, was ")), "{line}");
        assert!(line.contains(&format!("max_children {max_children}, was ")), "{line}");
        daemon.wait_for_children(PATIENCE, prefork, &[]);
        daemon.get("/").expect("it serves");
    }
    assert_eq!(image(&daemon), image_before, "it is the same program");
    assert_eq!(scene.logged("error:") + scene.logged("trying the program"), 0);
    // The board has grown with it, and shows all of them.
    let pages = fs::metadata(scene.path("scoreboard")).expect("there").len() / 4096;
    assert!(pages > 150, "{pages}");
    write(&scene, "prefork = 100");
    reload(&scene, &daemon);
    daemon.wait_for_children(PATIENCE, 100, &[]);
    let board = prefork::scoreboard::Board::open(scene.path("scoreboard")).expect("a board");
    wait_until(PATIENCE, "all are on the board", || {
        let snapshot = board.snapshot().or_else(|_| {
            prefork::scoreboard::Board::open(scene.path("scoreboard")).expect("there").snapshot()
        });
        let records = snapshot.expect("read");
        let taken = records.records().iter().filter(|record| record.pid().is_some()).count();
        taken == 100
    });
    daemon.stop_in_order();
}

/// L10: a daemon that serves logs more, and then less again; the change itself is logged.
#[test]
fn another_level_of_the_log_is_in_force_at_once() {
    let scene = scene!();
    let daemon = hello(&scene, "prefork = 1\nmax_children = 1").daemon();
    let debug = || scene.logged(" parent debug: ");
    assert_eq!(debug(), 0);
    write(&scene, "prefork = 1\nmax_children = 1\nlog_level = \"debug\"");
    assert!(reload(&scene, &daemon).contains("log_level debug, was info"));
    wait_until(PATIENCE, "the new child is logged", || {
        scene.logged("started, of generation 2") == 1
    });
    write(&scene, "prefork = 1\nmax_children = 1\nlog_level = \"error\"");
    let old = daemon.living();
    daemon.signal(Signal::HUP);
    scene.wait_for_line("log_level error, was debug");
    daemon.wait_for_children(PATIENCE, 1, &old);
    daemon.stop_in_order();
    assert_eq!(scene.logged("by generation 3") + scene.logged("stopping"), 0);
}

/// L10: limits hold for children at work, and for new ones.
#[test]
fn limits_are_in_force_from_then_on() {
    let scene = scene!();
    let daemon = hello(&scene, "prefork = 1\nmax_children = 1").daemon();
    write(
        &scene,
        "prefork = 1\nmax_children = 1\nmax_requests = 5\nrequest_timeout = \"300ms\"\numask = \"077\"",
    );
    let line = reload(&scene, &daemon);
    for words in
        ["max_requests 5, was none", "request_timeout 300 ms, was none", "umask 077, was none"]
    {
        assert!(line.contains(words), "{line}");
    }
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.living()[0]));
    assert!(status.expect("it lives").contains("Umask:\t0077\n"));
    // A child that takes longer is ended, and one that has answered five requests or so is replaced.
    InHand::at(scene.address(), "/sleep?ms=60000").answer().expect_err("it takes too long");
    assert_eq!(scene.logged("has been at one request for"), 1);
    daemon.wait_for_children(PATIENCE, 1, &[]);
    let first = daemon.living();
    wait_until(PATIENCE, "the child is replaced", || {
        let _ = daemon.get("/");
        daemon.living().iter().all(|child| !first.contains(child))
    });
    // What is taken out of the file is as at a start without it.
    write(&scene, "prefork = 1\nmax_children = 1");
    let line = reload(&scene, &daemon);
    for words in
        ["max_requests none, was 5", "request_timeout none, was 300 ms", "umask none, was 077"]
    {
        assert!(line.contains(words), "{line}");
    }
    let request = InHand::at(scene.address(), "/sleep?ms=700");
    request.answer().expect("nobody ends it");
    let line = reload(&scene, &daemon);
    assert!(line.ends_with("none that is in force has changed"), "{line}");
    daemon.stop_in_order();
}

/// L10: the command line goes before the file, as at a start; so does what operators have asked for by signals, until
/// the file says something else.
#[test]
fn flags_go_before_the_file() {
    let scene = scene!();
    let daemon = hello(&scene, "prefork = 9\ngraceful_timeout = 5")
        .args(["--prefork", "2", "--max-children", "10"])
        .daemon();
    daemon.wait_for_children(PATIENCE, 2, &[]);
    write(&scene, "prefork = 7\nmax_children = 8\ngraceful_timeout = 6");
    let line = reload(&scene, &daemon);
    assert!(line.ends_with(&format!("{READ}graceful_timeout 6 s, was 5 s")), "{line}");
    daemon.wait_for_children(PATIENCE, 2, &[]);
    daemon.signal(Signal::TTIN);
    daemon.wait_for_children(PATIENCE, 3, &[]);
    write(&scene, "graceful_timeout = 7");
    reload(&scene, &daemon);
    daemon.wait_for_children(PATIENCE, 3, &[]);
    daemon.stop_in_order();
}

/// L10: what takes an upgrade is named and stays, and the rest is in force.
#[test]
fn what_takes_an_upgrade_is_named() {
    let scene = scene!();
    let (page, other) = (scene.page(), scene.other_address());
    let text = format!("listen = [\"{}\"]\n[daemon]\nprefork = 2\n", scene.address());
    fs::write(scene.path("hello.toml"), text).expect("written");
    let hello = scene.tool(env!("CARGO_BIN_EXE_hello")).board().path("--config", "hello.toml");
    let daemon = hello.daemon();
    let text = format!(
        "listen = [\"{other}\"]\n[daemon]\nprefork = 3\nscoreboard_in_memory = false\nname = \"x\"\n\
         status_listen = \"{page}\"\nkeep_descendants = true\nrequire_root = false\n\
         auto_reload_check_every = 1\nauto_reload_handler = \"reload\"\n"
    );
    fs::write(scene.path("hello.toml"), text).expect("written");
    let line = reload(&scene, &daemon);
    assert!(line.ends_with(&format!("{READ}prefork 3, was 2")), "{line}");
    let line = scene.lines_with("error.log", "take an upgrade (SIGUSR2): ").pop().expect("logged");
    for name in ["name", "status_listen", "keep_descendants", "auto_reload_check_every"] {
        assert!(line.contains(name), "{name}: {line}");
    }
    for name in ["require_root", "scoreboard_in_memory", "prefork,", "pid_path"] {
        assert!(!line.contains(name), "{name}: {line}");
    }
    assert_eq!(scene.logged("such as addresses to listen on, takes an upgrade"), 1);
    daemon.get("/").expect("it serves where it did");
    assert!(get(page, "/status").is_err() && get(other, "/").is_err());
    // They are not forgotten.
    reload(&scene, &daemon);
    assert_eq!(scene.logged("take an upgrade (SIGUSR2): "), 2);
    daemon.signal(Signal::USR2);
    wait_until(PATIENCE, "it serves where the file says", || {
        get(other, "/").is_ok() && get(page, "/status").is_ok()
    });
    daemon.stop_in_order();
}

/// L10: settings that are wrong are named, and nothing changes, however they are wrong.
#[test]
fn wrong_settings_leave_all_as_it_was() {
    let scene = scene!();
    let daemon = hello(&scene, "prefork = 2\nmax_children = 4").daemon();
    for (text, words) in [
        (
            "prefork = 9\n",
            ":1: prefork: 9 is greater than max_children (4); the settings in force stay",
        ),
        (
            "max_childern = 9\n",
            "hello.toml:2:1: max_childern: unknown key; did you mean `max_children`?",
        ),
        (
            "prefork = 1\nstart_timeout = \"soon\"\n",
            "hello.toml:4:1: start_timeout: must be a number of seconds",
        ),
        ("prefork = [\n", "hello.toml: "),
        ("prefork = 0\nmax_children = 150\n", "prefork is 0"),
    ] {
        let max = if text.contains("max_chil") { "" } else { "max_children = 4\n" };
        write(&scene, &format!("{max}{text}"));
        let line = refused(&scene, &daemon);
        assert!(line.contains(words), "{words}: {line}");
        assert!(line.ends_with("the settings in force stay, and no child is replaced"), "{line}");
    }
    fs::remove_file(scene.path("hello.toml")).expect("removed");
    let line = refused(&scene, &daemon);
    assert!(line.contains("cannot read settings") && line.contains("No such file"), "{line}");
    daemon.wait_for_children(PATIENCE, 2, &[]);
    write(&scene, "prefork = 3\nmax_children = 4\n");
    reload(&scene, &daemon);
    daemon.wait_for_children(PATIENCE, 3, &[]);
    daemon.stop_in_order();
}

/// L10: a file that cannot be read to its end: the parent does not wait for it, and gives it up in time.
#[test]
fn a_file_that_never_ends_keeps_nobody() {
    let scene = scene!();
    let daemon = hello(&scene, "prefork = 2\nstart_timeout = 1").daemon();
    let file = scene.path("hello.toml");
    fs::remove_file(&file).expect("removed");
    mkfifo(&file, Mode::S_IRUSR).expect("made");
    let old = daemon.living();
    daemon.signal(Signal::HUP);
    wait_until(PATIENCE, "somebody reads it", || scene.logged("reading the settings") == 1);
    // The parent has other things to do meanwhile.
    daemon.signal(Signal::TTIN);
    wait_until(PATIENCE, "it answers", || scene.logged("prefork is now 3") == 1);
    wait_until(PATIENCE, "it is given up", || {
        scene.logged("the settings were not read in 1 s; the settings in force stay") == 1
    });
    assert!(old.iter().all(|child| daemon.living().contains(child)));
    daemon.wait_for_children(PATIENCE, 3, &[]);
    // So is one that is asked to stop.
    daemon.signal(Signal::HUP);
    wait_until(PATIENCE, "somebody reads it", || scene.logged("reading the settings") == 2);
    daemon.stop_in_order();
}

/// L10: a parent that has become another user reads as that user.
#[test]
fn a_parent_that_is_root_no_more_reads_what_it_may() {
    if !require_root() {
        return;
    }
    let scene = scene!();
    let privileges = ["--user", "nobody", "--require-root"];
    let daemon = hello(&scene, "prefork = 2\ndrop_parent = true").args(privileges).daemon();
    let file = scene.path("hello.toml");
    write(&scene, "prefork = 3\ndrop_parent = true");
    reload(&scene, &daemon);
    daemon.wait_for_children(PATIENCE, 3, &[]);
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("set");
    let count = scene.logged(REFUSED);
    daemon.signal(Signal::HUP);
    wait_until(PATIENCE, "it is refused", || scene.logged(REFUSED) > count);
    let line = scene.lines_with("error.log", REFUSED).pop().expect("there");
    assert!(line.contains("hello.toml") && line.contains("Permission denied"), "{line}");
    daemon.signal(Signal::TERM);
    daemon.wait_for_end(PATIENCE);
}

/// L10: root takes no settings from a file that others can write.
#[test]
fn root_reads_no_settings_of_others() {
    if !require_root() {
        return;
    }
    let scene = scene!();
    let daemon = hello(&scene, "prefork = 2").daemon();
    chown(scene.path("hello.toml"), Some(65_534), None).expect("given away");
    let line = refused(&scene, &daemon);
    assert!(line.contains("are not root's alone"), "{line}");
    daemon.stop_in_order();
}

/// L10: programs without a file of settings reload as they always have.
#[test]
fn where_arguments_are_code_nothing_is_read() {
    let scene = scene!();
    let daemon = scene.probe().daemon();
    let old = daemon.living();
    daemon.signal(Signal::HUP);
    daemon.wait_for_children(PATIENCE, 3, &old);
    assert_eq!(scene.logged("the settings"), 0);
    daemon.stop_in_order();
}

/// L10: a reload during a reload reads what the file says by then, and many are one more.
#[test]
fn the_last_of_many_reloads_counts() {
    let scene = scene!();
    let daemon = hello(&scene, "prefork = 2").daemon();
    for prefork in 3..9 {
        write(&scene, &format!("prefork = {prefork}"));
        // Stopped, so that it takes the twenty as one, on any processor.
        daemon.signal(Signal::STOP);
        for _ in 0..20 {
            daemon.signal(Signal::HUP);
        }
        daemon.signal(Signal::CONT);
    }
    wait_until(PATIENCE, "the last one is in force", || daemon.living().len() == 8);
    wait_until(PATIENCE, "all are new", || {
        let begun = scene.logged("replacing all children");
        begun == scene.logged("all children are of generation") && begun > 0
    });
    assert!(scene.logged("reading the settings") <= 12);
    assert_eq!(scene.logged("error:"), 0);
    daemon.stop_in_order();
}
