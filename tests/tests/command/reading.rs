//! What the command shows of a daemon.

use std::os::unix::net::UnixListener;

use prefork_tests::{InHand, Launch, PATIENCE, Scene, Terminal, scene, wait_until};
use rustix::process::Signal;
use serde_json::Value;

use crate::{command, run};

/// Waits until all children say that they wait.
fn wait_for_idle(scene: &Scene, count: usize) {
    wait_until(PATIENCE, "all children wait", || json(scene)["tally"]["idle"] == count);
}

fn json(scene: &Scene) -> Value {
    let text = run(scene, "status --json @scoreboard", 0).stdout;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A person sees which child does what, for whom and since when.
#[test]
fn status_shows_what_each_child_does() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "2", "--max-children", "4"]).board().daemon();
    wait_for_idle(&scene, 2);
    let request = InHand::at(scene.address(), "/sleep?ms=60000");
    let mut text = String::new();
    wait_until(PATIENCE, "a child is shown to be busy", || {
        text = run(&scene, "status @scoreboard", 0).stdout;
        text.contains("GET /sleep?ms=60000")
    });
    let whose = format!("hello 0.1.0, pid {}, up ", daemon.pid());
    assert!(text.starts_with(&whose), "{text}");
    assert!(text.contains(&scene.path("scoreboard").display().to_string()), "{text}");
    assert!(!text.contains('\x1b'), "colours in a file: {text:?}");
    let line = text.lines().find(|line| line.contains("/sleep")).expect("found before");
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    assert_eq!(words[1], request.worker().pid.to_string(), "{line}");
    assert_eq!(words[2..4], ["W", "writing"], "{line}");
    assert!(line.contains("127."), "no client: {line}");
    let heading = text.lines().find(|line| line.starts_with("SLOT")).expect("a heading");
    let memory = heading.split_ascii_whitespace().position(|word| word == "MEMORY");
    // The state is two words.
    let memory = words[memory.expect("a column") + 1];
    assert!(memory.ends_with(['K', 'M']), "memory is {memory}: {line}");
    let all = run(&scene, "status --all @scoreboard", 0).stdout;
    // One slot more than children, for a stand-in.
    assert!(all.lines().filter(|line| line.contains(". empty")).count() >= 2, "{all}");
    // Nobody waits for the request.
    daemon.signal(Signal::INT);
    daemon.assert_ends_in_order(PATIENCE);
}

/// A program gets the same as JSON.
#[test]
fn status_is_json_for_programs() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "2"]).board().daemon();
    wait_for_idle(&scene, 2);
    for _ in 0..5 {
        daemon.get("/").expect("it serves");
    }
    let total = |board: &Value| -> u64 {
        let children = board["children"].as_array().expect("a list");
        children.iter().filter_map(|child| child["requests"].as_u64()).sum()
    };
    wait_until(PATIENCE, "5 requests are counted", || total(&json(&scene)) == 5);
    let board = json(&scene);
    assert_eq!(board["schema"], 1);
    assert_eq!(board["kind"], "owned");
    assert_eq!(board["creator"], serde_json::json!({"pid": daemon.pid(), "life": "running"}));
    assert!(board["age_seconds"].as_f64().is_some_and(|age| age > 0.0), "{board}");
    let living = daemon.living();
    for child in board["children"].as_array().expect("a list") {
        let pid = child["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        assert!(pid.is_some_and(|pid| living.contains(&pid)), "{child}");
        assert_eq!((&child["life"], &child["generation"]), (&"running".into(), &1.into()));
        assert!(child["resident_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 16), "{child}");
    }
    daemon.stop_in_order();
}

/// Prometheus gets its text.
#[test]
fn metrics_are_for_prometheus() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "3"]).board().daemon();
    wait_for_idle(&scene, 3);
    let text = run(&scene, "metrics @scoreboard", 0).stdout;
    for line in [
        "prefork_children{name=\"hello\",state=\"idle\"} 3",
        "prefork_generation{name=\"hello\"} 1",
        "prefork_living_children_requests{name=\"hello\"} 0",
        "prefork_daemon_running{name=\"hello\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line:?} is not in {text}");
    }
    assert!(!text.contains("# EOF"), "{text}");
    let open = run(&scene, "metrics --openmetrics @scoreboard", 0).stdout;
    assert!(open.ends_with("\n# EOF\n"), "{open}");
    prefork_tests::check_metrics(&scene, &text, &open);
    daemon.stop_in_order();
}

