//! Metrics, read by Prometheus' own parsers.

use std::fs;

use crate::{Scene, require_tool};

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
