//! What the daemon says for Prometheus, with what its board says.

use prefork_view::{Exposition, Format, metrics};

use super::report::Report;
use crate::status::counters::Counter as C;

const LIBRARY: &str = concat!("prefork ", env!("CARGO_PKG_VERSION"));

/// Renders everything.
pub(super) fn text(report: &Report, format: Format) -> String {
    let mut to = Exposition::new(format, Some(&report.name));
    let version = report.view.as_ref().and_then(|view| view.owner.version.as_deref());
    metrics::build(&mut to, version, Some(LIBRARY));
    metrics::daemon_state(&mut to, report.state());
    counters(&mut to, report);
    replacements(&mut to, report);
    gauges(&mut to, report);
    if let Some(view) = &report.view {
        metrics::children(&mut to, view);
    }
    if let Some(reading) = &report.metrics {
        metrics::application(&mut to, reading);
    }
    to.finish()
}

fn counters(to: &mut Exposition, report: &Report) {
    let get = |counter| report.figures.get(counter);
    let of = |counter| get(counter).into();
    to.counter("requests_total", "Requests answered since the start", report.requests);
    let deaths = [
        ("exited", of(C::Exited)),
        ("failed", of(C::Failed)),
        ("killed", of(C::Killed)),
        ("aborted", of(C::Aborted)),
        ("crashed", of(C::Crashed)),
        ("signalled", of(C::Signalled)),
    ];
    to.counters("child_deaths_total", "Children that have ended", "cause", &deaths);
    let reloads = [("done", of(C::Reloads)), ("failed", of(C::ReloadsFailed))];
    to.counters("reloads_total", "Replacements of all children", "result", &reloads);
    let upgrades = [("done", of(C::Upgrades)), ("refused", of(C::UpgradesRefused))];
    to.counters("upgrades_total", "Upgrades to a new program", "result", &upgrades);
    for (name, help, counter) in [
        ("spawns_total", "Children started", C::Spawns),
        ("spawn_failures_total", "Children that could not be forked", C::SpawnFailures),
        ("early_deaths_total", "Children that ended before they had worked", C::EarlyDeaths),
        ("retirements_total", "Children asked to leave as there were too many", C::Retired),
        ("timeouts_total", "Children ended for being at one request too long", C::Timeouts),
        ("cut_short_total", "Children ended as they had not left in time", C::CutShort),
        ("stuck_starts_total", "Children ended for not starting in time", C::StuckStarts),
        (
            "retired_for_memory_total",
            "Idle children asked to leave for memory",
            C::RetiredForMemory,
        ),
        ("ended_for_memory_total", "Children killed before memory ran out", C::EndedForMemory),
        ("disconnects_total", "Clients that hung up during their requests", C::Disconnects),
        ("cancellations_total", "Requests given up as their clients had gone", C::Cancelled),
        ("hook_timeouts_total", "Calls of hooks that have not returned in time", C::HookTimeouts),
        (
            "log_lines_lost_total",
            "Lines that the parent could not write to its log",
            C::LogLinesLost,
        ),
        (
            "child_log_lines_lost_total",
            "Lines that children could not write to either log",
            C::ChildLogLinesLost,
        ),
    ] {
        to.counter(name, help, Some(get(counter)));
    }
    let help = "Connection attempts dropped as the queue of a listening socket was full";
    to.counter("queue_drops_total", help, report.dropped);
    let help = "Time with as many children as there may be";
    to.counter("at_max_children_seconds_total", help, Some(report.figures.at_maximum));
}

/// Each child that was replaced has one reason: the rest had reached a limit of its own, or asked for it.
fn replacements(to: &mut Exposition, report: &Report) {
    let get = |counter| report.figures.get(counter);
    let (reload, age) = (get(C::ReplacedOldGeneration), get(C::ReplacedOldAge));
    let others = get(C::Replaced).saturating_sub(reload).saturating_sub(age);
    let help = "Children asked to leave as others had taken their places";
    let reasons = [("reload", reload.into()), ("lifetime", age.into()), ("limit", others.into())];
    to.counters("replacements_total", help, "reason", &reasons);
}

