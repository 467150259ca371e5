//! Reloads of the whole that read the settings again: by the way of an upgrade, with the program that runs.

use prefork_tests::children;

use super::*;

/// The parents of all pools that are awake, with their children.
fn families(scene: &Scene) -> Vec<(u32, Vec<u32>)> {
    let parents = ["web", "jobs", "scheduler"].map(|name| pool(scene, name).expect("it has one"));
    let of = |parent| {
        let mut pids: Vec<_> = children(parent).into_iter().map(|child| child.pid).collect();
        pids.sort_unstable();
        (parent, pids)
    };
    parents.map(of).to_vec()
}

/// What has become of the last reload, as the list of pools says.
fn outcome(scene: &Scene) -> String {
    let list = scene.read("pid.pools");
    list.lines().find(|line| line.starts_with("=reload")).unwrap_or_default().to_owned()
}

/// The very program that runs reads its settings, whatever was installed meanwhile, and all pools of which nothing was said follow.
#[test]
fn a_reload_keeps_the_program_that_runs() {
    let scene = scene!();
    let program = program(&scene);
    let daemon = daemon(&program, &["--settings"]);
    let [web, jobs, asleep] = addresses(&scene);
    let before = families(&scene);
    program.install("--version 2");
    let load = Load::start(2, web, "/");
    for round in 1..=3 {
        daemon.signal(Signal::HUP);
        wait_for_lines(
            &scene,
            "reloaded; pools that have replaced their children: 3, that were started: 0, that have not followed: 0",
            round,
        );
    }
    assert_eq!(
        (version(web), version(jobs), version(asleep)),
        ("1".into(), "1".into(), "1".into())
    );
    let after = families(&scene);
    for ((parent, old), (same, new)) in before.iter().zip(&after) {
        assert_eq!(parent, same);
        assert!(new.iter().all(|child| !old.contains(child)), "{old:?} {new:?}");
    }
    assert!(outcome(&scene).starts_with("=reload\tdone\t"), "{}", outcome(&scene));
    assert_one_at_a_time(&scene);
    assert_none_lost(load);
    // An upgrade still finds the file that was installed.
    daemon.signal(Signal::USR2);
    wait_for_version(web, 2);
    daemon.stop_in_order();
}

/// Whatever is wrong with the program by then, the daemon goes on with all pools as they are.
#[test]
fn a_reload_that_fails_changes_nothing() {
    let scene = scene!();
    let program = program(&scene);
    let daemon = daemon(&program, &["--settings", "--start-timeout", "1500"]);
    let [web, ..] = addresses(&scene);
    let before = families(&scene);
    let load = Load::start(1, web, "/");
    let cases = [
        (
            "probe arbiter exit",
            "reload refused: the program that was to read the settings exited with status 3",
            "refused",
        ),
        ("probe arbiter hang", "reload refused: the settings were not read in 1.5 s", "refused"),
        ("successor arbiter exit", "has failed to take over: it exited", "failed"),
        ("successor arbiter abort", "has failed to take over: it was ended by SIGABRT", "failed"),
        ("successor arbiter hang", "has failed to take over: it was not ready in time", "failed"),
    ];
    for (lines, said, word) in cases {
        sabotage(&scene, &format!("{lines}\n"));
        daemon.signal(Signal::HUP);
        scene.wait_for_line(said);
        wait_until(PATIENCE, "its outcome is published", || {
            outcome(&scene).starts_with(&format!("=reload\t{word}\t"))
        });
        assert_eq!(families(&scene), before, "{lines}");
    }
    assert_none_lost(load);
    sabotage(&scene, "");
    daemon.signal(Signal::HUP);
    scene.wait_for_line("reloaded; pools that have replaced their children: 3, ");
    daemon.stop_in_order();
}

/// A stop in the middle of it ends everything in order.
#[test]
fn a_stop_ends_a_reload_wherever_that_is() {
    for deed in ["probe arbiter hang", "successor arbiter hang", ""] {
        let scene = scene!();
        let program = program(&scene);
        let daemon = daemon(&program, &["--settings", "--start-timeout", "3000"]);
        sabotage(&scene, &format!("{deed}\n"));
        daemon.signal(Signal::HUP);
        scene.wait_for_line("reading the settings again");
        daemon.stop_in_order();
    }
}
