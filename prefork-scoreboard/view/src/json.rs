//! A board as JSON, for programs. The shape is a promise: `docs/command.md` describes it.

use std::time::{Duration, SystemTime};

use prefork_scoreboard::{Class, Kind};
use serde::Serialize;

use crate::{Row, Slots, View, words};

/// Raised when something is removed or changes its meaning; what is added does not raise it.
const SCHEMA: u32 = 1;

/// A board as it is shown.
#[derive(Debug, Serialize)]
pub struct Shown<'a> {
    schema: u32,
    path: &'a str,
    kind: &'static str,
    creator: Creator,
    created_unix_seconds: f64,
    age_seconds: Option<f64>,
    slots: usize,
    tally: Tally,
    children: Vec<Child<'a>>,
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
    age_seconds: Option<f64>,
    request_seconds: Option<f64>,
    since_update_seconds: Option<f64>,
    resident_bytes: Option<u64>,
    client: &'a str,
    label: &'a str,
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
            creator: Creator { pid: view.creator, life: words::life(view.creator_life) },
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
            },
            children: view.rows.iter().filter(|row| slots.show(row)).map(Child::new).collect(),
        }
    }
}

impl<'a> Child<'a> {
    fn new(row: &'a Row) -> Self {
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
            age_seconds: seconds(row.age),
            request_seconds: seconds(row.request_time),
            since_update_seconds: seconds(row.since_update),
            resident_bytes: row.memory,
            client: &row.client,
            label: &row.label,
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

fn seconds(time: Option<Duration>) -> Option<f64> {
    time.map(|time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::samples::view;

    fn parsed(slots: Slots) -> Value {
        serde_json::from_str(&pretty(&Shown::new(&view(), slots))).expect("JSON")
    }

    #[test]
    fn the_shape_is_the_documented_one() {
        let mut board = parsed(Slots::Taken);
        let children = board["children"].take();
        let expected = json!({
            "schema": 1,
            "path": "/run/hello/board",
            "kind": "owned",
            "creator": { "pid": 3999, "life": "running" },
            "created_unix_seconds": 1.7e9,
            "age_seconds": 3723.0,
            "slots": 8,
            "tally": {
                "empty": 2, "starting": 1, "idle": 1, "busy": 2, "draining": 1, "stalled": 1
            },
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
            "age_seconds": 200.0,
            "request_seconds": 2.5,
            "since_update_seconds": 0.5,
            "resident_bytes": 2 << 20,
            "client": "192.0.2.1:4711",
            "label": "GET /page/1",
        });
        assert_eq!(children[1], writing);
        assert_eq!(children.as_array().map(Vec::len), Some(6));
    }

    #[test]
    fn empty_slots_are_shown_when_asked_for() {
        let board = parsed(Slots::All);
        assert_eq!(board["children"].as_array().map(Vec::len), Some(8));
        let empty = &board["children"][2];
        assert_eq!((&empty["state"], &empty["pid"]), (&json!("empty"), &Value::Null));
    }
}
