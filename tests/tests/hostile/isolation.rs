//! What a child can do to another of the same user, without isolation and with it.

use std::{collections::BTreeSet, fs, os::unix::fs::chown, time::Duration};

use prefork_tests::{
    End, Lack, Launch, PATIENCE, Scene, holds_for, require_open_to_others, require_tool, scene,
    skip, wait_until,
};
use rustix::process::geteuid;

use crate::{
    puppet::Outcome,
    siege::{Siege, fixture, measured},
};

/// What holds siblings apart.
const APART: &str = "require siblings";

/// Each attack of the guide to isolation, as that calls it, with what the fixture calls it.
const ATTACKS: [(&str, &str); 21] = [
    ("kill", "kill"),
    ("kill(-1)", "reached by kill -1"),
    ("tgkill", "tgkill"),
    ("pidfd_send_signal", "pidfd_send_signal"),
    ("ptrace", "ptrace"),
    ("process_vm_readv", "process_vm_readv"),
    ("process_vm_writev", "process_vm_writev"),
    ("/proc/PID/mem", "/proc/PID/mem"),
    ("/proc/PID/maps", "/proc/PID/maps"),
    ("/proc/PID/environ", "/proc/PID/environ"),
    ("/proc/PID/fd", "/proc/PID/fd/0"),
    ("pidfd_getfd", "pidfd_getfd"),
    ("kcmp", "kcmp"),
    ("prlimit", "prlimit to set"),
    ("setpriority", "setpriority"),
    ("sched_setaffinity", "sched_setaffinity"),
    ("sched_setscheduler", "sched_setscheduler"),
    ("sched_setparam", "sched_setparam"),
    ("ioprio_set", "ioprio_set"),
    ("/proc/PID/oom_score_adj", "oom_score_adj"),
    ("abstract sockets", "abstract socket"),
];

/// Prepares to start the fixture as nobody, and its children with it; `None` where that cannot be, which it says.
fn of_one_user<'a>(scene: &'a Scene, layers: Option<&str>) -> Option<Launch<'a>> {
    let mut launch = fixture(scene).args(["--same-user"]);
    if let Some(layers) = layers {
        launch = launch.args(["--isolate", layers]);
    }
    if !geteuid().is_root() {
        return Some(launch);
    }
    if !require_tool("setpriv") {
        return None;
    }
    let nobody =
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"];
    if !require_open_to_others(env!("CARGO_BIN_EXE_hostile").as_ref()) {
        return None;
    }
    chown(scene.path(""), Some(65534), Some(65534)).expect("root may");
    Some(launch.under(nobody))
}

