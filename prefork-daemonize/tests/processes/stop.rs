//! Stopping ends the daemon, and nothing but the daemon.

use std::time::{Duration, Instant};

use prefork_daemonize::{
    Holder, Signalled, StopError, StopOptions, Stopped, running, signal, stop,
};
use rustix::process::{Signal, kill_process};

use crate::harness::{Scratch, fixture, lives, reap, run, skip, start, status, tests, text, until};

tests![
    ends_a_daemon_that_listens,
    kills_a_daemon_that_does_not_listen,
    leaves_a_daemon_alone_that_is_not_to_be_killed,
    ends_a_daemon_that_is_stopped,
    finds_nothing_to_stop,
    sends_one_signal_to_the_owner,
    waits_for_children_that_hold_the_lock,
    is_content_when_another_daemon_takes_the_file_over,
    refuses_a_lock_without_an_owner,
    knows_the_owner_across_pid_namespaces,
];

fn daemon(scratch: &Scratch, settings: &[&str]) -> rustix::process::Pid {
    let pid_file = format!("pidfile={}", text(&scratch.path("pid")));
    let events = format!("events={}", text(&scratch.path("events")));
    let mut words = vec!["daemon", &pid_file, &events];
    words.extend_from_slice(settings);
    run(&mut fixture(&words)).daemon()
}

fn raw(pid: rustix::process::Pid) -> Option<prefork_daemonize::Pid> {
    prefork_daemonize::Pid::from_raw(pid.as_raw_nonzero().get())
}

fn ends_a_daemon_that_listens(scratch: &Scratch) {
    let pid = daemon(scratch, &[]);
    let stopped = stop(scratch.path("pid"), &StopOptions::new()).expect("refused");
    assert_eq!(Some(stopped), raw(pid).map(|pid| Stopped::Terminated { pid }));
    assert!(!lives(pid), "stop returned while it lives");
    assert!(!scratch.path("pid").exists(), "it did not remove its file");
}

fn kills_a_daemon_that_does_not_listen(scratch: &Scratch) {
    let pid = daemon(scratch, &["life=deaf"]);
    let begun = Instant::now();
    let grace = Duration::from_millis(300);
    let stopped = stop(scratch.path("pid"), &StopOptions::new().grace(grace)).expect("refused");
    assert_eq!(Some(stopped), raw(pid).map(|pid| Stopped::Killed { pid }));
    assert!(begun.elapsed() >= grace, "killed too early: {:?}", begun.elapsed());
    assert!(!lives(pid), "stop returned while it lives");
    assert_eq!(running(scratch.path("pid")).expect("refused"), Holder::Nobody);
    daemon(scratch, &[]);
}

fn leaves_a_daemon_alone_that_is_not_to_be_killed(scratch: &Scratch) {
    let daemon = daemon(scratch, &["life=deaf"]);
    let grace = Duration::from_millis(300);
    let options = StopOptions::new().grace(grace).never_kill();
    let refused = stop(scratch.path("pid"), &options).expect_err("it does not end by itself");
    let StopError::StillStopping { pid, waited, .. } = refused else { panic!("{refused:?}") };
    assert_eq!((Some(pid), waited), (raw(daemon), grace));
    assert!(lives(daemon), "it was killed");
}

fn ends_a_daemon_that_is_stopped(scratch: &Scratch) {
    let pid = daemon(scratch, &[]);
    kill_process(pid, Signal::STOP).expect("cannot stop");
    let stopped = stop(scratch.path("pid"), &StopOptions::new()).expect("refused");
    assert_eq!(Some(stopped), raw(pid).map(|pid| Stopped::Terminated { pid }));
}

fn finds_nothing_to_stop(scratch: &Scratch) {
    let path = scratch.path("pid");
    let nothing = Ok(Stopped::NotRunning);
    assert_eq!(stop(&path, &StopOptions::new()).map_err(drop), nothing);
    let pid = daemon(scratch, &[]);
    kill_process(pid, Signal::KILL).expect("cannot kill");
    reap(pid);
    assert!(path.exists(), "a killed daemon leaves its file");
    assert_eq!(stop(&path, &StopOptions::new()).map_err(drop), nothing);
    assert_eq!(running(&path).map_err(drop), Ok(Holder::Nobody));
}

