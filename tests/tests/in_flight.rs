//! Children that have many requests in hand at once.

use std::time::Duration;

use prefork::scoreboard::Record;
use prefork_tests::{
    Census, Daemon, InHand, Launch, Load, PATIENCE, Scene, get, holds_for, records, scene,
    wait_for_in_hand, wait_until,
};
use rustix::process::Signal;

/// How long a pool may take to be back at `prefork`, as the documentation says.
const CALM: Duration = Duration::from_secs(20);

fn crowd<'a>(scene: &'a Scene, concurrency: u32) -> Launch<'a> {
    let listen = scene.address().to_string();
    let program = scene.tool(env!("CARGO_BIN_EXE_crowd")).board();
    program.args(["--listen", &listen, "--concurrency", &concurrency.to_string()])
}

fn release_all(requests: Vec<InHand>) {
    for request in requests {
        assert_eq!(request.release().expect("it is answered").body, "answered");
    }
}

/// Clients that hang up, and handlers that panic, leave nothing in hand; the others go on.
#[test]
fn whatever_becomes_of_a_request_it_is_in_hand_no_more() {
    let scene = scene!();
    let daemon = crowd(&scene, 64).args(["--max-children", "1"]).daemon();
    let first = InHand::at(scene.address(), "/hold/first");
    let child = first.worker().pid;
    let [second, reset, gone] =
        ["/hold/2", "/hold/3", "/hold/4"].map(|path| InHand::at(scene.address(), path));
    wait_for_in_hand(&scene, 4);
    let record = records(&scene).into_iter().find(|record| record.pid() == Some(child));
    let record = record.expect("it is there");
    assert_eq!((record.in_hand(), record.concurrency()), (4, 64));
    assert_eq!(record.label(), "GET /hold/first");
    assert_eq!(record.client(), first.client().to_string());
    reset.reset();
    drop(gone);
    wait_for_in_hand(&scene, 2);
    for _ in 0..3 {
        get(scene.address(), "/panic").expect_err("the answer is cut short");
    }
    release_all(vec![first]);
    wait_until(PATIENCE, "the next one is shown", || {
        records(&scene).iter().any(|record| record.label() == "GET /hold/2")
    });
    release_all(vec![second]);
    wait_for_in_hand(&scene, 0);
    let requests = || records(&scene).iter().map(Record::requests).sum::<u64>();
    wait_until(PATIENCE, "each is counted", || requests() == 7);
    assert_eq!(daemon.living(), [child], "it has lived through all that");
    daemon.stop_in_order();
}

/// Each shows how many it has: in words, in JSON, and as metrics.
#[test]
fn all_that_shows_children_shows_how_many_requests_they_have() {
    let scene = scene!();
    let daemon = crowd(&scene, 64).args(["--max-children", "1"]).daemon();
    let held: Vec<_> = (0..3).map(|_| InHand::at(scene.address(), "/hold")).collect();
    wait_for_in_hand(&scene, 3);
    let shown = |words: &[&str]| {
        let command = scene.tool(env!("CARGO_BIN_EXE_prefork-command")).args(words);
        command.args([scene.path("scoreboard")]).finish().stdout
    };
    let text = shown(&["status"]);
    assert!(
        text.contains(": 1 child of 1, 0 idle, 1 busy, 3 in hand of 64, queue 0 of "),
        "{text}"
    );
    assert!(text.lines().any(|line| line.contains("  3 of 64  ")), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&shown(&["status", "--json"])).expect("JSON");
    for part in [&json, &json["children"][0]] {
        assert_eq!((&part["in_hand"], &part["concurrency"]), (&3.into(), &64.into()), "{json}");
    }
    let metrics = shown(&["metrics"]);
    for line in [
        "prefork_requests_in_hand{name=\"crowd\"} 3",
        "prefork_requests_in_hand_limit{name=\"crowd\"} 64",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
    }
    release_all(held);
    daemon.stop_in_order();
}

