//! Going to the background, and being started from odd places.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use prefork_testing::Launch;
use prefork_tests::{
    Daemon, PATIENCE, Scene, children, find_process, get_patiently, kill, require_root,
    require_tool, scene, wait_until,
};
use rustix::process::Signal;

/// Asserts that the daemon has logged that it is ready, and that every child is in its main loop. A
/// connection alone proves nothing: the socket listens long before.
#[track_caller]
fn assert_ready(scene: &Scene) {
    assert_eq!(scene.lines_with("error.log", "parent info: ready").len(), 1);
    assert_eq!(scene.lines_with("witness", "main_loop").len(), 3);
}

/// D1: the launcher returns only when the daemon serves.
#[test]
fn a_launcher_that_returns_has_a_daemon_that_answers() {
    let launch = Launch::new(env!("CARGO_BIN_EXE_probe"))
        .args(["--listen", "{address}", "--daemonize", "--witness", "{path:witness}"])
        .args(["--pid-path", "{pid_file}", "--error-log-path", "{error_log}"])
        .args(["--access-log-path", "{access_log}"]);
    for _ in 0..50 {
        let daemon = launch.clone().start();
        let is_ready = |line: &&prefork_testing::LogLine| line.text.starts_with("ready");
        assert_eq!(daemon.logs().iter().filter(is_ready).count(), 1);
        let witness = fs::read_to_string(daemon.path("witness")).expect("it was written");
        assert_eq!(witness.lines().filter(|line| line.contains("main_loop")).count(), 3);
        let reply = daemon.get("/version").expect("the daemon answers at once");
        assert_eq!(reply.body.trim(), "1");
        assert_eq!(daemon.children().len(), 3, "every child is there");
        daemon.stop();
    }
}

/// D1: however long the initialization takes.
#[test]
fn a_launcher_waits_for_a_slow_initialization() {
    let scene = scene!();
    let slow = ["--init-delay", "700", "--child-delay", "700"];
    let launch = scene.probe().args(slow).path("--witness", "witness");
    let daemon = launch.daemon();
    assert_ready(&scene);
    daemon.get("/").expect("the daemon answers at once");
    daemon.stop_in_order();
}

/// D2: a port that is taken is reported to whoever starts it and in the log, and nothing stays behind.
#[test]
fn a_port_that_is_taken_fails_the_start() {
    let scene = scene!();
    let taken = TcpListener::bind(scene.address()).expect("the port is free");
    for children in ["3", "0"] {
        for mode in [&["--daemonize"][..], &[]] {
            let start = scene.hello().args(["--prefork", children]).args(mode).paths().finish();
            let why = format!(
                "after_init failed: cannot listen on {}: Address already in use (os error 98)",
                scene.address()
            );
            assert!(!start.end.is_success(), "{start:?}");
            assert_eq!(start.stderr, format!("hello: {why}\n"), "{mode:?}");
            let logged = scene.lines_with("error.log", "] parent error: ");
            let line = format!("] parent error: cannot start: {why}");
            assert!(logged.len() == 1 && logged[0].ends_with(&line), "{logged:?}");
            // The next start writes a log of its own.
            fs::remove_file(scene.path("error.log")).expect("removed");
            scene.wait_until_deserted(PATIENCE);
            assert!(!scene.path("pid").exists(), "a pid file is left");
        }
    }
    drop(taken);
}

/// D2: a directory that is missing is reported by the launcher, and nothing stays behind.
#[test]
fn a_missing_directory_fails_the_start() {
    for missing in ["--pid-path", "--error-log-path", "--access-log-path", "--scoreboard-path"] {
        let scene = scene!();
        let mut launch = scene.hello().args(["--daemonize"]);
        for (name, file) in [
            ("--pid-path", "pid"),
            ("--error-log-path", "error.log"),
            ("--access-log-path", "access.log"),
            ("--scoreboard-path", "scoreboard"),
        ] {
            let missing_file = format!("missing/{file}");
            launch = launch.path(name, if name == missing { &missing_file } else { file });
        }
        let start = launch.finish();
        start.assert_refused("missing/");
        scene.wait_until_deserted(PATIENCE);
        assert!(!scene.path("pid").exists(), "a pid file is left");
    }
}

