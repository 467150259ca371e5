//! Pools that have to grow while something is wrong.

use std::{
    fs,
    hash::{BuildHasher, Hasher, RandomState},
    thread,
    time::{Duration, Instant},
};

use prefork_tests::{Census, Load, PATIENCE, kill, require_tool, scene, wait_until};
use rustix::process::Signal;

use crate::Pools;

/// F5: a pool that wants to grow, but whose new children end at once, does so a bounded number of
/// times, and those that work go on.
#[test]
fn growing_by_children_that_end_at_once_is_bounded() {
    let scene = scene!();
    let daemon = scene
        .probe()
        .args(["--prefork", "2", "--max-children", "20"])
        .path("--spoiled-by", "spoiled")
        .path("--witness", "witness")
        .board()
        .daemon();
    let old = daemon.living();
    let forks = || scene.lines_with("witness", "main_loop").len();
    fs::write(scene.path("spoiled"), "").expect("written");
    let (before, lines_before) = (forks(), scene.read("error.log").lines().count());
    let load = Load::start(6, scene.address(), "/sleep/20");
    // The pauses are 10 ms, 20 ms, 40 ms ... so the later, the fewer: what counts is how far apart
    // forks are in the end, however many the first waves were, which have room for 18.
    let (mut count, mut last) = (forks(), Instant::now());
    wait_until(PATIENCE, "a second has passed without a fork", || {
        let now = forks();
        if now != count {
            (count, last) = (now, Instant::now());
        }
        last.elapsed() > Duration::from_secs(1)
    });
    let forks_now = forks() - before;
    let lines = scene.read("error.log").lines().count() - lines_before;
    // Seven pauses lead to one of more than a second. On a busy machine children live for long enough
    // before they fail to be taken for busy ones, and there are more waves.
    assert!((4..=18 + 18).contains(&forks_now), "{forks_now} forks until they are a second apart");
    assert!(lines <= 4 * forks_now + 10, "{lines} lines for {forks_now} forks");
    let living = daemon.living();
    assert!(old.iter().all(|pid| living.contains(pid)), "the old children {old:?} are not there");
    fs::remove_file(scene.path("spoiled")).expect("removed");
    wait_until(PATIENCE, "the pool grows", || daemon.living().len() > 4);
    let tally = load.stop();
    assert!(tally.answered > 100 && tally.failures.is_empty(), "{tally:?}");
    assert_eq!(scene.lines_with("error.log", "children work again").len(), 1);
    daemon.stop_in_order();
}

/// F4: a loop that was ported line by line says nothing, and its pool grows all the same, once, and is not ended in the
/// middle of requests that nobody sees.
#[test]
fn a_pool_grows_whose_children_say_nothing() {
    let scene = scene!();
    let daemon = scene
        .probe()
        .args(["--prefork", "2", "--max-children", "6", "--main-loop", "plain"])
        .board()
        .daemon();
    let load = Load::start(6, scene.address(), "/sleep/50");
    wait_until(PATIENCE, "there are as many children as there may be", || {
        daemon.living().len() == 6
    });
    let tally = load.stop();
    assert!(tally.answered > 0 && tally.failures.is_empty(), "{tally:?}");
    let warned = scene.lines_with("error.log", "work waits while every child counts as idle");
    assert_eq!(warned.len(), 1, "{warned:?}");
    daemon.wait_for_rest();
    assert_eq!(daemon.living().len(), 6);
    daemon.stop_in_order();
}

/// F4: children that are stopped while they wait for a connection have said that they wait. Clients are served by others,
/// and the log says why there are more.
#[test]
fn a_pool_grows_beside_idle_children_that_are_stopped() {
    let scene = scene!();
    let daemon = scene.pool(2, 8).daemon();
    let stopped = daemon.living();
    // Each has said something.
    for _ in 0..20 {
        daemon.get("/").expect("answered");
    }
    daemon.wait_for_rest();
    stopped.iter().for_each(|pid| assert!(kill(*pid, Signal::STOP), "{pid} is there"));
    let load = Load::start(1, scene.address(), "/");
    wait_until(PATIENCE, "there are others", || daemon.living().len() > 2);
    let tally = load.stop();
    assert!(tally.answered > 0 && tally.failures.is_empty(), "{tally:?}");
    let logged =
        scene.lines_with("error.log", "children that count as idle have taken none for a second");
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(logged[0].contains("2 children"), "{logged:?}");
    stopped.iter().for_each(|pid| assert!(kill(*pid, Signal::CONT), "{pid} is there"));
    daemon.stop_in_order();
}

/// R1: children that are killed while the pool grows cost the requests they had in hand, and the
/// pool is whole in the end.
#[test]
fn children_killed_while_the_pool_grows_are_replaced() {
    let scene = scene!();
    let daemon = scene.pool(3, 40).daemon();
    let census = Census::begin(daemon.pid());
    let load = Load::start(30, scene.address(), "/sleep?ms=20");
    let mut kills = 0;
    while kills < 40 {
        let living = daemon.living();
        let victim = RandomState::new().build_hasher().finish() % living.len().max(1) as u64;
        let victim = living.get(usize::try_from(victim).expect("it is small"));
        kills += usize::from(victim.is_some_and(|pid| kill(*pid, Signal::KILL)));
        thread::sleep(Duration::from_millis(20));
    }
    wait_until(PATIENCE, "there is a child for each client", || daemon.living().len() >= 30);
    let tally = load.stop();
    assert!(tally.answered > 100, "{tally:?}");
    assert!(tally.failures.len() <= kills, "{kills} kills: {tally:?}");
    let population = census.end();
    assert!(population.most <= 40, "{population:?}");
    wait_until(PATIENCE, "no zombie is left", || {
        daemon.children().iter().all(|child| !child.is_zombie())
    });
    daemon.stop_in_order();
}

/// F1: forks that fail in the middle of a burst delay it, and no request is lost.
#[test]
fn a_burst_survives_forks_that_fail() {
    if !require_tool("strace") {
        return;
    }
    let scene = scene!();
    let mut strace = vec!["strace".to_owned(), "-f".into(), "-o".into()];
    strace.push(scene.path("strace").display().to_string());
    // Three forks make the first children, two the burst gets; the next seven fail.
    for call in ["clone", "clone3", "fork", "vfork"] {
        strace.extend(["-e".to_owned(), format!("inject={call}:error=EAGAIN:when=6..12")]);
    }
    let running = scene.pool(3, 60).paths().under(&strace).start();
    let daemon = running.ready();
    let begun = Instant::now();
    let load = Load::bounded(40, 3, scene.address(), "/sleep?ms=400");
    let recovered = || scene.lines_with("error.log", "can be started again").len();
    wait_until(PATIENCE, "children can be started again", || recovered() > 0);
    println!("forks failed until {:?} after the burst", begun.elapsed());
    let tally = load.finish();
    assert_eq!((tally.answered, tally.failures), (120, vec![]));
    assert_eq!(scene.lines_with("strace", "(INJECTED)").len(), 7, "forks that failed");
    assert_eq!(scene.lines_with("error.log", "cannot fork").len(), 1);
    assert_eq!(recovered(), 1, "it did not recover for good");
    daemon.signal(Signal::TERM);
    assert!(running.finish().end.is_success());
    scene.assert_nothing_is_left();
}
