//! A daemon is what a daemon should be.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::{
    Scratch, children, descriptors, fixture, fixture_in_shell, lives, run, stat, status, tests,
    text, until,
};

tests![
    serves_when_the_launcher_has_returned,
    has_neither_terminal_nor_session_of_its_own,
    enters_the_wanted_directory_with_the_wanted_umask,
    has_dev_null_below_three_when_started_without,
    keeps_no_descriptor_of_its_starter,
    keeps_what_it_is_to_keep,
    sends_its_output_to_the_log,
    resets_signals_that_its_starter_ignored,
    leaves_signals_alone_when_asked,
    gives_files_the_documented_modes_under_any_umask,
    leaves_no_process_between_launcher_and_daemon,
    writes_buffered_text_once,
];

/// D1: exit status 0 comes only when clients are served. Also guards against a watcher that takes
/// the leaving of a contented launcher for a failure, and stops the daemon behind its back.
fn serves_when_the_launcher_has_returned(scratch: &Scratch) {
    for round in 0..50 {
        let socket = scratch.path(&format!("socket{round}"));
        let pid = run(&mut fixture(&["daemon", &format!("listen={}", text(&socket))])).daemon();
        std::os::unix::net::UnixStream::connect(&socket)
            .unwrap_or_else(|error| panic!("round {round}: reported ready, refuses: {error}"));
        assert!(lives(pid), "round {round}: the pid that was reported is not the daemon's");
    }
}

/// D6.
fn has_neither_terminal_nor_session_of_its_own(_: &Scratch) {
    let pid = run(&mut fixture(&["daemon"])).daemon();
    let fields = stat(pid).expect("the daemon is gone");
    let me = pid.as_raw_nonzero().to_string();
    let ours = stat(rustix::process::getpid()).expect("no /proc");
    assert_ne!(fields[3], me, "it leads its session, so the next terminal it opens is its own");
    assert_ne!(fields[3], ours[3], "it is still in the session of its starter");
    assert_eq!(fields[4], "0", "it has a controlling terminal");
    let cwd = std::fs::read_link(format!("/proc/{me}/cwd")).expect("no cwd");
    assert_eq!(cwd, Path::new("/"));
    assert_eq!(status(pid, "Umask"), "0022");
}

fn enters_the_wanted_directory_with_the_wanted_umask(scratch: &Scratch) {
    let directory = format!("directory={}", text(&scratch.path("")));
    let pid = run(&mut fixture(&["daemon", &directory, "umask=027"])).daemon();
    let cwd = std::fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())).expect("no cwd");
    assert_eq!(cwd, scratch.path("").canonicalize().expect("no directory"));
    assert_eq!(status(pid, "Umask"), "0027");
}

/// D4.
fn has_dev_null_below_three_when_started_without(scratch: &Scratch) {
    let events = format!("events={}", text(&scratch.path("events")));
    let done = run(&mut fixture_in_shell("exec \"$@\" <&- >&- 2>&-", &["daemon", &events]));
    assert!(done.status.success(), "{done:?}");
    let daemon = scratch.read("events");
    let pid = daemon.trim().strip_prefix("daemon ").and_then(|pid| pid.parse().ok());
    let pid = pid.and_then(rustix::process::Pid::from_raw).expect("the daemon left no pid");
    until_has_only_the_standard_ones(pid);
}

/// D5.
fn keeps_no_descriptor_of_its_starter(_: &Scratch) {
    for prelude in ["exec 7</etc/passwd; exec \"$@\"", "exec 7</etc/passwd 3<&7 9<&7; exec \"$@\""]
    {
        let pid = run(&mut fixture_in_shell(prelude, &["daemon"])).daemon();
        until_has_only_the_standard_ones(pid);
    }
}

/// The channel to the launcher is closed right after the launcher has taken note, so it may still
/// be there when the launcher returns.
fn until_has_only_the_standard_ones(pid: rustix::process::Pid) {
    let null = Path::new("/dev/null");
    until("descriptors 0 to 2 are /dev/null, and there is no other", || {
        let open = descriptors(pid);
        let right = (0..3).zip(&open).all(|(number, (n, to))| *n == number && to == null);
        open.len() == 3 && right
    });
}

