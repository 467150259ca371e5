//! The pid file, at the level of the whole daemon.

mod hostile;
mod lost;

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use prefork::daemonize::{StopOptions, Stopped, stop};
use prefork_tests::{
    Daemon, End, Lack, PATIENCE, Running, Scene, holds_for, kill, require_root, require_tool,
    scene, skip, wait_until,
};
use rustix::process::Signal;

/// How long a refusal may take: it must not wait for anything.
const QUICKLY: Duration = Duration::from_secs(5);

/// Starts what follows as process 1.
const CONTAINER: [&str; 4] = ["unshare", "-pfm", "--mount-proc", "--kill-child"];

/// P1: of many starts at once, one wins, and the others say why not.
#[test]
fn of_twenty_starts_at_once_one_daemon_lives() {
    for children in ["2", "0"] {
        let scene = scene!();
        let start = || scene.hello().args(["--daemonize", "--prefork", children]).paths().start();
        let starts: Vec<Running<'_>> = (0..20).map(|_| start()).collect();
        let ends: Vec<_> = starts.iter().map(Running::finish).collect();
        let (won, lost): (Vec<_>, Vec<_>) = ends.into_iter().partition(|end| end.end.is_success());
        assert_eq!(won.len(), 1, "one wins; the others: {lost:?}");
        for loser in &lost {
            loser.assert_refused("already running");
        }
        let daemon = Daemon::of_pid_file(&scene);
        let written = scene.read("pid");
        assert_eq!(written, format!("{}\n", daemon.pid()));
        daemon.get("/").expect("the one that lives serves");
        wait_until(PATIENCE, "the others are gone", || {
            let others = scene
                .processes()
                .into_iter()
                .filter(|process| process.pid != daemon.pid() && process.parent != daemon.pid());
            others.count() == 0
        });
        daemon.stop_in_order();
    }
}

/// P2: stops and starts that race never make two parents.
#[test]
fn racing_stops_and_starts_never_make_two_daemons() {
    let scene = scene!();
    let done = AtomicBool::new(false);
    let options = StopOptions::new().grace(PATIENCE);
    thread::scope(|scope| {
        let starter = || {
            for _ in 0..100 {
                let start = scene
                    .probe()
                    .args(["--daemonize", "--prefork", "2"])
                    .path("--alone", "alone")
                    .path("--witness", "witness")
                    .paths()
                    .finish();
                let has_reason = start.end.is_success() || !start.stderr.is_empty();
                assert!(has_reason, "a launcher that fails writes why: {start:?}");
            }
        };
        let starters = [scope.spawn(starter), scope.spawn(starter), scope.spawn(starter)];
        let stopper = scope.spawn(|| {
            let mut stopped = 0;
            while !done.load(Ordering::Relaxed) {
                match stop(scene.path("pid"), &options) {
                    Ok(Stopped::NotRunning) => thread::sleep(Duration::from_millis(1)),
                    Ok(Stopped::Terminated { .. }) => stopped += 1,
                    other => panic!("stop: {other:?}"),
                }
            }
            stopped
        });
        let started = starters.map(|starter| starter.join().is_ok());
        done.store(true, Ordering::Relaxed);
        assert_eq!(started, [true; 3], "a starter has failed");
        let stopped = stopper.join().expect("the stopper has failed");
        assert!(stopped > 3, "only {stopped} daemons were stopped");
    });
    let _ = stop(scene.path("pid"), &options).expect("stopped");
    scene.wait_until_deserted(PATIENCE);
    assert!(scene.lines_with("witness", "after_init").len() > 3, "daemons were started");
    assert_eq!(scene.lines_with("witness", "not alone"), [""; 0], "two at once");
    assert!(!scene.path("pid").exists(), "the pid file is left");
}

/// P3: a number left in the file is nobody: the start works, and a stop signals nobody else.
#[test]
fn a_number_in_the_file_means_nobody() {
    let scene = scene!();
    let elsewhere = scene!();
    let stranger = bystander(&elsewhere);
    let dead = elsewhere.tool("true").start();
    let _ = dead.finish();
    let numbers = [
        dead.pid(),
        std::process::id(),
        1,
        stranger.pid(),
        std::os::unix::process::parent_id(),
        u32::MAX / 2,
    ];
    for number in numbers {
        fs::write(scene.path("pid"), format!("{number}\n")).expect("written");
        assert_nothing_to_stop(&scene);
        fs::write(scene.path("pid"), format!("{number}\n")).expect("written");
        let daemon = scene.hello().args(["--prefork", "1"]).daemon();
        assert_eq!(scene.read("pid"), format!("{}\n", daemon.pid()));
        // The file is wrong now, and nobody falls for it.
        fs::write(scene.path("pid"), format!("{number}\n")).expect("written");
        let stopped = stop(scene.path("pid"), &StopOptions::new()).expect("stopped");
        let Stopped::Terminated { pid } = stopped else { panic!("{stopped:?}") };
        assert_eq!(pid.as_raw().unsigned_abs(), daemon.pid());
        daemon.assert_ends_in_order(PATIENCE);
    }
    assert_eq!(stranger.end(), None, "the bystander was signalled");
}

