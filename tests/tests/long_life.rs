//! What keeps a service up: reloading, recycling, draining, rotating logs, ending hung children.

use std::{fs, thread, time::Duration};

use prefork_testing::Daemon as Testing;
use prefork_tests::{
    Census, Daemon, InHand, Lack, Load, PATIENCE, Scene, Sent, find_process, kill, scene, skip,
    wait_until,
};
use rustix::process::{Resource, Signal, getrlimit};

fn wait_for_generation(scene: &Scene, generation: u32) {
    let text = format!("all children are of generation {generation} now");
    wait_until(PATIENCE, &text, || scene.logged(&text) > 0);
}

/// L1: any number of reloads loses no request.
#[test]
fn reloads_under_load_lose_no_request() {
    let hello = env!("CARGO_BIN_EXE_hello");
    let daemon = Testing::start(hello, ["--listen", "{address}", "--prefork", "4"]);
    let first = daemon.children();
    let load = daemon.clients(6).late_after(PATIENCE).expecting("hello").ask("/");
    for _ in 0..20 {
        daemon.reload().wait();
    }
    // And so many that they coalesce.
    for _ in 0..30 {
        daemon.signal(prefork_testing::Signal::Hup);
        thread::sleep(Duration::from_millis(10));
    }
    wait_until(PATIENCE, "no first child is left", || {
        !daemon.children().iter().any(|child| first.iter().any(|old| old.pid == child.pid))
    });
    load.stop().assert_all_answered();
    daemon.stop();
}

/// L1: a request in hand is finished by the old child, and the pool is whole all the time.
#[test]
fn a_reload_leaves_the_request_in_hand_alone() {
    let scene = scene!();
    // Two at a time, as the one at work may be asked first, and takes its time.
    let size = ["--prefork", "2", "--max-children", "2", "--max-surge", "2"];
    let daemon = scene.probe().board().args(size).daemon();
    let request = InHand::at(scene.address(), "/hold");
    let old = request.worker();
    let census = Census::begin(daemon.pid());
    daemon.signal(Signal::HUP);
    wait_until(PATIENCE, "the other child is new", || {
        daemon.get("/pid").expect("it serves").worker().generation == 2
    });
    assert!(request.release().is_ok_and(|reply| reply.worker() == old), "it was abandoned");
    wait_for_generation(&scene, 2);
    let population = census.end();
    assert!(population.fewest >= 2, "{population:?}");
    daemon.wait_for_children(PATIENCE, 2, &[old.pid]);
    daemon.stop_in_order();
}

/// F6: children that are replaced after ten requests lose none of ten thousand.
#[test]
fn children_are_replaced_after_their_requests() {
    let scene = scene!();
    let daemon = scene.hello().args(["--max-requests", "10"]).daemon();
    let first = daemon.living();
    let tally = Load::bounded(4, 2500, scene.address(), "/").finish();
    assert_eq!((tally.answered, tally.failures), (10_000, vec![]));
    let now = daemon.living();
    assert!(!first.iter().any(|pid| now.contains(pid)), "{first:?} and {now:?}");
    daemon.wait_for_children(PATIENCE, 3, &[]);
    daemon.stop_in_order();
}

#[test]
fn children_are_replaced_when_they_are_old() {
    let scene = scene!();
    are_replaced(&scene.hello().args(["--max-lifetime", "1"]).daemon(), &scene, "/");
}

#[test]
fn children_are_replaced_when_they_have_grown() {
    let scene = scene!();
    are_replaced(&scene.probe().args(["--max-memory", "51200"]).daemon(), &scene, "/leak/1");
}

/// Waits until every child has been replaced, while clients ask for `path`.
fn are_replaced(daemon: &Daemon<'_>, scene: &Scene, path: &str) {
    let first = daemon.living();
    let load = Load::start(2, scene.address(), path);
    wait_until(PATIENCE, "every child was replaced", || {
        !first.iter().any(|pid| daemon.living().contains(pid))
    });
    assert_eq!(load.stop().failures, [""; 0]);
    daemon.stop_in_order();
}

/// R3: a storm of signals is survived, and a stop among them is obeyed.
#[test]
fn a_storm_of_signals_ends_in_an_orderly_stop() {
    let scene = scene!();
    let daemon = scene.hello().board().args(["--graceful-timeout", "5"]).daemon();
    let storm =
        [Signal::HUP, Signal::USR1, Signal::CHILD, Signal::WINCH, Signal::TTIN, Signal::TTOU];
    for signal in storm.into_iter().cycle().take(1200) {
        daemon.signal(signal);
    }
    daemon.stop_in_order();
}

/// R3: reloads that are asked for while one is going on are one more, however many they are.
#[test]
fn reloads_that_come_too_fast_coalesce() {
    const WISHES: usize = 50;
    let scene = scene!();
    let slow = ["--prefork", "4", "--max-surge", "1", "--child-delay", "1500"];
    let daemon = scene.probe().args(slow).daemon();
    for wish in 1..=WISHES {
        daemon.signal(Signal::HUP);
        // Two of a kind that wait at once are one for the kernel.
        wait_until(PATIENCE, "it is logged", || scene.logged("from pid") >= wish);
    }
    wait_for_generation(&scene, 3);
    let rounds = scene.logged("replacing all children");
    assert!((2..=3).contains(&rounds), "{rounds} reloads for {WISHES} wishes");
    daemon.stop_in_order();
}

