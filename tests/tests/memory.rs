//! Memory that runs short: what one child takes costs one request, and large idle children go before anybody is ended.

use std::time::Duration;

use prefork_tests::{
    ControlGroup, Controller, Daemon, InHand, Load, PATIENCE, Scene, holds_for, scene, wait_until,
};
use rustix::process::Signal;

const CHILDREN: usize = 10;

/// So much memory may there be for these children.
const ROOM: u64 = 160 << 20;

/// A pool of which each child has worked.
fn pool<'a>(scene: &'a Scene, args: &[&str], prelude: &str) -> Daemon<'a> {
    let count = CHILDREN.to_string();
    let launch = scene.probe().board().args(["--prefork", &count, "--max-children", &count]);
    let daemon = launch.args(args).after_shell(prelude).daemon();
    let all: Vec<_> = (0..CHILDREN).map(|_| InHand::at(scene.address(), "/hold")).collect();
    for request in all {
        let _ = request.release();
    }
    daemon
}

/// Others are answered from now on, too.
fn wait_for_answers(load: &Load) {
    let before = load.answered();
    wait_until(PATIENCE, "requests are answered", || load.answered() >= before + 25);
}

/// One request eats everything while others are answered: it alone is lost, with its child, and the parent says which.
fn assert_it_costs_one_request(scene: &Scene, daemon: &Daemon<'_>) {
    let before = daemon.living();
    let load = Load::start(4, scene.address(), "/sleep/5");
    for round in 1..=3 {
        wait_for_answers(&load);
        let request = InHand::at(scene.address(), "/devour");
        let victim = request.worker().pid;
        request.answer().expect_err("nobody can answer it");
        let text = format!("child {victim} (slot ");
        wait_until(PATIENCE, "a line names it", || {
            scene
                .lines_with("error.log", &text)
                .iter()
                .any(|line| line.contains("; killed, before"))
        });
        daemon.wait_for_children(PATIENCE, CHILDREN, &[victim]);
        assert_eq!(scene.logged("; killed, before"), round, "{}", scene.read("error.log"));
    }
    wait_for_answers(&load);
    let tally = load.stop();
    assert_eq!(tally.failures, [""; 0], "of {} answered", tally.answered);
    let line = scene.lines_with("error.log", "; killed, before").remove(0);
    // Where the parent was late, it has never been measured before.
    let why = ["has grown by", "is the largest"];
    assert!(why.iter().any(|why| line.contains(why)), "{line}");
    assert!(line.contains("a request of 127.0.0.1:"), "{line}");
    // Idle ones may have gone before, which loses nothing.
    let retired = scene.logged("is the largest idle one");
    let stay = daemon.living().iter().filter(|pid| before.contains(pid)).count();
    assert!(stay + retired + 3 >= CHILDREN, "{stay} of {CHILDREN} are still there");
}

#[test]
fn a_request_that_eats_all_memory_of_the_control_group_costs_one_request() {
    let scene = scene!();
    let Some(group) = ControlGroup::make(&scene, Controller::Memory) else { return };
    group.set(ROOM);
    let daemon = pool(&scene, &[], &group.entrance());
    assert!(scene.logged(&format!("of memory ({})", group.name())) == 1);
    assert_it_costs_one_request(&scene, &daemon);
    assert_eq!(group.kills(), 0, "the kernel has had no reason to end anybody");
    daemon.stop_in_order();
}

/// Nobody knows who is at work, and the kernel says when memory runs short.
#[test]
fn without_a_scoreboard_a_child_that_eats_everything_is_ended_before_the_kernel_ends_any() {
    let scene = scene!();
    let Some(group) = ControlGroup::make(&scene, Controller::Memory) else { return };
    if !group.has_thresholds() {
        return;
    }
    group.set(ROOM);
    let count = CHILDREN.to_string();
    let launch = scene.probe().args(["--prefork", &count, "--max-children", &count]);
    let daemon = launch.after_shell(&group.entrance()).daemon();
    assert_eq!(scene.logged("no alarm"), 0, "{}", scene.read("error.log"));
    // The bell and that of the handler of SIGTERM: what wakes the parent for memory is not theirs.
    for child in daemon.living() {
        assert_eq!(eventfds(child), 2, "child {child}");
    }
    for round in 1..=3 {
        daemon.wait_for_rest();
        let request = InHand::at(scene.address(), "/devour");
        let victim = request.worker().pid;
        request.answer().expect_err("nobody can answer it");
        scene.wait_for_line(&format!("child {victim} (slot "));
        daemon.wait_for_children(PATIENCE, CHILDREN, &[victim]);
        assert_eq!(scene.logged("; killed, before"), round, "{}", scene.read("error.log"));
    }
    assert_eq!(group.kills(), 0, "the kernel has had no reason to end anybody");
    daemon.stop_in_order();
}

