//! When a program counts as ready.

use std::time::{Duration, Instant};

use prefork_tests::{get, scene};

use super::run;

/// Two children each, which start at the same time.
fn start(arguments: &[&str], settings: &str) -> (Duration, bool) {
    let scene = scene!();
    let began = Instant::now();
    let daemon = run(&scene, arguments, settings).daemon();
    let took = began.elapsed();
    let serves = get(scene.address(), "/pid").is_ok();
    daemon.stop_in_order();
    (took, serves)
}

#[test]
fn it_is_once_it_waits_at_its_socket() {
    for waits in ["accept", "epoll"] {
        let (took, serves) = start(&["--fd", "{fd}", "--waits", waits, "--start", "700"], "");
        assert!(serves && took >= Duration::from_millis(700), "{waits}: {took:?}");
    }
}

#[test]
fn it_is_once_it_says_so() {
    let (took, serves) =
        start(&["--fd", "{fd}", "--start", "700", "--notify", "READY=1"], "ready = \"notify\"\n");
    assert!(serves && took >= Duration::from_millis(700), "{took:?}");
}

#[test]
fn it_is_after_a_time() {
    let (took, _) = start(&["--fd", "{fd}"], "ready = \"after:700ms\"\n");
    assert!(took >= Duration::from_millis(700), "{took:?}");
}
