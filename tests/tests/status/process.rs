//! The process that serves the page.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    time::Duration,
};

use prefork_tests::{PATIENCE, kill, require_root, scene, turns, wait_until};
use rustix::process::Signal;

use crate::{get, get_unix, json, status_process, status_processes, workers};

/// One that is killed is replaced, as often as it takes, at most once a second.
#[test]
fn a_status_process_that_is_killed_is_replaced() {
    let scene = scene!();
    let page = scene.page().to_string();
    let daemon = scene.hello().board().args(["--status-listen", &page]).daemon();
    let before = workers(&daemon);
    for _ in 0..3 {
        let old = status_process(&daemon).pid;
        assert!(kill(old, Signal::KILL));
        // Within a second, but that everything takes its time on a machine under load.
        wait_until(Duration::from_secs(5), "there is another status process", || {
            status_processes(&daemon)
                .iter()
                .any(|process| process.pid != old && !process.is_zombie())
        });
        assert_eq!(get(&scene, "/status").status, 200);
    }
    assert_eq!(workers(&daemon), before, "children have nothing to do with it");
    assert_eq!(json(&scene)["daemon"]["counters"]["deaths_killed"], 0, "it is no child");
    daemon.stop_in_order();
}

/// With isolation it is held apart from the children as they are from one another, and has none of their limits.
#[test]
fn a_status_process_is_held_apart_from_isolated_children() {
    let held = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it is there");
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.expect("the kernel says so").trim().to_owned()
        };
        [value("NoNewPrivs:"), value("Seccomp:")]
    };
    for (layers, expected) in [("nice=0", "0"), ("siblings,cpu-time=1000", "2")] {
        let scene = scene!();
        let page = scene.page().to_string();
        let launch = scene.hello().board().args(["--status-listen", &page]);
        let daemon = launch.args(["--isolate", layers]).daemon();
        for path in ["/status", "/metrics", "/"] {
            assert_eq!(get(&scene, path).status, 200, "{path}");
        }
        let process = status_process(&daemon).pid;
        assert_eq!(held(process), held(workers(&daemon)[0]), "{layers}");
        assert_eq!(held(process)[1], expected, "{layers}");
        let limits = fs::read_to_string(format!("/proc/{process}/limits")).expect("it is there");
        assert!(!limits.contains(" 1000 "), "{limits}");
        daemon.stop_in_order();
    }
}

/// It has the user of the children, their board to read, and nothing else of the parent's.
#[test]
fn a_status_process_has_the_rights_of_a_child_and_less() {
    if !require_root() {
        return;
    }
    let scene = scene!();
    let args = ["--user", "nobody"];
    let daemon = scene.hello().board().socket("--status-listen", "status").args(args).daemon();
    let process = status_process(&daemon);
    let ids = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it is there");
        let lines = status.lines().filter(|line| {
            ["Uid:", "Gid:", "Groups:", "CapEff:", "NoNewPrivs:"]
                .iter()
                .any(|it| line.starts_with(it))
        });
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(get_unix(&scene, "/status").expect("it serves").status, 200);
    assert_eq!(ids(process.pid), ids(workers(&daemon)[0]));
    let open = fs::read_dir(format!("/proc/{}/fd", process.pid)).expect("root may look").flatten();
    let open: Vec<_> = open
        .map(|entry| {
            let target = fs::read_link(entry.path()).expect("it is open");
            let info = entry.path().display().to_string().replace("/fd/", "/fdinfo/");
            let info = fs::read_to_string(info).expect("it is open");
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:\t")).expect("flags");
            let flags = u32::from_str_radix(flags.trim(), 8).expect("a number");
            (target.display().to_string(), flags & 3)
        })
        .collect();
    let boards: Vec<_> = open.iter().filter(|(name, _)| name.contains("scoreboard")).collect();
    assert!(!boards.is_empty() && boards.iter().all(|(_, access)| *access == 0), "{open:?}");
    assert!(
        !open.iter().any(|(name, _)| name.ends_with("/pid") || name.contains("access.log")),
        "{open:?}"
    );
    daemon.stop_in_order();
    assert!(!scene.socket("status").exists());
}

/// A UNIX socket is for its owner, replaces one that a crash has left, and goes with the daemon.
#[test]
fn a_unix_socket_comes_and_goes_with_the_daemon() {
    let scene = scene!();
    drop(UnixListener::bind(scene.socket("status")).expect("bound"));
    let daemon = scene.hello().board().socket("--status-listen", "status").daemon();
    let mode = fs::symlink_metadata(scene.socket("status")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(get_unix(&scene, "/status").expect("it serves").body.contains("hello"));
    // A second daemon does not take it away.
    let other = scene.hello().socket("--status-listen", "status");
    let other = other.args(["--listen", "127.0.0.1:0"]).finish();
    other.assert_refused("status_listen");
    assert_eq!(get_unix(&scene, "/metrics").expect("it serves").status, 200);
    daemon.signal(Signal::TERM);
    daemon.assert_ends_in_order(PATIENCE);
    assert!(!scene.socket("status").exists());
}

/// When the parent is killed, nobody is left.
#[test]
fn a_status_process_goes_with_its_parent() {
    let scene = scene!();
    let page = scene.page().to_string();
    let daemon = scene.hello().board().args(["--status-listen", &page]).daemon();
    status_process(&daemon);
    daemon.signal(Signal::KILL);
    scene.wait_until_deserted(PATIENCE);
}

/// A board that was made again is the one that is shown.
#[test]
fn a_new_board_is_shown() {
    let scene = scene!();
    let page = scene.page().to_string();
    let args = ["--prefork", "2", "--max-children", "2", "--status-listen", &page];
    let daemon = scene.hello().board().args(args).daemon();
    wait_until(PATIENCE, "two children wait", || json(&scene)["tally"]["idle"] == 2);
    fs::remove_file(scene.path("scoreboard")).expect("removed");
    // The parent notices when it looks at the board, which it does when children turn busy.
    wait_until(PATIENCE, "the parent has another", || {
        daemon.get("/").expect("it serves");
        scene.path("scoreboard").exists()
    });
    wait_until(PATIENCE, "the new board is shown", || {
        json(&scene)["children"].as_array().is_some_and(|children| children.len() == 2)
    });
    wait_until(PATIENCE, "one status process is left", || status_processes(&daemon).len() == 1);
    daemon.stop_in_order();
}

/// A pool at rest costs nothing, with a page too; and asking for the page does not wake the parent.
#[test]
fn the_parent_sleeps_while_the_page_is_served() {
    let scene = scene!();
    let page = scene.page().to_string();
    let daemon = scene.hello().board().args(["--status-listen", &page]).daemon();
    let process = status_process(&daemon).pid;
    daemon.wait_for_rest();
    let (parent, idle, cpu) = (turns(daemon.pid()), turns(process), daemon.cpu());
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!((turns(daemon.pid()), turns(process)), (parent, idle));
    for _ in 0..50 {
        assert_eq!(get(&scene, "/status").status, 200);
    }
    assert_eq!(turns(daemon.pid()), parent);
    assert_eq!(daemon.cpu(), cpu);
    daemon.stop_in_order();
}