/// R4: a child that is stopped with a request in hand is killed after its time, as it can do nothing
/// else; it is replaced, and the others are left alone.
#[test]
fn a_child_that_is_stopped_is_killed_and_replaced() {
    let scene = scene!();
    let launch = scene.probe().board().path("--witness", "witness");
    let daemon = launch.args(["--request-timeout", "1000"]).daemon();
    for by_itself in [false, true] {
        let before = daemon.living();
        let path = if by_itself { "/freeze" } else { "/sleep/60000" };
        let request = InHand::at(scene.address(), path);
        let victim = request.worker().pid;
        if !by_itself {
            assert!(kill(victim, Signal::STOP), "it was there");
        }
        wait_until(PATIENCE, "it is gone and replaced", || {
            let now = daemon.living();
            now.len() == 3 && !now.contains(&victim)
        });
        let now = daemon.living();
        let siblings = before.iter().filter(|pid| **pid != victim);
        assert!(siblings.clone().all(|pid| now.contains(pid)), "{before:?}, {now:?}");
        request.answer().expect_err("nobody can answer it");
        let logged = scene.lines_with("error.log", "at one request for");
        let of_it = logged.iter().filter(|line| line.contains(&format!("child {victim} ")));
        assert_eq!(of_it.count(), 1, "{logged:?}");
        // SIGABRT was sent first, and was still pending. A process of its own reports the end.
        let ends = || scene.lines_with("witness", &format!("end of {victim} by"));
        wait_until(PATIENCE, "the hook has reported it", || !ends().is_empty());
        let ends = ends();
        assert!(ends.len() == 1 && ends[0].contains("number: 9,"), "{ends:?}");
        assert_eq!(daemon.get("/").expect("the others serve").status, 200);
    }
    assert_eq!(scene.logged("at one request for"), 2);
    daemon.stop_in_order();
}

/// R4: a child that is at one request for too long is ended, and only that one.
#[test]
fn a_child_that_hangs_is_ended_and_replaced() {
    let scene = scene!();
    let daemon = scene.hello().board().args(["--request-timeout", "1"]).daemon();
    let first = daemon.living();
    let request = InHand::at(scene.address(), "/sleep?ms=60000");
    let hung = request.worker().pid;
    let label = || scene.logged(": GET /sleep?ms=60000, of ");
    wait_until(PATIENCE, "the child is found hung", || label() == 1);
    wait_until(PATIENCE, "it is gone and replaced, and the others are there", || {
        let now = daemon.living();
        now.len() == 3 && first.iter().all(|pid| now.contains(pid) != (*pid == hung))
    });
    request.answer().expect_err("nobody can answer it");
    assert_eq!(scene.logged("has been at one request for 1"), 1);
    assert_eq!(daemon.get("/").expect("the others serve").status, 200);
    daemon.stop_in_order();
}

/// R4: a parent that was stopped itself ends nobody on waking.
/// R4: a large child that hangs has the time to leave its core dump.
#[test]
fn the_core_dump_of_a_large_child_is_whole() {
    const GIB: u64 = 64;
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").expect("there is one");
    if pattern.starts_with(['|', '/']) {
        return skip(Lack::Platform("core dumps go elsewhere: see /proc/sys/kernel/core_pattern"));
    }
    if getrlimit(Resource::Core).maximum.is_some() {
        return skip(Lack::Platform("RLIMIT_CORE lets nobody have a large core dump"));
    }
    let scene = scene!();
    let launch = scene.probe().board().path("--witness", "witness");
    let daemon = launch.args(["--request-timeout", "300"]).foreground();
    let request = InHand::at(scene.address(), &format!("/dump/{GIB}"));
    let child = request.worker().pid;
    let ends = || scene.lines_with("witness", &format!("end of {child} by"));
    wait_until(PATIENCE * 6, "the hook has reported its end", || !ends().is_empty());
    let ends = ends();
    let dumped = |end: &str| end.contains("number: 6,") && end.contains("core_dumped: true");
    assert!(ends.len() == 1 && dumped(&ends[0]), "{ends:?}");
    let line = " writes a core dump; not killed while it does, for 60 s at most";
    let lines = scene.lines_with("error.log", &format!("child {child} (slot "));
    assert!(lines.iter().filter(|it| it.ends_with(line)).count() == 1, "{lines:?}");
    let mut files = fs::read_dir(scene.path("")).expect("it can be read").flatten();
    let whole = |file: &fs::DirEntry| file.metadata().is_ok_and(|it| it.len() >= GIB << 30);
    assert!(
        files.any(|file| whole(&file)),
        "there is a file of {GIB} GiB, of which most are holes"
    );
    request.answer().expect_err("nobody can answer it");
    daemon.stop_in_order();
}

