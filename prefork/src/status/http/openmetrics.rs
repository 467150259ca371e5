//! What the daemon says as OpenMetrics text, with what its board says.

use std::{fmt, time::Duration};

use prefork_view::{self as view, metrics::gauge};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter},
    registry::Unit,
};

use super::report::Report;
use crate::status::counters::Counter;

/// Renders everything as OpenMetrics text.
pub(super) fn text(report: &Report) -> String {
    let mut registry = view::registry(report.view.clone());
    registry.register_collector(Box::new(Metrics(report.clone())));
    view::text(&registry)
}

#[derive(Debug)]
struct Metrics(Report);

impl Collector for Metrics {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(report) = self;
        counters(&mut to, report)?;
        gauges(&mut to, report)
    }
}

fn counters(to: &mut DescriptorEncoder<'_>, report: &Report) -> fmt::Result {
    use Counter as C;
    let get = |counter| report.figures.get(counter);
    if let Some(requests) = report.requests {
        counter(to, "requests", "Requests answered since the start", None, requests)?;
    }
    let deaths = [
        ("exited", get(C::Exited)),
        ("failed", get(C::Failed)),
        ("killed", get(C::Killed)),
        ("aborted", get(C::Aborted)),
        ("crashed", get(C::Crashed)),
        ("signalled", get(C::Signalled)),
    ];
    family(to, "child_deaths", "Children that have ended", "cause", &deaths)?;
    let reloads = [("done", get(C::Reloads)), ("failed", get(C::ReloadsFailed))];
    family(to, "reloads", "Replacements of all children", "result", &reloads)?;
    let upgrades = [("done", get(C::Upgrades)), ("refused", get(C::UpgradesRefused))];
    family(to, "upgrades", "Upgrades to a new program", "result", &upgrades)?;
    for (name, help, value) in [
        ("spawns", "Children started", get(C::Spawns)),
        ("spawn_failures", "Children that could not be forked", get(C::SpawnFailures)),
        ("early_deaths", "Children that ended before they had worked", get(C::EarlyDeaths)),
        ("retirements", "Children asked to leave as there were too many", get(C::Retired)),
        (
            "replacements",
            "Children asked to leave as others had taken their places",
            get(C::Replaced),
        ),
        ("timeouts", "Children ended for being at one request too long", get(C::Timeouts)),
        ("cut_short", "Children ended as they had not left in time", get(C::CutShort)),
        ("stuck_starts", "Children ended for not starting in time", get(C::StuckStarts)),
        ("disconnects", "Clients that hung up during their requests", get(C::Disconnects)),
        ("hook_timeouts", "Calls of hooks that have not returned in time", get(C::HookTimeouts)),
        (
            "log_lines_lost",
            "Lines that the parent could not write to its log",
            get(C::LogLinesLost),
        ),
        (
            "child_log_lines_lost",
            "Lines that children could not write to either log",
            get(C::ChildLogLinesLost),
        ),
        ("cancellations", "Requests given up as their clients had gone", get(C::Cancelled)),
    ] {
        counter(to, name, help, None, value)?;
    }
    let at_maximum = report.figures.at_maximum.as_secs_f64();
    let help = "Time with as many children as there may be";
    counter(to, "at_max_children", help, Some(&Unit::Seconds), at_maximum)
}

fn gauges(to: &mut DescriptorEncoder<'_>, report: &Report) -> fmt::Result {
    let figures = &report.figures;
    gauge(to, "prefork", "Children of the pool at rest", None, Some(figures.prefork))?;
    gauge(to, "max_children", "Children that there may be", None, Some(figures.max_children))?;
    gauge(to, "alive_children", "Children that there are", None, Some(figures.alive))?;
    gauge(to, "generation", "Generation of new children", None, Some(figures.generation))?;
    let help = "Part of the children that there may be that is at work";
    gauge(to, "busy_ratio", help, None, report.busy_ratio())?;
    let (waiting, limit) = (report.queue.map(|it| it.waiting), report.queue.map(|it| it.limit));
    gauge(to, "queue_connections", "Connections that wait to be accepted", None, waiting)?;
    gauge(to, "queue_limit_connections", "Connections that may wait", None, limit)?;
    seconds(
        to,
        "start_time",
        "When the daemon was started, since the epoch",
        figures.started_unix,
    )?;
    seconds(to, "uptime", "How long the daemon has run", report.uptime)
}

fn seconds(to: &mut DescriptorEncoder<'_>, name: &str, help: &str, time: Duration) -> fmt::Result {
    gauge(to, name, help, Some(&Unit::Seconds), Some(time.as_secs_f64()))
}

fn counter<N: EncodeCounterValue>(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: N,
) -> fmt::Result {
    let encoder = to.encode_descriptor(name, help, unit, MetricType::Counter)?;
    ConstCounter::new(value).encode(encoder)
}

fn family(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &'static str,
    values: &[(&'static str, u64)],
) -> fmt::Result {
    let mut encoder = to.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (word, value) in values {
        ConstCounter::new(*value).encode(encoder.encode_family(&[(label, *word)])?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn the_text_says_what_was_counted() {
        let text = text(&report());
        for line in [
            "prefork_requests_total 26000",
            "prefork_child_deaths_total{cause=\"killed\"} 2",
            "prefork_child_deaths_total{cause=\"exited\"} 0",
            "prefork_reloads_total{result=\"done\"} 0",
            "prefork_spawns_total 12",
            "prefork_at_max_children_seconds_total 10.0",
            "prefork_busy_ratio 0.2",
            "prefork_queue_connections 2",
            "prefork_queue_limit_connections 4096",
            "prefork_start_time_seconds 1700000000.0",
            "prefork_children{state=\"writing\"} 1",
            "# TYPE prefork_requests counter",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn no_name_comes_twice() {
        let text = text(&report());
        let mut names: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{text}");
    }

    #[test]
    fn what_nobody_knows_is_left_out() {
        let mut report = report();
        (report.view, report.requests, report.queue) = (None, None, None);
        let text = text(&report);
        for name in ["requests", "busy_ratio", "children{", "queue"] {
            assert!(!text.contains(&format!("\nprefork_{name}")), "{name} in\n{text}");
        }
        assert!(text.contains("\nprefork_spawns_total 12\n"));
    }
}
