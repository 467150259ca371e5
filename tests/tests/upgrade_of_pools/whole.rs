//! The whole daemon, by `SIGUSR2` to its arbiter.

use std::{net::TcpStream, os::unix::fs::MetadataExt, time::Duration};

use prefork_tests::{children, find_process, holds_for};

use super::*;

/// Returns the parents of all pools that are awake, in the order of their names.
fn parents(scene: &Scene) -> Vec<(&'static str, u32)> {
    let names = ["asleep", "extra", "heavy", "jobs", "scheduler", "web"];
    names.into_iter().filter_map(|name| Some((name, pool(scene, name)?))).collect()
}

/// Returns the pids of children of a pool's parent.
fn children_of(parent: u32) -> Vec<u32> {
    let mut pids: Vec<_> = children(parent).into_iter().map(|child| child.pid).collect();
    pids.sort_unstable();
    pids
}

#[track_caller]
fn assert_runs(pid: u32, program: &Program<'_>) {
    let running = fs::metadata(format!("/proc/{pid}/exe")).expect("it runs");
    assert_eq!(running.ino(), program.inode(), "process {pid} runs another program");
}

/// Upgrades to a program with these arguments, and waits until all pools that were awake are done.
#[track_caller]
fn upgrade(scene: &Scene, daemon: &Daemon<'_>, program: &Program<'_>, arguments: &str) {
    let done = scene.logged("upgraded; pools that run the new program now: ");
    program.install(arguments);
    daemon.signal(Signal::USR2);
    wait_for_lines(scene, "upgraded; pools that run the new program now: ", done + 1);
}

/// A daemon becomes the new program with all pools, under load, and no process but the children is another one.
#[test]
fn all_pools_become_the_new_program_and_no_request_is_lost() {
    let scene = scene!();
    let program = program(&scene);
    let daemon = daemon(&program, &[]);
    let [web, jobs, asleep] = addresses(&scene);
    let before = parents(&scene);
    assert_eq!(before.len(), 3, "{before:?}");
    let loads = [Load::start(4, web, "/"), Load::start(2, jobs, "/sleep/20")];
    for version in 2..6 {
        upgrade(&scene, &daemon, &program, &format!("--version {version}"));
        for address in [web, jobs] {
            wait_for_version(address, version);
        }
        assert_eq!(parents(&scene), before);
        for pid in before.iter().map(|(_, pid)| *pid).chain([daemon.pid()]) {
            assert_runs(pid, &program);
        }
        assert_eq!(scene.read("pid"), format!("{}\n", daemon.pid()));
    }
    loads.into_iter().for_each(assert_none_lost);
    let done = scene.lines_with("error.log", "that go on with the old one: 0");
    assert_eq!(done.len(), 4, "{done:?}");
    // One that sleeps was left alone, and is woken as the new program.
    assert_eq!(version(asleep), "5");
    assert_eq!(scene.lines_with("error.log", "error:"), [""; 0]);
    wait_until(PATIENCE, "the role runs the new program", || {
        scene.read("witness").lines().last().is_some_and(|line| line.ends_with("version 5"))
    });
    assert_one_at_a_time(&scene);
    assert_those_who_wait_are_served(&scene, &daemon, 5);
}

/// What one pool hands to another comes there before and after, and to one of the new program that was asleep all the time.
#[test]
fn what_is_handed_from_pool_to_pool_comes_there_after_an_upgrade() {
    let scene = scene!();
    let program = program(&scene);
    let daemon = daemon(&program, &[]);
    let [web, ..] = addresses(&scene);
    let heavy = || get(web, "/heavy").expect("it answers").body;
    upgrade(&scene, &daemon, &program, "--version 2");
    wait_for_version(web, 2);
    assert_eq!(heavy(), "heavy 2");
    let load = Load::start(2, web, "/heavy");
    upgrade(&scene, &daemon, &program, "--version 3");
    wait_until(PATIENCE, "the pool that was awake is the new program too", || heavy() == "heavy 3");
    // The way back leaves the ways open too.
    sabotage(&scene, "successor arbiter exit\n");
    program.install("--version 4");
    daemon.signal(Signal::USR2);
    scene.wait_for_line("has failed to take over");
    assert_eq!(heavy(), "heavy 3");
    assert_none_lost(load);
    // One that hands nothing on any more is another pool: its parent cannot let go of the way, nor be given one.
    sabotage(&scene, "");
    upgrade(&scene, &daemon, &program, "--version 5 --no-heavy");
    wait_for_version(web, 5);
    scene.wait_for_line("pool heavy: has stopped");
    upgrade(&scene, &daemon, &program, "--version 6");
    wait_for_version(web, 6);
    assert_eq!(heavy(), "heavy 6");
    daemon.stop_in_order();
}

