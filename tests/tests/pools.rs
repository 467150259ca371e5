//! Several pools in one daemon.

use std::{
    fs::{self, File},
    net::SocketAddr,
    time::Duration,
};

use prefork_tests::{
    Daemon, Launch, Load, PATIENCE, Process, Scene, children, find_process, get, holds_for, kill,
    require_root, scene, turns, wait_until,
};
use rustix::process::Signal;

/// The addresses of so many pools.
fn addresses(scene: &Scene, count: u16) -> Vec<SocketAddr> {
    let first = scene.address();
    (0..count).map(|number| SocketAddr::new(first.ip(), first.port() + number)).collect()
}

fn pools(scene: &Scene) -> Launch<'_> {
    scene.tool(env!("CARGO_BIN_EXE_pools"))
}

/// Adds a pool.
fn with<'a>(launch: Launch<'a>, name: &str, at: SocketAddr, sizes: [u32; 2]) -> Launch<'a> {
    let [prefork, max_children] = sizes;
    launch.args(["--pool", &format!("{name}={at}={prefork}={max_children}")])
}

/// The process of a pool, as the title says.
fn parent_of(daemon: &Daemon<'_>, pool: &str) -> Option<Process> {
    let title = format!("pools/{pool} [parent]");
    children(daemon.pid()).into_iter().find(|child| child.command_line().contains(&title))
}

#[track_caller]
fn wait_for_pool(daemon: &Daemon<'_>, pool: &str) -> u32 {
    let mut found = None;
    wait_until(PATIENCE, &format!("pool {pool} has a parent"), || {
        found = parent_of(daemon, pool).map(|process| process.pid);
        found.is_some()
    });
    found.expect("just found")
}

/// Who has answered: the pool and the child.
fn ask(address: SocketAddr, path: &str) -> (String, u32) {
    let body = get(address, path).expect("it is answered").body;
    let (pool, pid) = body.split_once(' ').expect("two words");
    (pool.to_owned(), pid.parse().expect("a pid"))
}

/// Each has its own sockets, children, and what it has loaded; one pid file, one stop.
#[test]
fn each_pool_serves_at_its_address_with_what_it_has_loaded() {
    let scene = scene!();
    let at = addresses(&scene, 2);
    let daemon = with(with(pools(&scene), "web", at[0], [2, 4]), "jobs", at[1], [1, 2]).daemon();
    let [web, jobs] = ["web", "jobs"].map(|pool| wait_for_pool(&daemon, pool));
    for (address, name, parent) in [(at[0], "web", web), (at[1], "jobs", jobs)] {
        let (pool, child) = ask(address, "/");
        assert_eq!(pool, name);
        assert_eq!(find_process(child).expect("it is there").parent, parent);
        let state = get(address, "/state").expect("answered").body;
        assert_eq!(state, format!("what {name} has loaded"));
    }
    // On a busy machine the first clients may have had one more started.
    assert!((2..=4).contains(&children(web).len()));
    assert!((1..=2).contains(&children(jobs).len()));
    daemon.stop_in_order();
    scene.wait_until_deserted(PATIENCE);
    assert!(!scene.path("pid").exists() && !scene.path("pid.web").exists());
}

/// A stop answers all that have connected, at every pool.
#[test]
fn a_stop_loses_no_request_of_any_pool() {
    for round in 0..5 {
        let scene = scene!();
        let at = addresses(&scene, 2);
        let launch = with(with(pools(&scene), "web", at[0], [2, 4]), "jobs", at[1], [2, 4]);
        let daemon = launch.daemon();
        let load: Vec<_> = at.iter().map(|at| Load::start(8, *at, "/sleep/2")).collect();
        wait_until(PATIENCE, "both serve", || load.iter().all(|load| load.answered() > 50 * round));
        daemon.stop_in_order();
        for load in load {
            let tally = load.stop();
            // Who comes after the stop is refused.
            let lost: Vec<_> = tally.failures.iter().filter(|it| !it.contains("refused")).collect();
            assert!(lost.is_empty(), "{lost:?}");
        }
    }
}