/// P3: process 1 of a container that was killed finds its own number there, and nobody's it is.
#[test]
fn process_1_starts_over_the_number_1() {
    if !require_root() || !require_tool("unshare") || !require_tool("nsenter") {
        return;
    }
    let scene = scene!();
    fs::write(scene.path("pid"), "1\n").expect("written");
    let running = scene.hello().paths().under(CONTAINER).start();
    let daemon = running.ready();
    assert_eq!(scene.read("pid"), "1\n");
    daemon.get("/").expect("it serves");
    let pid = daemon.pid().to_string();
    // The process that sends the signal may not end in order: it ends with the container.
    let _ = scene.tool("nsenter").args(["-t", &pid, "-p", "-m", "kill", "-TERM", "1"]).finish();
    assert!(running.finish().end.is_success());
    scene.assert_nothing_is_left();
}

/// P3: the number of a daemon that was killed has become another process's: a stop leaves it alone, and
/// so does the next daemon.
#[test]
fn a_number_that_is_somebody_elses_by_now_means_nobody() {
    /// In a container of its own, where nobody else starts processes. `kill -0` would be content with a
    /// process that has been killed and not reaped.
    const SCRIPT: &str = r#"
lives() { grep -q '^State:.[RSD]' "/proc/$1/status"; }
"$@" || exit 10
read -r pid < "$PID_PATH"
kill -KILL "$pid"
while [ -e "/proc/$pid" ]; do sleep 0.01; done
tries=0
until echo $((pid - 1)) > /proc/sys/kernel/ns_last_pid || exit 77; sleep 1000 & [ $! = "$pid" ]; do
    kill $!
    tries=$((tries + 1))
    [ $tries -lt 100 ] || exit 11
done
"$COMMAND" stop "$PID_PATH"
[ $? = 3 ] && lives "$pid" || exit 12
"$@" && lives "$pid" || exit 13
read -r now < "$PID_PATH"
[ "$now" != "$pid" ] && lives "$now" || exit 14
echo "$pid" > "$PID_PATH"
"$COMMAND" stop "$PID_PATH" && lives "$pid" || exit 15
[ ! -e "$PID_PATH" ] && ! lives "$now" || exit 16
"#;
    if !require_root() || !require_tool("unshare") {
        return;
    }
    let scene = scene!();
    let launch = scene.hello().args(["--daemonize"]).paths();
    let launch = launch.variable("PID_PATH", scene.path("pid"));
    let launch = launch.variable("COMMAND", env!("CARGO_BIN_EXE_prefork-command"));
    let done = launch.under(["sh", "-c", SCRIPT, "sh"]).under(CONTAINER).finish();
    if done.end == End::Exited(77) {
        skip(Lack::Platform("the numbers of processes cannot be chosen"));
        return;
    }
    assert!(done.end.is_success(), "{done:?}");
    scene.wait_until_deserted(PATIENCE);
}

/// P4: nonsense in the file is nobody either.
#[test]
fn nonsense_in_the_file_signals_nobody() {
    let scene = scene!();
    let elsewhere = scene!();
    let stranger = bystander(&elsewhere);
    let long = "1".repeat(30);
    let pid = stranger.pid();
    let huge = vec![b'1'; 1 << 20];
    let spaced = format!(" {pid}");
    let contents: [&[u8]; 9] = [
        b"",
        b"0\n",
        b"-1\n",
        b"12abc\n",
        long.as_bytes(),
        b"\0\0\0\0",
        &huge,
        spaced.as_bytes(),
        b"\xff\xfe",
    ];
    for content in contents {
        fs::write(scene.path("pid"), content).expect("written");
        assert_nothing_to_stop(&scene);
        let daemon = scene.hello().args(["--prefork", "1"]).daemon();
        assert_eq!(scene.read("pid"), format!("{}\n", daemon.pid()));
        daemon.stop_in_order();
    }
    assert_eq!(stranger.end(), None, "the bystander was signalled");
}