fn keeps_what_it_is_to_keep(_: &Scratch) {
    let pid = run(&mut fixture(&["daemon", "keep=stdio-copy"])).daemon();
    assert!(descriptors(pid).iter().any(|(n, _)| *n == 20), "20: {:?}", descriptors(pid));
    let shell = "exec 7</etc/passwd; exec \"$@\"";
    let pid = run(&mut fixture_in_shell(shell, &["daemon", "descriptors=all"])).daemon();
    assert!(descriptors(pid).iter().any(|(n, _)| *n == 7), "7: {:?}", descriptors(pid));
}

fn sends_its_output_to_the_log(scratch: &Scratch) {
    let log = format!("log={}", text(&scratch.path("log")));
    let pid = run(&mut fixture(&["daemon", &log])).daemon();
    until("the log has the daemon's line", || scratch.read("log") == "serving\n");
    let open = descriptors(pid);
    assert_eq!(open.iter().filter(|(_, to)| *to == scratch.path("log")).count(), 2, "{open:?}");
}

/// D8: nohup, a trap in a script, or blocked signals do not make an unstoppable daemon.
fn resets_signals_that_its_starter_ignored(scratch: &Scratch) {
    let pid_file = scratch.path("pid");
    let setting = format!("pidfile={}", text(&pid_file));
    let shell = "trap '' TERM CHLD HUP USR1 INT; exec \"$@\"";
    let pid = run(&mut fixture_in_shell(shell, &["daemon", &setting])).daemon();
    assert_eq!(signals(pid, "SigIgn"), [13], "SIGPIPE alone stays ignored");
    assert_blocks_only_what_it_awaits(pid);
    let done = run(&mut fixture(&["stop", text(&pid_file), "10000"]));
    assert!(done.stdout.starts_with("Terminated"), "{done:?}");
}

fn leaves_signals_alone_when_asked(_: &Scratch) {
    let shell = "trap '' USR1; exec \"$@\"";
    let pid = run(&mut fixture_in_shell(shell, &["daemon", "signals=keep"])).daemon();
    assert_eq!(signals(pid, "SigIgn"), [10, 13]);
    assert_blocks_only_what_it_awaits(pid);
}

/// While it waits for them the kernel shows them as not blocked, so there may be fewer.
fn assert_blocks_only_what_it_awaits(pid: rustix::process::Pid) {
    let blocked = signals(pid, "SigBlk");
    assert!(blocked.iter().all(|n| [1, 15].contains(n)), "signals {blocked:?} are blocked");
}

/// The signals in a mask of proc_pid_status(5), without 32 and 33: the C library keeps those for
/// itself and lets nobody see or change them.
fn signals(pid: rustix::process::Pid, mask: &str) -> Vec<u32> {
    let mask = u64::from_str_radix(&status(pid, mask), 16).expect("no mask");
    (1..=64).filter(|n| mask >> (n - 1) & 1 == 1 && !matches!(n, 32 | 33)).collect()
}

/// D7.
fn gives_files_the_documented_modes_under_any_umask(scratch: &Scratch) {
    for mask in ["000", "777"] {
        let pid_file = scratch.path(&format!("pid{mask}"));
        let log = scratch.path(&format!("log{mask}"));
        run(&mut fixture_in_shell(
            &format!("umask {mask}; exec \"$@\""),
            &[
                "daemon",
                &format!("umask={mask}"),
                &format!("pidfile={}", text(&pid_file)),
                &format!("log={}", text(&log)),
            ],
        ))
        .daemon();
        let mode = |path| std::fs::metadata(path).expect("missing").permissions().mode() & 0o7777;
        assert_eq!((mode(&pid_file), mode(&log)), (0o644, 0o640), "umask {mask}");
    }
}

/// The process between the forks is reaped by the launcher, and the daemon is nobody's child.
fn leaves_no_process_between_launcher_and_daemon(_: &Scratch) {
    let done = run(&mut fixture(&["daemon", "list-children=yes"]));
    let pid = done.daemon();
    assert_eq!(done.stderr, "children:", "{done:?}");
    assert_eq!(children(), [pid], "this test adopts the daemon, and nothing else");
}

fn writes_buffered_text_once(_: &Scratch) {
    let done =
        run(&mut fixture(&["daemon", "print=text-before-the-fork", "output=stdout", "life=fail"]));
    assert_eq!(done.stdout.matches("text-before-the-fork").count(), 1, "{done:?}");
}
