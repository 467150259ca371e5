//! What Prometheus reads.

use std::collections::BTreeSet;

use prefork_tests::{Daemon, InHand, PATIENCE, Scene, check_metrics, kill, scene, wait_until};
use rustix::process::Signal;

use crate::{Answer, ask, get, wait_for_count, wait_for_workers, workers};

const MANUAL: &str = include_str!("../../../prefork/docs/command.md");

/// Asks for metrics as somebody who accepts that.
#[track_caller]
fn accepting(scene: &Scene, accept: &str) -> Answer {
    ask(scene, &format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n"))
}

/// The value of a sample, given its name and labels as they are written.
fn value(scene: &Scene, sample: &str) -> Option<f64> {
    let body = get(scene, "/metrics").body;
    let found = body.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    found.and_then(|value| value.parse().ok())
}

/// Starts a daemon with three children, one of which has failed: then every metric is there.
#[track_caller]
fn with_a_failed_child(scene: &Scene) -> Daemon<'_> {
    let page = scene.page().to_string();
    let daemon = scene.hello().board().args(["--status-listen", &page]).daemon();
    assert!(kill(workers(&daemon)[0], Signal::KILL));
    wait_for_count(scene, "deaths_killed", 1);
    wait_for_workers(&daemon, 3, &[]);
    daemon
}

/// Who asks for nothing in particular gets what every reader knows, and who asks for OpenMetrics gets that; Prometheus
/// takes both.
#[test]
fn each_reader_gets_its_format() {
    let scene = scene!();
    let daemon = with_a_failed_child(&scene);
    let classic = get(&scene, "/metrics");
    let kind = "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n";
    assert!(classic.head.contains(kind), "{}", classic.head);
    let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
                      version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let open = accepting(&scene, prometheus);
    let kind = "\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    assert!(open.head.contains(kind), "{}", open.head);
    assert!(open.body.ends_with("\n# EOF\n"), "{}", open.body);
    for accept in ["*/*", "text/plain", "text/html,application/xhtml+xml,*/*;q=0.8"] {
        assert!(accepting(&scene, accept).head.contains("\r\nContent-Type: text/plain; "));
    }
    check_metrics(&scene, &classic.body, &open.body);
    daemon.stop_in_order();
}

/// The manual lists every metric of the page and of the command, and no other.
#[test]
fn every_metric_is_in_the_manual() {
    let scene = scene!();
    let daemon = with_a_failed_child(&scene);
    let command = scene.tool(env!("CARGO_BIN_EXE_prefork-command")).args(["metrics"]);
    let command = command.args([scene.path("scoreboard")]).finish().stdout;
    let mut text = get(&scene, "/metrics").body + &command;
    daemon.stop_in_order();
    // One that reports jobs.
    let page = scene.page().to_string();
    let probe = scene.probe().board().args(["--status-listen", &page, "--jobs", "3"]);
    let probe = probe.args(["--figures"]);
    let daemon = probe.args(["--prefork", "1", "--max-children", "2"]).daemon();
    let name = "prefork_waiting_jobs{name=\"probe\"}";
    wait_until(PATIENCE, "they are reported", || value(&scene, name) == Some(3.0));
    text += &get(&scene, "/metrics").body;
    daemon.stop_in_order();
    // One that finds out how long clients have waited.
    let hello = scene.hello().board().args(["--status-listen", &page, "--queue-time"]).daemon();
    hello.get("/").expect("answered");
    let name = "prefork_queue_seconds_count{name=\"hello\"}";
    wait_until(PATIENCE, "it is counted", || value(&scene, name) == Some(1.0));
    text += &get(&scene, "/metrics").body;
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let written: BTreeSet<&str> = families.filter(|name| name.starts_with("prefork_")).collect();
    let (_, section) = MANUAL.split_once("\n# Metrics\n").expect("a section");
    let (section, _) = section.split_once("\n# ").expect("another section");
    let rows = section.lines().filter(|line| line.starts_with("| `prefork_"));
    let listed: BTreeSet<&str> = rows
        .flat_map(|row| row.split('|').nth(1).expect("a column").split('`'))
        .filter_map(|word| word.starts_with("prefork_").then(|| word.split('{').next())?)
        .collect();
    assert_eq!(listed, written);
    hello.stop_in_order();
}

/// Why children were replaced, and when one last failed, is there to be alerted on.
#[test]
fn reasons_are_counted() {
    let scene = scene!();
    let page = scene.page().to_string();
    let args = ["--max-children", "3", "--max-requests", "10", "--status-listen", &page];
    let daemon = scene.hello().board().args(args).daemon();
    let replaced = |reason: &str| {
        value(&scene, &format!("prefork_replacements_total{{name=\"hello\",reason=\"{reason}\"}}"))
    };
    let failed = |cause: &str| {
        let name = "prefork_last_child_failure_time_seconds";
        value(&scene, &format!("{name}{{name=\"hello\",cause=\"{cause}\"}}"))
    };
    let before = workers(&daemon);
    daemon.signal(Signal::HUP);
    wait_for_count(&scene, "reloads", 1);
    wait_for_workers(&daemon, 3, &before);
    assert_eq!((replaced("reload"), replaced("limit")), (Some(3.0), Some(0.0)));
    wait_until(PATIENCE, "children were replaced", || {
        daemon.get("/").expect("it serves");
        replaced("limit") > Some(1.0)
    });
    assert_eq!((replaced("reload"), replaced("lifetime")), (Some(3.0), Some(0.0)));
    assert_eq!((failed("killed"), failed("exited")), (None, None));
    let request = InHand::at(scene.address(), "/sleep?ms=60000");
    let killed = request.worker().pid;
    assert!(kill(killed, Signal::KILL));
    wait_until(PATIENCE, "that is shown", || failed("killed") > Some(1.7e9));
    let failure = crate::json(&scene)["daemon"]["last_failure"].clone();
    assert_eq!((&failure["pid"], &failure["signal"]), (&killed.into(), &9.into()), "{failure}");
    daemon.stop_in_order();
}
