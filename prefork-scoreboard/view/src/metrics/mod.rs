//! A board as figures for Prometheus.

mod application;
mod exposition;
mod strangers;

use prefork_scoreboard::{Life, Stall, State, Status};

pub use application::application;
pub use exposition::{Exposition, Format, HistogramClass, Value};

use crate::{DaemonState, PoolView, PoolsView, View, words};

/// Renders what a board says.
///
/// All are gauges: what a child has counted goes with it, so nothing here only ever grows.
#[must_use]
pub fn text(view: &View, format: Format) -> String {
    if !view.is_of_daemon() {
        return strangers::text(view, format);
    }
    let mut to = Exposition::new(format, view.owner.name.as_deref());
    of_daemon(&mut to, view);
    to.finish()
}

/// Renders what is known of a daemon of several pools, on one page: all that is a pool's has the label `pool`.
#[must_use]
pub fn of_pools(daemon: &PoolsView, format: Format) -> String {
    let mut to = Exposition::new(format, Some(&daemon.name));
    let flag = |is_so: bool| Value::from(u64::from(is_so));
    to.gauge("pools", "Pools that the daemon has", Some(daemon.pools.len()));
    let awake: Vec<_> = daemon.pools.iter().map(|it| (&*it.name, flag(it.pid.is_some()))).collect();
    to.gauges("pool_awake", "Whether the pool has a process", "pool", &awake);
    let pid = daemon.pid;
    to.gauge(
        "arbiter_running",
        "Whether the process runs that starts the pools",
        Some(flag(pid.is_some())),
    );
    for PoolView { name, view, .. } in &daemon.pools {
        if let Some(view) = view {
            to.of_pool(name);
            of_daemon(&mut to, view);
        }
    }
    to.finish()
}

fn of_daemon(to: &mut Exposition, view: &View) {
    let owner = &view.owner;
    build(to, owner.version.as_deref(), owner.library.as_deref());
    let running = match view.creator_life {
        Life::Running => Some(1_u64),
        Life::Gone => Some(0),
        Life::Unknown => None,
    };
    to.gauge("daemon_running", "Whether the process runs that has made the scoreboard", running);
    daemon_state(to, view.state());
    let created = view.created.duration_since(std::time::SystemTime::UNIX_EPOCH).ok();
    to.gauge(
        "scoreboard_created_time_seconds",
        "When the scoreboard was made, since the epoch",
        created,
    );
    to.gauge("min_children", "Children that there are at rest", owner.min_children);
    to.gauge("max_children", "Children that there may be", owner.max_children);
    to.gauge("waiting_jobs", WAITING_JOBS, owner.jobs_waiting);
    let generation = view.taken().map(|row| row.generation).max();
    to.gauge("generation", "Generation of the newest children", generation);
    let requests = view.rows.iter().map(|row| row.requests);
    to.gauge(
        "living_children_requests",
        "Requests served by the children that live now, falls when a child is replaced",
        Some(requests.fold(0, u64::saturating_add)),
    );
    children(to, view);
    if let Some(Ok(reading)) = &view.metrics {
        application(to, reading);
    }
}

/// What `waiting_jobs` means.
pub const WAITING_JOBS: &str = "Jobs that wait elsewhere, as the program reports it";

/// Writes which program runs, as far as that is known, and what supervises its children.
pub fn build(to: &mut Exposition, version: Option<&str>, library: Option<&str>) {
    let labels = [("version", version), ("library", library)];
    let known: Vec<_> =
        labels.into_iter().filter_map(|(label, value)| Some((label, value?))).collect();
    if !known.is_empty() {
        let help = "The version of the daemon, and of what supervises its children";
        to.info("build_info", help, &known);
    }
}

/// Writes how the daemon is.
pub fn daemon_state(to: &mut Exposition, state: DaemonState) {
    let states = DaemonState::ALL.map(|each| (each.word(), u64::from(each == state).into()));
    let help = "How the daemon is: 1 for that state, 0 for all others; stopped by a signal, and late, it decides nothing";
    to.gauges("daemon_state", help, "state", &states);
}

