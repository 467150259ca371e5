//! Stopping, in order and out of it.

use std::{
    collections::BTreeMap,
    fs, thread,
    time::{Duration, Instant},
};

use prefork_tests::{
    Daemon, End, InHand, PATIENCE, Process, Scene, find_process, kill, require_tool, scene,
    status_of, wait_until,
};
use rustix::process::Signal;

/// H1: what is in hand when the daemon is asked to stop is finished.
#[test]
fn requests_in_hand_are_all_answered() {
    let scene = scene!();
    let daemon = scene.probe().args(["--prefork", "50"]).daemon();
    let requests: Vec<_> = (0..50).map(|_| InHand::at(scene.address(), "/hold")).collect();
    daemon.signal(Signal::TERM);
    wait_until(PATIENCE, "it begins to stop", || is_stopping(&scene));
    for request in requests {
        let worker = request.worker();
        assert_eq!(request.release().expect("it is answered").worker(), worker);
    }
    daemon.assert_ends_in_order(PATIENCE);
}

fn is_stopping(scene: &Scene) -> bool {
    !scene.lines_with("error.log", "stopping").is_empty()
}

/// H1: a port that has been given up can be taken at once, again and again.
#[test]
fn a_daemon_can_be_started_again_at_once() {
    let scene = scene!();
    for _ in 0..10 {
        let daemon = scene.hello().daemon();
        daemon.get("/").expect("it serves");
        daemon.stop_in_order();
    }
}

/// H2: a child that ignores all signals is killed, in the time of the ladder.
#[test]
fn a_child_that_ignores_signals_ends_within_the_ladder() {
    let scene = scene!();
    let daemon = scene
        .probe()
        .args(["--main-loop", "deaf", "--graceful-timeout", "500"])
        .path("--witness", "witness")
        .foreground();
    wait_until(PATIENCE, "all are deaf", || scene.lines_with("witness", "deaf").len() == 3);
    let begun = Instant::now();
    daemon.signal(Signal::TERM);
    daemon.assert_ends_in_order(Duration::from_secs(10));
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1500), "nobody waited: {took:?}");
    assert_eq!(scene.lines_with("error.log", "3 children, now killed").len(), 1);
}

/// H2: so is one that is stopped, even stopped by itself.
#[test]
fn a_child_that_is_frozen_ends_within_the_ladder() {
    let scene = scene!();
    let daemon = scene.probe().args(["--graceful-timeout", "500"]).foreground();
    for child in daemon.living() {
        assert!(kill(child, Signal::STOP));
    }
    let frozen = || daemon.children().iter().all(|child| child.state == 'T');
    wait_until(PATIENCE, "all are stopped", frozen);
    daemon.signal(Signal::TERM);
    daemon.assert_ends_in_order(Duration::from_secs(10));
}

/// How long after a SIGTERM another one is the same wish, and a little more.
const ANOTHER_WISH: Duration = Duration::from_millis(1100);

/// H3: a second SIGTERM that is another wish, or SIGINT or SIGQUIT, does not wait for requests in hand.
#[test]
fn a_second_term_is_fast() {
    for signals in [
        &[Signal::TERM, Signal::TERM][..],
        &[Signal::TERM, Signal::INT],
        &[Signal::INT],
        &[Signal::QUIT],
    ] {
        let scene = scene!();
        let daemon = scene.probe().daemon();
        let request = InHand::at(scene.address(), "/hold");
        let begun = Instant::now();
        for (number, signal) in signals.iter().enumerate() {
            if *signal == Signal::TERM && number > 0 {
                // Only the time makes it another wish.
                thread::sleep(ANOTHER_WISH);
            }
            let logged = scene.lines_with("error.log", "from pid").len();
            daemon.signal(*signal);
            // Two of a kind that wait at once are one for the kernel.
            wait_until(PATIENCE, "the signal is logged", || {
                scene.lines_with("error.log", "from pid").len() > logged
            });
        }
        daemon.assert_ends_in_order(Duration::from_secs(8));
        println!("{signals:?} took {:?}", begun.elapsed());
        request.answer().expect_err("the request was abandoned");
    }
}

