//! What the pages say.

use std::{io::Write, net::TcpStream, time::Duration};

use prefork_tests::{Load, PATIENCE, holds_for, kill, scene, wait_until};
use rustix::process::Signal;

use crate::{ask, count, get, json, status_process, wait_for_count, wait_for_workers, workers};

/// A person, a program and Prometheus read the same.
#[test]
fn all_pages_show_what_the_daemon_does() {
    let scene = scene!();
    let page = scene.page().to_string();
    let size = ["--prefork", "2", "--max-children", "4", "--status-listen", &page];
    let daemon = scene.hello().board().args(size).daemon();
    for path in ["/", "/", "/", "/", "/", "/", "/<script>"] {
        daemon.get(path).expect("it serves");
    }
    wait_for_count(&scene, "requests", 7);
    let html = get(&scene, "/status").body;
    assert!(html.contains("&lt;script&gt;") && !html.contains("<script"), "{html}");
    let load = Load::bounded(1, 1, scene.address(), "/sleep?ms=8000");
    // A child is busy as soon as it has accepted, and says later what it does.
    wait_until(PATIENCE, "a child says what it does", || {
        let found = json(&scene);
        found["tally"]["busy"] == 1 && found.to_string().contains("GET /sleep?ms=8000")
    });

    let board = json(&scene);
    assert_eq!((&board["schema"], &board["slots"]), (&1.into(), &5.into()));
    assert_eq!(board["path"], scene.path("scoreboard").display().to_string());
    let daemon_said = &board["daemon"];
    assert_eq!(daemon_said["pid"], daemon.pid());
    assert_eq!(daemon_said["name"], "hello");
    assert_eq!((&daemon_said["prefork"], &daemon_said["max_children"]), (&2.into(), &4.into()));
    assert_eq!((&daemon_said["busy_ratio"], &daemon_said["queue"]), (&0.25.into(), &0.into()));
    assert!(daemon_said["queue_limit"].as_u64().is_some_and(|limit| limit > 0));
    assert!(daemon_said["uptime_seconds"].as_f64().is_some_and(|uptime| uptime > 0.0));

    let html = get(&scene, "/status");
    assert!(html.head.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"), "{}", html.head);
    assert!(html.body.contains("GET /sleep?ms=8000"), "{}", html.body);
    assert!(html.body.contains(&format!("process {}", daemon.pid())));
    let csp =
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'\r\n";
    assert!(html.head.contains(csp), "{}", html.head);

    let metrics = get(&scene, "/metrics");
    for line in [
        "prefork_requests_total{name=\"hello\"} 7",
        "prefork_busy_ratio{name=\"hello\"} 0.25",
        "prefork_max_children{name=\"hello\"} 4",
    ] {
        assert!(metrics.body.lines().any(|found| found == line), "{line} in {}", metrics.body);
    }
    let program = "GET /status HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n";
    assert!(ask(&scene, program).body.starts_with('{'));
    assert_eq!(load.finish().failures, Vec::<String>::new());
    daemon.stop_in_order();
}

/// What is not there is not found, and what must not be done is not done.
#[test]
fn other_requests_are_refused_for_their_reasons() {
    let scene = scene!();
    let page = scene.page().to_string();
    let daemon = scene.hello().args(["--status-listen", &page]).daemon();
    assert_eq!(get(&scene, "/").status, 200);
    assert_eq!(get(&scene, "/nowhere").status, 404);
    // Without a board too, the daemon is shown.
    assert_eq!(json(&scene)["daemon"]["counters"]["requests"], serde_json::Value::Null);
    let head = ask(&scene, "HEAD /status HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    for (request, status) in [
        ("POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nsome data", 405),
        ("GET /status HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        ("\u{1}\u{2}\u{3}\r\n\r\n", 400),
    ] {
        assert_eq!(ask(&scene, request).status, status, "{request:?}");
    }
    daemon.stop_in_order();
}

/// What happens to children is counted, and what they had answered is not lost with them.
#[test]
fn deaths_reloads_and_requests_are_counted() {
    let scene = scene!();
    let page = scene.page().to_string();
    let size = ["--prefork", "3", "--max-children", "3", "--status-listen", &page];
    let daemon = scene.hello().board().args(size).daemon();
    let load = || assert_eq!(Load::bounded(2, 25, scene.address(), "/").finish().answered, 50);
    load();
    wait_for_count(&scene, "requests", 50);
    let before = workers(&daemon);
    assert!(kill(before[0], Signal::KILL));
    wait_for_count(&scene, "deaths_killed", 1);
    wait_for_count(&scene, "spawns", 4);
    assert_eq!(count(&scene, "requests"), 50);
    load();
    let before = workers(&daemon);
    daemon.signal(Signal::HUP);
    wait_for_count(&scene, "reloads", 1);
    wait_for_workers(&daemon, 3, &before);
    wait_for_count(&scene, "replaced", 3);
    wait_for_count(&scene, "deaths_exited", 3);
    assert_eq!(
        (count(&scene, "requests"), json(&scene)["daemon"]["generation"].as_u64()),
        (100, Some(2))
    );
    assert_eq!((count(&scene, "deaths_failed"), count(&scene, "retired")), (0, 0));
    let full = json(&scene)["daemon"]["at_maximum_seconds"].as_f64();
    assert!(full.is_some_and(|seconds| seconds > 0.0), "{full:?}");
    daemon.stop_in_order();
}

/// The sum of all requests never falls, whatever becomes of the children.
#[test]
fn the_count_of_requests_never_falls() {
    let scene = scene!();
    let page = scene.page().to_string();
    let size = ["--prefork", "4", "--max-requests", "20", "--status-listen", &page];
    let daemon = scene.hello().board().args(size).daemon();
    let load = Load::start(4, scene.address(), "/");
    let mut last = 0;
    holds_for(Duration::from_secs(2), "a count that only grows", || {
        let now = count(&scene, "requests");
        now >= std::mem::replace(&mut last, now)
    });
    wait_until(PATIENCE, "children were replaced", || count(&scene, "replaced") > 10);
    let tally = load.stop();
    assert_eq!(tally.failures, Vec::<String>::new());
    wait_for_count(&scene, "requests", tally.answered as u64);
    daemon.stop_in_order();
}

/// What was counted before an upgrade is counted after it.
#[test]
fn counters_survive_upgrades() {
    let scene = scene!();
    let page = scene.page().to_string();
    let program = scene.program();
    let args = ["--max-children", "3", "--status-listen", &page];
    let daemon = program.launch().board().args(args).daemon();
    for _ in 0..5 {
        daemon.get("/").expect("it serves");
    }
    let start = json(&scene)["daemon"]["started_unix_seconds"].clone();
    for version in 2..5 {
        let before = workers(&daemon);
        program.install(&format!("--version {version}"));
        daemon.signal(Signal::USR2);
        wait_for_count(&scene, "upgrades", version - 1);
        wait_for_workers(&daemon, 3, &before);
    }
    wait_for_count(&scene, "requests", 5);
    wait_for_count(&scene, "spawns", 12);
    program.install_bytes(b"#!/nonexistent/interpreter\n", 0o755);
    daemon.signal(Signal::USR2);
    wait_for_count(&scene, "upgrades_refused", 1);
    assert_eq!(json(&scene)["daemon"]["started_unix_seconds"], start);
    wait_until(PATIENCE, "one status process is left", || {
        crate::status_processes(&daemon).len() == 1
    });
    daemon.stop_in_order();
}

/// An upgrade loses nobody who asks for the page, and the page can move.
#[test]
fn the_page_is_there_during_upgrades_and_can_move() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().board().socket("--status-listen", "status").daemon();
    let old = status_process(&daemon).pid;
    program.install("--version 2");
    daemon.signal(Signal::USR2);
    wait_until(PATIENCE, "another status process serves", || {
        let answer = crate::get_unix(&scene, "/status.json").expect("nobody is refused");
        assert_eq!(answer.status, 200);
        crate::status_processes(&daemon).iter().all(|process| process.pid != old)
    });
    let page = scene.page().to_string();
    program.install(&format!("--status-listen {page}"));
    daemon.signal(Signal::USR2);
    wait_until(PATIENCE, "it has moved", || !scene.socket("status").exists());
    wait_for_count(&scene, "upgrades", 2);
    // One that is no good leaves the page where it is, and no file of its own.
    let elsewhere = scene.path("elsewhere");
    program.install(&format!("--status-listen {} --manner refuses", elsewhere.display()));
    daemon.signal(Signal::USR2);
    wait_for_count(&scene, "upgrades_refused", 1);
    assert!(!elsewhere.exists());
    daemon.stop_in_order();
}

/// N1: clients that hang up are counted.
#[test]
fn disconnects_are_counted() {
    let scene = scene!();
    let page = scene.page().to_string();
    let watching = ["--cancel-on-disconnect", "--netwatch-interval", "0.05"];
    let args = ["--prefork", "2", "--status-listen", &page];
    let daemon = scene.hello().board().args(args).args(watching).daemon();
    let mut client = TcpStream::connect(scene.address()).expect("it listens");
    client.write_all(b"GET /sleep?ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    wait_until(PATIENCE, "a child is busy", || json(&scene)["tally"]["busy"] == 1);
    // A client that closes leaves a socket behind that shows it, whether it was seen before or not.
    drop(client);
    wait_for_count(&scene, "cancelled", 1);
    assert_eq!(count(&scene, "disconnects"), 1);
    // It is interrupted in its sleep.
    wait_for_count(&scene, "deaths_signalled", 1);
    daemon.stop_in_order();
}

/// The reports of the program, and that there are none.
#[test]
fn how_many_jobs_wait_is_shown_as_the_program_reports_it() {
    let scene = scene!();
    let page = scene.page().to_string();
    let probe = scene.probe().board().args(["--status-listen", &page, "--jobs", "12"]);
    let daemon = probe.args(["--prefork", "1", "--max-children", "2"]).daemon();
    wait_until(PATIENCE, "it was reported", || json(&scene)["daemon"]["jobs_waiting"] == 12);
    assert_eq!(json(&scene)["owner"]["jobs_waiting"], 12);
    assert!(get(&scene, "/metrics").body.contains("prefork_waiting_jobs{name=\"probe\"} 12\n"));
    assert!(get(&scene, "/status").body.contains("<dt>jobs waiting</dt><dd>12<"));
    daemon.stop_in_order();
    let daemon = scene.probe().board().args(["--status-listen", &page]).daemon();
    let found = json(&scene);
    assert!(found["daemon"]["jobs_waiting"].is_null() && found["owner"]["jobs_waiting"].is_null());
    assert!(!get(&scene, "/metrics").body.contains("waiting_jobs"));
    assert!(!get(&scene, "/status").body.contains("jobs waiting"));
    daemon.stop_in_order();
}
