//! Steering a daemon.

use std::{
    fs,
    io::Write,
    time::{Duration, Instant},
};

use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
    sys::stat::Mode,
    unistd::mkfifo,
};
use prefork::daemonize::PidFile;
use prefork_tests::{
    Daemon, End, InHand, Load, PATIENCE, Scene, kill, require_hangups, scene, wait_until,
};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};

use crate::{command, run};

/// Returns whether a signal waits for a process that is stopped (the mask has signal 1 at the bottom).
fn is_pending(daemon: &Daemon<'_>, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    let mask = mask.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}

fn deaf(scene: &Scene) -> Daemon<'_> {
    let daemon = scene
        .probe()
        .args(["--main-loop", "deaf", "--graceful-timeout", "60000"])
        .path("--witness", "witness")
        .daemon();
    wait_until(PATIENCE, "all are deaf", || scene.lines_with("witness", "deaf").len() == 3);
    daemon
}

/// H1: a stop returns 0 when the daemon is gone, and what it had in hand is answered; another one
/// finds nothing to stop.
#[test]
fn stop_returns_when_the_daemon_is_gone() {
    let scene = scene!();
    let daemon = scene.probe().daemon();
    let running = run(&scene, "running @pid", 0);
    assert_eq!(running.stdout, format!("{}\n", daemon.pid()));
    let requests: Vec<_> = (0..3).map(|_| InHand::at(scene.address(), "/hold")).collect();
    let stopping = command(&scene, "stop -v @pid").start();
    wait_until(PATIENCE, "it begins to stop", || scene.read("error.log").contains("stopping"));
    assert_eq!(stopping.end(), None, "it has waited for nobody");
    for request in requests {
        request.release().expect("it is answered");
    }
    let stopped = stopping.finish();
    assert_eq!(stopped.end, End::Exited(0), "{stopped:?}");
    scene.assert_nothing_is_left();
    assert_eq!(stopped.stdout, format!("stopped process {}\n", daemon.pid()));
    assert_eq!(daemon.wait_for_end(PATIENCE), End::Exited(0));
    for words in ["stop @pid", "running @pid", "reload @pid", "signal TERM @pid"] {
        run(&scene, words, 3).assert_refused("not running: no daemon holds pid file");
    }
}

/// H2: a daemon that does not stop is left alone if that is wanted, and killed otherwise.
#[test]
fn stop_kills_unless_it_must_not() {
    let scene = scene!();
    let daemon = deaf(&scene);
    let patient = run(&scene, "stop --no-kill --timeout 0.3 @pid", 5);
    patient.assert_refused(&format!("process {}, which holds pid file", daemon.pid()));
    patient.assert_refused("is still stopping after 300ms");
    run(&scene, "running @pid", 0);
    let killed = run(&scene, "stop --timeout 0.3 @pid", 6);
    let line = format!(
        "prefork: killed process {}, which had not ended in time; what its children had in hand is lost\n",
        daemon.pid()
    );
    assert_eq!((killed.stdout.as_str(), killed.stderr.as_str()), ("", line.as_str()));
    assert_eq!(daemon.wait_for_end(PATIENCE), End::Killed(9));
    scene.wait_until_deserted(PATIENCE);
    run(&scene, "stop @pid", 3);
}

/// H3: a second stop waits for the first and hurries nobody, with a board and without; `--now` hurries.
#[test]
fn a_second_stop_waits_for_the_first_and_one_that_is_to_be_now_hurries() {
    for board in ["with", "without"] {
        let scene = scene!();
        let launch = scene.probe();
        let daemon = if board == "with" { launch.board().daemon() } else { launch.daemon() };
        let held = InHand::at(scene.address(), "/hold");
        let first = command(&scene, "stop -v @pid").start();
        wait_until(PATIENCE, "it begins to stop", || scene.read("error.log").contains("stopping"));
        let output = fs::File::create(scene.path("second")).expect("created");
        let second = command(&scene, "stop -v @pid").stdout(output).start();
        wait_until(PATIENCE, "the second one waits", || {
            scene.read("second") == "it stops already; waiting for that\n"
        });
        assert_eq!((first.end(), second.end()), (None, None), "{board} a board");
        held.release().expect("it is answered");
        let line = format!("stopped process {}\n", daemon.pid());
        let (first, second) = (first.finish(), second.finish());
        assert_eq!((first.end, second.end), (End::Exited(0), End::Exited(0)), "{board} a board");
        assert_eq!(first.stdout, line, "{board} a board");
        let waited = format!("it stops already; waiting for that\n{line}");
        assert_eq!(scene.read("second"), waited, "{board} a board");
        scene.assert_nothing_is_left();

        let daemon = scene.probe().daemon();
        let _held = InHand::at(scene.address(), "/hold");
        let first = command(&scene, "stop @pid").start();
        wait_until(PATIENCE, "it begins to stop", || {
            scene
                .lines_with("error.log", &format!("[{}] parent info: stopping", daemon.pid()))
                .len()
                == 1
        });
        let hurried = run(&scene, "stop --now @pid", 0);
        assert_eq!(
            (hurried.stdout.as_str(), hurried.stderr.as_str()),
            ("", ""),
            "cron would mail it"
        );
        assert_eq!(first.finish().end, End::Exited(0));
        scene.wait_until_deserted(PATIENCE);
    }
}