/// Whether a word is a part of a time or of the number of a slot.
fn is_figure(word: &str) -> bool {
    matches!(word, "s" | "ms" | "(slot") || word.starts_with(|first: char| first.is_ascii_digit())
}

/// H3: requests that a stop cuts off are named, each in one line, by a second SIGTERM as by SIGINT and after the graceful
/// timeout; children that have nothing in hand are not.
#[test]
fn requests_that_a_stop_cuts_off_are_named() {
    let cut_off = "a request is cut off by the stop: child CHILD in hand for";
    let too_late =
        "child CHILD was asked to leave ago (graceful_timeout), and is interrupted; in hand for";
    for (signals, graceful_timeout, expected) in [
        (&[Signal::TERM, Signal::TERM][..], "1m", cut_off),
        (&[Signal::INT], "1m", cut_off),
        (&[Signal::TERM], "1s", too_late),
    ] {
        let scene = scene!();
        let hello = scene.hello().board().args(["--graceful-timeout", graceful_timeout]);
        let daemon = hello.daemon();
        let request = InHand::at(scene.address(), "/sleep?ms=60000");
        let worker = request.worker();
        for (index, signal) in signals.iter().enumerate() {
            if index > 0 {
                thread::sleep(ANOTHER_WISH);
            }
            daemon.signal(*signal);
        }
        daemon.assert_ends_in_order(PATIENCE);
        let lines = scene.lines_with("error.log", "; in hand for ");
        assert_eq!(lines.len(), 1, "{lines:?}");
        let (_, line) = lines[0].split_once("] parent warning: ").expect("a warning");
        let line = line.replace(&format!("child {}", worker.pid), "child CHILD");
        let (found, client) =
            line.rsplit_once(": GET /sleep?ms=60000, of 127.").expect("the request");
        assert!(
            client.bytes().all(|byte| byte.is_ascii_digit() || b".:".contains(&byte)),
            "{line}"
        );
        // Without the slot and the times: `(slot 2)`, `1.2 s`, `950 ms`.
        let found: Vec<_> = found.split(' ').filter(|word| !is_figure(word)).collect();
        assert_eq!(found.join(" "), expected, "{line}");
        request.answer().expect_err("it was cut off");
    }
}

/// H1: process managers and shells send SIGTERM twice within a moment: that is one wish.
#[test]
fn a_term_that_comes_twice_within_a_moment_finishes_requests_in_hand() {
    // On a machine that is busy, the moment may be over before the second is read.
    let in_time = (0..5).any(|_| {
        let scene = scene!();
        let daemon = scene.probe().daemon();
        let requests: Vec<_> = (0..3).map(|_| InHand::at(scene.address(), "/hold")).collect();
        let received = || scene.lines_with("error.log", "SIGTERM from pid").len();
        let begun = Instant::now();
        for count in 1..=2 {
            daemon.signal(Signal::TERM);
            wait_until(PATIENCE, "it is received", || received() == count);
        }
        let took = begun.elapsed();
        let answered = requests.into_iter().filter_map(|request| request.release().ok()).count();
        daemon.assert_ends_in_order(PATIENCE);
        let in_time = took < Duration::from_secs(1);
        assert!(answered == 3 || !in_time, "{answered} of 3 were answered; sent within {took:?}");
        in_time
    });
    assert!(in_time, "two signals never came within a second");
}

/// H1: a signal to the group of the parent does not reach its children, and what is in hand is finished.
#[test]
fn a_term_to_the_whole_group_finishes_requests_in_hand() {
    let scene = scene!();
    let running = scene.probe().path("--witness", "witness").paths().start();
    let daemon = running.ready();
    let requests: Vec<_> = (0..3).map(|_| InHand::at(scene.address(), "/hold")).collect();
    running.signal_group(Signal::TERM);
    wait_until(PATIENCE, "it begins to stop", || is_stopping(&scene));
    for request in requests {
        request.release().expect("it is answered");
    }
    daemon.assert_ends_in_order(PATIENCE);
    assert_eq!(scene.lines_with("witness", "main_loop").len(), 3, "children were replaced");
}

