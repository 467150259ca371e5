//! A launch that fails says why, and leaves nothing running.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{
    Scratch, children, fixture, fixture_in_shell, lives, program, reap, run, skip, start, tests,
    text, until,
};

tests![
    says_it_in_the_daemons_own_words,
    cuts_a_reason_that_is_too_long,
    says_how_a_silent_daemon_ended,
    reports_a_daemon_that_gives_up_its_readiness,
    gives_up_after_the_time_limit,
    tells_a_late_daemon_once,
    does_not_let_a_late_daemon_serve,
    ends_with_its_launcher,
    is_not_believed_by_a_launcher_that_is_gone,
    is_not_ready_before_the_launcher_has_noted_it,
    refuses_to_fork_with_threads,
    refuses_to_fork_with_a_pid_file,
    names_a_missing_directory,
    survives_the_failure_of_any_system_call,
    reports_a_killed_watcher,
];

/// D2.
fn says_it_in_the_daemons_own_words(_: &Scratch) {
    let done = run(&mut fixture(&["daemon", "life=fail"]));
    done.assert_failed("cannot read settings: No such file or directory");
    assert_eq!(children(), [], "a process is left over");
}

fn cuts_a_reason_that_is_too_long(_: &Scratch) {
    let done = run(&mut fixture(&["daemon", "life=fail-loud"]));
    done.assert_failed("xxx [...]");
    assert!(done.stderr.len() <= 16 * 1024, "{} bytes", done.stderr.len());
}

fn says_how_a_silent_daemon_ended(_: &Scratch) {
    for (life, text) in [
        ("return", "exited with status 1"),
        ("exit", "exited with status 7"),
        ("panic", "exited with status 101"),
        ("killed", "killed by SIGKILL"),
    ] {
        let begun = Instant::now();
        let done = run(&mut fixture(&["daemon", &format!("life={life}")]));
        done.assert_failed("ended before it was ready");
        done.assert_failed(text);
        assert!(begun.elapsed() < Duration::from_secs(5), "{life} took {:?}", begun.elapsed());
        assert_eq!(children(), [], "{life}: a process is left over");
    }
}

fn reports_a_daemon_that_gives_up_its_readiness(scratch: &Scratch) {
    let events = format!("events={}", text(&scratch.path("events")));
    let done = run(&mut fixture(&["daemon", "life=abandon", &events]));
    done.assert_failed("without a reason; it was asked to stop");
    reap(daemon_of(scratch));
}

fn gives_up_after_the_time_limit(scratch: &Scratch) {
    let events = format!("events={}", text(&scratch.path("events")));
    let begun = Instant::now();
    let done = run(&mut fixture(&["daemon", "life=hang", "timeout=200", &events]));
    done.assert_failed("was not ready within 200ms");
    let daemon = daemon_of(scratch);
    done.assert_failed(&format!("(pid {})", daemon.as_raw_nonzero()));
    assert!(begun.elapsed() >= Duration::from_millis(200), "too early: {:?}", begun.elapsed());
    reap(daemon);
    assert_eq!(children(), [], "a process is left over");
}

/// A second SIGTERM may mean that it should hurry, and leave requests in hand.
fn tells_a_late_daemon_once(scratch: &Scratch) {
    let events = format!("events={}", text(&scratch.path("events")));
    let done = run(&mut fixture(&["daemon", "life=polite", "timeout=100", &events]));
    done.assert_failed("was not ready within 100ms");
    let daemon = daemon_of(scratch);
    assert_eq!(children(), [daemon], "the watcher has gone, and has said what it had to say");
    kill_process(daemon, Signal::KILL).expect("it lives");
    reap(daemon);
    assert_eq!(scratch.read("events").matches("term").count(), 1, "{}", scratch.read("events"));
}

/// The launcher has reported a failure, so the daemon must not believe that it serves.
fn does_not_let_a_late_daemon_serve(scratch: &Scratch) {
    let events = format!("events={}", text(&scratch.path("events")));
    // By then it is stubborn, on a busy machine too.
    let done = run(&mut fixture(&["daemon", "life=stubborn", "timeout=3000", &events]));
    done.assert_failed("was not ready within 3s");
    let daemon = daemon_of(scratch);
    assert!(lives(daemon), "it answers no SIGTERM, so it should live: {}", scratch.read("events"));
    say_go(scratch);
    until("the late daemon learns that nobody waits", || {
        scratch.read("events").contains("the launcher has gone")
    });
    reap(daemon);
}

/// Ctrl-C while the launcher waits, or its death, ends the daemon too.
fn ends_with_its_launcher(scratch: &Scratch) {
    for signal in [Signal::INT, Signal::KILL] {
        let _ = std::fs::remove_file(scratch.path("events"));
        let events = format!("events={}", text(&scratch.path("events")));
        let launcher = start(&mut fixture(&["daemon", "life=hang", &events]));
        until("the daemon runs", || scratch.read("events").contains('\n'));
        kill_process(launcher.pid(), signal).expect("cannot signal the launcher");
        let done = launcher.finish();
        assert!(!done.status.success(), "{done:?}");
        reap(daemon_of(scratch));
        until("the watcher ends", || {
            let _ = rustix::process::wait(rustix::process::WaitOptions::NOHANG);
            children().is_empty()
        });
    }
}

