//! A board as JSON, for programs. The shape is a promise: `docs/command.md` describes it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use prefork_scoreboard::{Class, Column, Kind, Monotonic, Value};
use serde::Serialize;

use crate::{Change, Listener, Owner, QueueTimes, Row, ShownMetrics, Slots, View, words};

/// Raised when something is removed or changes its meaning; what is added does not raise it.
const SCHEMA: u32 = 1;

/// A board as it is shown.
#[derive(Debug, Serialize)]
pub struct Shown<'a> {
    schema: u32,
    path: &'a str,
    kind: &'static str,
    title: Option<&'a str>,
    columns: Vec<ShownColumn<'a>>,
    creator: Creator,
    state: &'static str,
    trouble: Option<String>,
    owner: ShownOwner<'a>,
    up_seconds: Option<f64>,
    since_decision_seconds: Option<f64>,
    late_seconds: Option<f64>,
    created_unix_seconds: f64,
    age_seconds: Option<f64>,
    slots: usize,
    tally: Tally,
    in_hand: u64,
    concurrency: u64,
    children: Vec<Child<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<ShownMetrics<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownColumn<'a> {
    name: &'a str,
    kind: &'static str,
    unit: Option<&'a str>,
}

/// What a slot has in a column, as JSON has it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ShownValue<'a> {
    Number(u64),
    Text(&'a str),
}

#[derive(Debug, Serialize)]
struct Creator {
    pid: Option<u32>,
    life: &'static str,
}

#[derive(Debug, Serialize)]
struct Tally {
    empty: usize,
    starting: usize,
    idle: usize,
    busy: usize,
    draining: usize,
    stalled: usize,
    gone: usize,
}

/// What the owner publishes about itself.
#[derive(Debug, Serialize)]
struct ShownOwner<'a> {
    name: Option<&'a str>,
    version: Option<&'a str>,
    program: Option<&'a str>,
    runs: Option<&'a str>,
    library: Option<&'a str>,
    phase: Option<&'a str>,
    min_children: Option<u32>,
    max_children: Option<u32>,
    pid_file: Option<&'a str>,
    settings: &'a [String],
    isolation: &'a [String],
    not_isolated: &'a [String],
    listeners: Vec<ShownListener<'a>>,
    jobs_waiting: Option<u32>,
    queue_times: Option<ShownQueueTimes>,
    reload: Option<ShownChange<'a>>,
    upgrade: Option<ShownChange<'a>>,
    reopening: Option<ShownChange<'a>>,
    cannot_fork: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ShownListener<'a> {
    address: &'a str,
    waiting: Option<u32>,
    limit: Option<u32>,
}

/// How long clients have waited.
#[derive(Debug, Serialize)]
struct ShownQueueTimes {
    classes: Vec<QueueClass>,
    waited_seconds: f64,
    refused: u64,
    abandoned: u64,
}

/// How many have waited for so long, and longer than the class before.
#[derive(Debug, Serialize)]
struct QueueClass {
    within_seconds: Option<f64>,
    clients: u64,
}

impl ShownQueueTimes {
    fn new(times: &QueueTimes) -> Self {
        let classes = times.classes.iter().map(|(bound, clients)| QueueClass {
            within_seconds: seconds(*bound),
            clients: *clients,
        });
        Self {
            classes: classes.collect(),
            waited_seconds: times.waited.as_secs_f64(),
            refused: times.refused,
            abandoned: times.abandoned,
        }
    }
}

#[derive(Debug, Serialize)]
struct ShownChange<'a> {
    outcome: &'static str,
    reason: Option<&'a str>,
    since_begin_seconds: Option<f64>,
    since_end_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Child<'a> {
    slot: usize,
    letter: char,
    state: &'static str,
    class: &'static str,
    pid: Option<u32>,
    life: &'static str,
    leaving: bool,
    generation: u64,
    requests: u64,
    in_hand: u32,
    concurrency: u32,
    age_seconds: Option<f64>,
    queued_seconds: Option<f64>,
    request_seconds: Option<f64>,
    since_update_seconds: Option<f64>,
    resident_bytes: Option<u64>,
    client: &'a str,
    label: &'a str,
    /// By the names of their columns.
    values: Option<BTreeMap<&'a str, ShownValue<'a>>>,
}

/// Renders what is shown as one JSON object, a line break behind it.
///
/// # Panics
///
/// Panics if there is a map in it whose keys are no strings.
pub fn pretty(shown: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(shown).expect("no map has keys other than strings");
    text.push('\n');
    text
}