/// H3: Ctrl-C in a terminal ends everything at once, and is no accident in the log.
#[test]
fn an_interrupt_of_the_whole_group_is_a_stop() {
    for children in ["3", "0"] {
        for _ in 0..10 {
            let scene = scene!();
            let launch = scene.probe().args(["--prefork", children]);
            let running = launch.path("--witness", "witness").paths().start();
            let daemon = running.ready();
            running.signal_group(Signal::INT);
            daemon.assert_ends_in_order(PATIENCE);
            assert_eq!(scene.lines_with("error.log", "error"), [""; 0]);
            assert_eq!(pids_of(&scene, "before_shutdown").len(), 1);
        }
    }
}

/// H4: SIGTERM at any moment of the start leaves no process and no file.
#[test]
fn a_term_while_starting_leaves_nothing() {
    for children in ["4", "0"] {
        let scene = scene!();
        for delay in 0..=60 {
            let running = scene.hello().args(["--prefork", children]).board().paths().start();
            thread::sleep(Duration::from_millis(delay));
            running.signal(Signal::TERM);
            let end = running.finish().end;
            println!("after {delay} ms it {end}");
            // Until the library has been called, the signal does what it does to any program.
            assert!(matches!(end, End::Exited(0) | End::Killed(15)), "after {delay} ms: it {end}");
            scene.assert_nothing_is_left();
        }
    }
}

/// H4: the same in the background, where a launcher waits, which then says that it failed.
#[test]
fn a_term_while_a_daemon_starts_leaves_nothing() {
    for children in ["4", "0"] {
        let scene = scene!();
        for delay in 0..=30 {
            let args = ["--daemonize", "--prefork", children, "--init-delay", "20"];
            let launcher = scene.probe().args(args).board().paths().start();
            let mut pid = 0;
            wait_until(PATIENCE, "the pid file is written", || {
                pid = scene.read("pid").trim().parse().unwrap_or(0);
                pid != 0
            });
            thread::sleep(Duration::from_millis(2 * delay));
            assert!(kill(pid, Signal::TERM), "the daemon was there");
            let end = launcher.finish();
            if !end.end.is_success() {
                end.assert_refused("ended before it was ready");
            }
            println!("after {} ms its launcher {}", 2 * delay, end.end);
            scene.wait_until_deserted(PATIENCE);
            scene.assert_nothing_is_left();
        }
    }
}

/// H4: SIGTERM while children die and are replaced.
#[test]
fn a_term_while_children_die_leaves_nothing() {
    let scene = scene!();
    for round in 0..15_u64 {
        let daemon = scene.hello().args(["--prefork", "5"]).board().daemon();
        let victims = daemon.living();
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..5 {
                    for victim in victims.iter().chain(&daemon.living()) {
                        // Dead already, now and then.
                        let _ = kill(*victim, Signal::KILL);
                    }
                }
            });
            thread::sleep(Duration::from_millis(round * 3));
            daemon.signal(Signal::TERM);
        });
        daemon.assert_ends_in_order(PATIENCE);
    }
}