/// D2: a hook that fails or panics is reported by the launcher, and nothing stays behind.
#[test]
fn a_failing_hook_fails_the_start() {
    let scene = scene!();
    for (how, words) in [("fail", "failing as asked"), ("panic", "panicking as asked")] {
        let start = scene.probe().args(["--daemonize", "--init", how]).paths().finish();
        start.assert_refused("after_init failed");
        start.assert_refused(words);
        scene.wait_until_deserted(PATIENCE);
        assert!(!scene.path("pid").exists(), "a pid file is left");
    }
}

/// D4: started with descriptors 0 to 2 closed, no file of ours takes their place.
#[test]
fn standard_descriptors_that_were_closed_are_harmless() {
    let scene = scene!();
    let daemon = scene.hello().after_shell("exec <&- >&- 2>&-").daemon();
    for pid in family(&daemon) {
        assert_eq!(descriptor(pid, 0), Some(PathBuf::from("/dev/null")), "of process {pid}");
        for number in [1, 2] {
            assert_eq!(descriptor(pid, number), Some(scene.path("error.log")), "of process {pid}");
        }
    }
    daemon.stop_in_order();
}

/// D5: a descriptor that happens to be open is closed, in the parent and in its children.
#[test]
fn inherited_descriptors_are_closed() {
    let scene = scene!();
    fs::write(scene.path("inherited"), "").expect("written");
    let daemon = scene.hello().after_shell("exec 7<inherited 9>inherited").daemon();
    for pid in family(&daemon) {
        let open = descriptors(pid);
        assert!(!open.contains(&scene.path("inherited")), "process {pid} has it: {open:?}");
    }
    daemon.stop_in_order();
}

/// D5: a child has nothing open by which it could speak for the parent or outlive it.
#[test]
fn children_hold_none_of_the_parents_channels() {
    let scene = scene!();
    let daemon = scene.hello().daemon();
    // For waiting: the parent's signals, by the child's events.
    let of_parent = descriptors(daemon.pid());
    assert!(of_parent.contains(&PathBuf::from("anon_inode:[signalfd]")), "{of_parent:?}");
    for pid in daemon.living() {
        let open = descriptors(pid);
        let named = |name: &str| open.iter().filter(|path| path.starts_with(name)).count();
        assert_eq!(named("anon_inode:[signalfd]"), 0, "child {pid} has {open:?}");
        let is_socket = |path: &&PathBuf| path.to_string_lossy().starts_with("socket:");
        // The listener, and the one by which logs come from the parent, which has shut down the other way.
        assert_eq!(open.iter().filter(is_socket).count(), 2, "child {pid} has {open:?}");
        // Nothing that two children share and could fill, empty or change for each other.
        assert_eq!(named("pipe:"), 0, "child {pid} has {open:?}");
        assert_eq!(named("/memfd:"), 0, "child {pid} has {open:?}");
        // Its parent's life; its bell, and what a signal raises; and what it waits by.
        assert_eq!(named("anon_inode:[pidfd]"), 1, "child {pid} has {open:?}");
        assert_eq!(named("anon_inode:[eventfd]"), 2, "child {pid} has {open:?}");
        assert_eq!(named("anon_inode:[eventpoll]"), 1, "child {pid} has {open:?}");
        // Of the pages that all children report in, its own alone.
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("it lives");
        let pages: Vec<_> = maps.lines().filter(|line| line.contains("prefork-pages")).collect();
        let [page] = pages[..] else { panic!("child {pid} has mapped {pages:?}") };
        let bounds = page.split_once(' ').and_then(|(range, _)| range.split_once('-'));
        let (start, end) = bounds.expect("a range");
        let bound = |hex| u64::from_str_radix(hex, 16).expect("an address");
        assert_eq!(
            bound(end) - bound(start),
            rustix::param::page_size() as u64,
            "child {pid}: {page}"
        );
    }
    daemon.stop_in_order();
}

