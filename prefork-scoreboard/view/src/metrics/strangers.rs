//! A board of processes that are no daemon's, in its own words.

use std::time::SystemTime;

use prefork_scoreboard::{Column, Kind, Life};

use super::{Exposition, Format, application, by_state, memory};
use crate::View;

/// Renders what such a board says: what all boards say, and its columns of numbers, each as a sum.
///
/// All are gauges: what a process has counted goes with it, so nothing here only ever grows.
pub(super) fn text(view: &View, format: Format) -> String {
    let mut to = Exposition::of_board(format, view.name());
    let created = view.created.duration_since(SystemTime::UNIX_EPOCH).ok();
    to.gauge("created_time_seconds", "When the scoreboard was made, since the epoch", created);
    to.gauge("owner_running", "Whether the process runs that assigns the slots", owner(view));
    to.gauge("slots", "How many processes can have a slot", Some(view.slots()));
    let states = by_state(view);
    to.gauges("processes", "Processes by what they are doing", "state", &states);
    to.gauge(
        "processes_resident_bytes",
        "Resident memory of the processes, shared pages counted in each",
        memory(view),
    );
    to.gauge(
        "longest_request_seconds",
        "Time in the oldest request in hand",
        Some(view.longest_request().unwrap_or_default()),
    );
    let requests = view.rows.iter().filter(|row| row.life != Life::Gone).map(|row| row.requests);
    to.gauge(
        "living_processes_requests",
        "Requests counted by the processes that live now, falls when one ends",
        Some(requests.fold(0, u64::saturating_add)),
    );
    let sums: Vec<_> = view.sums().collect();
    for (column, sum) in &sums {
        let help = format!("{column}, of the processes that live now together");
        to.gauge(&name(column, &view.columns), &help, Some(*sum));
    }
    if let Some(Ok(reading)) = &view.metrics {
        application(&mut to, reading);
    }
    to.finish()
}

/// Returns whether the owner runs, of a board that has one and where that is known.
fn owner(view: &View) -> Option<u64> {
    match (view.kind, view.creator_life) {
        (Kind::Owned, Life::Running) => Some(1),
        (Kind::Owned, Life::Gone) => Some(0),
        (Kind::Owned, Life::Unknown) | (Kind::Shared, _) => None,
    }
}

/// Returns a name for a column, which has its unit at the end unless another column is called so: names and units have no
/// characters that names of metrics have not.
fn name(column: &Column, all: &[Column]) -> String {
    let name = column.name();
    let unit = column.unit_name().filter(|unit| !name.ends_with(unit));
    let with_unit = unit.map(|unit| format!("{name}_{unit}"));
    let free = |name: &String| all.iter().all(|other| other.name() != name);
    let name = with_unit.filter(free).unwrap_or_else(|| name.to_owned());
    format!("column_{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::tests::parsed;
    use crate::samples::jobs;

    #[test]
    fn a_board_of_strangers_has_its_own_words() {
        let classic = text(&jobs(), Format::Classic);
        let samples = parsed(&classic);
        let expected = [
            ("scoreboard_slots{name=\"thumbnails\"}", 3.0),
            ("scoreboard_processes{name=\"thumbnails\",state=\"writing\"}", 1.0),
            ("scoreboard_living_processes_requests{name=\"thumbnails\"}", 3000.0),
            ("scoreboard_column_written_bytes{name=\"thumbnails\"}", 7083.0),
            ("scoreboard_column_errors{name=\"thumbnails\"}", 2.0),
            ("scoreboard_column_queue{name=\"thumbnails\"}", 3.0),
        ];
        for (name, value) in expected {
            assert_eq!(samples.get(name), Some(&value), "{name} in {classic}");
        }
        for word in ["prefork", "child", "generation", "daemon", "volume"] {
            assert!(!classic.contains(word), "{word} in {classic}");
        }
        let open = text(&jobs(), Format::OpenMetrics);
        assert_eq!(parsed(&open), samples);
        assert!(open.contains("# UNIT scoreboard_column_written_bytes bytes\n"), "{open}");
    }

    #[test]
    fn no_two_columns_have_the_same_metric() {
        let mut view = jobs();
        view.columns = vec![
            Column::gauge("sent").unit("bytes"),
            Column::gauge("sent_bytes").unit("bytes"),
            Column::gauge("wait").unit("milliseconds"),
            Column::gauge("milliseconds").unit("milliseconds"),
        ];
        let names: Vec<_> = view.columns.iter().map(|it| name(it, &view.columns)).collect();
        let expected =
            ["column_sent", "column_sent_bytes", "column_wait_milliseconds", "column_milliseconds"];
        assert_eq!(names, expected);
        let open = text(&view, Format::OpenMetrics);
        assert!(!open.contains("# UNIT scoreboard_column_wait_milliseconds"), "{open}");
        parsed(&open);
    }
}