/// H4: SIGTERM in the very moment in which a process begins to listen for it.
#[test]
fn a_term_that_meets_the_installation_of_the_handler_is_not_lost() {
    /// The bit of SIGTERM in the masks of `/proc/PID/status`.
    const TERM: u64 = 1 << 14;
    if !require_tool("strace") {
        return;
    }
    for children in ["1", "0"] {
        let scene = scene!();
        let catches_term = |process: &Process| {
            let mask = status_of(process.pid, "SigCgt");
            mask.is_some_and(|mask| {
                u64::from_str_radix(&mask, 16).is_ok_and(|mask| mask & TERM != 0)
            })
        };
        let log = scene.path("strace").display().to_string();
        // The system call is done, and the C library does not know it yet.
        let slowly = "inject=rt_sigaction:delay_exit=150000";
        let trace = "trace=rt_sigaction";
        let strace = ["strace", "-f", "-o", &log, "-e", trace, "-e", slowly];
        let running = scene.hello().args(["--prefork", children]).paths().under(strace).start();
        let mut listener = None;
        wait_until(PATIENCE, "a process listens for SIGTERM", || {
            let ours = scene.processes().into_iter().filter(|process| process.pid != running.pid());
            listener = ours.into_iter().find(catches_term);
            listener.is_some()
        });
        let listener = listener.expect("it was found").pid;
        assert!(kill(listener, Signal::TERM), "it was there");
        wait_until(PATIENCE, &format!("process {listener} has left"), || {
            find_process(listener).is_none_or(|process| process.is_zombie())
        });
    }
}

/// H4: SIGTERM when no children can be kept alive.
#[test]
fn a_term_in_a_crash_loop_leaves_nothing() {
    let scene = scene!();
    let daemon = scene.probe().path("--spoiled-by", "spoiled").daemon();
    fs::write(scene.path("spoiled"), "").expect("written");
    for child in daemon.living() {
        assert!(kill(child, Signal::KILL));
    }
    wait_until(PATIENCE, "the throttle is on", || {
        scene.lines_with("error.log", "before they have worked").len() > 3
    });
    daemon.stop_in_order();
}

/// H5: what is buffered, registered or dropped happens once, in the process that it belongs to.
#[test]
fn buffers_exit_handlers_and_destructors_happen_once() {
    let scene = scene!();
    let running =
        scene.probe().args(["--chatty", "--at-exit"]).path("--witness", "witness").paths().start();
    let daemon = running.ready();
    // One of each kind of end.
    let killed = daemon.living()[0];
    assert!(kill(killed, Signal::KILL));
    wait_until(PATIENCE, "it is replaced", || {
        let now = daemon.living();
        now.len() == 3 && !now.contains(&killed)
    });
    daemon.get("/panic").expect_err("no answer");
    wait_until(PATIENCE, "five children were started", || {
        scene.lines_with("witness", "main_loop").len() == 5 && daemon.living().len() == 3
    });
    daemon.stop_in_order();
    let stdout = running.finish().stdout;
    for text in ["<rust-main>", "<c-main>", "<rust-init>", "<c-init>"] {
        assert_eq!(stdout.matches(text).count(), 1, "{text} in {stdout:?}");
    }
    for child in pids_of(&scene, "main_loop") {
        // One that was killed could not write what it had.
        let expected = usize::from(child != killed);
        for text in [format!("<rust-child-{child}>"), format!("<c-child-{child}>")] {
            assert_eq!(stdout.matches(&text).count(), expected, "{text} in {stdout:?}");
        }
    }
    assert_once_in(&scene, &daemon, &["after_init", "drop", "at_exit"]);
    assert_once_in_another(&scene, &daemon, "before_shutdown");
}

