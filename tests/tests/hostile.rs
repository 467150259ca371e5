//! A child that was taken over has the service in its hands, and not the parent.

use std::{
    thread,
    time::{Duration, Instant},
};

use prefork_tests::{Daemon, PATIENCE, get, scene, wait_until};
use rustix::process::Signal;

/// Which generation answers; none that is known while it cannot be said.
fn generation(daemon: &Daemon<'_>) -> Option<u32> {
    daemon.get("/").ok()?.body.trim().parse().ok()
}

#[test]
fn whatever_a_child_does_to_what_it_holds_the_parent_goes_on() {
    let scene = scene!();
    let program = env!("CARGO_BIN_EXE_saboteur");
    let address = scene.address().to_string();
    let daemon = scene.tool(program).args(["--listen", &address]).daemon();
    // Whoever is asked turns bad, before it answers.
    for _ in 0..20 {
        let _ = get(scene.address(), "/");
    }
    // It rests: nothing that is readable for ever wakes it.
    let before = daemon.cpu();
    thread::sleep(Duration::from_secs(1));
    let spent = daemon.cpu() - before;
    assert!(spent < Duration::from_millis(200), "{spent:?} in a second");
    // It hears operators, and is heard by its children.
    daemon.signal(Signal::HUP);
    wait_until(PATIENCE, "a reload works", || {
        generation(&daemon).is_some_and(|generation| generation >= 2)
    });
    let log = |text: &str| !scene.lines_with("error.log", text).is_empty();
    wait_until(PATIENCE, "the reload is over", || log("all children are of generation 2"));
    let begun = Instant::now();
    daemon.stop_in_order();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
