//! What the program counts itself.

use std::{fs, os::unix::fs::PermissionsExt};

use prefork_tests::{
    Daemon, PATIENCE, Scene, check_metrics, kill, require_open_to_others, require_root, scene,
    wait_until,
};
use rustix::process::Signal;

use crate::{ask, get, json, wait_for_count, wait_for_workers, workers};

const CHILDREN: usize = 3;

fn counting(scene: &Scene) -> Daemon<'_> {
    let page = scene.page().to_string();
    let probe = scene.probe().board().args(["--status-listen", &page, "--figures"]);
    probe.args(["--prefork", "3", "--max-children", "3"]).daemon()
}

/// The value of a sample, given its name and labels as they are written.
fn value(text: &str, sample: &str) -> Option<f64> {
    let found = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    found.and_then(|value| value.parse().ok())
}

fn odd(scene: &Scene) -> f64 {
    let name = "probe_units_total{name=\"probe\",parity=\"odd\"}";
    value(&get(scene, "/metrics").body, name).unwrap_or_default()
}

fn children_that_have_counted(scene: &Scene) -> Option<f64> {
    value(&get(scene, "/metrics").body, "probe_counting_children{name=\"probe\"}")
}

/// Prometheus takes them in both formats, and the command prints the same as the page.
#[test]
fn they_are_shown_wherever_the_daemon_shows_its_own() {
    let scene = scene!();
    let daemon = counting(&scene);
    for path in ["/count/3", "/count/4", "/count/20"] {
        daemon.get(path).expect("it serves");
    }
    let classic = get(&scene, "/metrics").body;
    for line in [
        r#"# HELP probe_units_total Units, "even" or \\ odd"#,
        "# TYPE probe_units_total counter",
        r#"probe_units_total{name="probe",parity="even"} 24"#,
        r#"probe_units_total{name="probe",parity="odd"} 3"#,
        r#"probe_size_bytes_bucket{name="probe",le="1.0"} 0"#,
        r#"probe_size_bytes_bucket{name="probe",le="10.0"} 2"#,
        r#"probe_size_bytes_bucket{name="probe",le="+Inf"} 3"#,
        r#"probe_size_bytes_sum{name="probe"} 27"#,
        r#"probe_size_bytes_count{name="probe"} 3"#,
        r#"prefork_refused_series_total{name="probe"} 0"#,
        r#"prefork_unreadable_series{name="probe"} 0"#,
    ] {
        assert!(classic.lines().any(|found| found == line), "{line} in {classic}");
    }
    let accept = "Host: localhost\r\nAccept: application/openmetrics-text";
    let open = ask(&scene, &format!("GET /metrics HTTP/1.1\r\n{accept}\r\n\r\n")).body;
    assert!(open.contains("\n# UNIT probe_size_bytes bytes\n"), "{open}");
    check_metrics(&scene, &classic, &open);

    let command = |args: &[&str]| {
        let command = scene.tool(env!("CARGO_BIN_EXE_prefork-command")).args(args);
        command.args([scene.path("scoreboard")]).finish()
    };
    let printed = command(&["metrics"]);
    assert_eq!(printed.stderr, "");
    let own = |text: &str| {
        let own = text.lines().filter(|line| line.contains("probe_"));
        own.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(own(&printed.stdout), own(&classic));
    let shown = command(&["status", "--json"]).stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["metrics"]["families"][0]["name"], "probe_units_total");
    assert_eq!(shown["metrics"], json(&scene)["metrics"]);
    daemon.stop_in_order();
}

/// Only the user of the daemon and root can look into its memory.
#[test]
fn others_are_told_that_they_cannot_read_them() {
    if !require_root() {
        return;
    }
    let scene = scene!();
    if !require_open_to_others(env!("CARGO_BIN_EXE_prefork-command").as_ref()) {
        return;
    }
    let daemon = counting(&scene);
    daemon.get("/count/3").expect("it serves");
    let command = scene.tool("setpriv").args(["--reuid", "65534", "--regid", "65534"]);
    let command = command.args(["--clear-groups", env!("CARGO_BIN_EXE_prefork-command")]);
    let board = scene.path("scoreboard");
    let mode = PermissionsExt::from_mode(0o644);
    fs::set_permissions(&board, mode).expect("root may");
    let printed = command.args(["metrics"]).args([board]).finish();
    assert!(printed.stdout.contains("prefork_children{"), "{printed:?}");
    assert!(!printed.stdout.contains("probe_units"), "{printed:?}");
    let expected = "what the program counts itself is missing: cannot open the memory of metrics";
    assert!(printed.stderr.contains(expected), "{printed:?}");
    assert!(printed.stderr.contains("; only its user and root can read that"), "{printed:?}");
    daemon.stop_in_order();
}

/// A total stays when children are killed, and replaced by a reload and an upgrade; a gauge goes with its child.
#[test]
fn totals_outlive_children_and_gauges_do_not() {
    let scene = scene!();
    let daemon = counting(&scene);
    let mut expected = 0.0;
    let mut count = |times: usize| {
        for _ in 0..times {
            daemon.get("/count/1").expect("it serves");
            expected += 1.0;
        }
        assert_eq!(odd(&scene), expected);
    };
    count(5);
    for round in 1..=3 {
        let all = workers(&daemon);
        all.iter().for_each(|pid| assert!(kill(*pid, Signal::KILL)));
        wait_for_count(&scene, "deaths_killed", round * CHILDREN as u64);
        wait_until(PATIENCE, "the gauges of the dead are gone", || {
            children_that_have_counted(&scene).is_none()
        });
        wait_for_workers(&daemon, CHILDREN, &all);
        count(2);
        assert!(children_that_have_counted(&scene) >= Some(1.0));
    }
    let before = workers(&daemon);
    daemon.signal(Signal::HUP);
    wait_for_count(&scene, "reloads", 1);
    wait_for_workers(&daemon, CHILDREN, &before);
    count(3);
    let before = workers(&daemon);
    daemon.signal(Signal::USR2);
    wait_for_count(&scene, "upgrades", 1);
    wait_for_workers(&daemon, CHILDREN, &before);
    count(3);
    daemon.stop_in_order();
}

/// With `prefork = 0` the command shows them, as there is no page.
#[test]
fn a_daemon_without_children_counts_too() {
    let scene = scene!();
    let daemon = scene.probe().board().args(["--figures", "--prefork", "0"]).daemon();
    daemon.get("/count/3").expect("it serves");
    let command = scene.tool(env!("CARGO_BIN_EXE_prefork-command")).args(["metrics"]);
    let printed = command.args([scene.path("scoreboard")]).finish().stdout;
    let line = "probe_units_total{name=\"probe\",parity=\"odd\"} 3";
    assert!(printed.lines().any(|found| found == line), "{printed}");
    daemon.stop_in_order();
}

/// Too many series are logged once by each child, and counted.
#[test]
fn too_many_series_are_an_error_once_and_harm_nobody() {
    let scene = scene!();
    let daemon = counting(&scene);
    let child = daemon.get("/waste/1000").expect("it serves").number();
    let line = "no room for another series of metric probe_units_total";
    wait_until(PATIENCE, "it is logged", || scene.logged(line) > 0);
    daemon.get("/count/3").expect("it serves");
    assert!(workers(&daemon).contains(&child), "it lives");
    assert_eq!(scene.logged(line), 1);
    let name = "prefork_refused_series_total{name=\"probe\"}";
    let refused = value(&get(&scene, "/metrics").body, name).expect("counted");
    assert!((800.0..1000.0).contains(&refused), "{refused}");
    daemon.stop_in_order();
}