fn eventfds(pid: u32) -> usize {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it is there");
    let targets = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.as_os_str() == "anon_inode:[eventfd]").count()
}

/// As a thread does that a request has left behind.
#[test]
fn a_child_that_grows_while_it_counts_as_idle_is_ended_too() {
    let scene = scene!();
    let Some(group) = ControlGroup::make(&scene, Controller::Memory) else { return };
    if !group.has_thresholds() {
        return;
    }
    group.set(ROOM);
    let daemon = pool(&scene, &[], &group.entrance());
    let request = InHand::at(scene.address(), "/fester/3000");
    let victim = request.worker().pid;
    request.answer().expect("answered");
    daemon.wait_for_rest();
    daemon.wait_for_children(PATIENCE, CHILDREN, &[victim]);
    let lines = scene.lines_with("error.log", &format!("child {victim} (slot "));
    let because = ["; killed, before", "is the largest idle one"];
    assert!(
        lines.iter().any(|line| because.iter().any(|because| line.contains(because))),
        "{lines:?}"
    );
    assert_eq!(group.kills(), 0, "the kernel has had no reason to end anybody");
    daemon.stop_in_order();
}

/// Where a parent may not set one.
#[test]
fn an_alarm_that_is_refused_is_logged_at_the_start() {
    let scene = scene!();
    let Some(group) = ControlGroup::make(&scene, Controller::Memory) else { return };
    if !group.has_thresholds() {
        return;
    }
    group.set(ROOM);
    let nobody = ["--user", "nobody", "--drop-parent"];
    let end = |daemon: Daemon<'_>| {
        daemon.signal(Signal::TERM);
        daemon.wait_for_end(PATIENCE);
    };
    end(pool(&scene, &nobody, &group.entrance()));
    let kept = format!("the pool is kept below 160 MiB of memory ({})", group.name());
    assert_eq!(scene.logged(&kept), 1, "{}", scene.read("error.log"));
    let why =
        "no alarm when memory runs short: Permission denied (os error 13); it is looked at while";
    assert_eq!(scene.logged(why), 1, "{}", scene.read("error.log"));
    // A parent that is nobody by then cannot remove root's pid file.
    end(scene.probe().args(nobody).after_shell(&group.entrance()).daemon());
    let unguarded = format!("the pool is not kept below 160 MiB of memory ({})", group.name());
    assert_eq!(scene.logged(&unguarded), 1, "{}", scene.read("error.log"));
    assert_eq!(scene.logged(&kept), 1, "{}", scene.read("error.log"));
}

/// No root is needed, nor a control group.
#[test]
fn a_request_that_eats_all_of_memory_limit_costs_one_request() {
    let scene = scene!();
    let limit = (ROOM >> 10).to_string();
    let daemon = pool(&scene, &["--memory-limit", &limit], "true");
    assert!(scene.logged("the pool is kept below 160 MiB of memory (memory_limit)") == 1);
    assert_it_costs_one_request(&scene, &daemon);
    daemon.stop_in_order();
}

#[test]
fn the_largest_idle_children_are_replaced_when_memory_is_short() {
    let scene = scene!();
    let daemon = pool(&scene, &["--memory-limit", &(ROOM >> 10).to_string()], "true");
    let request = InHand::at(scene.address(), "/leak/60");
    let large = request.worker().pid;
    request.answer().expect("answered");
    // While it has something else in hand, another one takes as much, slowly.
    let mut held = Vec::new();
    while !held.iter().any(|request: &InHand| request.worker().pid == large) {
        held.push(InHand::at(scene.address(), "/hold"));
    }
    // There is one for the next request.
    let (of_large, others): (Vec<_>, Vec<_>) =
        held.into_iter().partition(|request| request.worker().pid == large);
    for request in others {
        request.release().expect("answered");
    }
    let slow = InHand::at(scene.address(), "/seep/80");
    for request in of_large {
        request.release().expect("answered");
    }
    scene.wait_for_line("is the largest idle one");
    let line = scene.lines_with("error.log", "is the largest idle one").remove(0);
    assert!(line.contains(&format!("child {large} ")), "{line}");
    daemon.wait_for_children(PATIENCE, CHILDREN, &[large]);
    slow.answer().expect("it was left alone");
    assert_eq!(scene.logged("; killed, before"), 0);
    daemon.stop_in_order();
}

/// A pool that has nothing to do is not looked at, however little memory is left.
#[test]
fn at_rest_nobody_is_measured() {
    let scene = scene!();
    let daemon = pool(&scene, &["--memory-limit", &(ROOM >> 10).to_string()], "true");
    daemon.wait_for_rest();
    let used = daemon.cpu();
    holds_for(Duration::from_secs(2), "at rest", || {
        daemon.cpu() - used < Duration::from_millis(20)
    });
    daemon.stop_in_order();
}