fn is_not_believed_by_a_launcher_that_is_gone(scratch: &Scratch) {
    let events = format!("events={}", text(&scratch.path("events")));
    let launcher = start(&mut fixture(&["daemon", "life=stubborn", &events]));
    until("the daemon runs", || scratch.read("events").contains('\n'));
    launcher.kill();
    say_go(scratch);
    until("the daemon learns that nobody waits", || {
        scratch.read("events").contains("the launcher has gone")
    });
}

/// A launcher that is killed after the daemon has spoken and before it has listened.
fn is_not_ready_before_the_launcher_has_noted_it(scratch: &Scratch) {
    let events = format!("events={}", text(&scratch.path("events")));
    let launcher = start(&mut fixture(&["daemon", "life=stubborn", &events]));
    until("the daemon runs", || scratch.read("events").contains('\n'));
    kill_process(launcher.pid(), Signal::STOP).expect("cannot stop the launcher");
    say_go(scratch);
    until("the daemon waits for the launcher", || {
        let state = crate::harness::stat(daemon_of(scratch)).map(|fields| fields[0].clone());
        scratch.read("events").contains("speaking") && state.as_deref() == Some("S")
    });
    launcher.kill();
    reap(daemon_of(scratch));
    let events = scratch.read("events");
    assert!(events.contains("the launcher has gone"), "it serves in vain: {events}");
}

fn refuses_to_fork_with_threads(_: &Scratch) {
    run(&mut fixture(&["daemon", "thread=yes"])).assert_failed("2 threads run in this process");
}

fn refuses_to_fork_with_a_pid_file(scratch: &Scratch) {
    let path = scratch.path("pid");
    let done = run(&mut fixture(&["daemon", &format!("hold-first={}", text(&path))]));
    done.assert_failed("create it in the daemon, after start");
}

/// D2.
fn names_a_missing_directory(_: &Scratch) {
    let done = run(&mut fixture(&["daemon", "directory=/nonexistent/run"]));
    done.assert_failed("cannot change to directory /nonexistent/run: No such file");
    assert_eq!(children(), []);
}

/// Each system call of a launch fails in turn, in whichever process makes it.
fn survives_the_failure_of_any_system_call(_: &Scratch) {
    for (rule, text) in [
        ("clone,clone3,fork,vfork:error=EAGAIN", "cannot fork the daemon"),
        ("setsid:error=EPERM", "cannot start a session for the daemon: Operation not permitted"),
        ("socketpair:error=EMFILE", "cannot make the channel"),
        ("chdir:error=EACCES", "cannot change to directory /: Permission denied"),
        ("dup2,dup3:error=EBUSY", "cannot redirect the standard descriptors"),
        ("pidfd_open:error=EMFILE", "cannot watch the daemon start"),
    ] {
        let mut command = std::process::Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("inject={rule}")]);
        command.arg(program()).args(["daemon", "life=hang"]).env(crate::fixture::MARK, "1");
        let begun = Instant::now();
        let Ok(_) = std::process::Command::new("strace").arg("-V").output() else {
            return skip("strace is not installed");
        };
        let done = run(&mut command);
        assert!(!done.status.success() && done.stderr.contains(text), "{rule}: {done:?}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{rule}: {:?}", begun.elapsed());
    }
}

/// The out-of-memory killer may choose the watcher; the launcher must not wait for ever.
fn reports_a_killed_watcher(scratch: &Scratch) {
    let events = format!("events={}", text(&scratch.path("events")));
    let launcher = start(&mut fixture_in_shell("exec \"$@\"", &["daemon", "life=hang", &events]));
    until("the daemon runs", || scratch.read("events").contains('\n'));
    let parent = crate::harness::stat(daemon_of(scratch)).expect("the daemon is gone")[1].clone();
    let watcher = parent.parse().ok().and_then(Pid::from_raw).expect("no parent");
    kill_process(watcher, Signal::KILL).expect("cannot kill the watcher");
    launcher.finish().assert_failed("its watcher was killed");
}

fn daemon_of(scratch: &Scratch) -> Pid {
    let events = scratch.read("events");
    let pid = events.lines().find_map(|line| line.strip_prefix("daemon ")?.parse().ok());
    pid.and_then(Pid::from_raw).unwrap_or_else(|| panic!("no daemon in {events:?}"))
}

fn say_go(scratch: &Scratch) {
    use std::io::Write;
    let file = std::fs::OpenOptions::new().append(true).open(scratch.path("events"));
    writeln!(file.expect("no events"), "go").expect("cannot write");
}
