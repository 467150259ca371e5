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

/// At an address of its own, as others of the pool might answer at the one that they share.
#[test]
fn it_is_once_it_answers_at_an_address_of_its_own() {
    for way in ["tcp:", "http://"] {
        let scene = scene!();
        let own = scene.other_address();
        let begun = Instant::now();
        // Ports of both children, beside each other.
        let ready = format!("{way}{}:1234{{slot}}", own.ip());
        let settings = format!("ready = \"{ready}\"\n");
        let own = format!("{}:1234{{slot}}", own.ip());
        let arguments = ["--fd", "{fd}", "--own", &own, "--start", "700"];
        let daemon = run(&scene, &arguments, &settings).daemon();
        assert!(begun.elapsed() >= Duration::from_millis(700), "{way}: {:?}", begun.elapsed());
        daemon.stop_in_order();
    }
}

#[test]
fn it_is_after_a_time() {
    let (took, _) = start(&["--fd", "{fd}"], "ready = \"after:700ms\"\n");
    assert!(took >= Duration::from_millis(700), "{took:?}");
}