/// D6: a daemon started from a terminal is off it, leads no session, and keeps no directory busy.
#[test]
fn a_daemon_has_no_terminal() {
    if !require_tool("script") {
        return;
    }
    let scene = scene!();
    let folder = scene.path("");
    let folder = folder.display();
    let command = format!(
        "{} --listen {} --daemonize --pid-path {folder}/pid --error-log-path {folder}/error.log \
         --access-log-path {folder}/access.log",
        env!("CARGO_BIN_EXE_hello"),
        scene.address(),
    );
    let start = scene.tool("script").args(["-qec", &command, "/dev/null"]).finish();
    assert!(start.end.is_success(), "{start:?}");
    let daemon = Daemon::of_pid_file(&scene);
    for pid in family(&daemon) {
        let process = find_process(pid).expect("it lives");
        assert_eq!(process.terminal, 0, "{process:?}");
        // The parent leads no session, so that it can get no terminal; each child leads one without.
        assert_eq!(process.session == pid, pid != daemon.pid(), "{process:?}");
        let directory = fs::read_link(format!("/proc/{pid}/cwd")).expect("it lives");
        assert_eq!(directory, PathBuf::from("/"));
    }
    daemon.get("/").expect("it survives the end of the terminal");
    daemon.stop_in_order();
}

/// D7: the modes of files do not depend on the umask.
#[test]
fn modes_are_the_same_under_any_umask() {
    for umask in ["000", "777", "077"] {
        for is_daemon in [true, false] {
            let scene = scene!();
            let launch = scene.hello().board().after_shell(&format!("umask {umask}"));
            let daemon = if is_daemon { launch.daemon() } else { launch.foreground() };
            let mode = |name: &str| {
                let found = fs::metadata(scene.path(name)).expect("it is there");
                format!("{:o}", found.permissions().mode() & 0o7777)
            };
            assert_eq!(
                ["pid", "error.log", "access.log", "scoreboard"].map(mode),
                ["644", "640", "640", "600"],
                "under umask {umask}, daemon: {is_daemon}"
            );
            daemon.stop_in_order();
        }
    }
}

/// D8: started with signals ignored or blocked, it still reaps, replaces and stops, and so do its
/// children.
#[test]
fn signals_that_were_ignored_or_blocked_are_heeded() {
    if !require_tool("env") {
        return;
    }
    let signals = "TERM,INT,QUIT,CHLD,HUP";
    for how in ["ignore", "block"] {
        for main_loop in ["serve", "sleep"] {
            for is_daemon in [true, false] {
                let scene = scene!();
                let shunned = ["env".to_owned(), format!("--{how}-signal={signals}")];
                let launch = scene.probe().args(["--main-loop", main_loop]).under(shunned);
                let daemon = if is_daemon { launch.daemon() } else { launch.foreground() };
                let before = daemon.living();
                assert!(kill(before[0], Signal::KILL));
                daemon.wait_for_children(PATIENCE, 3, &before[..1]);
                let begun = Instant::now();
                daemon.stop_in_order();
                let took = begun.elapsed();
                assert!(took < Duration::from_secs(10), "{main_loop}, {how}: it took {took:?}");
                // They noticed the stop, and were not killed.
                assert_eq!(scene.lines_with("error.log", "not gone yet"), [""; 0]);
            }
        }
    }
}