/// L3: an upgrade that waits returns when all children are of the new program, even where that makes the
/// board again; one whose program is no good is waited for in vain.
#[test]
fn upgrade_waits_for_the_children_of_the_new_program() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().board().daemon();
    for arguments in ["--version 2", "--version 3 --max-children 200"] {
        let before = daemon.living();
        program.install(arguments);
        run(&scene, "upgrade --wait --board @scoreboard @pid", 0);
        assert!(!daemon.living().iter().any(|pid| before.contains(pid)), "{arguments}");
    }
    assert_eq!(daemon.get("/version").expect("it serves").body, "3");
    program.install("--manner refuses");
    let begun = Instant::now();
    let refused = run(&scene, "upgrade --wait @pid", 1);
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "it has waited for nothing: {:?}",
        begun.elapsed()
    );
    let line = scene.lines_with("error.log", "upgrade refused: ").pop().expect("it is logged");
    let (_, reason) = line.split_once("upgrade refused: ").expect("found before");
    let reason = reason.strip_suffix("; the running program goes on").expect("the end of the line");
    assert_eq!(
        refused.stderr,
        format!("prefork: process {} goes on as it was; upgrade refused: {reason}\n", daemon.pid())
    );
    let shown = run(&scene, "status @pid", 0).stdout;
    let last = shown.lines().find(|line| line.starts_with("last upgrade: ")).expect("shown");
    assert!(last.ends_with(&format!(" ago: {reason}")), "{shown}");
    run(&scene, "upgrade @pid", 0);
    daemon.stop_in_order();
}

/// L1: a reload that waits returns when all children are new, and no request fails meanwhile.
#[test]
fn reload_waits_until_all_children_are_new() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    let load = Load::start(2, scene.address(), "/");
    for generation in 2..7 {
        let before = daemon.living();
        let reloaded = run(&scene, "reload -v --wait @pid", 0);
        // One that is at a request when the last new one serves is not waited for.
        wait_until(PATIENCE, "the old ones are gone", || {
            let after = daemon.living();
            !before.iter().any(|pid| after.contains(pid))
        });
        assert!(reloaded.stdout.contains(&format!("of generation {generation}")), "{reloaded:?}");
    }
    let tally = load.stop();
    assert_eq!(tally.failures, [""; 0], "{} answered", tally.answered);
    let reloaded = run(&scene, "reload -v @pid", 0);
    assert_eq!(
        reloaded.stdout,
        format!("asked process {} to replace its children\n", daemon.pid())
    );
    daemon.stop_in_order();
}

/// L6: a child that finishes a request holds no reload up; the command says that there is one, and `status` shows which.
#[test]
fn reload_does_not_wait_for_old_children_at_work() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    let request = InHand::at(scene.address(), "/sleep?ms=60000");
    let busy = request.worker().pid;
    let reloaded = run(&scene, "reload -v --wait @pid", 0);
    let end = "3 children of generation 2; 1 old child finishes what it has in hand\n";
    assert!(reloaded.stdout.ends_with(end), "{reloaded:?}");
    let status = run(&scene, "status @scoreboard", 0).stdout;
    assert!(status.contains(", 1 leaving, queue 0 of 4096\n"), "{status}");
    let row = status.lines().find(|line| line.contains(&format!(" {busy} "))).expect("its row");
    assert!(row.contains("W writing (leaving)") && row.contains("GET /sleep?ms=60000"), "{row}");
    let json = run(&scene, "status --json @scoreboard", 0).stdout;
    assert_eq!(json.matches("\"leaving\": true").count(), 1, "{json}");
    let metrics = run(&scene, "metrics @scoreboard", 0).stdout;
    assert!(metrics.contains("\nprefork_leaving_children{name=\"hello\"} 1\n"), "{metrics}");
    request.reset();
    daemon.signal(Signal::INT);
    daemon.assert_ends_in_order(PATIENCE);
}