/// D: a pool without work has no process, its first client is served, and the arbiter does not wake meanwhile.
#[test]
fn a_pool_that_sleeps_is_woken_by_its_first_client() {
    let scene = scene!();
    let at = addresses(&scene, 3);
    let launch = with(with(pools(&scene), "a", at[0], [0, 4]), "b", at[1], [0, 4]);
    let daemon = with(launch, "c", at[2], [0, 4]).daemon();
    assert_eq!(children(daemon.pid()).len(), 0, "nobody is there");
    daemon.wait_for_rest();
    let before = turns(daemon.pid());
    holds_for(Duration::from_secs(2), "nobody wakes", || turns(daemon.pid()) == before);
    assert_eq!(ask(at[1], "/").0, "b");
    assert!(parent_of(&daemon, "a").is_none() && parent_of(&daemon, "c").is_none());
    wait_for_pool(&daemon, "b");
    daemon.stop_in_order();
}

/// Twenty clients at once wake it once, and all are served.
#[test]
fn many_first_clients_wake_a_pool_once() {
    let scene = scene!();
    let at = addresses(&scene, 1);
    let daemon = with(pools(&scene), "a", at[0], [0, 4]).daemon();
    let tally = Load::bounded(20, 1, at[0], "/sleep/5").finish();
    assert_eq!((tally.answered, tally.failures), (20, vec![]));
    assert_eq!(scene.logged("a client waits"), 1);
    daemon.stop_in_order();
}

/// It sleeps again, and nobody is lost who comes while it falls asleep, however often.
#[test]
fn a_pool_falls_asleep_and_loses_nobody_who_comes_meanwhile() {
    let scene = scene!();
    let at = addresses(&scene, 1);
    let launch = with(pools(&scene), "a", at[0], [0, 4]).args(["--sleep-after", "200"]);
    let daemon = launch.daemon();
    assert_eq!(ask(at[0], "/").0, "a");
    wait_until(PATIENCE, "it sleeps", || children(daemon.pid()).is_empty());
    // A little more and a little less than it takes to fall asleep.
    for ms in 190..230 {
        assert_eq!(ask(at[0], "/sleep/1").0, "a", "after {ms} ms");
        std::thread::sleep(Duration::from_millis(ms));
    }
    let before = scene.logged("sleeps until a connection comes");
    assert!(before > 5, "it has slept {before} times");
    // With a request in hand for longer than that it stays.
    assert_eq!(ask(at[0], "/sleep/700").0, "a");
    wait_until(PATIENCE, "it sleeps", || children(daemon.pid()).is_empty());
    daemon.stop_in_order();
}

/// A signal for all pools that comes while one of them starts waits until that has come up.
#[test]
fn a_reload_in_the_middle_of_a_start_ends_no_pool() {
    let scene = scene!();
    let at = addresses(&scene, 1)[0];
    let launch = with(pools(&scene), "a", at, [0, 2]).args(["--sleep-after", "50"]);
    let daemon = launch.daemon();
    for _ in 0..20 {
        wait_until(PATIENCE, "it sleeps", || children(daemon.pid()).is_empty());
        let client = std::thread::spawn(move || ask(at, "/").0);
        // It may have woken and be asleep again before this is seen.
        wait_until(PATIENCE, "it wakes", || {
            !children(daemon.pid()).is_empty() || client.is_finished()
        });
        daemon.signal(Signal::HUP);
        daemon.signal(Signal::USR1);
        assert_eq!(client.join().expect("it is answered"), "a");
    }
    assert_eq!(scene.logged("its parent was ended"), 0);
    daemon.stop_in_order();
}

/// The other pools do not notice.
#[test]
fn a_pool_whose_parent_is_killed_is_back_and_the_others_serve_on() {
    let scene = scene!();
    let at = addresses(&scene, 2);
    let daemon = with(with(pools(&scene), "web", at[0], [2, 4]), "jobs", at[1], [1, 2]).daemon();
    let load = Load::start(4, at[0], "/sleep/1");
    // Long enough that it is no early end.
    wait_until(PATIENCE, "both serve", || load.answered() > 100);
    let (_, old) = ask(at[1], "/");
    assert!(kill(wait_for_pool(&daemon, "jobs"), Signal::KILL));
    wait_until(PATIENCE, "its children have gone", || find_process(old).is_none());
    let (pool, new) = ask(at[1], "/");
    assert!(pool == "jobs" && new != old);
    let tally = load.stop();
    assert_eq!(tally.failures, [""; 0]);
    assert_eq!(scene.logged("pool jobs: its parent was ended by SIGKILL"), 1);
    daemon.stop_in_order();
}