/// D9: as process 1 it stops at a signal from inside, and reaps what the kernel makes its own.
#[test]
fn process_1_of_a_container_stops_and_reaps() {
    if !require_root() || !require_tool("unshare") || !require_tool("nsenter") {
        return;
    }
    let scene = scene!();
    let container = ["unshare", "-pfm", "--mount-proc", "--kill-child"];
    let running = scene.hello().paths().under(container).start();
    let daemon = running.ready();
    assert_eq!(get_patiently(scene.address(), "/").status, 200);
    let pid = daemon.pid().to_string();
    let inside = |script: &str| {
        let done =
            scene.tool("nsenter").args(["-t", &pid, "-p", "-m", "sh", "-c", script]).finish();
        assert!(done.end.is_success(), "{done:?}");
    };
    assert_eq!(fs::read_to_string(scene.path("pid")).expect("there"), "1\n");

    let gate = scene.path("gate");
    assert!(scene.tool("mkfifo").args([&gate]).finish().end.is_success());
    let orphan = format!("( read line <{} & )", gate.display());
    inside(&format!("i=0; while [ $i -lt 100 ]; do {orphan}; i=$((i+1)); done"));
    wait_until(PATIENCE, "a hundred orphans have gone to process 1", || {
        children(daemon.pid()).len() == 103
    });
    // They wait for a writer, and for its end: now all of them end at once.
    drop(fs::File::options().write(true).open(gate).expect("opened"));
    wait_until(PATIENCE, "all orphans are reaped", || children(daemon.pid()).len() == 3);

    stop_from_inside(&scene, &pid);
    assert!(running.finish().end.is_success());
    assert!(!scene.path("pid").exists(), "the pid file is left");
    scene.wait_until_deserted(PATIENCE);
}

/// D9: the default actions of the kernel for process 1 do not matter for one without children.
#[test]
fn process_1_without_children_stops() {
    if !require_root() || !require_tool("unshare") || !require_tool("nsenter") {
        return;
    }
    let scene = scene!();
    let container = ["unshare", "-pfm", "--mount-proc", "--kill-child"];
    let running = scene.hello().args(["--prefork", "0"]).paths().under(container).start();
    let pid = running.ready().pid().to_string();
    stop_from_inside(&scene, &pid);
    assert!(running.finish().end.is_success());
    assert!(!scene.path("pid").exists(), "the pid file is left");
}

/// A program that runs threads gets an error with their number and names, and nothing is started.
#[test]
fn a_program_with_threads_is_refused() {
    let scene = scene!();
    let start = scene.probe().args(["--thread"]).finish();
    start.assert_refused("2 threads are running where only the main thread may (probe)");
    let start = scene.probe().args(["--thread", "--daemonize"]).paths().finish();
    start.assert_refused("2 threads are running where only the main thread may (probe)");
    assert!(!scene.path("pid").exists() && !scene.path("error.log").exists());
    scene.wait_until_deserted(PATIENCE);
}

/// What each process is can be seen in `ps`.
#[test]
fn each_process_has_its_own_title_in_ps() {
    if !require_tool("ps") {
        return;
    }
    let scene = scene!();
    let daemon = scene.hello().daemon();
    let ps = |pid: u32| {
        let shown = scene.tool("ps").args(["-ww", "-o", "args=", "-p", &pid.to_string()]).finish();
        shown.stdout.trim().to_owned()
    };
    assert_eq!(ps(daemon.pid()), "hello [parent]");
    for child in daemon.living() {
        assert_eq!(ps(child), "hello [child]");
    }
    daemon.stop_in_order();
}

/// Sends SIGTERM to process 1 of a container from within it, where the kernel protects it most.
///
/// The process that does that may be gone before it can report it: it ends with the container.
fn stop_from_inside(scene: &Scene, pid: &str) {
    let _ =
        scene.tool("nsenter").args(["-t", pid, "-p", "-m", "sh", "-c", "kill -TERM 1"]).finish();
}

/// The pids of the parent and its children.
fn family(daemon: &Daemon<'_>) -> Vec<u32> {
    let family: Vec<u32> = [daemon.pid()].into_iter().chain(daemon.living()).collect();
    assert_eq!(family.len(), 4, "a parent and three children");
    family
}

/// What a descriptor of a process leads to.
fn descriptor(pid: u32, number: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/fd/{number}")).ok()
}

fn descriptors(pid: u32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process lives");
    entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).collect()
}