impl<'a> Shown<'a> {
    /// Takes from a view what is shown of it.
    #[must_use]
    pub fn new(view: &'a View, slots: Slots) -> Self {
        let tally = &view.tally;
        let created = view.created.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            schema: SCHEMA,
            path: &view.path,
            kind: match view.kind {
                Kind::Owned => "owned",
                Kind::Shared => "shared",
            },
            title: view.title.as_deref(),
            columns: view.columns.iter().map(ShownColumn::new).collect(),
            creator: Creator { pid: view.creator, life: words::life(view.creator_life) },
            state: view.state().word(),
            trouble: view.trouble(),
            owner: ShownOwner::new(&view.owner),
            up_seconds: seconds(view.up),
            since_decision_seconds: seconds(view.sign.age),
            late_seconds: seconds(view.sign.overdue),
            created_unix_seconds: created.as_secs_f64(),
            age_seconds: seconds(view.age),
            slots: view.slots(),
            tally: Tally {
                empty: tally.empty,
                starting: tally.starting,
                idle: tally.idle,
                busy: tally.busy,
                draining: tally.draining,
                stalled: tally.stalled,
                gone: tally.gone,
            },
            in_hand: view.in_hand(),
            concurrency: view.concurrency(),
            children: view
                .rows
                .iter()
                .filter(|row| slots.show(row))
                .map(|row| Child::new(row, &view.columns))
                .collect(),
            metrics: view.metrics.as_ref().and_then(|it| it.as_ref().ok()).map(ShownMetrics::new),
        }
    }
}

impl<'a> ShownOwner<'a> {
    fn new(owner: &'a Owner) -> Self {
        let listener = |listener: &'a Listener| ShownListener {
            address: &listener.address,
            waiting: listener.queue.map(|queue| queue.waiting),
            limit: listener.queue.map(|queue| queue.limit),
        };
        let change = |change: &'a Change| ShownChange {
            outcome: change.outcome.word(),
            reason: change.reason.as_deref(),
            since_begin_seconds: since(change.began),
            since_end_seconds: since(change.ended),
        };
        Self {
            name: owner.name.as_deref(),
            version: owner.version.as_deref(),
            program: owner.program.as_deref(),
            runs: owner.runs.as_deref(),
            library: owner.library.as_deref(),
            phase: owner.phase.as_deref(),
            min_children: owner.min_children,
            max_children: owner.max_children,
            pid_file: owner.pid_file.as_deref(),
            settings: &owner.settings,
            isolation: &owner.isolation,
            not_isolated: &owner.not_isolated,
            listeners: owner.listeners.iter().map(listener).collect(),
            jobs_waiting: owner.jobs_waiting,
            queue_times: owner.queue_times.as_ref().map(ShownQueueTimes::new),
            reload: owner.reload.as_ref().map(change),
            upgrade: owner.upgrade.as_ref().map(change),
            reopening: owner.reopening.as_ref().map(change),
            cannot_fork: owner.cannot_fork.as_deref(),
        }
    }
}

impl<'a> Child<'a> {
    fn new(row: &'a Row, columns: &'a [Column]) -> Self {
        let names = columns.iter().map(Column::name);
        let values = row.values.as_ref().map(|all| names.zip(all.iter().map(ShownValue::new)));
        Self {
            slot: row.slot,
            letter: row.status.letter(),
            state: words::state(row.status),
            class: class(row.class()),
            pid: row.pid,
            life: words::life(row.life),
            leaving: row.is_leaving,
            generation: row.generation,
            requests: row.requests,
            in_hand: row.in_hand,
            concurrency: row.concurrency,
            age_seconds: seconds(row.age),
            queued_seconds: seconds(row.queued),
            request_seconds: seconds(row.request_time),
            since_update_seconds: seconds(row.since_update),
            resident_bytes: row.memory,
            client: &row.client,
            label: &row.label,
            values: values.map(Iterator::collect),
        }
    }
}

impl<'a> ShownColumn<'a> {
    fn new(column: &'a Column) -> Self {
        Self { name: column.name(), kind: column.kind().word(), unit: column.unit_name() }
    }
}

impl<'a> ShownValue<'a> {
    fn new(value: &'a Value) -> Self {
        match value {
            Value::Number(number) => Self::Number(*number),
            Value::Text(text) => Self::Text(text),
        }
    }
}