/// A check says of either file what it is, while the daemon runs, after it was killed, and when it
/// has stopped in order.
#[test]
fn check_says_whether_all_is_well() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    wait_for_idle(&scene, 3);
    let text = run(&scene, "check @pid @scoreboard", 0).stdout;
    assert!(text.contains(&format!("process {} holds it and runs", daemon.pid())), "{text}");
    assert!(
        text.contains(": all is well: hello 0.1.0, pid ")
            && text.contains("3 children of 3 to 150"),
        "{text}"
    );

    daemon.signal(Signal::KILL);
    let _ = daemon.wait_for_end(PATIENCE);
    scene.wait_until_deserted(PATIENCE);
    let text = run(&scene, "check @pid", 3).stdout;
    assert!(text.contains("a pid file that nobody holds"), "{text}");
    let text = run(&scene, "check @scoreboard", 3).stdout;
    let dead = format!("NOT RUNNING: hello 0.1.0, pid {}, has ended without", daemon.pid());
    assert!(text.contains(&dead), "{text}");

    let next = scene.hello().board().daemon();
    run(&scene, "check @scoreboard @pid", 0);
    next.stop_in_order();
    let text = run(&scene, "check @pid @scoreboard", 3).stdout;
    assert_eq!(text.matches("there is no such file").count(), 2, "{text}");
}

/// A child that is gone while its parent cannot clear up after it is seen, and no memory of the process that
/// has its pid now is shown.
#[test]
fn a_child_that_is_gone_is_shown_as_gone() {
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", "1"]).board().daemon();
    wait_for_idle(&scene, 1);
    daemon.signal(Signal::STOP);
    let child = daemon.living()[0];
    assert!(prefork_tests::kill(child, Signal::KILL));
    wait_until(PATIENCE, "the child is dead", || daemon.living().is_empty());
    let board = json(&scene);
    assert_eq!(
        (&board["children"][0]["life"], &board["children"][0]["resident_bytes"]),
        (&"gone".into(), &Value::Null)
    );
    let text = run(&scene, "check @scoreboard", 1).stdout;
    assert!(text.contains("1 slot belongs to a process that is gone"), "{text}");
    daemon.signal(Signal::CONT);
    wait_for_idle(&scene, 1);
    run(&scene, "check @scoreboard", 0);
    daemon.stop_in_order();
}

/// Colours are for terminals, and where they are asked for.
#[test]
fn colours_are_for_terminals() {
    let scene = scene!();
    let daemon = scene.hello().board().daemon();
    wait_for_idle(&scene, 3);
    for (no_color, coloured) in [("", true), ("1", false)] {
        let terminal = Terminal::new(150, 24);
        let shown = command(&scene, "status @scoreboard")
            .variable("NO_COLOR", no_color)
            .variable("TERM", "xterm")
            .on(&terminal)
            .finish();
        assert!(shown.end.is_success(), "{shown:?}");
        terminal.wait_for(PATIENCE, "SLOT");
        assert_eq!(terminal.is_coloured(), coloured, "NO_COLOR={no_color:?}");
    }
    daemon.stop_in_order();
}

fn sharer(scene: &Scene) -> Launch<'_> {
    let launch = scene.tool(env!("CARGO_BIN_EXE_sharer"));
    launch.path("--folder", "").socket("--peer", "peer").board()
}

/// What was opened before the fork is found while it does harm.
#[test]
fn check_names_connections_that_children_share() {
    let scene = scene!();
    let _peer = UnixListener::bind(scene.socket("peer")).expect("bound");
    let daemon = sharer(&scene).daemon();
    let text = run(&scene, "check @scoreboard", 0).stdout;
    let pids = daemon.living();
    let by =
        format!(" by {}, {} (and 1 connection more); open it in main_loop: ", pids[0], pids[1]);
    let (before, rest) = text.split_once(&by).unwrap_or_else(|| panic!("{text}"));
    let tcp = format!("tcp {}", scene.read("address"));
    assert!(
        before.contains(
            "WARNING: a connection that was opened before the fork is shared by children"
        ),
        "{text}"
    );
    assert!(before.contains(&tcp) && rest.starts_with("sharer, pid "), "{text}");
    daemon.stop_in_order();
    let scene = scene!();
    let daemon = sharer(&scene).args(["--harmless"]).daemon();
    let text = run(&scene, "check @scoreboard", 0).stdout;
    assert!(text.contains("scoreboard: all is well: sharer, pid "), "{text}");
    daemon.stop_in_order();
}
