//! Metrics, read by Prometheus' own parsers, and by that of its client for Python.

use std::fs;

use crate::{Lack, Scene, require_tool, skip};

/// Reads both texts, and prints how many samples each has.
const SECOND: &str = r#"
import prometheus_client.openmetrics.parser as openmetrics, prometheus_client.parser as classic, sys
for parser, path in (classic, sys.argv[1]), (openmetrics, sys.argv[2]):
    families = list(parser.text_string_to_metric_families(open(path).read()))
    print(sum(len(family.samples) for family in families))
"#;

/// Asserts that Prometheus takes both texts of the same metrics, and has nothing to say against names, types and helps.
///
/// `promtool check metrics` reads the classic format alone. OpenMetrics is read where it imports samples, which need a time
/// stamp for that.
///
/// # Panics
///
/// Panics if one is not taken, and as [`skip`](crate::skip) does where there is no `promtool`.
#[track_caller]
pub fn check_metrics(scene: &Scene, classic: &str, open: &str) {
    if !require_tool("promtool") {
        return;
    }
    fs::write(scene.path("classic.txt"), classic).expect("written");
    let check = scene.tool("promtool").args(["check", "metrics"]);
    let checked = check.after_shell("exec < classic.txt").finish();
    assert!(checked.end.is_success() && checked.stderr.is_empty(), "{checked:?}\n{classic}");

    check_by_second_parser(scene, open);
    let stamped = open.lines().map(|line| match line.starts_with('#') {
        true => format!("{line}\n"),
        false => format!("{line} 1700000000\n"),
    });
    let (path, blocks) = (scene.path("open.txt"), scene.path("blocks"));
    fs::write(&path, stamped.collect::<String>()).expect("written");
    let import = scene.tool("promtool").args(["tsdb", "create-blocks-from", "openmetrics"]);
    let imported = import.args([path, blocks]).finish();
    assert!(imported.end.is_success(), "{imported:?}\n{open}");
}

/// Another parser, which is stricter about OpenMetrics, reads the same number of samples in both.
#[track_caller]
fn check_by_second_parser(scene: &Scene, open: &str) {
    const PYTHON: &str = "/usr/bin/python3";
    if !require_tool(PYTHON) {
        return;
    }
    let import = scene.tool(PYTHON).args(["-c", "import prometheus_client.openmetrics.parser"]);
    if !import.finish().end.is_success() {
        skip(Lack::Missing("the system's Python has no module prometheus_client"));
        return;
    }
    fs::write(scene.path("second.txt"), open).expect("written");
    let read = scene.tool(PYTHON).args(["-c", SECOND]);
    let read = read.args([scene.path("classic.txt"), scene.path("second.txt")]).finish();
    assert!(read.end.is_success(), "{read:?}\n{open}");
    let counts: Vec<&str> = read.stdout.lines().collect();
    assert!(counts.len() == 2 && counts[0] == counts[1] && counts[0] != "0", "{counts:?}");
}
