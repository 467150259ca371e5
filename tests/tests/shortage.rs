//! What is short while the daemon serves: descriptors, processes, memory. It goes on, names the limit, and recovers.

use std::time::Duration;

use prefork_tests::{
    ControlGroup, Controller, Daemon, PATIENCE, find_process, holds_for, kill, require_tool, scene,
};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

/// Limits how many descriptors the parent may have from now on; what is open stays open.
fn allow_descriptors(daemon: &Daemon<'_>, most: u64) {
    let parent = i32::try_from(daemon.pid()).ok().and_then(Pid::from_raw);
    let limit = Rlimit { current: Some(most), maximum: Some(1024) };
    prlimit(parent, Resource::Nofile, limit).expect("it is this user's");
}

/// F9: a limit of descriptors below what the parent has open, and even below what it waits for, ends nobody: it reaps,
/// serves, names the limit, and is as before when there are enough.
#[test]
fn no_limit_of_descriptors_ends_a_parent_that_serves() {
    for most in [12, 4, 2, 1, 0] {
        let scene = scene!();
        let daemon = scene.probe().board().args(["--prefork", "3"]).daemon();
        let before = daemon.living();
        allow_descriptors(&daemon, most);
        assert!(kill(before[0], Signal::KILL));
        if most < 12 {
            scene.wait_for_line("cannot fork");
            let line = &scene.lines_with("error.log", "cannot fork")[0];
            assert!(line.contains(&format!("; RLIMIT_NOFILE of this process is {most}")), "{line}");
        }
        daemon.signal(Signal::HUP);
        scene.wait_for_line("replacing all children by generation 2");
        if most < 3 {
            scene.wait_for_line("looking 50 times a second");
        }
        let (parent, cpu) = (daemon.pid(), daemon.cpu());
        holds_for(Duration::from_secs(2), "alive", || find_process(parent).is_some());
        let used = daemon.cpu() - cpu;
        assert!(used < Duration::from_millis(400), "the parent used {used:?} of CPU in 2 s");
        assert_eq!(daemon.get("/").expect("others serve").status, 200);
        // The first failure and the eighth.
        assert!(scene.logged("cannot fork") <= 2, "{}", scene.read("error.log"));
        assert!(scene.read("error.log").lines().count() < 20, "{}", scene.read("error.log"));
        allow_descriptors(&daemon, 1024);
        scene.wait_for_line("all children are of generation 2 now");
        daemon.wait_for_children(PATIENCE, 3, &before);
        assert_eq!(scene.logged("there are descriptors enough again"), usize::from(most < 3));
        daemon.stop_in_order();
    }
}

/// F9: a daemon whose parent may not wait for its descriptors stops in order.
#[test]
fn a_parent_that_is_short_of_descriptors_stops_in_order() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    allow_descriptors(&daemon, 1);
    daemon.stop_in_order();
}

/// F10: what is short is named for each error that the kernel gives, and it recovers.
#[test]
fn each_reason_why_a_fork_fails_is_named() {
    if !require_tool("strace") {
        return;
    }
    for (error, words) in [("ENOMEM", "memory.max"), ("EAGAIN", "kernel.pid_max")] {
        let scene = scene!();
        // As root; for others it is RLIMIT_NPROC.
        let is_root = rustix::process::geteuid().is_root();
        let words = if error == "EAGAIN" && !is_root { "RLIMIT_NPROC" } else { words };
        let mut strace: Vec<String> =
            ["strace", "-f", "-qq", "-o", "/dev/null"].map(str::to_owned).into();
        for call in ["clone", "clone3", "fork", "vfork"] {
            // The first three are for the first children.
            strace.extend(["-e".to_owned(), format!("inject={call}:error={error}:when=4..5")]);
        }
        let running = scene.hello().paths().under(&strace).start();
        let daemon = running.ready();
        let before = daemon.living();
        assert!(kill(before[0], Signal::KILL));
        scene.wait_for_line("children can be started again");
        let lines = scene.lines_with("error.log", "cannot fork");
        assert!(lines.len() == 1 && lines[0].contains(words), "{words}: {lines:?}");
        daemon.wait_for_children(PATIENCE, 3, &before[..1]);
        daemon.signal(Signal::TERM);
        assert!(running.finish().end.is_success());
    }
}

/// F9: whoever starts a daemon that has too few descriptors reads which limit that is, whatever step it was too few for.
#[test]
fn a_start_without_descriptors_enough_names_the_limit_where_it_was_started() {
    let (mut refused, mut without_children) = (0, 0);
    for most in 8..40 {
        let scene = scene!();
        let daemon = scene.hello().paths().args(["--daemonize", "--start-timeout", "1s"]);
        let started = daemon.after_shell(&format!("ulimit -n {most}")).finish();
        if started.end.is_success() {
            Daemon::of_pid_file(&scene).stop_in_order();
            break;
        }
        let line = started.stderr.strip_suffix('\n').expect("a line");
        let limit = format!("RLIMIT_NOFILE of this process is {most}");
        let first = format!("hello: a limit is reached ({limit}): ");
        let last = ": cannot fork a child: eventfd2(2): Too many open files (os error 24); ";
        let last = format!("hello: only 0 of 3 children were ready within 1 s{last}{limit}");
        match line.starts_with(&first) && line.ends_with(": Too many open files (os error 24)") {
            true => refused += 1,
            false if line == last => without_children += 1,
            false => panic!("{most}: {line}"),
        }
        scene.wait_until_deserted(PATIENCE);
    }
    assert!(refused > 0 && without_children > 0, "{refused} and {without_children}");
}

/// F10: and so whoever starts one that can have too few processes.
#[test]
fn a_start_without_processes_enough_names_the_limit_where_it_was_started() {
    let scene = scene!();
    let Some(limit) = ControlGroup::make(&scene, Controller::Pids) else { return };
    // The launcher and the first of its two forks; then the parent; then a child.
    for (most, begins) in [
        (
            1,
            "hello: a limit is reached (LIMIT): cannot fork the daemon; is a limit of processes reached?: ",
        ),
        (3, "hello: only 0 of 3 children were ready within 1 s: cannot fork a child: "),
    ] {
        limit.set(most);
        let daemon = scene.hello().paths().args(["--daemonize", "--start-timeout", "1s"]);
        let started = daemon.after_shell(&limit.entrance()).finish();
        assert!(!started.end.is_success(), "{most}: {started:?}");
        let named = format!("{} is {most}", limit.name());
        let begins = begins.replace("LIMIT", &named);
        let line = started.stderr.trim_end_matches('\n');
        assert!(line.starts_with(&begins) && line.contains(&named), "{most}: {line}");
        assert_eq!(line.lines().count(), 1, "{line}");
        scene.wait_until_deserted(PATIENCE);
    }
}