/// A reload whose children do not work is called that as soon as it is clear, and the next one is looked at by itself.
#[test]
fn reload_says_when_the_new_children_do_not_work() {
    let scene = scene!();
    let daemon = scene.probe().board().path("--spoiled-by", "spoiled").daemon();
    let before = daemon.living();
    for generation in [2, 4] {
        fs::write(scene.path("spoiled"), "").expect("written");
        let failed = run(&scene, "reload -v --wait @pid", 1);
        // Whether the board or the reason in it is seen first.
        failed.assert_refused(&format!("generation {generation} "));
        fs::remove_file(scene.path("spoiled")).expect("removed");
        let reloaded = run(&scene, "reload -v --wait @pid", 0);
        assert!(reloaded.stdout.contains(&format!("of generation {}", generation + 1)));
    }
    daemon.wait_for_children(PATIENCE, 3, &before);
    daemon.stop_in_order();
}

/// A reload that does not come about is not called one.
#[test]
fn reload_says_when_it_has_waited_in_vain() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    let before = daemon.living();
    daemon.signal(Signal::STOP);
    let late = run(&scene, "reload -v --wait --timeout 0.3 @pid", 5);
    let pid = daemon.pid();
    late.assert_refused(&format!(
        "3 of 3 children are still of an old generation after 300ms; process {pid} was stopped by a signal and decides \
         nothing; `kill -CONT {pid}` lets it go on"
    ));
    daemon.signal(Signal::CONT);
    daemon.wait_for_children(PATIENCE, 3, &before);

    daemon.signal(Signal::STOP);
    let waiting = command(&scene, "reload -v --wait @pid").start();
    wait_until(PATIENCE, "it is signalled", || is_pending(&daemon, Signal::HUP));
    assert_eq!(waiting.end(), None);
    daemon.signal(Signal::KILL);
    let ended = waiting.finish();
    assert_eq!(ended.end, End::Exited(3), "{ended:?}");
    ended.assert_refused(&format!("process {} ended before its children", daemon.pid()));
}

/// What keeps an upgrade or new logs from coming is named when the time is over, or as soon as that is clear.
#[test]
fn what_was_waited_for_in_vain_is_named() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().board().daemon();
    let pid = daemon.pid();
    program.install("--manner hangs");
    let late = run(&scene, "upgrade --wait --timeout 1.5 @pid", 5).stderr;
    let begins = "prefork: 3 of 3 children are still of an old generation after 1.5s; it has been trying the new program for 1.";
    assert!(late.starts_with(begins) && late.lines().count() == 1, "{late}");
    let shown = run(&scene, "status @pid", 0).stdout;
    let last = shown.lines().find(|line| line.starts_with("last upgrade: ")).expect("shown");
    assert!(last.ends_with(" ago, not done yet: trying the new program"), "{shown}");

    let path = scene.path("access.log");
    fs::rename(&path, scene.path("access.log.1")).expect("renamed");
    fs::create_dir(&path).expect("made");
    let begun = Instant::now();
    let failed = run(&scene, "reopen --wait --timeout 60 @pid", 1).stderr;
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let whole = format!(
        "prefork: process {pid} has not opened all its logs again: the access log stays as it was: log {} is a directory; give \
         a regular file or a character device\n",
        path.display()
    );
    // There is not room on the board for a path of any length.
    let begins = failed.strip_suffix("...\n").unwrap_or(&failed);
    assert!(failed == whole || (begins.len() > 256 && whole.starts_with(begins)), "{failed}");
    fs::remove_dir(&path).expect("removed");
    run(&scene, "reopen --wait @pid", 0);
    daemon.stop_in_order();
}

