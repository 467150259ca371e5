//! Many at once: never two daemons, never none.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use prefork_daemonize::{Holder, StopOptions, Stopped, running, stop};

use crate::harness::{
    Scratch, Started, children, children_of, descriptors, fixture, reap, run, skip, start,
    start_until, tests, text, until,
};

tests![
    lets_one_of_twenty_starts_live,
    never_has_two_daemons_while_stops_and_starts_race,
    does_not_own_a_file_that_was_gone_before_it_was_locked,
    is_never_kept_from_starting_by_somebody_who_looks,
];

/// P1.
fn lets_one_of_twenty_starts_live(scratch: &Scratch) {
    for round in 0..5 {
        let path = scratch.path(&format!("pid{round}"));
        let setting = format!("pidfile={}", text(&path));
        if round % 2 == 1 {
            std::fs::write(&path, "stale\n").expect("cannot write");
        }
        let all: Vec<Started> =
            (0..20).map(|_| start(&mut fixture(&["daemon", &setting]))).collect();
        let done: Vec<_> = all.into_iter().map(Started::finish).collect();
        let (lucky, others): (Vec<_>, Vec<_>) = done.iter().partition(|d| d.status.success());
        assert_eq!(lucky.len(), 1, "round {round}: {done:#?}");
        let daemon = lucky[0].daemon();
        let text = format!("already running (pid {})", daemon.as_raw_nonzero());
        others.iter().for_each(|other| other.assert_failed(&text));
        let owner = running(&path).expect("refused").pid().map(prefork_daemonize::Pid::as_raw);
        assert_eq!(owner, Some(daemon.as_raw_nonzero().get()), "round {round}");
        let left = children();
        assert_eq!(left, [daemon], "round {round}: a loser lives");
        let _stopped = stop(&path, &StopOptions::new()).expect("refused");
        reap(daemon);
    }
}

/// P2. While a daemon owns the pid file a witness file exists; one that finds the witness of
/// another there says so.
fn never_has_two_daemons_while_stops_and_starts_race(scratch: &Scratch) {
    let path = scratch.path("pid");
    let setting = format!("pidfile={}", text(&path));
    let witness = format!("witness={}", text(&scratch.path("witness")));
    let events = format!("events={}", text(&scratch.path("events")));
    let begun = Instant::now();
    let (mut stops, mut starts, mut rounds) = (0, 0, 0);
    while begun.elapsed() < Duration::from_secs(4) {
        rounds += 1;
        let racers: Vec<Started> = (0..3)
            .flat_map(|_| {
                [
                    start(&mut fixture(&["daemon", &setting, &witness, &events])),
                    start(&mut fixture(&["stop", text(&path), "10000"])),
                ]
            })
            .collect();
        let done: Vec<_> = racers.into_iter().map(Started::finish).collect();
        for pair in done.chunks(2) {
            assert!(pair[1].status.success(), "a stop failed: {:?}", pair[1]);
            stops += u32::from(pair[1].stdout.starts_with("Terminated"));
            starts += u32::from(pair[0].status.success());
            if !pair[0].status.success() {
                // What a start may lose against: a live daemon, or a stop that hit it itself.
                let lost = &pair[0].stderr;
                assert!(
                    lost.contains("already running (pid ") || lost.contains("SIGTERM"),
                    "{lost}"
                );
            }
        }
        assert!(!scratch.read("events").contains("overlap"), "round {rounds}: {done:#?}");
        let alive: Vec<_> =
            children().into_iter().filter(|pid| crate::harness::lives(*pid)).collect();
        assert!(alive.len() <= 1, "round {rounds}: two daemons: {alive:?}, {done:#?}");
        match running(&path).expect("refused") {
            Holder::Nobody => assert_eq!(alive, [], "round {rounds}: a daemon without a file"),
            Holder::Owner { pid } => {
                let alive: Vec<i32> = alive.iter().map(|pid| pid.as_raw_nonzero().get()).collect();
                assert_eq!(alive, [pid.as_raw()], "round {rounds}");
            }
            Holder::Unproven => panic!("round {rounds}: locked by nobody"),
        }
        for pid in children() {
            if !crate::harness::lives(pid) {
                reap(pid);
            }
        }
    }
    println!("    {rounds} rounds, {starts} starts and {stops} stops took effect");
    assert!(starts > 0 && stops > 0, "nothing raced");
}

/// P2, at the worst moment: between the newcomer's open and its lock the file becomes the pid file of
/// another daemon, which then ends and removes it. The newcomer would own a file that nobody else ever
/// finds.
fn does_not_own_a_file_that_was_gone_before_it_was_locked(scratch: &Scratch) {
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        return skip("strace is not installed");
    }
    let (path, draft) = (scratch.path("pid"), scratch.path(".pid.new"));
    let mut delayed = std::process::Command::new("strace");
    delayed.args(["-f", "-qq", "-o", "/dev/null", "-e", "inject=fcntl:delay_enter=500000"]);
    delayed.arg(crate::harness::program()).args(["hold", text(&path)]);
    delayed.env(crate::fixture::MARK, "1").stdin(std::process::Stdio::piped());
    let delayed = start(&mut delayed);
    let mut newcomer = None;
    until("the newcomer has opened the file and not locked it", || {
        newcomer = children_of(delayed.pid())
            .into_iter()
            .find(|pid| descriptors(*pid).iter().any(|(_, to)| *to == draft));
        newcomer.is_some()
    });
    let other = start_until("held", &["hold", text(&path)]);
    assert!(other.finish().status.success());
    let newcomer = newcomer.map(|pid| pid.as_raw_nonzero().get());
    until("the newcomer owns a file", || {
        running(&path)
            .is_ok_and(|holder| holder.pid().map(prefork_daemonize::Pid::as_raw) == newcomer)
    });
    assert!(delayed.finish().status.success());
    assert!(!path.exists() && !draft.exists());
}

/// A start must not take somebody who looks for a daemon.
fn is_never_kept_from_starting_by_somebody_who_looks(scratch: &Scratch) {
    let path = scratch.path("pid");
    std::fs::write(&path, "stale\n").expect("cannot write");
    let done_looking = AtomicBool::new(false);
    let failed = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done_looking.load(Ordering::Relaxed) {
                    let _ = running(&path);
                }
            });
        }
        // Judged outside: a panic in here would wait for the threads for ever.
        let failed = (0..100).find_map(|_| {
            let done = run(&mut fixture(&["hold", text(&path)]));
            std::fs::write(&path, "stale\n").expect("cannot write");
            (!done.status.success()).then_some(done)
        });
        done_looking.store(true, Ordering::Relaxed);
        failed
    });
    assert!(failed.is_none(), "a look kept a daemon from starting: {failed:?}");
    let stopped = stop(&path, &StopOptions::new()).expect("refused");
    assert_eq!(stopped, Stopped::NotRunning);
}