/// The kernel reports what changes, and nothing does.
#[test]
fn a_pool_that_rests_with_little_memory_left_is_left_alone_by_the_kernel_too() {
    let scene = scene!();
    let Some(group) = ControlGroup::make(&scene, Controller::Memory) else { return };
    group.set(ROOM);
    let daemon = pool(&scene, &[], &group.entrance());
    InHand::at(scene.address(), "/seep/120").answer().expect("answered");
    assert!(group.current() > ROOM / 4 * 3, "{} of {ROOM}", group.current());
    daemon.wait_for_rest();
    let used = daemon.cpu();
    holds_for(Duration::from_secs(2), "at rest", || {
        daemon.cpu() - used < Duration::from_millis(20)
    });
    daemon.stop_in_order();
}

const CHILD_LIMIT: [&str; 2] = ["--child-memory-limit", "65536"];

/// One child after the other uses up what it may have, while others are answered: it alone ends, and its line says this.
fn assert_each_costs_one_request(scene: &Scene, daemon: &Daemon<'_>, line: &str) {
    let load = Load::start(4, scene.address(), "/sleep/5");
    for _ in 0..3 {
        wait_for_answers(&load);
        let request = InHand::at(scene.address(), "/devour");
        let victim = request.worker().pid;
        request.answer().expect_err("nobody can answer it");
        scene.wait_for_line(&format!("child {victim} (slot "));
        let lines = scene.lines_with("error.log", &format!("child {victim} (slot "));
        assert!(lines.iter().any(|it| it.contains(line)), "{lines:?}");
        daemon.wait_for_children(PATIENCE, CHILDREN, &[victim]);
    }
    wait_for_answers(&load);
    let tally = load.stop();
    assert_eq!(tally.failures, [""; 0], "of {} answered", tally.answered);
}

#[test]
fn a_child_in_a_control_group_of_its_own_is_ended_alone_when_that_is_full() {
    let scene = scene!();
    let Some(group) = ControlGroup::make(&scene, Controller::Memory) else { return };
    let daemon = pool(&scene, &CHILD_LIMIT, &group.entrance());
    let line =
        format!("below 64 MiB of memory (a control group for each in {})", group.place().display());
    assert_eq!(scene.logged(&line), 1, "{}", scene.read("error.log"));
    let parent = daemon.pid();
    let named = |slot: usize| format!("prefork-{parent}-{slot}");
    for slot in 0..CHILDREN {
        assert!(group.groups().contains(&named(slot)), "{slot}: {:?}", group.groups());
    }
    assert_each_costs_one_request(&scene, &daemon, "; out of memory: child_memory_limit is 64 MiB");
    assert_eq!(
        group.groups().iter().filter(|name| **name == named(0)).count(),
        1,
        "it is used again"
    );
    daemon.stop_in_order();
    assert_eq!(group.groups(), [""; 0], "they are removed at the end");
}

#[test]
fn groups_of_a_daemon_that_was_killed_are_removed_by_the_next() {
    let scene = scene!();
    let Some(group) = ControlGroup::make(&scene, Controller::Memory) else { return };
    let daemon = pool(&scene, &CHILD_LIMIT, &group.entrance());
    let killed = format!("prefork-{}", daemon.pid());
    daemon.signal(Signal::KILL);
    daemon.wait_for_end(PATIENCE);
    scene.wait_until_deserted(PATIENCE);
    assert!(group.groups().iter().any(|name| name.starts_with(&killed)), "{:?}", group.groups());
    let daemon = pool(&scene, &CHILD_LIMIT, &group.entrance());
    let left = group.groups();
    assert!(!left.iter().any(|name| name.starts_with(&killed)), "{left:?}");
    daemon.stop_in_order();
    assert_eq!(group.groups(), [""; 0]);
}

/// Where no group can be made, as by nobody.
#[test]
fn a_child_without_a_group_has_a_limit_of_its_own_memory() {
    let scene = scene!();
    let mut args = CHILD_LIMIT.to_vec();
    if rustix::process::geteuid().is_root() {
        args.extend(["--user", "nobody", "--drop-parent"]);
    }
    let daemon = pool(&scene, &args, "true");
    assert_eq!(
        scene.logged("below 64 MiB of memory (RLIMIT_DATA, as "),
        1,
        "{}",
        scene.read("error.log")
    );
    assert_each_costs_one_request(&scene, &daemon, "was ended by SIGABRT");
    // A parent that is nobody by then cannot remove root's pid file.
    daemon.signal(Signal::TERM);
    daemon.wait_for_end(PATIENCE);
}
