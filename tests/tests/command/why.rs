//! What children wait for.

use prefork_tests::{InHand, PATIENCE, Scene, scene, wait_until};
use rustix::process::Signal;
use serde_json::Value;

use crate::run;

/// Waits until the board shows so many requests in hand.
fn wait_for_busy(scene: &Scene, count: usize) {
    wait_until(PATIENCE, "the requests are in hand", || {
        let text = run(scene, "status --json @scoreboard", 0).stdout;
        let board: Value = serde_json::from_str(&text).expect("JSON");
        board["tally"]["busy"] == count
    });
}

/// Who is woken at night sees what the children do, for whom, and in which call they wait for what.
#[test]
fn why_shows_what_children_at_work_wait_for() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "3"]).board().daemon();
    let first = InHand::at(scene.address(), "/sleep?ms=60001");
    wait_for_busy(&scene, 1);
    let second = InHand::at(scene.address(), "/sleep?ms=60002");
    wait_for_busy(&scene, 2);
    let text = run(&scene, "why @scoreboard", 0).stdout;
    assert!(text.starts_with("hello: 2 of 3 children at work\n\nchild "), "{text}");
    let children: Vec<_> = text.lines().filter(|line| line.starts_with("child ")).collect();
    for (child, (request, path)) in children.iter().zip([(&first, 60001), (&second, 60002)]) {
        let pid = request.worker().pid;
        assert!(child.starts_with(&format!("child {pid} (slot ")), "not the oldest first: {text}");
        assert!(child.contains(&format!("GET /sleep?ms={path} for 127.")), "{child}");
        let thread = format!("\n  thread {pid} (");
        let (_, rest) = text.split_once(&thread).unwrap_or_else(|| panic!("no thread in {text}"));
        let line = rest.lines().next().unwrap_or_default();
        assert!(
            line.contains(&format!("sleeps in clock_nanosleep for {path}."))
                || line.contains("clock_nanosleep for 60."),
            "{line}"
        );
    }
    assert_eq!(children.len(), 2, "{text}");
    daemon.signal(Signal::INT);
    daemon.assert_ends_in_order(PATIENCE);
}

#[test]
fn why_looks_at_one_child_whatever_it_does() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "1", "--max-children", "1"]).board().daemon();
    wait_for_busy(&scene, 0);
    let pid = daemon.living()[0];
    let text = run(&scene, &format!("why @scoreboard {pid}"), 0).stdout;
    assert!(text.starts_with(&format!("child {pid} (slot 0) idle")), "{text}");
    assert!(text.contains("listening at tcp 127."), "an idle one waits for connections: {text}");
    let refused = run(&scene, "why @scoreboard 1", 2).stderr;
    assert!(refused.contains("process 1 has no slot on board "), "{refused}");
    let none = run(&scene, "why @scoreboard", 0).stdout;
    assert_eq!(none, "hello: 0 of 1 child at work\n");
    daemon.signal(Signal::KILL);
    daemon.wait_for_end(PATIENCE);
    let gone = run(&scene, "why @scoreboard", 3);
    assert!(gone.stdout.is_empty() && !gone.stderr.is_empty(), "{gone:?}");
}

#[test]
fn why_is_json_for_programs() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "2"]).board().daemon();
    let request = InHand::at(scene.address(), "/sleep?ms=60000");
    wait_for_busy(&scene, 1);
    let text = run(&scene, "why --json @scoreboard", 0).stdout;
    let shown: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(shown["schema"], 1);
    let [child] = &shown["children"].as_array().expect("a list")[..] else { panic!("{text}") };
    assert_eq!(child["pid"], request.worker().pid);
    assert_eq!(
        (&child["label"], &child["daemon"]),
        (&"GET /sleep?ms=60000".into(), &"hello".into())
    );
    assert!(
        child["request_seconds"].as_f64().is_some_and(|time| time > 0.0)
            && child["error"].is_null()
    );
    let thread = &child["processes"][0]["threads"][0];
    assert_eq!((&thread["tid"], &thread["state"]), (&child["pid"], &"sleeping".into()), "{text}");
    assert_eq!((&thread["call"], &thread["cause"]), (&"clock_nanosleep".into(), &"time".into()));
    daemon.signal(Signal::INT);
    daemon.assert_ends_in_order(PATIENCE);
}
