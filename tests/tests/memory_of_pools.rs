//! Several pools that share memory: what their children take counts, as it is declared and as it is found.

use std::{net::SocketAddr, time::Duration};

use prefork_tests::{
    Daemon, End, Launch, Load, PATIENCE, Scene, children, holds_for, scene, status_of, wait_until,
};
use rustix::process::Signal;

/// What all children together may take, and what one takes as it is declared, in MiB.
const CEILING: u64 = 240;
const CHILD: u64 = 24;

/// Two pools, `a` and `b`, of 1 to 20 children each, and where they listen.
fn pools(scene: &Scene) -> (Launch<'_>, [SocketAddr; 2]) {
    let first = scene.address();
    let at = [first, SocketAddr::new(first.ip(), first.port() + 1)];
    let mut launch = scene.tool(env!("CARGO_BIN_EXE_pools"));
    for (name, at) in ["a", "b"].iter().zip(at) {
        launch = launch.args(["--pool", &format!("{name}={at}=1=20")]);
    }
    let [ceiling, child] = [CEILING, CHILD].map(|mib| mib.to_string());
    (launch.args(["--memory-ceiling", &*ceiling, "--child-memory", &*child]), at)
}

/// The children of a pool that are there.
fn members(daemon: &Daemon<'_>, pool: &str) -> Vec<u32> {
    let title = format!("pools/{pool} [parent]");
    let parents = children(daemon.pid());
    let parent = parents.iter().find(|child| child.command_line().contains(&title));
    let members = parent.map(|parent| children(parent.pid)).unwrap_or_default();
    members.iter().filter(|child| !child.is_zombie()).map(|child| child.pid).collect()
}

fn sizes(daemon: &Daemon<'_>) -> [usize; 2] {
    ["a", "b"].map(|pool| members(daemon, pool).len())
}

/// How many MiB all children have that are no file's.
fn taken(daemon: &Daemon<'_>) -> u64 {
    let kib = |pid: u32| status_of(pid, "RssAnon")?.split(' ').next()?.parse::<u64>().ok();
    let all = ["a", "b"].map(|pool| members(daemon, pool)).concat();
    all.into_iter().filter_map(kib).sum::<u64>() >> 10
}

/// All children together take no more than there is while each takes what is declared; one pool's children that take more are
/// fewer, and the other pool keeps its share.
#[test]
fn pools_have_as_many_children_as_there_is_memory_for_what_they_take() {
    let scene = scene!();
    let (launch, at) = pools(&scene);
    let daemon = launch.daemon();
    let become_sizes = |what: &str, expected: [usize; 2]| {
        wait_until(PATIENCE, what, || sizes(&daemon) == expected);
    };
    let small = Load::start(16, at[0], "/take/12/20");
    become_sizes("a has all but the other's minimum, 24 MiB for each", [9, 1]);
    holds_for(Duration::from_secs(1), "no more than there is", || {
        sizes(&daemon) == [9, 1] && taken(&daemon) <= CEILING
    });
    assert_eq!(small.stop().failures, [""; 0]);
    // For so long that nearly all have it whenever they are looked at, on a busy machine too.
    let large = Load::start(16, at[0], "/take/42/500");
    become_sizes("a has four children of 50 MiB each, and b its minimum", [4, 1]);
    let other = Load::start(16, at[1], "/take/12/20");
    become_sizes("each has half: two of 50 MiB, and five of 24", [2, 5]);
    holds_for(Duration::from_secs(2), "it stays so", || {
        sizes(&daemon) == [2, 5] && taken(&daemon) <= CEILING
    });
    assert_eq!([large.stop().failures, other.stop().failures], [[""; 0]; 2]);
    daemon.stop_in_order();
}

/// What a new program goes on with keeps to what there is, and what children take counts there too.
#[test]
fn an_upgrade_goes_on_with_what_children_take() {
    let scene = scene!();
    let (launch, at) = pools(&scene);
    let daemon = launch.daemon();
    let load = Load::start(16, at[0], "/take/12/20");
    wait_until(PATIENCE, "a has all but the other's minimum", || sizes(&daemon) == [9, 1]);
    let before = members(&daemon, "a");
    daemon.signal(Signal::USR2);
    wait_until(PATIENCE, "all are others", || {
        let now = members(&daemon, "a");
        now.len() == 9 && now.iter().all(|pid| !before.contains(pid))
    });
    assert_eq!(load.stop().failures, [""; 0]);
    let load = Load::start(16, at[0], "/take/42/500");
    wait_until(PATIENCE, "a has four larger children", || sizes(&daemon) == [4, 1]);
    assert_eq!(load.stop().failures, [""; 0]);
    daemon.stop_in_order();
}

/// What cannot be kept is refused before anything starts.
#[test]
fn a_memory_ceiling_below_the_minimums_is_refused() {
    let scene = scene!();
    let (launch, _) = pools(&scene);
    let refused = launch.args(["--pool", "c=127.0.0.1:0=9=20"]).paths().finish();
    assert_eq!(refused.end, End::Exited(78), "{refused:?}");
    let text = "memory_ceiling: the memory ceiling (240M) is less than the minimums of all pools take together (264M)";
    assert!(refused.stderr.contains(text), "{}", refused.stderr);
}