fn sends_one_signal_to_the_owner(scratch: &Scratch) {
    let path = scratch.path("pid");
    let hup = prefork_daemonize::Signal::Hup;
    assert_eq!(signal(&path, hup).map_err(drop), Ok(Signalled::NotRunning));
    let pid = daemon(scratch, &[]);
    let sent = raw(pid).map(|pid| Signalled::Sent { pid });
    assert_eq!(signal(&path, hup).ok(), sent);
    until("the daemon has it", || scratch.read("events").ends_with("hup\n"));
    assert!(lives(pid));
}

/// Stopped means that the next start works, so the children that hold the lock count too.
fn waits_for_children_that_hold_the_lock(scratch: &Scratch) {
    let pid = daemon(scratch, &["child=yes"]);
    kill_process(pid, Signal::STOP).expect("cannot stop");
    // With its name gone the file would keep nobody out, so the daemon must not remove it.
    let child = scratch.read("events");
    let child = child.lines().find_map(|line| line.strip_prefix("child ")?.parse().ok());
    let child = child.and_then(rustix::process::Pid::from_raw).expect("no child");
    let stopper = start(&mut fixture(&["stop", text(&scratch.path("pid")), "0"]));
    until("the daemon is dead", || !lives(pid));
    kill_process(child, Signal::KILL).expect("cannot kill");
    let done = stopper.finish();
    assert!(done.status.success(), "{done:?}");
    daemon(scratch, &[]);
}

/// Locked by something that is no daemon of this crate.
fn refuses_a_lock_without_an_owner(scratch: &Scratch) {
    let path = scratch.path("pid");
    let file = std::fs::File::create(&path).expect("cannot create");
    let lock = crate::fixture::whole_file(nix::libc::F_WRLCK).expect("in range");
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_OFD_SETLK(&lock)).expect("cannot lock");
    let begun = Instant::now();
    let error = stop(&path, &StopOptions::new()).expect_err("stopped").to_string();
    assert!(error.contains("no process proves to own it"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(3), "it waited: {:?}", begun.elapsed());
}

/// A killed daemon leaves its file, and the next start takes it over, lock and all, before the
/// stop has looked at the lock again.
fn is_content_when_another_daemon_takes_the_file_over(scratch: &Scratch) {
    let old = daemon(scratch, &["life=deaf"]);
    let stopper = start(&mut fixture(&["stop", text(&scratch.path("pid")), "20000"]));
    // Before that it would, rightly, find and stop the new daemon.
    until("SIGTERM waits for the old daemon", || status(old, "ShdPnd") == "0000000000004000");
    kill_process(stopper.pid(), Signal::STOP).expect("cannot stop");
    kill_process(old, Signal::KILL).expect("cannot kill");
    reap(old);
    let new = daemon(scratch, &[]);
    kill_process(stopper.pid(), Signal::CONT).expect("cannot continue");
    let done = stopper.finish();
    assert!(done.status.success(), "{done:?}");
    assert!(lives(new), "the stop of the old daemon has ended the new one");
}

/// The number in the file of a container's daemon means another process outside.
fn knows_the_owner_across_pid_namespaces(scratch: &Scratch) {
    let path = scratch.path("pid");
    let in_namespace = |args: &[&str]| {
        let mut command = std::process::Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.arg(crate::harness::program()).args(args);
        command.env(crate::fixture::MARK, "1").stdin(std::process::Stdio::piped());
        command
    };
    let nowhere = scratch.path("nowhere");
    if !run(&mut in_namespace(&["running", text(&nowhere)])).status.success() {
        return skip("unshare is not installed, or this user may not make namespaces");
    }
    let inside = start(&mut in_namespace(&["hold", text(&path)]));
    until("the daemon in the namespace holds the file", || scratch.read("pid") == "1\n");
    until("its record lock is there", || running(&path).is_ok_and(|h| h.pid().is_some()));
    let holder = running(&path).expect("refused").pid().expect("no owner");
    let seen = rustix::process::Pid::from_raw(holder.as_raw()).expect("positive");
    assert_eq!(status(seen, "NSpid"), format!("{holder}\t1"), "this is not the daemon");
    assert!(inside.finish().status.success());

    daemon(scratch, &[]);
    let done = run(&mut in_namespace(&["running", text(&path)]));
    assert_eq!(done.stdout, "Unproven", "{done:?}");
    let done = run(&mut in_namespace(&["stop", text(&path), "100"]));
    done.assert_failed("no process proves to own it");
}