const fn class(class: Class) -> &'static str {
    match class {
        Class::Empty => "empty",
        Class::Starting => "starting",
        Class::Idle => "idle",
        Class::Busy => "busy",
        Class::Draining => "draining",
        Class::Stalled => "stalled",
    }
}

fn since(moment: Option<Monotonic>) -> Option<f64> {
    seconds(moment.map(|moment| Monotonic::now().since(moment)))
}

fn seconds(time: Option<Duration>) -> Option<f64> {
    time.map(|time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Shown, pretty};
    use crate::{Change, Slots};
    use crate::{Outcome, samples::view};

    fn parsed(slots: Slots) -> Value {
        let mut view = view();
        let reason = Some("port in use".to_owned());
        view.rows[1].queued = Some(std::time::Duration::from_millis(40));
        view.owner.upgrade =
            Some(Change { outcome: Outcome::Refused, reason, began: None, ended: None });
        serde_json::from_str(&pretty(&Shown::new(&view, slots))).expect("JSON")
    }

    #[test]
    fn the_shape_is_the_documented_one() {
        let mut board = parsed(Slots::Taken);
        let children = board["children"].take();
        let expected = json!({
            "schema": 1,
            "path": "/run/hello/board",
            "kind": "owned",
            "title": null,
            "columns": [],
            "creator": { "pid": 3999, "life": "running" },
            "state": "running",
            "trouble": null,
            "owner": {
                "name": "hello",
                "version": "0.1.0",
                "program": "/usr/bin/hello",
                "runs": null,
                "library": "prefork 0.1.0",
                "phase": "serving",
                "min_children": 3,
                "max_children": 150,
                "pid_file": "/run/hello/pid",
                "settings": ["/etc/hello.toml"],
                "isolation": [],
                "not_isolated": [],
                "listeners": [{ "address": "127.0.0.1:8080", "waiting": 0, "limit": 4096 }],
                "jobs_waiting": null,
                "queue_times": null,
                "reload": null,
                "upgrade": {
                    "outcome": "refused",
                    "reason": "port in use",
                    "since_begin_seconds": null,
                    "since_end_seconds": null,
                },
                "reopening": null,
                "cannot_fork": null,
            },
            "up_seconds": 11100.0,
            "since_decision_seconds": null,
            "late_seconds": null,
            "created_unix_seconds": 1.7e9,
            "age_seconds": 3723.0,
            "slots": 8,
            "tally": {
                "empty": 2, "starting": 1, "idle": 1, "busy": 2, "draining": 1, "stalled": 1, "gone": 0
            },
            "in_hand": 2,
            "concurrency": 3,
            "children": null,
        });
        assert_eq!(board, expected);
        let writing = json!({
            "slot": 1,
            "letter": "W",
            "state": "writing",
            "class": "busy",
            "pid": 4001,
            "life": "running",
            "leaving": false,
            "generation": 1,
            "requests": 2000,
            "in_hand": 1,
            "concurrency": 1,
            "age_seconds": 200.0,
            "queued_seconds": 0.04,
            "request_seconds": 2.5,
            "since_update_seconds": 0.5,
            "resident_bytes": 2 << 20,
            "client": "192.0.2.1:4711",
            "label": "GET /page/1",
            "values": {},
        });
        assert_eq!(children[1], writing);
        assert_eq!(children.as_array().map(Vec::len), Some(6));
    }

    #[test]
    fn columns_are_declared_and_values_go_by_their_names() {
        let mut view = crate::samples::jobs();
        view.rows[1].values = None;
        let text = pretty(&Shown::new(&view, Slots::Taken));
        let board: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(board["title"], "thumbnails");
        let written = json!({ "name": "written", "kind": "counter", "unit": "bytes" });
        let volume = json!({ "name": "volume", "kind": "text", "unit": null });
        assert_eq!((&board["columns"][0], &board["columns"][1]), (&written, &volume));
        let values = json!({ "written": 2361, "volume": "photos-1", "errors": 1, "queue": 1 });
        assert_eq!(board["children"][0]["values"], values);
        assert_eq!(board["children"][1]["values"], Value::Null, "it is being written");
    }

    #[test]
    fn empty_slots_are_shown_when_asked_for() {
        let board = parsed(Slots::All);
        assert_eq!(board["children"].as_array().map(Vec::len), Some(8));
        let empty = &board["children"][2];
        assert_eq!((&empty["state"], &empty["pid"]), (&json!("empty"), &Value::Null));
    }
}
