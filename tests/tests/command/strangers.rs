//! Boards of processes that are no daemon's: in their own words.

use std::fs;

use prefork::scoreboard::{
    Board, BoardOptions, Column, Slot,
    metrics::{Metrics, Store},
};
use prefork_tests::{PATIENCE, Scene, Terminal, scene};
use serde_json::{Value, json};

use crate::{command, run};

fn options() -> BoardOptions {
    BoardOptions::new()
        .title("thumbnails")
        .column(Column::counter("written").unit("bytes"))
        .column(Column::text("volume"))
        .column(Column::gauge("queue"))
}

/// Claims a slot, and reports there what a job does.
fn job(scene: &Scene, name: &str) -> (Board, Slot) {
    let board = options().open_or_create(scene.path(name), 4).expect("made");
    let mut slot = board.claim().expect("a slot");
    let (written, queue) = (slot.number("written").expect("there"), slot.number("queue"));
    let (queue, volume) = (queue.expect("there"), slot.text("volume").expect("there"));
    slot.busy("cat.png");
    slot.update(|report| {
        report.count_requests(3).add(written, 48_211).set(queue, 17);
        report.set_text(volume, "photos\x1b[31m-3");
    });
    (board, slot)
}

#[test]
fn status_has_the_columns_of_the_board() {
    let scene = scene!();
    let _job = job(&scene, "jobs");
    let text = run(&scene, "status @jobs", 0).stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("thumbnails, up "), "{text}");
    assert!(lines[0].ends_with(": 1 process in 4 slots, 0 idle, 1 busy"), "{text}");
    assert_eq!(lines[2..5], ["in all: written 47K, queue 17", "W", ""], "{text}");
    let words = |line: &str| line.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let heading = "SLOT PID STATE REQUESTS AGE TIME IDLE MEMORY WRITTEN QUEUE VOLUME LABEL";
    assert_eq!(words(lines[5]).join(" "), heading, "{text}");
    assert_eq!(words(lines[6])[9..], ["47K", "17", "photos?[31m-3", "cat.png"], "{text}");
    let checked = run(&scene, "check @jobs", 0).stdout;
    assert!(checked.contains("all is well: thumbnails, up "), "{checked}");
}

#[test]
fn workers_that_are_all_busy_are_no_reason_to_warn() {
    let scene = scene!();
    let _all: Vec<_> = (0..4).map(|_| job(&scene, "jobs")).collect();
    let checked = run(&scene, "check @jobs", 0).stdout;
    assert!(checked.contains("all is well: thumbnails, up "), "{checked}");
    assert!(checked.contains(": 4 processes in 4 slots, 0 idle, 4 busy"), "{checked}");
}

/// Who has one daemon need not name it, whatever else has a board.
#[test]
fn boards_of_others_do_not_stand_before_the_one_daemon() {
    let scene = scene!();
    let _job = job(&scene, "jobs");
    let here = scene.path("");
    let status = || command(&scene, "status").variable("PREFORK_PATH", &here).finish().stdout;
    assert!(status().starts_with("thumbnails, up "), "it is the only one");
    let daemon = scene.hello().board().daemon();
    assert!(status().starts_with("hello 0.1.0, pid "), "{}", status());
    daemon.stop_in_order();
}

#[test]
fn a_board_with_a_title_is_found_by_it() {
    let scene = scene!();
    let _job = job(&scene, "jobs");
    let folder = scene.path("");
    let find = |arguments: &str| {
        let command = command(&scene, arguments).variable("PREFORK_PATH", &folder);
        command.finish().stdout
    };
    let list = find("list");
    let words: Vec<&str> = list.lines().nth(1).expect("a line").split_whitespace().collect();
    assert_eq!((words[0], words[2]), ("thumbnails", "running"), "{list}");
    assert!(find("status thumbnails").starts_with("thumbnails, up "));
}