fn gauges(to: &mut Exposition, report: &Report) {
    let figures = &report.figures;
    to.gauge("min_children", "Children that there are at rest", Some(figures.prefork));
    to.gauge("max_children", "Children that there may be", Some(figures.max_children));
    to.gauge("alive_children", "Children that there are", Some(figures.alive));
    to.gauge("generation", "Generation of the newest children", Some(figures.generation));
    let help = "Part of the children that there may be that is at work";
    to.gauge("busy_ratio", help, report.busy_ratio());
    let (waiting, limit) = (report.queue.map(|it| it.waiting), report.queue.map(|it| it.limit));
    to.gauge("queue_connections", "Connections that wait to be accepted", waiting);
    to.gauge("queue_limit_connections", "Connections that may wait", limit);
    to.gauge("waiting_jobs", metrics::WAITING_JOBS, figures.jobs_waiting);
    to.gauge(
        "start_time_seconds",
        "When the daemon was started, since the epoch",
        Some(figures.started_unix),
    );
    let failures: Vec<_> = figures
        .last_failure
        .iter()
        .map(|failure| (failure.cause(), failure.at_unix.into()))
        .collect();
    let help = "When a child last ended otherwise than with status 0, since the epoch";
    to.gauges("last_child_failure_time_seconds", help, "cause", &failures);
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn the_text_says_what_was_counted() {
        let text = text(&report(), Format::OpenMetrics);
        for line in [
            concat!(
                "prefork_build_info{name=\"hello\",version=\"0.1.0\",library=\"prefork ",
                env!("CARGO_PKG_VERSION"),
                "\"} 1"
            ),
            "prefork_daemon_state{name=\"hello\",state=\"running\"} 1",
            "prefork_daemon_state{name=\"hello\",state=\"stopped\"} 0",
            "prefork_requests_total{name=\"hello\"} 26000",
            "prefork_child_deaths_total{name=\"hello\",cause=\"killed\"} 2",
            "prefork_child_deaths_total{name=\"hello\",cause=\"exited\"} 0",
            "prefork_reloads_total{name=\"hello\",result=\"done\"} 0",
            "prefork_replacements_total{name=\"hello\",reason=\"reload\"} 3",
            "prefork_replacements_total{name=\"hello\",reason=\"lifetime\"} 1",
            "prefork_replacements_total{name=\"hello\",reason=\"limit\"} 2",
            "prefork_spawns_total{name=\"hello\"} 12",
            "prefork_at_max_children_seconds_total{name=\"hello\"} 10",
            "prefork_busy_ratio{name=\"hello\"} 0.2",
            "prefork_min_children{name=\"hello\"} 3",
            "prefork_queue_connections{name=\"hello\"} 2",
            "prefork_queue_limit_connections{name=\"hello\"} 4096",
            "prefork_queue_drops_total{name=\"hello\"} 5",
            "prefork_waiting_jobs{name=\"hello\"} 12",
            "prefork_start_time_seconds{name=\"hello\"} 1700000000",
            "prefork_children{name=\"hello\",state=\"writing\"} 1",
            "# TYPE prefork_requests counter",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        let failure = "\nprefork_last_child_failure_time_seconds{name=\"hello\",cause=\"killed\"} ";
        assert!(text.contains(failure), "{text}");
    }

    #[test]
    fn no_name_comes_twice() {
        for format in [Format::Classic, Format::OpenMetrics] {
            let text = text(&report(), format);
            let mut names: Vec<&str> =
                text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{text}");
        }
    }

    #[test]
    fn what_nobody_knows_is_left_out() {
        let mut report = report();
        (report.view, report.requests, report.queue, report.dropped) = (None, None, None, None);
        report.figures.last_failure = None;
        let text = text(&report, Format::Classic);
        for name in ["requests", "busy_ratio", "children{", "queue", "last_child"] {
            assert!(!text.contains(&format!("\nprefork_{name}")), "{name} in\n{text}");
        }
        assert!(text.contains("\nprefork_spawns_total{name=\"hello\"} 12\n"));
    }
}