/// Writes what the children do, as far as a board says.
pub fn children(to: &mut Exposition, view: &View) {
    to.gauges("children", "Children by what they are doing", "state", &by_state(view));
    to.gauge(
        "leaving_children",
        "Children that were asked to leave and finish what they have in hand",
        Some(view.leaving()),
    );
    to.gauge("requests_in_hand", "Requests that children have in hand", Some(view.in_hand()));
    to.gauge(
        "requests_in_hand_limit",
        "Requests that the children that serve can have in hand at once",
        Some(view.concurrency()),
    );
    to.gauge(
        "children_resident_bytes",
        "Resident memory of the children, shared pages counted in each",
        memory(view),
    );
    to.gauge(
        "longest_request_seconds",
        "Time in the oldest request in hand",
        Some(view.longest_request().unwrap_or_default()),
    );
    if let Some(times) = &view.owner.queue_times {
        times.write(to);
    }
    let oldest = view.rows.iter().filter_map(|row| row.age).max();
    to.gauge("oldest_child_age_seconds", "Age of the oldest child", oldest);
}

/// Counts by state, each state present.
fn by_state(view: &View) -> Vec<(&'static str, Value)> {
    let live = State::ALL.into_iter().map(Status::Live);
    let there: Vec<_> = view.rows.iter().filter(|row| row.life != Life::Gone).collect();
    let counts = live.chain([Status::Stalled(Stall::Damaged)]).map(|status| {
        let state = words::state(status);
        let count = there.iter().filter(|row| words::state(row.status) == state).count();
        (state, Value::from(count))
    });
    counts.chain([("gone", view.tally.gone.into())]).collect()
}