/// A child can shut down the socket that the arbiter keeps, and have its parent have no time to mend it.
#[test]
fn a_socket_that_was_shut_down_is_mended_when_its_pool_has_ended() {
    let scene = scene!();
    let at = addresses(&scene, 1)[0];
    let daemon = with(pools(&scene), "web", at, [1, 2]).daemon();
    let old = wait_for_pool(&daemon, "web");
    assert!(kill(old, Signal::STOP));
    assert_eq!(ask(at, "/spoil").0, "web");
    get(at, "/").expect_err("nobody can come in");
    assert!(kill(old, Signal::KILL));
    wait_until(PATIENCE, "it serves again", || get(at, "/").is_ok());
    assert_eq!(scene.logged("it is as before again"), 1);
    // By the very socket that the arbiter keeps, and wakes the pool by when it sleeps.
    assert_eq!(scene.logged("of the service manager is not used"), 0);
    daemon.stop_in_order();
}

/// What is started is ended, whatever happens to the arbiter.
#[test]
fn all_pools_end_with_the_arbiter() {
    let scene = scene!();
    let at = addresses(&scene, 2);
    let launch = with(with(pools(&scene), "web", at[0], [2, 4]), "jobs", at[1], [1, 2]);
    let daemon = launch.args(["--role", "cron"]).path("--witness", "witness").daemon();
    daemon.signal(Signal::KILL);
    scene.wait_until_deserted(PATIENCE);
}

/// Nor does a parent outlive the arbiter that has become another user, which unties it (see `PR_SET_PDEATHSIG(2const)`).
#[test]
fn parents_of_another_user_end_with_the_arbiter() {
    if !require_root() {
        return;
    }
    let scene = scene!();
    let at = addresses(&scene, 1)[0];
    let launch = with(pools(&scene), "web", at, [2, 4]);
    let daemon = launch.args(["--user", "nobody", "--drop-parent"]).daemon();
    wait_for_pool(&daemon, "web");
    daemon.signal(Signal::KILL);
    scene.wait_until_deserted(PATIENCE);
}

/// A pool that does not come up ends the start, with its own words and its name.
#[test]
fn a_pool_that_does_not_come_up_is_named() {
    let scene = scene!();
    let at = addresses(&scene, 2);
    let launch = with(with(pools(&scene), "web", at[0], [2, 4]), "jobs", at[1], [1, 2]);
    let end = launch.args(["--failing", "jobs", "--daemonize"]).paths().finish();
    end.assert_refused("the pool jobs exited with status 1 before the daemon was ready");
    assert!(scene.logged("after_init failed: it is to fail") > 0);
    scene.wait_until_deserted(PATIENCE);
}

/// A reload of one pool replaces its children, and those of no other.
#[test]
fn one_pool_is_reloaded_without_the_others_and_all_by_the_daemon() {
    let scene = scene!();
    let at = addresses(&scene, 2);
    let daemon = with(with(pools(&scene), "web", at[0], [1, 1]), "jobs", at[1], [1, 1]).daemon();
    let [web, jobs] = ["web", "jobs"].map(|pool| wait_for_pool(&daemon, pool));
    let pids = |parent: u32| children(parent).into_iter().map(|it| it.pid).collect::<Vec<_>>();
    let before = [pids(web), pids(jobs)];
    assert!(kill(web, Signal::HUP));
    wait_until(PATIENCE, "web is replaced", || {
        scene.logged("pools/web[") > 0 && {
            let now = pids(web);
            now.len() == 1 && now != before[0]
        }
    });
    assert_eq!(pids(jobs), before[1]);
    daemon.signal(Signal::HUP);
    wait_until(PATIENCE, "jobs is replaced", || {
        let now = pids(jobs);
        now.len() == 1 && now != before[1]
    });
    daemon.stop_in_order();
}