/// A daemon without children has nothing to replace, which is reported at once; its logs are opened again.
#[test]
fn a_daemon_without_children_is_asked_for_nothing_that_it_cannot_do() {
    let scene = scene!();
    let daemon = scene.hello().board().args(["--prefork", "0"]).daemon();
    let pid = daemon.pid();
    for words in ["reload", "reload --wait", "upgrade --wait"] {
        assert_eq!(
            run(&scene, &format!("{words} @pid"), 1).stderr,
            format!(
                "prefork: process {pid} runs with prefork = 0: it has no children to replace and does not upgrade; nothing was \
                 sent; restart it instead\n"
            ),
            "{words}"
        );
    }
    let reopened = run(&scene, "reopen -v --wait @pid", 0).stdout;
    let line = "has opened its logs again: no line goes to the old ones";
    assert_eq!(reopened, format!("process {pid} {line}\n"));
    daemon.stop_in_order();
}

/// A daemon that can have no children is not well in any view, and what is waited for ends with that as the reason.
#[test]
fn a_daemon_that_cannot_fork_says_so_everywhere() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    let pid = daemon.pid();
    let parent = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let allow = |most| {
        let limit = Rlimit { current: Some(most), maximum: Some(1024) };
        prlimit(parent, Resource::Nofile, limit).expect("it is this user's");
    };
    allow(4);
    let trouble = "cannot fork a child: eventfd2(2): Too many open files (os error 24); RLIMIT_NOFILE of this process is 4";
    assert_eq!(
        run(&scene, "reload --wait --timeout 1 @pid", 5).stderr,
        format!("prefork: 3 of 3 children are still of an old generation after 1s; {trouble}\n")
    );
    let shown = run(&scene, "status @pid", 0).stdout;
    assert_eq!(shown.lines().nth(1), Some(format!("NOT WELL: {trouble}").as_str()), "{shown}");
    let checked = run(&scene, "check @scoreboard", 1).stdout;
    let begins =
        format!("{}: NOT WELL: {trouble}: hello 0.1.0, ", scene.path("scoreboard").display());
    assert!(checked.starts_with(&begins), "{checked}");
    allow(1024);
    wait_until(PATIENCE, "it is well again", || {
        !run(&scene, "status @pid", 0).stdout.contains("NOT WELL")
    });
    daemon.stop_in_order();
}

/// Why settings were refused is kept until it is shown, whatever is shown before it in the same moment.
#[test]
fn the_reason_of_a_refusal_outlives_what_is_shown_before_it() {
    let scene = scene!();
    let file = scene.path("hello.toml");
    fs::write(&file, "[daemon]\nprefork = 2\n").expect("written");
    let daemon = scene.hello().board().path("--config", "hello.toml").daemon();
    fs::remove_file(&file).expect("removed");
    mkfifo(&file, Mode::S_IRUSR | Mode::S_IWUSR).expect("made");
    daemon.signal(Signal::HUP);
    scene.wait_for_line("reading the settings again");
    // Nobody opens it for writing before it is read, so the reader has begun.
    let mut fifo = fs::OpenOptions::new().write(true).open(&file).expect("somebody reads");
    daemon.signal(Signal::STOP);
    daemon.signal(Signal::USR2);
    fifo.write_all(b"[daemon]\nprefork = [\n").expect("written");
    drop(fifo);
    wait_until(PATIENCE, "it has read", || {
        daemon.children().iter().any(prefork_tests::Process::is_zombie)
    });
    daemon.signal(Signal::CONT);
    scene.wait_for_line("reload refused");
    wait_until(PATIENCE, "the reason is shown", || {
        run(&scene, "status --json @pid", 0).stdout.contains("\"reason\": \"settings ")
    });
    daemon.stop_in_order();
}

/// L10: settings that are wrong have a status of their own, each time, and with `--wait` alone.
#[test]
fn reload_says_that_the_settings_were_refused() {
    let scene = scene!();
    let write = |text: &str| {
        fs::write(scene.path("hello.toml"), format!("[daemon]\n{text}\n")).expect("written");
    };
    write("prefork = 2");
    let daemon = scene.hello().board().path("--config", "hello.toml").daemon();
    let before = daemon.living();
    write("prefork = 200");
    for _ in 0..2 {
        let refused = run(&scene, "reload -v --wait @pid", 78);
        refused.assert_refused(&format!("process {} has refused its settings", daemon.pid()));
        assert_eq!(daemon.living(), before);
    }
    // One that is killed meanwhile comes back, with the settings in force, and changes nothing of that.
    assert!(kill(before[0], Signal::KILL));
    daemon.wait_for_children(PATIENCE, 2, &before[..1]);
    run(&scene, "reload -v --wait @pid", 78);
    write("prefork = 5");
    let reloaded = run(&scene, "reload -v --wait @pid", 0);
    assert!(reloaded.stdout.contains("children of generation 2"), "{reloaded:?}");
    daemon.wait_for_children(PATIENCE, 5, &before);
    write("prefork = [");
    run(&scene, "reload -v --wait @pid", 78);
    daemon.stop_in_order();
}