/// A ceiling holds for all pools together, also those that an earlier program has started under another one or none.
#[test]
fn another_ceiling_holds_after_an_upgrade() {
    let scene = scene!();
    let program = program(&scene);
    let daemon = daemon(&program, &[]);
    let [web, jobs, asleep] = addresses(&scene);
    let all = || {
        let of = |(_, parent): (&str, u32)| {
            children(parent).into_iter().filter(|child| !child.is_zombie()).count()
        };
        parents(&scene).into_iter().map(of).sum::<usize>()
    };
    let loads = [web, jobs, asleep].map(|address| Load::start(4, address, "/sleep/20"));
    wait_until(PATIENCE, "all have as many as they may", || all() == 7);
    for (version, ceiling) in [(2, 5), (3, 6)] {
        upgrade(&scene, &daemon, &program, &format!("--version {version} --ceiling {ceiling}"));
        for address in [web, jobs, asleep] {
            wait_for_version(address, version);
        }
        wait_until(PATIENCE, "there are as many as it says", || all() == ceiling);
        holds_for(Duration::from_secs(1), "no more than the ceiling", || all() <= ceiling);
    }
    upgrade(&scene, &daemon, &program, "--version 4");
    wait_until(PATIENCE, "there is none any more", || all() == 7);
    loads.into_iter().for_each(assert_none_lost);
    daemon.stop_in_order();
}

/// Nothing is left behind by an upgrade in the arbiter: no descriptor, no process, no variable.
#[test]
fn an_arbiter_is_after_many_upgrades_as_it_was() {
    let scene = scene!();
    let program = program(&scene);
    let daemon = daemon(&program, &[]);
    let look = || {
        let fds = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("it lives").count();
        let block = fs::read_to_string(format!("/proc/{}/environ", daemon.pid()));
        let names = block.expect("it lives").split('\0').count();
        (fds, names, children(daemon.pid()).len())
    };
    upgrade(&scene, &daemon, &program, "--version 2");
    // What it has written is closed soon after it can be read.
    let is_done = || scene.read("pid.pools").contains("=upgrade\tdone");
    wait_until(PATIENCE, "it has written what became of it", is_done);
    let mut first = look();
    let mut seen = 0;
    wait_until(PATIENCE, "nothing changes any more", || {
        let before = std::mem::replace(&mut first, look());
        seen = if first == before { seen + 1 } else { 0 };
        seen > 10
    });
    for version in 3..8 {
        upgrade(&scene, &daemon, &program, &format!("--version {version}"));
    }
    wait_until(PATIENCE, "all is as it was", || look() == first);
    daemon.stop_in_order();
}

/// Whatever is wrong with a program is found by its probe: nothing changes, and one line says why.
#[test]
fn a_program_that_is_no_good_changes_nothing() {
    let scene = scene!();
    let program = program(&scene);
    let daemon = daemon(&program, &["--start-timeout", "1500"]);
    let [web, jobs, _] = addresses(&scene);
    let before = parents(&scene);
    // The size of the others follows their load.
    let families = || ["web", "scheduler"].map(|name| pool(&scene, name).map(children_of));
    let children_before = families();
    let loads = [Load::start(2, web, "/"), Load::start(1, jobs, "/")];
    let cases = [
        ("probe arbiter exit", "--version 2", "the new program exited with status 3"),
        ("probe arbiter abort", "--version 2", "the new program was ended by SIGABRT"),
        ("probe arbiter hang", "--version 2", "the new program was not ready in 1.5 s"),
        ("", "--jobs-prefork 9", "jobs.prefork: 9 is greater than max_children (2)"),
        (
            "",
            "--alone",
            "this program is a daemon of one pool, and what runs is a daemon of several pools",
        ),
        ("", "--bogus", "the new program exited with status 2"),
        ("", "--extra 192.0.2.1:1", "192.0.2.1:1"),
    ];
    for (number, (lines, arguments, reason)) in cases.into_iter().enumerate() {
        sabotage(&scene, &format!("{lines}\n"));
        program.install(arguments);
        daemon.signal(Signal::USR2);
        wait_for_lines(&scene, "upgrade refused: ", number + 1);
        let said = scene.lines_with("error.log", "upgrade refused: ");
        assert_eq!(said.len(), number + 1, "{said:?}");
        assert!(said[number].contains(reason), "{reason:?} should be in {:?}", said[number]);
        assert!(said[number].ends_with("; the running program goes on"), "{:?}", said[number]);
        wait_until(PATIENCE, "no probe is left", || children(daemon.pid()).len() == before.len());
    }
    assert_eq!(parents(&scene), before);
    assert_eq!(families(), children_before, "the children are left alone");
    loads.into_iter().for_each(assert_none_lost);
    sabotage(&scene, "");
    upgrade(&scene, &daemon, &program, "--version 2");
    wait_for_version(web, 2);
    daemon.stop_in_order();
}