/// All processes go over to new logs.
#[test]
fn logs_of_all_pools_are_opened_again() {
    let scene = scene!();
    let at = addresses(&scene, 1);
    let daemon = with(pools(&scene), "web", at[0], [1, 1]).daemon();
    wait_for_pool(&daemon, "web");
    fs::rename(scene.path("error.log"), scene.path("error.log.1")).expect("renamed");
    daemon.signal(Signal::USR1);
    wait_until(PATIENCE, "both write to the new one", || {
        scene.logged("pools[") > 0 && scene.logged("pools/web[") > 0
    });
    // Standard output too, which is the log in the background.
    let leads_to_the_old = |pid: u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("it is there").flatten();
        let targets = files.filter_map(|file| fs::read_link(file.path()).ok());
        targets.filter(|target| target.ends_with("error.log.1")).count()
    };
    let parents = [daemon.pid(), wait_for_pool(&daemon, "web")];
    wait_until(PATIENCE, "nobody has the old one", || {
        parents.into_iter().all(|parent| leads_to_the_old(parent) == 0)
    });
    daemon.stop_in_order();
    assert_eq!(scene.lines_with("error.log.1", "stopped").len(), 0);
}

/// H: a pool that takes nothing but what others hand to it sleeps until then, and nothing is lost at a stop, though those who take
/// it have more in hand than those who hand it on.
#[test]
fn what_is_handed_to_a_pool_wakes_it_and_a_stop_loses_nothing() {
    for _ in 0..3 {
        let scene = scene!();
        let at = addresses(&scene, 1)[0];
        let launch = with(pools(&scene), "web", at, [2, 4]).args(["--pool", "slow=handed=0=4"]);
        let daemon = launch.args(["--heavy", "slow"]).daemon();
        assert_eq!(children(daemon.pid()).len(), 1, "the other one sleeps");
        assert_eq!(ask(at, "/").0, "web");
        assert_eq!(ask(at, "/heavy").0, "slow");
        let load = Load::start(8, at, "/heavy/sleep/5");
        wait_until(PATIENCE, "it serves", || load.answered() > 100);
        daemon.stop_in_order();
        let tally = load.stop();
        let lost: Vec<_> = tally.failures.iter().filter(|it| !it.contains("refused")).collect();
        assert!(lost.is_empty(), "{lost:?}");
    }
}

/// How many children each of these pools has.
fn sizes(parents: [u32; 2]) -> [usize; 2] {
    parents.map(|parent| {
        let of_it = children(parent).into_iter();
        of_it.filter(|it| !it.is_zombie()).count()
    })
}

/// C: all children together are never more than the ceiling; what is idle in one pool goes to the other, and each keeps its
/// minimum and has its share under load.
#[test]
fn capacity_goes_where_clients_wait_and_never_above_the_ceiling() {
    let scene = scene!();
    let at = addresses(&scene, 2);
    let launch = with(with(pools(&scene), "a", at[0], [1, 20]), "b", at[1], [1, 20]);
    let daemon = launch.args(["--ceiling", "8"]).daemon();
    let parents = ["a", "b"].map(|pool| wait_for_pool(&daemon, pool));
    let look = |what: &str, is_so: &dyn Fn([usize; 2]) -> bool| {
        wait_until(PATIENCE, what, || {
            let [a, b] = sizes(parents);
            // What is read one after the other is of one moment if it stays so.
            let is_of_one_moment = sizes(parents) == [a, b];
            assert!(a + b <= 8 || !is_of_one_moment, "{a} and {b}");
            is_so([a, b])
        });
    };
    for _ in 0..3 {
        let first = Load::start(16, at[0], "/sleep/20");
        look("a has all but the other's minimum", &|[a, b]| a == 7 && b == 1);
        let second = Load::start(16, at[1], "/sleep/20");
        look("both have as much", &|[a, b]| a == 4 && b == 4);
        let tally = first.stop();
        assert_eq!(tally.failures, [""; 0]);
        look("b has what a does not need", &|[a, b]| a == 1 && b == 7);
        let tally = second.stop();
        assert_eq!(tally.failures, [""; 0]);
    }
    daemon.stop_in_order();
}