#[test]
fn a_parent_that_was_stopped_judges_nobody() {
    let scene = scene!();
    let daemon = scene.hello().board().args(["--request-timeout", "4"]).daemon();
    let request = InHand::at(scene.address(), "/sleep?ms=7000");
    // It is to be ended 4 s later. The parent is away from well before that until well after it, and
    // gives it another 4 s then, of which it needs about one.
    thread::sleep(Duration::from_millis(500));
    daemon.signal(Signal::STOP);
    let stopped = || find_process(daemon.pid()).is_some_and(|parent| parent.state == 'T');
    wait_until(PATIENCE, "the parent is stopped", stopped);
    thread::sleep(Duration::from_millis(5500));
    daemon.signal(Signal::CONT);
    request.answer().expect("it is answered");
    assert_eq!(scene.logged("at one request"), 0);
    daemon.stop_in_order();
}

/// H1: connections that wait in the queue when the stop comes are answered too.
#[test]
fn connections_that_wait_are_drained_before_the_last_close() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "1"]).daemon();
    let ask = |_| Sent::to(scene.address(), "/sleep?ms=100").expect("it listens");
    let requests: Vec<Sent> = (0..20).map(ask).collect();
    daemon.stop_in_order();
    for request in requests {
        assert_eq!(request.answer().expect("it is answered").body, "hello");
    }
}

/// G1: logs that are rotated by renaming have every numbered line exactly once.
#[test]
fn rotated_logs_have_every_line_once() {
    let scene = scene!();
    let daemon = scene.hello().daemon();
    let load = Load::numbered(3, scene.address(), "/");
    for turn in 0..20 {
        let lines = || scene.read("access.log").lines().count();
        wait_until(PATIENCE, "there are lines in the log", || lines() >= 10);
        fs::rename(scene.path("access.log"), scene.path(&format!("access.log.{turn}")))
            .expect("renamed");
        daemon.signal(Signal::USR1);
        wait_until(PATIENCE, "the log is there again", || scene.path("access.log").exists());
    }
    let tallies = load.stop_each();
    daemon.stop_in_order();
    let logs = (0..20).map(|turn| format!("access.log.{turn}")).chain(["access.log".to_owned()]);
    let mut found: Vec<String> =
        logs.flat_map(|log| scene.read(&log).lines().map(request).collect::<Vec<_>>()).collect();
    let mut expected = Vec::new();
    for (client, tally) in tallies.iter().enumerate() {
        assert_eq!(tally.failures, [""; 0]);
        expected.extend((0..tally.answered).map(|number| format!("GET /?n={client}-{number}")));
    }
    assert!(expected.len() >= 200, "{} lines", expected.len());
    found.sort();
    expected.sort();
    let missing = || expected.iter().find(|line| !found.contains(line));
    let (lines, requests) = (found.len(), expected.len());
    assert!(found == expected, "{lines} lines of {requests} requests; missing {:?}", missing());
}

/// The request that a line of the access log of hello is about: `CLIENT - - [TIME] "METHOD PATH HTTP/1.1" 200 6`.
#[track_caller]
fn request(line: &str) -> String {
    let parts: Vec<_> = line.split('"').collect();
    assert!(parts.len() == 3 && parts[2] == " 200 6", "a line is not whole: {line:?}");
    parts[1].trim_end_matches(" HTTP/1.1").to_owned()
}

/// L8: children that are killed while they are being replaced are replaced all the same.
#[test]
fn a_reload_survives_the_death_of_old_and_new_children() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "6"]).daemon();
    for generation in 2..12 {
        daemon.signal(Signal::HUP);
        if let Some(child) = daemon.living().last() {
            // It may be leaving at this moment.
            let _ = kill(*child, Signal::KILL);
        }
        wait_for_generation(&scene, generation);
    }
    daemon.wait_for_children(PATIENCE, 6, &[]);
    assert_eq!(daemon.get("/").expect("it serves").status, 200);
    daemon.stop_in_order();
}

/// H4: a stop in the middle of growing and reloading is an orderly stop.
#[test]
fn a_term_while_growing_and_reloading_leaves_nothing() {
    for delay in [0, 1, 3, 6, 10, 20, 40, 80] {
        let scene = scene!();
        let daemon = scene.hello().board().args(["--max-children", "40"]).daemon();
        let load = Load::bounded(30, 1, scene.address(), "/sleep?ms=100");
        thread::sleep(Duration::from_millis(delay / 2));
        daemon.signal(Signal::HUP);
        thread::sleep(Duration::from_millis(delay));
        daemon.stop_in_order();
        // Clients that came before the stop were answered, and those that came after were refused.
        let cut_off = |failure: &String| !failure.contains("refused");
        let failures = load.finish().failures;
        assert!(!failures.iter().any(cut_off), "{delay} ms: {failures:?}");
        assert!(!scene.path("pid").exists() && !scene.path("scoreboard").exists());
    }
}
