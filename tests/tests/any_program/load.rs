//! Programs under load: the pool follows it, and nothing is lost by replacements.

use std::{mem, thread, time::Duration};

use prefork_tests::{
    InHand, Load, PATIENCE, Sent, in_hand, scene, turns, wait_for_in_hand, wait_until,
};
use rustix::process::Signal;

use super::run;

/// How long a pool may take to be back at `prefork`, as the documentation says.
const CALM: Duration = Duration::from_secs(25);

#[test]
fn a_pool_grows_for_clients_that_wait_and_shrinks_afterwards() {
    let scene = scene!();
    let daemon = run(&scene, &["--fd", "{fd}"], "").args(["--max-children", "8"]).daemon();
    let requests: Vec<_> =
        (0..8).map(|_| Sent::to(scene.address(), "/sleep?ms=3000").expect("sent")).collect();
    daemon.wait_for_children(PATIENCE, 8, &[]);
    wait_for_in_hand(&scene, 8);
    for request in requests {
        request.answer().expect("answered");
    }
    wait_until(PATIENCE, "none is in hand", || in_hand(&scene) == 0);
    daemon.wait_for_children(CALM, 2, &[]);
    daemon.stop_in_order();
}

/// What comes after a rest is seen as what comes first. What it has printed before wakes nobody either.
#[test]
fn a_program_that_rests_wakes_nobody_and_is_seen_at_work_again() {
    let scene = scene!();
    let daemon = run(&scene, &["--fd", "{fd}", "--print", "a line"], "").daemon();
    let children = daemon.living();
    let turns_of = || children.iter().map(|child| turns(*child)).sum::<u64>();
    let mut last = turns_of();
    wait_until(PATIENCE, "nobody wakes for longer than two looks are apart", || {
        thread::sleep(Duration::from_millis(2500));
        mem::replace(&mut last, turns_of()) == last
    });
    let slow = Sent::to(scene.address(), "/late?ms=3000").expect("sent");
    wait_for_in_hand(&scene, 1);
    slow.answer().expect("answered");
    daemon.stop_in_order();
}

/// However a program waits and whatever it does on SIGTERM.
#[test]
fn a_reload_and_a_stop_under_load_lose_nothing() {
    for waits in ["accept", "epoll"] {
        for on_term in ["die", "finish", "exit"] {
            let scene = scene!();
            let arguments = ["--fd", "{fd}", "--waits", waits, "--on-term", on_term];
            let daemon = run(&scene, &arguments, "").daemon();
            // Of an event loop it cannot be known whether an answer that pauses has come to its end: it has not begun here.
            let slow = Sent::to(scene.address(), "/late?ms=2000").expect("sent");
            wait_for_in_hand(&scene, 1);
            let begun = (waits == "accept").then(|| InHand::at(scene.address(), "/sleep?ms=2000"));
            let load = Load::start(4, scene.address(), "/sleep?ms=3");
            for generation in 2..5 {
                daemon.signal(Signal::HUP);
                let done = format!("all children are of generation {generation} now");
                wait_until(PATIENCE, &done, || scene.logged(&done) == 1);
            }
            slow.answer().unwrap_or_else(|error| panic!("{waits}, {on_term}: {error}"));
            if let Some(begun) = begun {
                begun.answer().unwrap_or_else(|error| panic!("{waits}, {on_term}: {error}"));
            }
            let tally = load.stop();
            assert_eq!(tally.failures, [""; 0], "{waits}, {on_term}: of {}", tally.answered);
            let last = Sent::to(scene.address(), "/late?ms=1000").expect("sent");
            wait_for_in_hand(&scene, 1);
            daemon.signal(Signal::TERM);
            last.answer().unwrap_or_else(|error| panic!("stop: {waits}, {on_term}: {error}"));
            daemon.assert_ends_in_order(PATIENCE);
        }
    }
}

/// The programs of the old command serve on while the new one takes over.
#[test]
fn an_upgrade_of_the_command_keeps_what_is_in_hand() {
    let scene = scene!();
    let daemon = run(&scene, &["--fd", "{fd}", "--on-term", "finish"], "").daemon();
    let load = Load::start(2, scene.address(), "/sleep?ms=3");
    let slow = InHand::at(scene.address(), "/sleep?ms=1500");
    daemon.signal(Signal::USR2);
    wait_until(PATIENCE, "it has taken over", || scene.logged("of generation 2 now") == 1);
    slow.answer().expect("answered");
    let tally = load.stop();
    assert_eq!(tally.failures, [""; 0], "of {}", tally.answered);
    daemon.stop_in_order();
}
