//! A daemon of several pools: the arbiter; a pool that hands connections to another one, which takes them; and a role.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use prefork_tests::{Daemon, Launch, PATIENCE, Scene, get, scene, wait_until};
use rustix::process::Signal;

use crate::{
    Daemonlike, Mode, Owner, find,
    table::{Kind, SEVERAL_POOLS},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_pools");

fn launch(scene: &Scene) -> Launch<'_> {
    // Whoever has the role writes there as another user.
    for file in ["witness", "witness.alone"] {
        fs::write(scene.path(file), "").expect("written");
        fs::set_permissions(scene.path(file), Permissions::from_mode(0o666)).expect("set");
    }
    let web = format!("web={}=2=4", scene.address());
    let launch = scene.tool(PROGRAM).args(["--pool", &web, "--heavy", "slow"]);
    let launch = launch.args(["--pool", "slow=handed=1=2", "--role", "cron"]);
    launch.path("--witness", "witness")
}

/// Looks at all kinds of processes that it has, and stops it.
#[track_caller]
fn assert_all(owner: Owner, daemon: &Daemon<'_>, scene: &Scene, modes: &[Mode]) {
    let pid = daemon.pid();
    for path in ["/", "/heavy"] {
        get(scene.address(), path).expect("it serves");
    }
    let mut of = Daemonlike::of(SEVERAL_POOLS, (owner, Path::new(PROGRAM)), scene, pid, modes);
    of.compare(Kind::Arbiter, pid);
    for (pool, parent_kind, child_kind) in [
        ("web", Kind::PoolParent, Kind::PoolChild),
        ("slow", Kind::TakingParent, Kind::TakingChild),
        ("cron", Kind::RoleParent, Kind::RoleChild),
    ] {
        let parent = find(pid, &format!("pools/{pool} [parent]"));
        of.compare(parent_kind, parent);
        of.compare(child_kind, find(parent, "[child]"));
    }
    of.assert_as_listed();
    daemon.stop_in_order();
}

#[test]
fn a_daemon_of_several_pools_in_the_background_holds_what_is_listed() {
    let (scene, owner) = (scene!(), Owner::of_this_test());
    let daemon = owner.apply(launch(&scene)).daemon();
    assert_all(owner, &daemon, &scene, &[Mode::Background]);
}

#[test]
fn a_daemon_of_several_pools_in_the_foreground_holds_what_is_listed() {
    let (scene, owner) = (scene!(), Owner::of_this_test());
    let daemon = owner.apply(launch(&scene)).foreground();
    assert_all(owner, &daemon, &scene, &[Mode::Foreground]);
}

/// As after a start: nothing is left of the old program, nor of what was handed over.
#[test]
fn a_daemon_of_several_pools_that_has_become_another_program_holds_what_is_listed() {
    let (scene, owner) = (scene!(), Owner::of_this_test());
    let daemon = owner.apply(launch(&scene)).daemon();
    daemon.signal(Signal::USR2);
    wait_until(PATIENCE, "all pools are the new program", || {
        scene.logged("upgraded; pools that run the new program now: 3") == 1
            && ["web", "slow", "cron"].iter().all(|pool| {
                let of_it = scene.lines_with("error.log", &format!("pools/{pool}["));
                of_it.iter().any(|line| line.contains("all children are of generation"))
            })
    });
    assert_all(owner, &daemon, &scene, &[Mode::Background, Mode::Upgraded]);
}