/// P5: what is no plain file is refused quickly and left as it is.
#[test]
fn what_is_no_pid_file_is_refused_and_untouched() {
    let scene = scene!();
    let (victim, path) = (scene.path("victim"), scene.path("pid"));
    fs::write(&victim, "precious").expect("written");
    let refused = |what: &str| {
        for mode in [&["--daemonize"][..], &[]] {
            let begun = Instant::now();
            let start = scene.hello().args(mode).paths().finish();
            assert!(!start.end.is_success(), "{start:?}");
            let said = start.stderr.clone() + &scene.read("error.log");
            // The next start writes a log of its own.
            let _ = fs::remove_file(scene.path("error.log"));
            assert!(said.contains(what), "said {said:?}");
            assert!(begun.elapsed() < QUICKLY, "it took {:?}", begun.elapsed());
            stop(&path, &StopOptions::new()).expect_err("nothing here can be stopped");
        }
        assert_eq!(scene.read("victim"), "precious");
        assert!(path.symlink_metadata().is_ok(), "what stood there is left");
        scene.wait_until_deserted(PATIENCE);
    };

    symlink(&victim, &path).expect("made");
    refused("a symbolic link");
    fs::remove_file(&path).expect("removed");
    fs::hard_link(&victim, &path).expect("made");
    refused("hard links");
    fs::remove_file(&path).expect("removed");
    let made = scene.tool("mkfifo").args([&path]).finish();
    assert!(made.end.is_success(), "{made:?}");
    refused("a FIFO");
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("made");
    refused("a directory");
}

/// P8: the end of a child, however it comes, leaves the pid file alone.
#[test]
fn dying_children_leave_the_pid_file() {
    let scene = scene!();
    let daemon = scene.probe().daemon();
    let written = scene.read("pid");
    assert_eq!(written, format!("{}\n", daemon.pid()));
    for round in 0..10 {
        let before = daemon.living();
        if round % 2 == 0 {
            assert!(kill(before[0], Signal::KILL));
        } else {
            daemon.get("/panic").expect_err("a child that panics does not answer");
        }
        wait_until(PATIENCE, "one child is gone and another there", || {
            let now = daemon.living();
            now.len() == 3 && now != before && daemon.children().len() == 3
        });
        assert_eq!(scene.read("pid"), written, "in round {round}");
    }
    holds_for(Duration::from_millis(100), "one daemon", || {
        Daemon::of_pid_file(&scene).pid() == daemon.pid()
    });
    daemon.stop_in_order();
}

/// A killed parent leaves a stale file, which the next start takes over.
#[test]
fn the_file_of_a_killed_daemon_is_taken_over() {
    let scene = scene!();
    for children in ["3", "0"] {
        let daemon = scene.hello().args(["--prefork", children]).daemon();
        daemon.signal(Signal::KILL);
        let _ = daemon.wait_for_end(PATIENCE);
        assert_eq!(scene.read("pid"), format!("{}\n", daemon.pid()), "it is stale");
        scene.wait_until_deserted(PATIENCE);
        let next = scene.hello().args(["--prefork", children]).daemon();
        assert_ne!(next.pid(), daemon.pid());
        next.stop_in_order();
    }
}

/// A start follows at once on the end of a parent that was killed, whose children may still have the port.
#[test]
fn a_killed_daemon_is_in_nobodys_way() {
    let scene = scene!();
    for _ in 0..10 {
        let daemon = scene.hello().args(["--prefork", "30"]).daemon();
        daemon.signal(Signal::KILL);
        let _ = daemon.wait_for_end(PATIENCE);
    }
    scene.hello().daemon().stop_in_order();
}

/// Only where the pid file says that a daemon was killed, an address in use may soon be free.
#[test]
fn a_start_waits_for_the_address_of_a_killed_daemon() {
    let scene = scene!();
    let others = TcpListener::bind(scene.address()).expect("bound");
    let start = || scene.hello().args(["--prefork", "1"]).paths().start();
    let refused = start().finish();
    assert!(!refused.end.is_success(), "{refused:?}");
    fs::remove_file(scene.path("error.log")).expect("there");
    fs::write(scene.path("pid"), "1\n").expect("written");
    let running = start();
    wait_until(PATIENCE, "it has taken the pid file over", || {
        scene.read("pid") == format!("{}\n", running.pid())
    });
    holds_for(Duration::from_millis(200), "it waits", || running.end().is_none());
    drop(others);
    running.ready().stop_in_order();
}

fn assert_nothing_to_stop(scene: &Scene) {
    let stopped = stop(scene.path("pid"), &StopOptions::new()).expect("looked at");
    assert_eq!(stopped, Stopped::NotRunning);
}

/// A process that any signal would end.
fn bystander(scene: &Scene) -> Running<'_> {
    scene.tool("sleep").args(["1000"]).start()
}