/// A program that fails when it has been executed in the arbiter's process is left for the old one, with all pools.
#[test]
fn a_program_that_fails_while_it_takes_over_is_left_for_the_old_one() {
    let scene = scene!();
    let program = program(&scene);
    let daemon = daemon(&program, &["--start-timeout", "1500"]);
    let [web, jobs, asleep] = addresses(&scene);
    let before = parents(&scene);
    let loads = [Load::start(2, web, "/"), Load::start(1, jobs, "/")];
    let cases = [
        ("exit", "it exited"),
        ("fail", "it exited"),
        ("panic", "it exited"),
        ("abort", "it was ended by SIGABRT"),
        ("hang", "it was not ready in time"),
    ];
    for (round, (deed, reason)) in (1..).zip(cases) {
        sabotage(&scene, &format!("successor arbiter {deed}\n"));
        program.install("--version 2");
        daemon.signal(Signal::USR2);
        wait_for_lines(&scene, "has failed to take over", round);
        let said = scene.lines_with("error.log", "has failed to take over");
        assert!(said[round - 1].contains(reason), "{reason:?} should be in {said:?}");
        wait_for_lines(
            &scene,
            "this program goes on with the pools web, jobs, asleep, heavy, scheduler",
            round,
        );
        wait_until(PATIENCE, "no probe is left", || children(daemon.pid()).len() == before.len());
        assert_eq!(parents(&scene), before);
    }
    loads.into_iter().for_each(assert_none_lost);
    // It still is the one that starts what is missing, and what sleeps.
    let parent = pool(&scene, "jobs").expect("it has one");
    assert!(kill(parent, Signal::KILL));
    wait_until(PATIENCE, "another one is there", || {
        pool(&scene, "jobs").is_some_and(|pid| pid != parent)
    });
    wait_for_version(jobs, 1);
    assert_eq!(version(asleep), "1");
    sabotage(&scene, "");
    upgrade(&scene, &daemon, &program, "--version 3");
    wait_for_version(web, 3);
    assert_one_at_a_time(&scene);
    daemon.stop_in_order();
}

/// A pool that refuses the new program goes on with the old one, and keeps no other pool from it.
#[test]
fn a_pool_that_refuses_goes_on_and_the_others_follow() {
    let scene = scene!();
    let program = program(&scene);
    let daemon = daemon(&program, &[]);
    let [web, jobs, _] = addresses(&scene);
    let loads = [Load::start(2, web, "/"), Load::start(1, jobs, "/")];
    let cases = ["probe web exit", "successor web exit"];
    for (version, lines) in (2..).zip(cases) {
        sabotage(&scene, &format!("{lines}\n"));
        upgrade(&scene, &daemon, &program, &format!("--version {version}"));
        wait_for_version(jobs, version);
        assert_eq!(super::version(web), "1");
    }
    let refused = "pool web: has refused the new program, and goes on with the old one";
    assert_eq!(scene.logged(refused), 2);
    assert_eq!(
        scene.logged("pools that run the new program now: 2, pools that go on with the old one: 1"),
        2
    );
    sabotage(&scene, "");
    upgrade(&scene, &daemon, &program, "--version 5");
    for address in [web, jobs] {
        wait_for_version(address, 5);
    }
    loads.into_iter().for_each(assert_none_lost);
    daemon.stop_in_order();
}

