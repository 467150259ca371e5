//! What there is to show at one moment, taken together.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prefork_core::{Availability, Exit, PoolUse};
use prefork_scoreboard::{Standing, metrics::Reading};
use prefork_sockets::Queue;
use prefork_view::{Condition, DaemonState, Shown, ShownMetrics, Slots, View, pretty};
use serde::Serialize;

use crate::{
    status::{counters::Counter, failure::Failure, page::Figures, process::Source, rate::Rate},
    system::clock,
};

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) name: String,
    pub(super) pid: i32,
    pub(super) figures: Figures,
    pub(super) uptime: Duration,
    pub(super) view: Option<View>,
    /// What the program counts itself, if it has declared anything.
    pub(super) metrics: Option<Reading>,
    /// What the kernel says that the parent is doing.
    pub(super) standing: Option<Standing>,
    /// When that was, since the epoch.
    pub(super) taken_unix: Duration,
    /// Requests that were answered since the start, if there is a board.
    pub(super) requests: Option<u64>,
    /// How fast they have come lately.
    pub(super) rate: Option<Rate>,
    /// The connections that wait to be accepted, if the kernel reports them.
    pub(super) queue: Option<Queue>,
    /// Connection attempts that were dropped as the queue was full, if the kernel reports them.
    pub(super) dropped: Option<u64>,
}

impl<'a> Source<'a> {
    /// Looks at everything.
    pub(super) fn report(&self) -> Report {
        // A board that was truncated cannot be read any more.
        let view = || self.board.as_ref().and_then(|(board, path)| View::read(board, path).ok());
        let (figures, view) = self.reader.read(clock::now, view);
        let requests = view.as_ref().map(|view| self.requests(&figures, view));
        let now = clock::now();
        let rate = requests
            .and_then(|requests| self.looks.borrow_mut().rate(now, requests, figures.started));
        Report {
            name: self.name.to_owned(),
            pid: self.parent.as_raw_nonzero().get(),
            uptime: now.since(figures.started),
            taken_unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            rate,
            figures,
            standing: Standing::of(self.parent.as_raw_nonzero().get().unsigned_abs()),
            view,
            metrics: self.metrics.and_then(|store| store.read(|_| true).ok()),
            requests,
            queue: self.listeners.queue(),
            dropped: self.listeners.dropped(),
        }
    }

    /// Adds up what the living and those before them have answered. What a child was just writing when it
    /// was killed is lost; but a counter never falls.
    fn requests(&self, figures: &Figures, view: &View) -> u64 {
        let living = view.rows.iter().map(|row| row.requests);
        let sum = living.fold(figures.get(Counter::RequestsOfEnded), u64::saturating_add);
        self.requests.set(sum.max(self.requests.get()));
        self.requests.get()
    }
}

/// The shape of the JSON: that of `prefork status --json`, with the daemon besides.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    board: Option<Shown<'a>>,
    daemon: Daemon<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<ShownMetrics<'a>>,
}

#[derive(Serialize)]
struct Daemon<'a> {
    name: &'a str,
    pid: i32,
    state: &'static str,
    trouble: Option<String>,
    started_unix_seconds: f64,
    uptime_seconds: f64,
    generation: u64,
    prefork: u64,
    max_children: u64,
    alive: u64,
    busy_ratio: Option<f64>,
    at_maximum_seconds: f64,
    queue: Option<u32>,
    queue_limit: Option<u32>,
    queue_dropped: Option<u64>,
    jobs_waiting: Option<u64>,
    last_failure: Option<LastFailure>,
    counters: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize)]
struct LastFailure {
    unix_seconds: f64,
    pid: u32,
    cause: &'static str,
    status: Option<i32>,
    signal: Option<i32>,
}

impl LastFailure {
    fn new(failure: Failure) -> Self {
        let (status, signal) = match failure.exit() {
            Exit::Code(code) => (Some(code), None),
            Exit::Signal { number, .. } => (None, Some(number)),
        };
        let unix_seconds = failure.at_unix.as_secs_f64();
        Self { unix_seconds, pid: failure.pid, cause: failure.cause(), status, signal }
    }
}

impl Report {
    /// Renders it as one JSON object; without a board, what that would say is missing.
    pub(super) fn json(&self, slots: Slots) -> String {
        let figures = &self.figures;
        let mut counters = serde_json::Map::new();
        counters.insert("requests".to_owned(), self.requests.into());
        for counter in Counter::ALL {
            if *counter != Counter::RequestsOfEnded {
                counters.insert(counter.name().to_owned(), figures.get(*counter).into());
            }
        }
        pretty(&Whole {
            board: self.view.as_ref().map(|view| Shown::new(view, slots)),
            metrics: self.metrics.as_ref().map(ShownMetrics::new),
            daemon: Daemon {
                name: &self.name,
                pid: self.pid,
                state: self.state().word(),
                trouble: self.trouble(),
                started_unix_seconds: figures.started_unix.as_secs_f64(),
                uptime_seconds: self.uptime.as_secs_f64(),
                generation: figures.generation,
                prefork: figures.prefork,
                max_children: figures.max_children,
                alive: figures.alive,
                busy_ratio: self.busy_ratio(),
                at_maximum_seconds: figures.at_maximum.as_secs_f64(),
                queue: self.queue.map(|queue| queue.waiting),
                queue_limit: self.queue.map(|queue| queue.limit),
                queue_dropped: self.dropped,
                jobs_waiting: figures.jobs_waiting,
                last_failure: figures.last_failure.map(LastFailure::new),
                counters,
            },
        })
    }

