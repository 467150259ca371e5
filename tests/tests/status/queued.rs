//! How long the last client of each child has waited.

use std::{thread, time::Duration};

use prefork_tests::{InHand, PATIENCE, Sent, scene, wait_until};

use super::{get, json};

#[test]
fn how_long_the_client_of_a_child_has_waited_is_shown_where_it_is_measured() {
    let scene = scene!();
    let command = || {
        let tool = scene.tool(env!("CARGO_BIN_EXE_prefork-command")).args(["status"]);
        tool.args([scene.path("scoreboard")]).finish().stdout
    };
    let page = scene.page().to_string();
    let html = || get(&scene, "/status").body;
    let queued = || json(&scene)["children"][0]["queued_seconds"].as_f64();
    let size = ["--prefork", "1", "--max-children", "1", "--status-listen", &page];
    let daemon = scene.hello().board().args(size).args(["--queue-time"]).daemon();
    daemon.get("/").expect("answered");
    wait_until(PATIENCE, "the first has not waited", || queued().is_some_and(|time| time < 0.2));
    let before = InHand::at(scene.address(), "/sleep?ms=600");
    let waiting = Sent::to(scene.address(), "/sleep?ms=2000").expect("connected");
    // That it waits for so long is what is to be seen.
    thread::sleep(Duration::from_millis(300));
    before.answer().expect("answered");
    let waiting = waiting.taken();
    wait_until(PATIENCE, "the next one has", || {
        queued().is_some_and(|time| (0.25..PATIENCE.as_secs_f64()).contains(&time))
    });
    assert!(command().contains(" QUEUED "), "{}", command());
    assert!(html().contains("<th scope=\"col\">queued"), "{}", html());
    waiting.answer().expect("answered");
    daemon.stop_in_order();

    let daemon = scene.hello().board().args(size).daemon();
    daemon.get("/").expect("answered");
    wait_until(PATIENCE, "it is counted", || json(&scene)["children"][0]["requests"] == 1);
    assert_eq!(queued(), None);
    assert!(!command().contains("QUEUED"), "{}", command());
    assert!(!html().contains("queued"), "{}", html());
    daemon.stop_in_order();
}