/// H5: the same in the background: the launcher has its own, and nobody else.
#[test]
fn a_daemon_repeats_nothing_of_its_launcher() {
    let scene = scene!();
    let launcher = scene
        .probe()
        .args(["--daemonize", "--chatty", "--at-exit"])
        .path("--witness", "witness")
        .paths()
        .start();
    let launched = launcher.finish();
    assert!(launched.end.is_success(), "{launched:?}");
    let daemon = Daemon::of_pid_file(&scene);
    daemon.stop_in_order();
    let log = scene.read("error.log");
    for text in ["<rust-main>", "<c-main>"] {
        assert_eq!(launched.stdout.matches(text).count(), 1, "{text}: {launched:?}");
        assert!(!log.contains(text), "{text} in {log:?}");
    }
    for text in ["<rust-init>", "<c-init>"] {
        assert!(!launched.stdout.contains(text), "{text}: {launched:?}");
        assert_eq!(log.matches(text).count(), 1, "{text} in {log:?}");
    }
    for child in pids_of(&scene, "main_loop") {
        for text in [format!("<rust-child-{child}>"), format!("<c-child-{child}>")] {
            assert_eq!(log.matches(&text).count(), 1, "{text} in {log:?}");
        }
    }
    let mut at_exit = pids_of(&scene, "at_exit");
    at_exit.sort_unstable();
    let mut expected = vec![launcher.pid(), daemon.pid()];
    expected.sort_unstable();
    assert_eq!(at_exit, expected, "launcher and daemon, once each");
    assert_once_in(&scene, &daemon, &["after_init", "drop"]);
    assert_once_in_another(&scene, &daemon, "before_shutdown");
}

/// A hook that fails or panics at the end is logged, and the stop goes on.
#[test]
fn a_failing_before_shutdown_does_not_spoil_the_stop() {
    let scene = scene!();
    for children in ["2", "0"] {
        for how in ["fail", "panic"] {
            let args = ["--shutdown", how, "--prefork", children];
            let daemon = scene.probe().args(args).daemon();
            daemon.stop_in_order();
            let logged = scene.lines_with("error.log", "before_shutdown failed");
            assert_eq!(logged.len(), 1, "with prefork {children}, {how}: {logged:?}");
            fs::remove_file(scene.path("error.log")).expect("removed");
        }
    }
}

/// A loop that uses nothing of `Child` is ended by a plain SIGTERM, at once.
#[test]
fn a_loop_that_never_asks_is_ended_by_term() {
    let scene = scene!();
    let daemon = scene.probe().args(["--main-loop", "sleep"]).daemon();
    let begun = Instant::now();
    daemon.stop_in_order();
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    assert_eq!(scene.lines_with("error.log", "not gone yet"), [""; 0]);
}

/// A loop that only checks now and then is asked, and leaves by itself.
#[test]
fn a_loop_that_checks_is_asked() {
    let scene = scene!();
    let daemon = scene.probe().args(["--main-loop", "poll"]).daemon();
    daemon.stop_in_order();
    assert_eq!(scene.lines_with("error.log", "not gone yet"), [""; 0]);
}

/// A child that is asked to leave by hand leaves, and is replaced; its request in hand is answered.
#[test]
fn a_child_that_is_asked_to_leave_finishes_and_is_replaced() {
    let scene = scene!();
    let daemon = scene.probe().args(["--prefork", "1"]).daemon();
    let request = InHand::at(scene.address(), "/hold");
    let old = request.worker();
    assert!(kill(old.pid, Signal::TERM));
    assert_eq!(request.release().expect("it is answered").worker(), old);
    daemon.wait_for_children(PATIENCE, 1, &[old.pid]);
    daemon.stop_in_order();
}

fn pids_of(scene: &Scene, event: &str) -> Vec<u32> {
    let lines = scene.lines_with("witness", event);
    lines.iter().map(|line| line.rsplit_once(' ').expect("a pid").1.parse().expect("it")).collect()
}

/// Asserts that the event happened once, in a process beside the parent.
#[track_caller]
fn assert_once_in_another(scene: &Scene, daemon: &Daemon<'_>, event: &str) {
    let seen = pids_of(scene, event);
    assert!(seen.len() == 1 && seen[0] != daemon.pid(), "{event} in {seen:?}");
}

/// Asserts that the events happened once, in the parent.
#[track_caller]
fn assert_once_in(scene: &Scene, daemon: &Daemon<'_>, events: &[&str]) {
    let seen: BTreeMap<&str, Vec<u32>> =
        events.iter().map(|event| (*event, pids_of(scene, event))).collect();
    let expected = events.iter().map(|event| (*event, vec![daemon.pid()])).collect();
    assert_eq!(seen, expected, "who saw what");
}