/// Has one child attack another in all ways; returns which attacks have succeeded, of those that were tried.
fn attack(siege: &Siege<'_>) -> BTreeSet<&'static str> {
    let (mut attacker, mut sibling) = (siege.puppet(), siege.puppet());
    let name = format!("prefork-tests-{}", sibling.pid);
    assert_eq!(sibling.order(&format!("listen/{name}")).of("listen"), ["0"]);
    assert_eq!(sibling.order("block").of("block"), ["0"]);
    let signalled = format!("signalled/{}", attacker.pid);
    // It says nothing of whom it has reached; and another one that signals everybody may be first, again and again.
    let mut tries = 0;
    let reached = loop {
        attacker.order("everybody");
        let reached = sibling.order(&signalled);
        tries += 1;
        if has_come(&reached) || tries == 50 {
            break reached;
        }
    };
    let outcomes = [
        attacker.order(&format!("neighbour/{}", sibling.pid)),
        reached,
        attacker.order(&format!("connect/{name}")),
    ];
    let all: Vec<(&str, &str)> = outcomes.iter().flat_map(Outcome::iter).collect();
    let mut succeeded = BTreeSet::new();
    for (attack, call) in ATTACKS {
        let gave: Vec<&str> =
            all.iter().filter(|(name, _)| *name == call).map(|(_, gave)| *gave).collect();
        assert_eq!(gave.len(), 1, "{call}: {all:?}");
        if !gave[0].starts_with('E') {
            succeeded.insert(attack);
        }
    }
    succeeded
}

fn has_come(outcome: &Outcome) -> bool {
    outcome.iter().all(|(_, gave)| !gave.starts_with('E'))
}

/// A11: without isolation, a child can do to another of its user what the guide to isolation lists. Where not even that
/// succeeds, the next test would not show anything.
#[test]
fn a_child_harms_another_where_nothing_holds_them_apart() {
    let scene = scene!();
    let Some(launch) = of_one_user(&scene, None) else { return };
    let siege = Siege::of(&scene, launch.daemon());
    let succeeded = attack(&siege);
    let failed: Vec<_> =
        ATTACKS.iter().map(|(attack, _)| *attack).filter(|it| !succeeded.contains(it)).collect();
    measured(&format!("without isolation {} succeed; fail: {failed:?}", succeeded.len()));
    // What a kernel's settings may forbid to all: `yama`, and kernels without `kcmp(2)`.
    let may_fail =
        ["ptrace", "process_vm_readv", "process_vm_writev", "/proc/PID/mem", "kcmp", "pidfd_getfd"];
    assert!(failed.iter().all(|it| may_fail.contains(it)), "{failed:?}");
    siege.assert_stops();
}

/// A11: with isolation, nothing of that succeeds, on a sibling or on the parent, and all that is the child's own works.
#[test]
fn a_child_does_nothing_to_another_that_is_held_apart() {
    let scene = scene!();
    let Some(launch) = of_one_user(&scene, Some(APART)) else { return };
    let started = launch.clone().args(["--daemonize"]).paths().finish();
    if started.end != End::Exited(0) {
        let reason = started.stderr.lines().find(|line| line.contains("not possible here"));
        let reason = reason.unwrap_or_else(|| panic!("{started:?}")).to_owned();
        return skip(Lack::Platform(&reason));
    }
    let siege = Siege::of(&scene, prefork_tests::Daemon::of_pid_file(&scene));
    assert_eq!(attack(&siege), BTreeSet::new());
    let (mut attacker, victim) = (siege.puppet(), siege.puppet());
    for (call, gave) in attacker.order(&format!("neighbour/{}", siege.daemon.pid())).iter() {
        // To read limits and to have a pidfd harms nobody; files in `/proc` of a parent of one's own user are not held off.
        let is_harmless = ["pidfd_open", "prlimit", "oom_score_adj"].contains(&call);
        assert!(gave.starts_with('E') || is_harmless, "{call} on the parent gave {gave}");
    }
    // Its group is its own, and what it has started too.
    let before = siege.daemon.living();
    let own = attacker.order("own");
    assert!(own.iter().all(|(_, gave)| gave == "0"), "{own:?}");
    assert_eq!(attacker.order("everybody").of("kill 0"), ["0"]);
    holds_for(Duration::from_millis(300), "the children that there were", || {
        siege.daemon.living() == before
    });
    // Its page is: no mapping reaches another's.
    let mappings = attacker.order("mappings");
    let beyond: Vec<_> = mappings
        .iter()
        .filter(|(call, gave)| call.starts_with("written beyond") && *gave != "0")
        .collect();
    assert!(beyond.is_empty(), "{beyond:?}");
    // Nobody but root sees in `/proc` whose processes they are, and the tests kill no others.
    if geteuid().is_root() {
        siege.assert_replaced(victim, "with isolation");
    }
    drop(attacker);
    siege.assert_stops();
}

/// A11: the guide names each attack that is tried, with what keeps it off, and no other.
#[test]
fn the_guide_lists_the_attacks_that_are_tried() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../prefork/docs/isolation.md");
    let guide = fs::read_to_string(guide).expect("read");
    let (_, table) = guide.split_once("| attack |").expect("a table of attacks");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let names = rows.flat_map(|row| {
        let first = row.split('|').nth(1).unwrap_or_default();
        first.split(',').map(|name| name.trim().trim_matches('`').to_owned()).collect::<Vec<_>>()
    });
    let listed: BTreeSet<String> = names.collect();
    // Tried by orders of their own.
    let own = ["kill(0)", "its page"].map(str::to_owned);
    let tried = ATTACKS.iter().map(|(attack, _)| (*attack).to_owned()).chain(own).collect();
    assert_eq!(listed, tried);
}

/// A11: a layer that must be possible and is not has the start fail, with the reason, and nothing is left.
#[test]
fn a_start_without_a_layer_that_is_required_fails() {
    let scene = scene!();
    let launch = fixture(&scene).args(["--same-user", "--isolate", "signals,require cpus=1023"]);
    let start = launch.args(["--daemonize"]).paths().finish();
    assert!(!start.end.is_success(), "{start:?}");
    let reason = "isolate: cpus is required, but not possible here: ";
    assert!(start.stderr.contains(reason), "{start:?}");
    scene.assert_nothing_is_left();
}

/// A11: what is on and what is not is in the first line of the log, and on the scoreboard.
#[test]
fn what_is_on_is_reported_once() {
    let scene = scene!();
    let layers = "no-new-privileges,open-files=128,cpus=1023";
    let launch = fixture(&scene).args(["--same-user", "--isolate", layers]).board();
    let daemon = launch.daemon();
    let expected = "isolation: no-new-privileges, open-files 128; not possible here: cpus (";
    assert_eq!(scene.logged(expected), 1, "{}", scene.read("error.log"));
    let check = || {
        scene
            .tool(env!("CARGO_BIN_EXE_prefork-command"))
            .args(["check"])
            .args([scene.path("scoreboard")])
    };
    let on_board = "isolation: no-new-privileges, open-files 128; not possible there: cpus (";
    wait_until(PATIENCE, "the scoreboard shows it", || check().finish().stdout.contains(on_board));
    let child = daemon.living().into_iter().find(|pid| *pid != daemon.pid()).expect("a child");
    let limits = fs::read_to_string(format!("/proc/{child}/limits")).expect("read");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("there");
    assert_eq!(files.split_whitespace().filter(|word| *word == "128").count(), 2, "{files}");
    daemon.stop_in_order();
}
