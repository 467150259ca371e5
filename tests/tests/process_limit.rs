//! A limit of processes for each child: one that starts all that it can leaves its siblings alone.

use prefork_tests::{
    ControlGroup, Controller, Daemon, InHand, PATIENCE, Scene, Worker, get, scene,
};
use rustix::process::Signal;

/// Two children, which may have 8 processes each.
fn pool<'a>(scene: &'a Scene, args: &[&str], prelude: &str) -> Daemon<'a> {
    let two = ["--prefork", "2", "--max-children", "2", "--child-process-limit", "8"];
    let args = [&two, args].concat();
    scene.probe().board().args(args).after_shell(prelude).daemon()
}

/// Has whoever is free start processes; returns who that was, and how many there are.
fn multiply(scene: &Scene) -> (Worker, String) {
    let reply = get(scene.address(), "/multiply/60").expect("answered");
    (reply.worker(), reply.body)
}

#[test]
fn a_child_that_starts_all_it_can_leaves_its_sibling_alone() {
    let scene = scene!();
    let Some(group) = ControlGroup::make(&scene, Controller::Pids) else { return };
    let daemon = pool(&scene, &[], &group.entrance());
    let place = group.place().display();
    let line = format!(
        "each child may have 8 processes and threads with all that it starts (a control group for each in {place})"
    );
    assert_eq!(scene.logged(&line), 1, "{}", scene.read("error.log"));
    // While the other one has something in hand, each starts what it can: itself is one of the 8.
    let (first, second) =
        (InHand::at(scene.address(), "/hold"), InHand::at(scene.address(), "/hold"));
    let (one, other) = (first.worker(), second.worker());
    first.release().expect("answered");
    assert_eq!(multiply(&scene), (one, "7".to_owned()));
    let first = InHand::at(scene.address(), "/hold");
    second.release().expect("answered");
    assert_eq!(multiply(&scene), (other, "7".to_owned()));
    first.release().expect("answered");
    assert!(group.current() >= 16, "all of them are there");

    // What it has started goes with it, and its successor has all that it may have again.
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(one.pid.try_into().expect("a pid")).expect("not 0"),
        Signal::KILL,
    )
    .expect("it is there");
    daemon.wait_for_children(PATIENCE, 2, &[one.pid]);
    let text = format!("child {} (slot {})", one.pid, one.slot);
    let lines = scene.lines_with("error.log", &text);
    let met = "; out of processes: child_process_limit is 8";
    assert!(lines.iter().any(|line| line.contains(met)), "{lines:?}");
    let held: Vec<_> = (0..2).map(|_| InHand::at(scene.address(), "/hold")).collect();
    let (of_other, of_new): (Vec<_>, Vec<_>) =
        held.into_iter().partition(|request| request.worker() == other);
    let new = of_new.first().expect("each has one").worker();
    of_new.into_iter().for_each(|request| drop(request.release().expect("answered")));
    assert_eq!(multiply(&scene), (new, "7".to_owned()));
    of_other.into_iter().for_each(|request| drop(request.release().expect("answered")));
    daemon.stop_in_order();
    assert_eq!(group.groups(), [""; 0], "they are removed at the end");
}

/// Both limits, by whichever groups there are.
#[test]
fn limits_of_processes_and_of_memory_go_together() {
    let scene = scene!();
    let Some(group) = ControlGroup::make(&scene, Controller::Pids) else { return };
    let Some(memory) = ControlGroup::make(&scene, Controller::Memory) else { return };
    let prelude = format!("{}; {}", group.entrance(), memory.entrance());
    let daemon = pool(&scene, &["--child-memory-limit", "65536"], &prelude);
    let (worker, count) = multiply(&scene);
    assert_eq!(count, "7");
    let request = InHand::at(scene.address(), "/devour");
    let victim = request.worker();
    request.answer().expect_err("nobody can answer it");
    daemon.wait_for_children(PATIENCE, 2, &[victim.pid]);
    let text = format!("child {} (slot {})", victim.pid, victim.slot);
    let lines = scene.lines_with("error.log", &text);
    let met = "; out of memory: child_memory_limit is 64 MiB";
    assert!(lines.iter().any(|line| line.contains(met)), "{lines:?}");
    let also = "; out of processes: child_process_limit is 8";
    assert_eq!(lines.iter().any(|line| line.contains(also)), victim == worker, "{lines:?}");
    daemon.stop_in_order();
    assert_eq!((group.groups(), memory.groups()), (Vec::new(), Vec::new()));
}

/// Where no group can be made, as by nobody: there is nothing instead, and a line says so.
#[test]
fn where_it_is_not_possible_it_is_named_with_the_reason() {
    let scene = scene!();
    let args: &[&str] = if rustix::process::geteuid().is_root() {
        &["--user", "nobody", "--drop-parent"]
    } else {
        &[]
    };
    let daemon = pool(&scene, args, "true");
    let line = "warning: child_process_limit is not possible here: ";
    assert_eq!(scene.logged(line), 1, "{}", scene.read("error.log"));
    assert_eq!(scene.logged("; a child may have more than 8 processes and threads"), 1);
    let count: u32 = multiply(&scene).1.parse().expect("a number");
    assert!(count > 8, "it is not limited: {count}");
    // A parent that is nobody by then cannot remove root's pid file.
    daemon.signal(Signal::TERM);
    daemon.wait_for_end(PATIENCE);
}