/// C: a pool that sleeps is started when there is room for it.
#[test]
fn a_pool_that_sleeps_has_room_made_for_it() {
    let scene = scene!();
    let at = addresses(&scene, 2);
    let launch = with(with(pools(&scene), "a", at[0], [1, 20]), "b", at[1], [0, 20]);
    let daemon = launch.args(["--ceiling", "4"]).daemon();
    let load = Load::start(16, at[0], "/sleep/20");
    let parent = wait_for_pool(&daemon, "a");
    wait_until(PATIENCE, "a has all", || children(parent).len() == 4);
    assert_eq!(ask(at[1], "/").0, "b");
    let tally = load.stop();
    assert_eq!(tally.failures, [""; 0]);
    daemon.stop_in_order();
}

/// What the witness of a role says, with the processes that had it in order; never two at once.
#[track_caller]
fn holders(scene: &Scene) -> Vec<u32> {
    let mut holders = Vec::new();
    for line in scene.read("witness").lines() {
        let (what, pid) = line.split_once(' ').expect("two words");
        let pid: u32 = pid.parse().expect("a pid");
        match what {
            "begins" => holders.push(pid),
            "ends" => assert_eq!(holders.last(), Some(&pid), "two at once"),
            other => panic!("{other}"),
        }
    }
    holders
}

/// Those of these processes that are there and can do something: one that ends has given its lock away already.
fn living(pids: Vec<u32>) -> Vec<u32> {
    /// `PF_EXITING` among the flags of a process (see `proc_pid_stat(5)`).
    const EXITING: u64 = 0x4;
    let is_living = |pid: &u32| {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
        let (_, rest) = stat.rsplit_once(") ").expect("as the kernel writes it");
        let flags: u64 = rest.split(' ').nth(6).and_then(|it| it.parse().ok()).expect("flags");
        flags & EXITING == 0
    };
    pids.into_iter().filter(is_living).collect()
}

fn with_role(scene: &Scene) -> Launch<'_> {
    pools(scene).args(["--role", "cron"]).path("--witness", "witness")
}

/// R: exactly one process, through reloads, and kills of it and of its parent.
#[test]
fn a_role_is_of_one_process_at_a_time() {
    let scene = scene!();
    let daemon = with_role(&scene).daemon();
    for round in 0..12 {
        let parent = wait_for_pool(&daemon, "cron");
        let old = holders(&scene).last().copied().expect("somebody has it");
        match round % 3 {
            0 => assert!(kill(parent, Signal::HUP)),
            1 => assert!(kill(old, Signal::KILL)),
            _ => assert!(kill(parent, Signal::KILL)),
        }
        wait_until(PATIENCE, "another one has it", || {
            let living = living(holders(&scene));
            assert!(living.len() <= 1, "{living:?} at once");
            living.first().is_some_and(|pid| *pid != old)
        });
    }
    daemon.stop_in_order();
}

/// R: nor where another daemon, or what a killed one has left, still has it.
#[test]
fn a_role_that_another_process_has_is_waited_for() {
    let scene = scene!();
    let lock = File::create(scene.path("pid.cron.lock")).expect("made");
    lock.lock().expect("nobody else has it");
    let running = with_role(&scene).paths().start();
    scene.wait_for_line("another process has this role");
    assert_eq!(holders(&scene), [0; 0]);
    drop(lock);
    let daemon = running.ready();
    wait_until(PATIENCE, "it has begun", || holders(&scene).len() == 1);
    daemon.stop_in_order();
}

/// R: a daemon that is killed at any moment, and started again at once.
#[test]
fn daemons_that_follow_each_other_never_have_a_role_twice() {
    let scene = scene!();
    for round in 0..10 {
        let daemon = with_role(&scene).daemon();
        wait_until(PATIENCE, "it has begun", || holders(&scene).len() == round + 1);
        daemon.signal(Signal::KILL);
        assert!(living(holders(&scene)).len() <= 1);
        wait_until(PATIENCE, "the arbiter has gone", || living(vec![daemon.pid()]).is_empty());
    }
    scene.wait_until_deserted(PATIENCE);
}