fn memory(view: &View) -> Option<u64> {
    view.rows.iter().filter_map(|row| row.memory).reduce(u64::saturating_add)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::samples::{of_rows, row, view};

    /// Reads the text back, line by line, as strictly as the formats have it.
    pub(super) fn parsed(text: &str) -> BTreeMap<&str, f64> {
        let mut samples = BTreeMap::new();
        let (mut family, mut info) = ("", "");
        for line in text.lines().filter(|line| *line != "# EOF") {
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                let (keyword, name) = (words.next(), words.next().expect("a name"));
                match keyword {
                    Some("HELP") => family = name,
                    Some("TYPE") => match words.next() {
                        Some("info") => info = name,
                        kind => assert_eq!(kind, Some("gauge"), "{line}"),
                    },
                    Some("UNIT") => {
                        let unit = words.next().expect("a unit");
                        assert!(name.ends_with(&format!("_{unit}")), "{line}");
                    }
                    _ => panic!("an unknown comment: {line}"),
                }
                assert_eq!(name, family, "{line}");
                continue;
            }
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            let of = name.split('{').next().expect("a name");
            let of = if family == info { of.trim_end_matches("_info") } else { of };
            assert_eq!(of, family, "{line}");
            let value = value.parse().expect("a number");
            assert_eq!(samples.insert(name, value), None, "twice: {line}");
        }
        samples
    }

    #[test]
    fn the_text_says_what_the_board_says() {
        let text = text(&view(), Format::OpenMetrics);
        assert!(text.ends_with("\n# EOF\n"), "{text}");
        let samples = parsed(&text);
        let expected = [
            ("prefork_min_children{name=\"hello\"}", 3.0),
            ("prefork_max_children{name=\"hello\"}", 150.0),
            ("prefork_build_info{name=\"hello\",version=\"0.1.0\",library=\"prefork 0.1.0\"}", 1.0),
            ("prefork_children{name=\"hello\",state=\"idle\"}", 1.0),
            ("prefork_children{name=\"hello\",state=\"writing\"}", 1.0),
            ("prefork_children{name=\"hello\",state=\"keepalive\"}", 0.0),
            ("prefork_children{name=\"hello\",state=\"stalled\"}", 1.0),
            ("prefork_children{name=\"hello\",state=\"gone\"}", 0.0),
            ("prefork_leaving_children{name=\"hello\"}", 0.0),
            ("prefork_requests_in_hand{name=\"hello\"}", 2.0),
            ("prefork_requests_in_hand_limit{name=\"hello\"}", 3.0),
            ("prefork_living_children_requests{name=\"hello\"}", 25_000.0),
            ("prefork_generation{name=\"hello\"}", 1.0),
            ("prefork_children_resident_bytes{name=\"hello\"}", 25.0 * 1024.0 * 1024.0),
            ("prefork_longest_request_seconds{name=\"hello\"}", 8.75),
            ("prefork_oldest_child_age_seconds{name=\"hello\"}", 700.0),
            ("prefork_scoreboard_created_time_seconds{name=\"hello\"}", 1.7e9),
            ("prefork_daemon_running{name=\"hello\"}", 1.0),
            ("prefork_daemon_state{name=\"hello\",state=\"running\"}", 1.0),
            ("prefork_daemon_state{name=\"hello\",state=\"stopped\"}", 0.0),
        ];
        for (name, value) in expected {
            assert_eq!(samples.get(name), Some(&value), "{name} in {text}");
        }
        let children = samples.keys().filter(|name| name.starts_with("prefork_children{")).count();
        assert_eq!(samples.len(), children + DaemonState::ALL.len() + 13);
        assert_eq!(children, State::ALL.len() + 2);
    }

    #[test]
    fn several_pools_have_one_page_and_a_label_each() {
        let pool = |name: &str, view| PoolView {
            name: name.to_owned(),
            kind: "pool",
            presence: "awake",
            pid: Some(7).filter(|_| name == "web"),
            addresses: Vec::new(),
            view,
        };
        let daemon = PoolsView {
            name: "app".to_owned(),
            pid: Some(4),
            pid_file: "/run/app.pid".to_owned(),
            standing: None,
            up: None,
            pools: vec![
                pool("web", Some(view())),
                pool("mail", Some(view())),
                pool("reports", None),
            ],
        };
        for format in [Format::Classic, Format::OpenMetrics] {
            let text = of_pools(&daemon, format);
            let samples = parsed(&text);
            for (name, value) in [
                ("prefork_pools{name=\"app\"}", 3.0),
                ("prefork_arbiter_running{name=\"app\"}", 1.0),
                ("prefork_pool_awake{name=\"app\",pool=\"reports\"}", 0.0),
                ("prefork_max_children{name=\"app\",pool=\"web\"}", 150.0),
                ("prefork_children{name=\"app\",pool=\"mail\",state=\"idle\"}", 1.0),
            ] {
                assert_eq!(samples.get(name), Some(&value), "{name} in {text}");
            }
            let heads = text.lines().filter(|line| line.starts_with("# TYPE prefork_children "));
            assert_eq!(heads.count(), 1, "{text}");
        }
    }

    #[test]
    fn both_formats_say_the_same() {
        let (classic, open) = (text(&view(), Format::Classic), text(&view(), Format::OpenMetrics));
        assert_eq!(parsed(&classic), parsed(&open));
        assert!(!classic.contains("# UNIT") && !classic.contains("# EOF"), "{classic}");
    }

    #[test]
    fn children_that_are_gone_do_nothing() {
        let mut rows = vec![row(0, Status::Live(State::Idle)), row(1, Status::Live(State::Idle))];
        rows[1].life = Life::Gone;
        let text = text(&of_rows(rows), Format::Classic);
        let samples = parsed(&text);
        for (state, count) in [("idle", 1.0), ("gone", 1.0)] {
            let name = format!("prefork_children{{name=\"hello\",state=\"{state}\"}}");
            assert_eq!(samples.get(&*name), Some(&count), "{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let mut view = of_rows(vec![row(0, Status::Empty)]);
        view.creator_life = Life::Unknown;
        view.owner = crate::Owner::default();
        let text = text(&view, Format::Classic);
        let samples = parsed(&text);
        for name in ["daemon_running", "oldest_child_age_seconds", "build_info", "max_children"] {
            assert!(!samples.contains_key(&*format!("prefork_{name}")), "{text}");
        }
        assert_eq!(samples.get("prefork_longest_request_seconds"), Some(&0.0));
    }
}
