//! What a child claims of itself is shown only as far as it can be, and as the claim of that child.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use prefork::scoreboard::{Board, Record};
use prefork_tests::{PATIENCE, Scene, require_root, scene, wait_until};
use serde_json::Value;

use crate::siege::{Siege, fixture};

/// More than a daemon of a test can have answered in its life.
const PLAUSIBLE: u64 = 100_000_000;

/// Whether a claim is one that cannot be.
#[derive(Clone, Copy, Debug)]
enum Claim {
    /// It cannot be: the child is named in one line with this text, and retired.
    Impossible(&'static str),
    /// It says nothing that matters.
    Vain,
}

const COUNTS: Claim = Claim::Impossible("more requests than it can have answered");
const TIMES: Claim = Claim::Impossible("at a time at which that cannot have been");

/// A10: forged counters, times, texts, states, pids and generations: totals stay plausible, each page is well-formed
/// and shows the true pid and generation, and a child that claims what cannot be is named once and retired.
#[test]
fn forged_figures_are_not_believed() {
    let future = (u64::MAX / 2).to_string();
    let claims = [
        ("requests", u64::MAX.to_string(), COUNTS),
        ("request_started", "1".into(), TIMES),
        ("updated", "1".into(), TIMES),
        ("updated", future.clone(), TIMES),
        ("updated", "0".into(), TIMES),
        ("request_started", future.clone(), Claim::Vain),
        ("started", "1".into(), Claim::Vain),
        ("started", future, Claim::Vain),
        ("pid", "1".into(), Claim::Vain),
        ("generation", u64::MAX.to_string(), Claim::Vain),
        ("process_start", u64::MAX.to_string(), Claim::Vain),
        // Nothing, an escape character, no letter at all.
        ("state", "0".into(), Claim::Vain),
        ("state", "27".into(), Claim::Vain),
        ("state", "255".into(), Claim::Vain),
        ("texts", String::new(), Claim::Vain),
        ("all", u64::MAX.to_string(), Claim::Vain),
    ];
    if !require_root() {
        return;
    }
    let scene = scene!();
    let page = format!("{}:9000", scene.address().ip());
    let daemon = fixture(&scene).args(["--status-listen", &page]).board().daemon();
    let siege = Siege::of(&scene, daemon);
    for (field, value, claim) in claims {
        let mut attacker = siege.puppet();
        let (pid, generation) = (attacker.pid, attacker.generation);
        attacker.order(&format!("claim/{field}/{value}"));
        // The parent looks a moment after it is rung for.
        let what = format!("{field} = {value}");
        match claim {
            Claim::Impossible(text) => siege.assert_named_once(pid, text),
            Claim::Vain => std::thread::sleep(Duration::from_millis(200)),
        }
        assert_shown(&scene, pid, generation, &what);
        drop(attacker);
        if let Claim::Impossible(_) = claim {
            wait_until(PATIENCE, &format!("who claims {what} is retired"), || {
                !siege.daemon.living().contains(&pid)
            });
        }
    }
    let victim = siege.puppet();
    siege.assert_replaced(victim, "after figures were forged");
    siege.assert_stops();
}

/// A10: a count that falls is no more believed than one that is too high.
#[test]
fn a_count_that_falls_is_not_believed() {
    let scene = scene!();
    let Some(siege) = Siege::begin(&scene) else { return };
    let victim = siege.puppet();
    let mut attacker = siege.puppet();
    let pid = attacker.pid;
    attacker.order("claim/requests/500000");
    std::thread::sleep(Duration::from_millis(400));
    attacker.order("claim/requests/1");
    siege.assert_named_once(pid, "more requests than it can have answered");
    drop(attacker);
    siege.assert_replaced(victim, "after a count has fallen");
    siege.assert_stops();
}

/// Asserts that everything that can be asked for is well-formed, and says the truth about this child.
#[track_caller]
fn assert_shown(scene: &Scene, pid: u32, generation: u32, what: &str) {
    let page = SocketAddr::new(scene.address().ip(), 9000);
    let get = |path: &str| get(page, path).unwrap_or_else(|error| panic!("{what}: {error}"));
    let json: Value = serde_json::from_str(&get("/status.json")).expect("JSON");
    let children = json["children"].as_array().expect("a list");
    let child = children.iter().find(|child| child["pid"] == pid);
    let child = child.unwrap_or_else(|| panic!("{what}: the child {pid} is not shown: {json}"));
    assert_eq!(child["generation"], generation, "{what}: {child}");
    assert_eq!(children.len(), 4, "{what}: {json}");
    let total = json["daemon"]["counters"]["requests"].as_u64().expect("a total");
    assert!(total < PLAUSIBLE, "{what}: {total} requests");

    let metrics = get("/metrics");
    let mut seen = BTreeMap::new();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{what}: {line:?}"));
        let value = value.parse::<f64>().unwrap_or_else(|_| panic!("{what}: {line:?}"));
        assert!(value.is_finite() && value >= 0.0, "{what}: {line:?}");
        assert_eq!(seen.insert(name.to_owned(), value), None, "{what}: {line:?} comes twice");
    }
    assert!(seen[r#"prefork_requests_total{name="hostile"}"#] < 1e8, "{what}: {metrics}");
    assert_plain(&metrics, what);

    let command = |arguments: &[&str]| {
        let board = scene.path("scoreboard").display().to_string();
        let command = scene.tool(env!("CARGO_BIN_EXE_prefork-command"));
        let done = command.args(arguments).args([&board]).finish();
        assert!(done.end.is_success(), "{what}: {done:?}");
        done.stdout
    };
    let text = command(&["status"]);
    assert!(text.contains(&pid.to_string()), "{what}: {text}");
    assert_plain(&text, what);
    let json = command(&["status", "--json"]);
    assert!(serde_json::from_str::<Value>(&json).is_ok(), "{what}: {json}");
    let html = get("/status");
    assert!(!html.contains("<b>") && html.contains(&pid.to_string()), "{what}: {html}");
    assert_plain(&html, what);
    let board = Board::open(scene.path("scoreboard")).expect("it is there");
    let snapshot = board.snapshot().expect("it can be read");
    let record = snapshot.records().iter().find(|record| record.pid() == Some(pid));
    assert_eq!(record.map(Record::generation), Some(u64::from(generation)), "{what}");
}

/// Asks the status page, which answers requests for names of this machine alone.
fn get(page: SocketAddr, path: &str) -> io::Result<String> {
    let mut connection = TcpStream::connect(page)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    connection.write_all(request.as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(body.to_owned())
}

/// Asserts that a terminal does nothing with a text but show it.
#[track_caller]
fn assert_plain(text: &str, what: &str) {
    let is_plain = |letter: char| !letter.is_control() || letter == '\n';
    assert!(text.chars().all(is_plain) && !text.contains('\u{202e}'), "{what}: {text:?}");
}