#[test]
fn json_and_metrics_have_the_columns_of_the_board() {
    let scene = scene!();
    let _job = job(&scene, "jobs");
    let text = run(&scene, "status --json @jobs", 0).stdout;
    let board: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&board["title"], &board["kind"]), (&json!("thumbnails"), &json!("shared")));
    let columns = json!([
        { "name": "written", "kind": "counter", "unit": "bytes" },
        { "name": "volume", "kind": "text", "unit": null },
        { "name": "queue", "kind": "gauge", "unit": null },
    ]);
    assert_eq!(board["columns"], columns);
    let values = json!({ "written": 48_211, "volume": "photos?[31m-3", "queue": 17 });
    assert_eq!(board["children"][0]["values"], values);
    for format in ["", "--openmetrics "] {
        let metrics = run(&scene, &format!("metrics {format}@jobs"), 0).stdout;
        for line in [
            "scoreboard_processes{name=\"thumbnails\",state=\"writing\"} 1",
            "scoreboard_column_written_bytes{name=\"thumbnails\"} 48211",
            "scoreboard_column_queue{name=\"thumbnails\"} 17",
        ] {
            assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
        }
        for word in ["prefork", "child", "generation", "daemon"] {
            assert!(!metrics.contains(word), "{word} in {metrics}");
        }
    }
}

#[test]
fn top_has_the_columns_of_the_board_and_sorts_by_them() {
    let scene = scene!();
    let _job = job(&scene, "jobs");
    let _other = job(&scene, "jobs");
    let terminal = Terminal::new(120, 24);
    let top = command(&scene, "top -i 0.1 @jobs").variable("TERM", "xterm").on(&terminal).start();
    terminal.wait_for(PATIENCE, "2 processes in 4 slots");
    terminal.wait_for(PATIENCE, "photos?[31m");
    let text = terminal.text();
    assert!(text.contains("WRITTEN") && text.contains("47K") && !text.contains("GEN"), "{text}");
    assert!(text.contains("processes") && !text.contains("children"), "{text}");
    terminal.press("3");
    terminal.wait_for(PATIENCE, "QUEUE\u{25bc}");
    terminal.press("/");
    terminal.press("photos");
    terminal.wait_for(PATIENCE, "show those with: photos");
    terminal.press("\r");
    terminal.wait_for(PATIENCE, "shown: with \"photos\"");
    assert!(terminal.text().contains("cat.png"), "{}", terminal.text());
    terminal.press("q");
    assert!(top.finish().end.is_success());
}

/// A supervisor that has nothing to run is well; only one that is gone is not.
#[test]
fn a_supervisor_may_have_nothing_to_do() {
    let scene = scene!();
    let owner = options().create(scene.path("jobs"), 4).expect("made");
    let checked = run(&scene, "check @jobs", 0).stdout;
    let pid = std::process::id();
    let expected = format!("all is well: thumbnails, pid {pid}, up ");
    assert!(
        checked.contains(&expected) && checked.contains(": 0 processes in 4 slots"),
        "{checked}"
    );
    owner.assign(1, 1).expect("a slot");
    let metrics = run(&scene, "metrics @jobs", 0).stdout;
    assert!(metrics.contains("scoreboard_owner_running{name=\"thumbnails\"} 1\n"), "{metrics}");
}

/// What processes count that share a board is shown with it, that of those which have ended too.
#[test]
fn what_processes_of_a_shared_board_count_is_shown() {
    let scene = scene!();
    let board = Board::open_or_create(scene.path("jobs"), 4).expect("a board");
    let mut metrics = Metrics::new();
    let done = metrics.counter("jobs_done_total", "Jobs done").labels(["kind"]).declare();
    let done = done.expect("declared");
    let store = Store::open_or_create(scene.path("jobs.metrics"), &metrics, 4).expect("a store");
    for _ in 0..2 {
        let slot = board.claim().expect("a slot");
        store.enter(slot.index()).expect("entered").series(&done, &["mail"]).increment();
    }
    let text = run(&scene, "metrics @jobs", 0).stdout;
    for line in ["jobs_done_total{kind=\"mail\"} 2", "scoreboard_refused_series_total 0"] {
        assert!(text.lines().any(|found| found == line), "{line:?} is not in {text}");
    }
    let open = run(&scene, "metrics --openmetrics @jobs", 0).stdout;
    prefork_tests::check_metrics(&scene, &text, &open);
    let shown = run(&scene, "status --json @jobs", 0).stdout;
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["metrics"]["families"][0]["series"][0]["value"], 2);
    // Nonsense in its place is no reason to show nothing.
    fs::write(scene.path("jobs.metrics"), "nonsense").expect("written");
    let finished = run(&scene, "metrics @jobs", 0);
    assert!(finished.stdout.contains("scoreboard_slots 4"), "{finished:?}");
    assert!(finished.stderr.contains("what the program counts itself is missing"), "{finished:?}");
}