/// F4: a pool has as many children as its requests fill, and one to spare; and comes back.
#[test]
fn a_pool_is_as_large_as_its_requests_fill() {
    let scene = scene!();
    let daemon = crowd(&scene, 4).daemon();
    let census = Census::begin(daemon.pid());
    let held: Vec<_> = (0..12).map(|_| InHand::at(scene.address(), "/hold")).collect();
    wait_for_in_hand(&scene, 12);
    assert!(records(&scene).iter().all(|record| record.in_hand() <= 4), "{:?}", records(&scene));
    wait_until(PATIENCE, "three are full, and one is to spare", || daemon.living().len() >= 4);
    holds_for(Duration::from_secs(1), "five at the most", || daemon.living().len() <= 5);
    release_all(held);
    daemon.wait_for_children(CALM, 1, &[]);
    assert!(census.end().most <= 5, "what waited was taken for more than it was");
    daemon.stop_in_order();
}

/// R4: one that was given more time does not hide another that hangs, be it one that computes without end.
#[test]
fn a_request_that_hangs_is_found_among_others() {
    for path in ["/hold/late", "/spin"] {
        let scene = scene!();
        let alone = ["--max-children", "1", "--request-timeout", "1500"];
        let daemon = crowd(&scene, 64).args(alone).daemon();
        let patient = InHand::at(scene.address(), "/more/60000");
        let child = patient.worker().pid;
        holds_for(Duration::from_secs(3), "it has time", || daemon.living() == [child]);
        let hung = InHand::at(scene.address(), path);
        assert_eq!(hung.worker().pid, child);
        daemon.wait_for_children(PATIENCE, 1, &[child]);
        let lines = scene.lines_with("error.log", "at one request for");
        assert_eq!(lines.len(), 1, "{lines:?}");
        let what = format!(": GET {path}, of {}, and 1 more", hung.client());
        assert!(lines[0].contains(&what), "{lines:?}");
        hung.answer().expect_err("nobody can answer it");
        patient.answer().expect_err("nor the other, in the same child");
        assert_eq!(daemon.get("/").expect("another serves").status, 200);
        daemon.stop_in_order();
    }
}

/// F6: requests are counted singly, and a child that has had its number finishes what it has in hand.
#[test]
fn children_are_replaced_after_their_requests_and_lose_none() {
    let scene = scene!();
    // A pool that grows would have one to spare, which takes some of them.
    let alone = ["--max-requests", "50", "--max-children", "1"];
    let daemon = crowd(&scene, 16).args(alone).daemon();
    let first = daemon.living();
    let held = InHand::at(scene.address(), "/hold");
    assert_eq!([held.worker().pid], *first);
    let tally = Load::bounded(4, 250, scene.address(), "/").finish();
    assert_eq!((tally.answered, tally.failures), (1000, vec![]));
    assert!(daemon.living().contains(&first[0]), "it has one in hand yet");
    release_all(vec![held]);
    wait_until(PATIENCE, "then it leaves", || !daemon.living().contains(&first[0]));
    daemon.stop_in_order();
}

/// L1: a reload leaves all that is in hand to the old child.
#[test]
fn a_reload_leaves_all_requests_in_hand_alone() {
    let scene = scene!();
    let daemon = crowd(&scene, 16).args(["--max-children", "1"]).daemon();
    let held: Vec<_> = (0..5).map(|_| InHand::at(scene.address(), "/hold")).collect();
    let old = held[0].worker();
    daemon.signal(Signal::HUP);
    wait_until(PATIENCE, "another child serves", || {
        daemon.get("/").expect("it serves").worker().generation == 2
    });
    wait_for_in_hand(&scene, 5);
    for request in held {
        assert_eq!(request.release().expect("it is answered").worker(), old);
    }
    wait_until(PATIENCE, "the old one has left", || !daemon.living().contains(&old.pid));
    stop_with_requests(&scene, &daemon);
}

/// A stop too waits for all of them.
fn stop_with_requests(scene: &Scene, daemon: &Daemon<'_>) {
    let held: Vec<_> = (0..3).map(|_| InHand::at(scene.address(), "/hold")).collect();
    daemon.signal(Signal::TERM);
    wait_until(PATIENCE, "newcomers are refused", || get(scene.address(), "/").is_err());
    release_all(held);
    daemon.assert_ends_in_order(PATIENCE);
}
