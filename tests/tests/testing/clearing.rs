//! Nothing is left, and nobody else's is touched.

use std::{
    env, fs,
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    process::{Command, Stdio},
};

use prefork_testing::{PATIENCE, Signal, proc, wait_until};

use crate::{hello, pids};

/// Asserts that these processes are gone, and are no zombies either.
#[track_caller]
fn assert_gone(pids: &[u32]) {
    for pid in pids {
        assert_eq!(proc::find(*pid), None, "it should be gone and reaped");
    }
}

#[test]
fn a_daemon_that_is_dropped_is_gone_with_its_children() {
    let daemon = hello().start();
    let (pids, directory) = (pids(&daemon), daemon.path(""));
    assert_eq!(pids.len(), 3);
    drop(daemon);
    assert_gone(&pids);
    assert!(!directory.exists());
}

#[test]
fn a_daemon_in_the_background_that_is_dropped_is_gone_too() {
    let daemon = hello().args(["--daemonize"]).start();
    let pids = pids(&daemon);
    assert_eq!(pids.len(), 3);
    drop(daemon);
    assert_gone(&pids);
}

#[test]
fn a_test_that_panics_leaves_nothing_but_the_directory() {
    let daemon = hello().start();
    let (pids, directory) = (pids(&daemon), daemon.path(""));
    let failed = catch_unwind(AssertUnwindSafe(move || {
        let _daemon = daemon;
        panic!("this is part of a test: what follows are its daemon's files");
    }));
    assert!(failed.is_err());
    assert_gone(&pids);
    assert!(directory.join("error.log").exists(), "it is kept to be looked at");
    fs::remove_dir_all(directory).expect("it can be removed");
}

#[test]
fn what_a_killed_daemon_leaves_is_reaped() {
    let daemon = hello().start();
    let pids = pids(&daemon);
    daemon.signal(Signal::Kill);
    assert!(!daemon.wait_for_end(PATIENCE).is_success());
    drop(daemon);
    assert_gone(&pids);
}

#[test]
fn a_child_that_hangs_is_gone_too() {
    let daemon = hello().start();
    let pids = pids(&daemon);
    let hung = daemon.hang(0);
    assert!(pids.contains(&hung.pid));
    drop(daemon);
    assert_gone(&pids);
}

#[test]
fn what_the_test_has_started_itself_is_left_alone() {
    let mut ended = Command::new("/bin/true").spawn().expect("started");
    let mut lives = Command::new("/bin/cat").stdin(Stdio::piped()).spawn().expect("started");
    wait_until(PATIENCE, "the first one has ended", || {
        proc::find(ended.id()).is_some_and(|process| process.is_zombie())
    });
    drop(hello().start());
    assert!(ended.wait().is_ok_and(|status| status.success()), "its end was taken away");
    assert!(lives.try_wait().is_ok_and(|ended| ended.is_none()), "it was ended");
    drop(lives.stdin.take());
    assert!(lives.wait().is_ok_and(|status| status.success()));
}

/// The variable in which the program is told that it is to be the victim.
const VICTIM: &str = "PREFORK_TESTS_VICTIM";

/// Not a test by itself: it is run by the next one, in a program of its own.
#[test]
fn victim() {
    if env::var_os(VICTIM).is_none() {
        return;
    }
    let daemon = hello().start();
    let line = format!("victim {:?} {}\n", pids(&daemon), daemon.path("").display());
    io::stdout().write_all(line.as_bytes()).expect("somebody reads");
    assert!(
        Command::new("/bin/kill")
            .args(["-KILL", &std::process::id().to_string()])
            .status()
            .is_ok_and(|status| status.success())
    );
    unreachable!("it was killed");
}

#[test]
fn a_daemon_ends_with_its_test_program_however_that_ends() {
    let victim = Command::new(env::current_exe().expect("it is known"))
        .args(["--exact", "clearing::victim", "--nocapture"])
        .env(VICTIM, "1")
        .output()
        .expect("it can be run");
    let printed = String::from_utf8_lossy(&victim.stdout);
    let (_, found) = printed.split_once("victim [").expect("it has said who they are");
    let (pids, directory) = found.split_once("] ").expect("both");
    let pids: Vec<u32> = pids.split(", ").map(|pid| pid.parse().expect("a pid")).collect();
    assert_eq!(pids.len(), 3, "{printed}");
    assert!(!victim.status.success());
    // They may come to this program as zombies, since it reaps for what it has started.
    wait_until(PATIENCE, "all of them have ended", || {
        pids.iter().all(|pid| proc::find(*pid).is_none_or(|process| process.is_zombie()))
    });
    fs::remove_dir_all(directory.lines().next().expect("a line")).expect("it can be removed");
}
