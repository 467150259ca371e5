//! A daemon of several pools, as the command shows and steers it.

use std::net::SocketAddr;

use prefork_tests::{
    Daemon, End, Load, PATIENCE, Scene, Terminal, children, get, kill, scene, wait_until,
};
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
    let pools = [format!("web={web}=2=4"), format!("reports={reports}=0=1")];
    let launch = scene.tool(env!("CARGO_BIN_EXE_pools")).board().path("--witness", "witness");
    let launch = pools.iter().fold(launch, |launch, pool| launch.args(["--pool", pool]));
    launch.args(["--role", "cron", "--figures"]).daemon()
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

/// In the metrics and as JSON alike.
#[test]
fn what_each_pool_counts_itself_is_shown() {
    let scene = scene!();
    let daemon = daemon(&scene);
    let [web, _] = addresses(&scene);
    for _ in 0..3 {
        get(web, "/").expect("it is answered");
    }
    let shown = json(&scene, "status --json @pid", 0);
    let pools = shown["pools"].as_array().expect("a list");
    let pool = pools.iter().find(|it| it["name"] == "web").expect("it is listed");
    let text = pool.to_string();
    assert!(text.contains("pools_answers_total"), "{text}");
    let metrics = run(&scene, "metrics @pid", 0).stdout;
    let line = "pools_answers_total{name=\"pools\",pool=\"web\"} 3";
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
    daemon.stop_in_order();
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
    for handle in ["@pid", "@pid.pools", "@scoreboard"] {
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
    let checked = run(&scene, "check @pid", 0).stdout;
    assert_eq!(checked.lines().count(), 4, "{checked}");
    assert!(
        checked.contains(": all is well: pools/reports sleeps until a client comes\n"),
        "{checked}"
    );
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
        assert_eq!(finished.end, End::Exited(status), "{words}: {finished:?}");
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
    assert!(text.contains("reports  on-demand  asleep") && !text.contains("web"), "{text}");
    let text = in_scene("status --json pools/reports", 0).stdout;
    assert!(text.contains("\"presence\": \"asleep\"") && !text.contains("cron"), "{text}");
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
    assert!(kill(daemon.pid(), Signal::STOP));
    wait_until(PATIENCE, "it is shown as stopped", || {
        run(&scene, "status @pid", 0).stdout.starts_with("STOPPED: pools, pid ")
    });
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
    for words in ["reload @pid", "metrics @pid", "check @pid", "top @pid"] {
        run(&scene, words, 3);
    }
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

/// The number in `generation N` of each pool of a daemon, by what the command reports.
fn generations(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| line.split_once("of generation "))
        .map(|(_, rest)| rest)
        .collect()
}

/// A reload of the whole is over when all pools that have a process have replaced their children; one that sleeps stays asleep.
#[test]
fn a_reload_waits_for_all_pools_that_have_a_process() {
    let scene = scene!();
    let daemon = daemon(&scene);
    let [web, _] = addresses(&scene);
    let parents = ["web", "cron"].map(|pool| parent(&scene, pool).expect("it has one"));
    let before: Vec<_> = parents.iter().flat_map(|pid| children(*pid)).collect();
    let load = Load::start(4, web, "/sleep/5");
    let reloaded = run(&scene, "reload -v --wait @pid", 0).stdout;
    let tally = load.stop();
    assert!(tally.answered > 0 && tally.failures.is_empty(), "{tally:?}");
    assert_eq!(generations(&reloaded).len(), 2, "{reloaded}");
    assert!(reloaded.starts_with("pool pools/web has replaced its children: "), "{reloaded}");
    assert!(reloaded.contains("pool pools/cron has replaced its children: "), "{reloaded}");
    for (pid, pool) in parents.iter().zip(["web", "cron"]) {
        assert_eq!(parent(&scene, pool), Some(*pid), "it is the same parent");
    }
    wait_until(PATIENCE, "all children are new", || {
        let now: Vec<_> = parents.iter().flat_map(|pid| children(*pid)).collect();
        !before.iter().any(|old| now.iter().any(|it| it.pid == old.pid))
    });
    assert_eq!(parent(&scene, "reports"), None, "nobody has woken it");
    let asked = run(&scene, "reload -v @pid", 0).stdout;
    let line = format!("asked process {} to replace its children, in 2 pools\n", daemon.pid());
    assert_eq!(asked, line);
    daemon.stop_in_order();
}

/// A reload of one pool leaves the others alone.
#[test]
fn one_pool_is_reloaded_and_the_others_are_not() {
    let scene = scene!();
    let daemon = daemon(&scene);
    let cron = parent(&scene, "cron").expect("it has one");
    let before: Vec<_> = children(cron).iter().map(|child| child.pid).collect();
    let words = "reload -v --wait pools/web";
    let reloaded = command(&scene, words).variable("PREFORK_PATH", scene.path("")).finish();
    assert!(reloaded.end.is_success(), "{reloaded:?}");
    let web = parent(&scene, "web").expect("it has one");
    let line = format!("process {web} has replaced its children: 2 children of generation ");
    assert!(reloaded.stdout.starts_with(&line), "{reloaded:?}");
    let after: Vec<_> = children(cron).iter().map(|child| child.pid).collect();
    assert_eq!(before, after);
    daemon.stop_in_order();
}

/// After a rotation, all write to the new logs.
#[test]
fn reopened_logs_are_those_of_all_pools() {
    let scene = scene!();
    let daemon = daemon(&scene);
    std::fs::rename(scene.path("error.log"), scene.path("error.log.1")).expect("rotated");
    let reopened = run(&scene, "reopen -v --wait @pid", 0).stdout;
    assert!(reopened.contains("pool pools/web has opened its logs again"), "{reopened}");
    assert!(reopened.contains("pool pools/cron has opened its logs again"), "{reopened}");
    let old = scene.read("error.log.1");
    daemon.stop_in_order();
    assert_eq!(scene.read("error.log.1"), old, "nobody writes there any more");
    assert!(scene.logged("pools/web[") > 0 && scene.logged("stopped, ") > 0);
}

/// A stop of the whole ends it; a stop of one pool has that started again.
#[test]
fn a_stop_is_of_the_daemon_or_of_one_pool() {
    let scene = scene!();
    let daemon = daemon(&scene);
    let web = parent(&scene, "web").expect("it has one");
    let words = "stop -v pools/web";
    let stopped = command(&scene, words).variable("PREFORK_PATH", scene.path("")).finish();
    let line = format!(
        "stopped process {web}; process {} starts pools/web again: a pool ends with its daemon alone\n",
        daemon.pid()
    );
    assert_eq!(stopped.stdout, line, "{stopped:?}");
    wait_until(PATIENCE, "it is started again", || {
        parent(&scene, "web").is_some_and(|pid| pid != web)
    });
    get(scene.address(), "/").expect("it serves");
    let stopped = run(&scene, "stop -v @pid", 0).stdout;
    assert_eq!(stopped, format!("stopped process {}\n", daemon.pid()));
    scene.wait_until_deserted(PATIENCE);
}

/// So many children at rest, one signal after the other, and no more than there may be.
#[test]
fn a_pool_is_scaled_within_what_it_may_have() {
    let scene = scene!();
    let daemon = daemon(&scene);
    let in_scene =
        |words: &str| command(&scene, words).variable("PREFORK_PATH", scene.path("")).finish();
    let web = parent(&scene, "web").expect("it has one");
    for (size, text) in [("4", "4 children at rest; it had 2"), ("1", "1 child at rest; it had 4")]
    {
        let scaled = in_scene(&format!("scale -v pools/web {size}"));
        assert_eq!(scaled.stdout, format!("process {web} has {text}\n"), "{scaled:?}");
    }
    // It shrinks when it has had little to do for a while, but grows at once.
    assert!(in_scene("scale web 3").end.is_success());
    wait_until(PATIENCE, "there are so many", || children(web).len() >= 3);
    for size in ["5", "0"] {
        let refused = in_scene(&format!("scale web {size}"));
        refused.assert_refused(&format!(
            "cannot have {size} children at rest: 1 to 4, its max_children"
        ));
    }
    in_scene("scale cron 2").assert_refused("1 to 1, its max_children");
    in_scene("scale reports 2").assert_refused("not running");
    run(&scene, "scale @pid 2", 2)
        .assert_refused("pools is a daemon of several pools; name one of them");
    daemon.stop_in_order();
}

/// All pools in one line, the children of one of them below, and the next one by a key.
#[test]
fn top_shows_all_pools_and_the_children_of_one() {
    let scene = scene!();
    let daemon = daemon(&scene);
    let terminal = Terminal::new(80, 24);
    let top = command(&scene, "top -i 0.1 @pid").variable("TERM", "xterm").on(&terminal).start();
    terminal.wait_for(PATIENCE, "[web 2 of 4, 0 busy]   reports asleep    cron 1 of 1, 0 busy");
    terminal.wait_for(PATIENCE, "pools/web, pid ");
    terminal.press("\t");
    terminal.wait_for(PATIENCE, "reports asleep   [cron 1 of 1, 0 busy]");
    terminal.wait_for(PATIENCE, "pools/cron, pid ");
    // It wakes, and can be gone to.
    get(addresses(&scene)[1], "/").expect("it wakes");
    terminal.wait_for(PATIENCE, "reports 1 of 1, 0 busy");
    terminal.press("\x1b[Z");
    terminal.wait_for(PATIENCE, "[reports 1 of 1, 0 busy]");
    terminal.press("\t\t");
    terminal.wait_for(PATIENCE, "[web 2 of 4, 0 busy]");
    terminal.press("q");
    wait_until(PATIENCE, "it ends", || {
        let _ = terminal.text();
        top.end().is_some()
    });
    assert_eq!(top.finish().end, End::Exited(0));
    daemon.stop_in_order();
}
