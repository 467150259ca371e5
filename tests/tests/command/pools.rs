//! A daemon of several pools, as the command shows and steers it.

use std::net::SocketAddr;

use prefork_tests::{Daemon, Load, PATIENCE, Scene, children, get, kill, scene, wait_until};
use rustix::process::Signal;
use serde_json::Value;

use crate::{command, run};

/// The addresses of the pools `web` and `reports`.
fn addresses(scene: &Scene) -> [SocketAddr; 2] {
    [scene.address(), scene.other_address()]
}

/// A daemon with a pool that is always there, one that sleeps, and a role.
fn daemon(scene: &Scene) -> Daemon<'_> {
    let [web, reports] = addresses(scene);
    let pools = [format!("web={web}=2=4"), format!("reports={reports}=0=2")];
    let launch = scene.tool(env!("CARGO_BIN_EXE_pools")).board().path("--witness", "witness");
    let launch = pools.iter().fold(launch, |launch, pool| launch.args(["--pool", pool]));
    launch.args(["--role", "cron"]).daemon()
}

fn json(scene: &Scene, words: &str, status: i32) -> Value {
    let text = run(scene, words, status).stdout;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The parent of a pool, as the command shows it.
fn parent(scene: &Scene, pool: &str) -> Option<u32> {
    let shown = json(scene, "status --json @pid", 0);
    let pools = shown["pools"].as_array().expect("a list");
    let pool = pools.iter().find(|it| it["name"] == pool).expect("it is listed");
    pool["pid"].as_u64().map(|pid| u32::try_from(pid).expect("a pid"))
}

fn presences(scene: &Scene, status: i32) -> Vec<(String, String, String)> {
    let shown = json(scene, "status --json @pid", status);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let pools = shown["pools"].as_array().expect("a list");
    pools.iter().map(|it| (text(&it["name"]), text(&it["kind"]), text(&it["presence"]))).collect()
}

fn expected(states: [[&str; 3]; 3]) -> Vec<(String, String, String)> {
    states.map(|[name, kind, presence]| (name.into(), kind.into(), presence.into())).to_vec()
}

/// By its pid file, its name, or the board that its pools have beside that.
#[test]
fn a_daemon_of_several_pools_is_shown_as_one_thing() {
    let scene = scene!();
    let daemon = daemon(&scene);
    let [_, reports] = addresses(&scene);
    let asleep = expected([
        ["web", "pool", "awake"],
        ["reports", "on-demand", "asleep"],
        ["cron", "role", "awake"],
    ]);
    assert_eq!(presences(&scene, 0), asleep);
    for handle in ["@pid", "@pid.pools"] {
        let text = run(&scene, &format!("status {handle}"), 0).stdout;
        let first = format!("pools, pid {}, up ", daemon.pid());
        assert!(text.starts_with(&first), "{text}");
        assert!(text.contains(": 3 pools, 2 awake; 3 children, 0 busy\n"), "{text}");
        let line = text.lines().find(|line| line.starts_with("reports")).expect("a line");
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let address = reports.to_string();
        assert_eq!(words, ["reports", "on-demand", "asleep", "-", "-", "-", "-", &address]);
        // Then the table of each that has children.
        assert!(
            text.contains("\npools/web, pid ") && text.contains("\npools/cron, pid "),
            "{text}"
        );
    }
    let named = command(&scene, "status pools").variable("PREFORK_PATH", scene.path(""));
    let named = named.finish();
    assert!(named.end.is_success() && named.stdout.contains("3 pools, 2 awake"), "{named:?}");

    get(reports, "/").expect("it wakes");
    let awake = expected([
        ["web", "pool", "awake"],
        ["reports", "on-demand", "awake"],
        ["cron", "role", "awake"],
    ]);
    assert_eq!(presences(&scene, 0), awake);
    daemon.stop_in_order();
    assert!(!scene.path("pid.pools").exists(), "the list goes with the daemon");
    run(&scene, "status @pid", 3);
}

/// One pool, by its own name or that with the daemon's.
#[test]
fn one_pool_is_shown_by_its_name() {
    let scene = scene!();
    let daemon = daemon(&scene);
    let in_scene = |words: &str, status: i32| {
        let finished = command(&scene, words).variable("PREFORK_PATH", scene.path("")).finish();
        assert_eq!(finished.end, prefork_tests::End::Exited(status), "{words}: {finished:?}");
        finished
    };
    for name in ["web", "pools/web"] {
        let text = in_scene(&format!("status {name}"), 0).stdout;
        assert!(
            text.starts_with("pools/web, pid ") && text.contains("2 children of 2 to 4"),
            "{text}"
        );
        assert!(!text.contains("cron"), "{text}");
    }
    let text = in_scene("status reports", 0).stdout;
    assert!(text.contains("asleep") && !text.contains("web"), "{text}");
    let refused = in_scene("status pools/mail", 3);
    refused.assert_refused("pools/mail is no file here, and no daemon is found that is called so");
    let refused = in_scene("status mail", 3);
    refused.assert_refused("found: pools (");
    daemon.stop_in_order();
}

/// One line for itself, one for each pool, and none twice.
#[test]
fn the_list_has_a_daemon_with_its_pools_below() {
    let scene = scene!();
    let daemon = daemon(&scene);
    let listed = command(&scene, "list").variable("PREFORK_PATH", scene.path("")).finish().stdout;
    let rows: Vec<Vec<_>> =
        listed.lines().map(|line| line.split_ascii_whitespace().collect()).collect();
    let pid = daemon.pid().to_string();
    let shown: Vec<_> = rows.iter().skip(1).map(|row| (row[0], row[2], row[4])).collect();
    let expected = [
        ("pools", "running", "3"),
        ("pools/web", "running", "2"),
        ("pools/reports", "asleep", "-"),
        ("pools/cron", "running", "1"),
    ];
    assert_eq!(shown, expected, "{listed}");
    assert_eq!(rows[1][1], pid);
    daemon.stop_in_order();
}

/// What a killed daemon has left does not look alive.
#[test]
fn a_killed_daemon_of_several_pools_is_not_shown_as_running() {
    let scene = scene!();
    let daemon = daemon(&scene);
    let stopped = command(&scene, "status @pid");
    assert!(kill(daemon.pid(), Signal::STOP));
    let text = stopped.finish().stdout;
    assert!(text.starts_with("STOPPED: pools"), "{text}");
    assert!(kill(daemon.pid(), Signal::KILL));
    scene.wait_until_deserted(PATIENCE);
    let gone = expected([
        ["web", "pool", "down"],
        ["reports", "on-demand", "down"],
        ["cron", "role", "down"],
    ]);
    assert_eq!(presences(&scene, 3), gone);
    let text = run(&scene, "status @pid", 3).stdout;
    assert!(text.starts_with("NOT RUNNING: pools: 3 pools, 0 awake"), "{text}");
    run(&scene, "reload @pid", 3);
    run(&scene, "metrics @pid", 3);
}

/// One page for all, which a reader of metrics understands.
#[test]
fn metrics_of_all_pools_are_on_one_page() {
    let scene = scene!();
    let daemon = daemon(&scene);
    let page = run(&scene, "metrics @pid", 0).stdout;
    for line in [
        "prefork_pools{name=\"pools\"} 3",
        "prefork_pool_awake{name=\"pools\",pool=\"reports\"} 0",
        "prefork_children{name=\"pools\",pool=\"web\",state=\"idle\"} 2",
        "prefork_max_children{name=\"pools\",pool=\"cron\"} 1",
    ] {
        assert!(page.lines().any(|it| it == line), "{line} in {page}");
    }
    assert_eq!(page.matches("# TYPE prefork_children gauge").count(), 1, "{page}");
    let page = run(&scene, "metrics --openmetrics @pid", 0).stdout;
    assert!(page.ends_with("# EOF\n") && page.matches("# EOF").count() == 1, "{page}");
    daemon.stop_in_order();
}