    /// Returns how the daemon is: without a board, as far as the kernel shows it.
    pub(super) fn state(&self) -> DaemonState {
        let unseen = || DaemonState::new(self.condition(), None);
        self.view.as_ref().map_or_else(unseen, View::state)
    }

    /// Returns what is wrong with it, and what to do.
    pub(super) fn trouble(&self) -> Option<String> {
        let unseen = || self.condition().trouble(self.pid.unsigned_abs());
        self.view.as_ref().map_or_else(unseen, View::trouble)
    }

    pub(super) fn condition(&self) -> Condition {
        let unseen = || Condition::of_process(self.standing);
        self.view.as_ref().map_or_else(unseen, View::condition)
    }

    /// Returns whether it wants clients; without a board nothing says what is free.
    pub(super) fn availability(&self) -> Availability {
        let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let pool = self.view.as_ref().map(|view| PoolUse {
            serving: view.count_serving(),
            at_work: view.at_work(),
            max_children: count(self.figures.max_children),
        });
        Availability::judge(self.figures.stage, pool)
    }

    /// Returns the part of the possible children that is at work, 0 to about 1; those with many requests in hand in part.
    pub(super) fn busy_ratio(&self) -> Option<f64> {
        let at_work = self.view.as_ref()?.at_work();
        let most = u32::try_from(self.figures.max_children).ok().filter(|most| *most > 0)?;
        Some(at_work / f64::from(most))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::status::page::tests::some_figures;

    pub(in crate::status) fn report() -> Report {
        Report {
            name: "hello".to_owned(),
            pid: 3999,
            figures: some_figures(),
            uptime: Duration::from_secs(50),
            view: Some(prefork_view::samples::view()),
            metrics: Some(prefork_view::samples::metrics()),
            standing: Some(Standing::Sleeps),
            taken_unix: Duration::from_secs(1_700_000_050),
            requests: Some(26_000),
            rate: Some(Rate { a_second: 520.0, over: Duration::from_secs(50) }),
            queue: Some(Queue { waiting: 2, limit: 4096 }),
            dropped: Some(5),
        }
    }

    #[test]
    fn the_json_is_that_of_the_command_with_the_daemon_besides() {
        let report = report();
        let mut found: Value = serde_json::from_str(&report.json(Slots::Taken)).expect("JSON");
        let daemon = found.as_object_mut().and_then(|found| found.remove("daemon"));
        let metrics = found.as_object_mut().and_then(|found| found.remove("metrics"));
        let reading = report.metrics.as_ref().expect("there");
        let shown = serde_json::to_value(ShownMetrics::new(reading)).expect("JSON");
        assert_eq!(metrics, Some(shown));
        let view = report.view.as_ref().expect("there");
        let command = serde_json::to_value(Shown::new(view, Slots::Taken)).expect("JSON");
        assert_eq!(found, command);
        let daemon = daemon.expect("there");
        assert_eq!(daemon["counters"]["requests"], 26_000);
        assert_eq!(daemon["counters"]["spawns"], 12);
        assert_eq!(daemon["counters"]["deaths_killed"], 2);
        assert_eq!(daemon["counters"]["reloads"], 0);
        assert_eq!((&daemon["queue"], &daemon["busy_ratio"]), (&json!(2), &json!(0.2)));
        assert_eq!((&daemon["prefork"], &daemon["max_children"]), (&json!(3), &json!(10)));
        let failure = &daemon["last_failure"];
        assert_eq!((&failure["pid"], &failure["cause"]), (&json!(4007), &json!("killed")));
        assert_eq!((&failure["status"], &failure["signal"]), (&Value::Null, &json!(9)));
        assert_eq!((&daemon["queue_dropped"], &daemon["jobs_waiting"]), (&json!(5), &json!(12)));
        assert_eq!((&daemon["pid"], &daemon["uptime_seconds"]), (&json!(3999), &json!(50.0)));
    }

    #[test]
    fn without_a_board_the_daemon_is_shown() {
        let mut report = report();
        (report.view, report.requests) = (None, None);
        let found: Value = serde_json::from_str(&report.json(Slots::Taken)).expect("JSON");
        assert_eq!(found.get("children"), None);
        assert_eq!(found["daemon"]["counters"]["requests"], Value::Null);
        assert_eq!(found["daemon"]["counters"]["spawns"], 12);
        let shown = |report: &Report| -> Value {
            let found: Value = serde_json::from_str(&report.json(Slots::Taken)).expect("JSON");
            json!([found["daemon"]["state"], found["daemon"]["trouble"]])
        };
        assert_eq!(shown(&report), json!(["running", null]));
        report.standing = Some(Standing::Stopped);
        let trouble = "process 3999 was stopped by a signal and decides nothing; `kill -CONT 3999` lets it go on";
        assert_eq!(shown(&report), json!(["stopped", trouble]));
    }
}
