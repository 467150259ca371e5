//! Libraries that are used before the fork: what the table in the page about fork safety says of them.

use std::{collections::BTreeSet, net::TcpStream, time::Duration};

use prefork_tests::{PATIENCE, Running, Scene, require_tool, scene, wait_until};
use rustix::process::Signal;

use crate::{require, said};

/// How many children there are, and how much each does.
const CHILDREN: usize = 3;
const ROUNDS: usize = 200;

fn start<'a>(scene: &'a Scene, program: &str, case: &str, address: &str) -> Running<'a> {
    let folder = scene.path("");
    scene.tool(program).args([case, folder.to_str().expect("a text"), address]).start()
}

/// What each child has seen.
fn seen(scene: &Scene) -> Vec<String> {
    let lines = || scene.read("seen").lines().map(str::to_owned).collect::<Vec<_>>();
    // One whose answers are taken by others waits for each.
    let limit = PATIENCE + Duration::from_millis(200) * ROUNDS.try_into().expect("a few");
    wait_until(limit, "each child has seen something", || lines().len() == CHILDREN);
    lines()
}

/// Runs a case to its end; returns what its children have seen, and the warnings of the parent.
fn run(scene: &Scene, program: &str, case: &str) -> (Vec<String>, Vec<String>) {
    run_with(scene, program, case, "")
}

fn run_with(scene: &Scene, program: &str, case: &str, address: &str) -> (Vec<String>, Vec<String>) {
    let daemon = start(scene, program, case, address);
    let seen = seen(scene);
    daemon.stop_in_order();
    let warnings = said(scene, "parent warning: ");
    let texts = warnings.iter().filter_map(|line| Some(line.split_once("parent warning: ")?.1));
    (seen, texts.map(str::to_owned).collect())
}

#[test]
fn random_numbers_and_the_order_of_maps_are_equal_in_children_without_the_remedy() {
    let Some(program) = require("libraries") else { return };
    for case in ["rand-0.8", "rand-0.9", "hash-map"] {
        for (case, different) in [(case.to_owned(), 1), (format!("{case}-remedy"), CHILDREN)] {
            let scene = scene!();
            let (seen, warnings) = run(&scene, &program, &case);
            assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), different, "{case}: {seen:?}");
            assert_eq!(warnings, [""; 0], "{case}");
        }
    }
}

/// How many rows of a case are there in the end; the file is in order.
fn rows(scene: &Scene, program: &str) -> usize {
    let folder = scene.path("");
    let check =
        scene.tool(program).args(["rusqlite-check", folder.to_str().expect("a text")]).finish();
    let (rows, verdict) = check.stdout.trim().split_once(' ').expect("two words");
    assert_eq!(verdict, "ok", "{check:?}");
    rows.parse().expect("a number")
}

#[test]
fn an_sqlite_database_that_children_share_is_warned_of_and_loses_rows_where_it_is_locked() {
    let Some(program) = require("libraries") else { return };
    let all_written = vec![format!("{ROUNDS} "); CHILDREN];
    for (case, descriptors) in [("rusqlite", 3), ("rusqlite-locked", 2)] {
        let scene = scene!();
        let (seen, warnings) = run(&scene, &program, case);
        assert_eq!(seen, all_written, "no child has seen an error");
        let (numbers, rest) = warnings[0].split_once(" (").expect("it says what it is");
        assert_eq!(
            (warnings.len(), numbers.split(' ').skip(1).count()),
            (1, descriptors),
            "{warnings:?}"
        );
        let what = format!(
            "SQLite database {}), opened before the fork: ",
            scene.path("app.db").display()
        );
        assert!(rest.starts_with(&what), "{rest}");
        if case == "rusqlite-locked" {
            let rows = rows(&scene, &program);
            assert!(rows < CHILDREN * ROUNDS, "the lock is held by all: {rows} rows");
        }
    }
    let scene = scene!();
    assert_eq!(run(&scene, &program, "rusqlite-remedy"), (all_written, vec![]));
    assert_eq!(rows(&scene, &program), CHILDREN * ROUNDS);
}

/// A Redis of the test's own, in a scene of its own.
struct Redis<'a>(Running<'a>);

impl<'a> Redis<'a> {
    fn start(scene: &'a Scene) -> Self {
        let (address, port) = (scene.address(), scene.address().port().to_string());
        let bind = ["--bind", &address.ip().to_string(), "--port", &port, "--save", ""];
        let server = scene.tool("redis-server").args(bind).start();
        wait_until(PATIENCE, "Redis listens", || {
            assert_eq!(server.end(), None, "Redis has ended");
            TcpStream::connect(address).is_ok()
        });
        Self(server)
    }
}

/// Redis writes its title over its environment, so the scene does not know it as its own.
impl Drop for Redis<'_> {
    fn drop(&mut self) {
        self.0.signal(Signal::KILL);
    }
}

#[test]
fn answers_to_a_redis_connection_that_children_share_come_to_others() {
    let Some(program) = require("libraries") else { return };
    if !require_tool("redis-server") {
        return;
    }
    let servers = scene!();
    let _redis = Redis::start(&servers);
    let address = servers.address().to_string();
    let scene = scene!();
    let (seen, warnings) = run_with(&scene, &program, "redis", &address);
    let right = seen.iter().map(|it| it.parse::<usize>().expect("a number")).sum::<usize>();
    assert!(right < CHILDREN * ROUNDS, "all answers are right: {seen:?}");
    let what = format!(" (connection to {address}), opened before the fork: ");
    assert!(warnings.len() == 1 && warnings[0].contains(&what), "{warnings:?}");
    let scene = scene!();
    let (seen, warnings) = run_with(&scene, &program, "redis-remedy", &address);
    assert_eq!((seen, warnings), (vec![ROUNDS.to_string(); CHILDREN], vec![]));
}

#[test]
fn an_appender_with_a_thread_is_refused_before_the_fork_and_one_without_writes_whole_lines() {
    let Some(program) = require("libraries") else { return };
    let scene = scene!();
    let finished = start(&scene, &program, "tracing-appender", "").finish();
    assert!(!finished.end.is_success());
    // Of a name of a thread the kernel keeps 15 bytes.
    let line = "threads are left running besides the main one (tracing-appende), which children would not have";
    assert_eq!(said(&scene, line).len(), 1, "{finished:?}");
    for case in ["tracing-appender-remedy", "tracing-appender-blocking"] {
        let scene = scene!();
        assert_eq!(run(&scene, &program, case), (vec!["written".to_owned(); CHILDREN], vec![]));
        let lines = scene.read("lines");
        let end = format!(" {}.", "x".repeat(900));
        let whole =
            lines.lines().filter(|line| line.ends_with(&end) && line.matches('x').count() == 900);
        assert_eq!((lines.lines().count(), whole.count()), (300, 300), "{case}");
    }
}