/// The board of another daemon shows nothing of this one.
#[test]
fn reload_refuses_the_board_of_another_daemon() {
    let (scene, other) = (scene!(), scene!());
    let daemon = scene.hello().board().daemon();
    let neighbour = other.hello().board().daemon();
    let before = daemon.living();
    let refused =
        command(&scene, "reload @pid --wait --board").args([other.path("scoreboard")]).finish();
    assert_eq!(refused.end, End::Exited(1));
    refused.assert_refused(&format!("was made by process {}, but", neighbour.pid()));
    run(&scene, "reload @pid --wait --board @nothing", 1).assert_refused("no such board");
    assert_eq!(daemon.living(), before, "it reloaded all the same");
    neighbour.stop_in_order();
    daemon.stop_in_order();
}

/// A signal that a daemon does not answer to would end it, so it is not sent.
#[test]
fn no_process_dies_of_a_signal_that_it_does_not_know() {
    let scene = scene!();
    // This program has no handler for any of them.
    let pid_file = PidFile::create(scene.path("pid")).expect("nobody holds it");
    for (name, signal) in [("reload", "SIGHUP"), ("upgrade", "SIGUSR2"), ("reopen", "SIGUSR1")] {
        if signal == "SIGHUP" && !require_hangups() {
            continue;
        }
        let refused = run(&scene, &format!("{name} @pid"), 1);
        refused.assert_refused(&format!("does not answer to {signal}, which would end it"));
    }
    pid_file.remove().expect("it is ours");
}

/// G1: rotated logs are reopened.
#[test]
fn reopen_makes_new_logs() {
    let scene = scene!();
    let daemon = scene.hello().daemon();
    daemon.get("/").expect("it serves");
    fs::rename(scene.path("access.log"), scene.path("access.log.1")).expect("renamed");
    run(&scene, "reopen @pid", 0);
    wait_until(PATIENCE, "there is a new log", || scene.path("access.log").exists());
    daemon.stop_in_order();
}

/// A signal by name reaches the daemon and does what it does.
#[test]
fn a_signal_by_name_reaches_the_daemon() {
    let scene = scene!();
    let daemon = scene.hello().daemon();
    let sent = run(&scene, "signal -v ttin @pid", 0);
    assert_eq!(sent.stdout, format!("sent SIGTTIN to process {}\n", daemon.pid()));
    daemon.wait_for_children(PATIENCE, 4, &[]);
    run(&scene, "signal SIGTTOU @pid", 0);
    daemon.wait_for_children(PATIENCE, 3, &[]);
    run(&scene, "signal STOP @pid", 2);
    run(&scene, "signal INT @pid", 0);
    daemon.assert_ends_in_order(PATIENCE);
}

/// P8: a file that only what a killed daemon has left holds leads to nobody.
#[test]
fn a_file_without_a_proven_owner_is_its_own_case() {
    let scene = scene!();
    fs::write(scene.path("pid"), "1\n").expect("written");
    // As a process keeps it that has inherited the descriptor: the lock of the open file, without that of a process.
    let file = fs::File::options().read(true).write(true).open(scene.path("pid")).expect("opened");
    let l_type = libc::c_short::try_from(libc::F_WRLCK).expect("a small number");
    let lock = libc::flock { l_type, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
    fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).expect("locked");
    for words in ["running @pid", "stop @pid", "reload @pid", "signal HUP @pid"] {
        run(&scene, words, 4).assert_refused("is locked, but no process proves to own it");
    }
    assert!(run(&scene, "check @pid", 4).stdout.contains("held by no process which proves"));
    drop(file);
    run(&scene, "running @pid", 3).assert_refused("not running");
}