/// A pool that is new is started, and one that is gone serves who waits there and ends.
#[test]
fn pools_come_and_go_with_the_program() {
    let scene = scene!();
    let program = program(&scene);
    let daemon = daemon(&program, &[]);
    let [web, jobs, _] = addresses(&scene);
    let extra = SocketAddr::new(web.ip(), web.port() + 3);
    let load = Load::start(4, web, "/");
    upgrade(&scene, &daemon, &program, &format!("--version 2 --extra {extra}"));
    wait_for_version(extra, 2);
    let listed = scene.read("pid.pools");
    assert!(listed.contains("extra"), "the command finds it: {listed}");
    // Two wait for the one child that there is, and one more may be started.
    let clients: Vec<_> = (0..4).map(|_| Sent::to(jobs, "/sleep/300")).collect();
    let parent = pool(&scene, "jobs").expect("it has one");
    upgrade(&scene, &daemon, &program, &format!("--version 3 --extra {extra} --without jobs"));
    for client in clients {
        let reply = client.and_then(Sent::answer).expect("it is answered");
        assert_eq!(reply.body, "2");
    }
    scene.wait_for_line("pool jobs: the daemon does not have it any more; stopping it");
    scene.wait_for_line("pool jobs: has stopped");
    assert_eq!((pool(&scene, "jobs"), find_process(parent).map(|it| it.pid)), (None, None));
    wait_until(PATIENCE, "nobody listens there", || TcpStream::connect(jobs).is_err());
    wait_for_version(extra, 3);
    // And back, with the address of the one at the other.
    let swapped = format!("--version 4 --jobs {extra}");
    upgrade(&scene, &daemon, &program, &swapped);
    scene.wait_for_line("pool extra: has stopped");
    wait_for_version(extra, 4);
    wait_for_version(web, 4);
    assert_none_lost(load);
    daemon.stop_in_order();
}

/// A pool that listens elsewhere ends and is started again; clients wait meanwhile at what has stayed.
#[test]
fn a_pool_that_listens_elsewhere_is_started_again() {
    let scene = scene!();
    let program = program(&scene);
    let daemon = daemon(&program, &[]);
    let [web, jobs, _] = addresses(&scene);
    let load = Load::start(4, web, "/");
    let before = pool(&scene, "jobs").expect("it has a parent");
    let other = SocketAddr::new(web.ip(), web.port() + 3);
    upgrade(&scene, &daemon, &program, &format!("--version 2 --jobs {other}"));
    wait_for_version(other, 2);
    assert_ne!(pool(&scene, "jobs"), Some(before));
    wait_until(PATIENCE, "nobody listens there", || TcpStream::connect(jobs).is_err());
    assert_none_lost(load);
    daemon.stop_in_order();
}

/// However the arbiter ends, all pools end with it, also those that an earlier program has started.
#[test]
fn an_upgraded_arbiter_that_is_killed_takes_all_pools_with_it() {
    let scene = scene!();
    let program = program(&scene);
    let daemon = daemon(&program, &[]);
    upgrade(&scene, &daemon, &program, "--version 2");
    daemon.signal(Signal::KILL);
    scene.wait_until_deserted(PATIENCE);
}

/// A stop in the middle of it all ends everything in order.
#[test]
fn a_stop_ends_an_upgrade_wherever_that_is() {
    for deed in ["probe arbiter hang", "probe web hang", "successor web hang", ""] {
        let scene = scene!();
        let program = program(&scene);
        let daemon = daemon(&program, &["--start-timeout", "3000"]);
        sabotage(&scene, &format!("{deed}\n"));
        program.install("--version 2");
        daemon.signal(Signal::USR2);
        wait_for_lines(&scene, "trying the program", if deed.contains("arbiter") { 1 } else { 2 });
        daemon.stop_in_order();
    }
}

/// Pools are asked one after the other: while one makes up its mind, the next is left alone.
#[test]
fn pools_follow_one_after_the_other() {
    let scene = scene!();
    let program = program(&scene);
    let daemon = daemon(&program, &["--start-timeout", "1500"]);
    let [web, jobs, _] = addresses(&scene);
    sabotage(&scene, "probe web hang\n");
    program.install("--version 2");
    daemon.signal(Signal::USR2);
    // The arbiter's, and that of the first pool.
    wait_for_lines(&scene, "trying the program", 2);
    holds_for(Duration::from_millis(300), "the next is not asked", || {
        scene.logged("trying the program") == 2
    });
    wait_for_version(jobs, 2);
    assert_eq!(version(web), "1");
    wait_for_lines(&scene, "pools that go on with the old one: 1", 1);
    daemon.stop_in_order();
}
