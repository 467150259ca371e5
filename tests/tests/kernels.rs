//! The oldest kernel that is promised, and what holds on the host as in a virtual machine with that.

use std::{env, path::Path, thread, time::Duration};

use prefork_tests::{
    ControlGroup, Controller, Daemon, InHand, Launch, Load, PATIENCE, Program, Scene,
    VirtualMachine, kill, scene, wait_until,
};
use rustix::process::Signal;

/// The Debian that has the kernel, which is 5.10.
const SUITE: &str = "bullseye";

/// For all tests but that one, as root and as nobody, and to boot: three quarters of a minute on a machine that has nothing else to do.
const LIMIT: Duration = Duration::from_secs(300);

/// Lets a daemon serve clients while a child of it dies, it reloads, becomes another program, and stops.
#[track_caller]
fn assert_lives_a_whole_life(scene: &Scene, program: &Program<'_>, daemon: &Daemon<'_>) {
    // Paced, so that emulated processors have time for the rest.
    let load = Load::start(4, scene.address(), "/sleep/20");
    // Without a request in hand that would be lost with it.
    let before = daemon.living();
    let request = InHand::at(scene.address(), "/hold");
    let victim = request.worker().pid;
    assert!(kill(victim, Signal::KILL));
    request.answer().expect_err("nobody can answer it");
    daemon.wait_for_children(PATIENCE, before.len(), &[victim]);
    daemon.signal(Signal::HUP);
    scene.wait_for_line("all children are of generation 2 now");
    program.install("--version 2");
    daemon.signal(Signal::USR2);
    // An emulated processor on a busy one takes ten seconds to execute a program of 30 MB.
    wait_until(PATIENCE * 5, "its children are those of the new program", || {
        !scene.lines_with("error.log", "all children are of generation 3 now").is_empty()
    });
    wait_until(PATIENCE, "the new program answers", || {
        daemon.get("/version").is_ok_and(|reply| reply.body == "2")
    });
    let tally = load.stop();
    assert!(tally.answered > 20, "{tally:?}");
    assert_eq!(tally.failures, [""; 0]);
    let request = InHand::at(scene.address(), "/sleep/300");
    daemon.signal(Signal::TERM);
    assert_eq!(request.answer().expect("it is answered").status, 200);
}

fn launch<'a>(program: &Program<'a>) -> Launch<'a> {
    program.launch().board().args(["--prefork", "3", "--max-children", "3"])
}

/// F11: in the background.
#[test]
fn a_daemon_in_the_background_lives_a_whole_life() {
    let scene = scene!();
    let program = scene.program();
    let daemon = launch(&program).daemon();
    assert_lives_a_whole_life(&scene, &program, &daemon);
    daemon.assert_ends_in_order(PATIENCE);
}

/// F11: in the foreground.
#[test]
fn a_daemon_in_the_foreground_lives_a_whole_life() {
    let scene = scene!();
    let program = scene.program();
    let running = launch(&program).paths().start();
    let daemon = running.ready();
    assert_lives_a_whole_life(&scene, &program, &daemon);
    assert!(running.finish().end.is_success());
    scene.assert_nothing_is_left();
}

/// F10: without a process to be had, children that end are replaced once there is one, at once; the limit is named, and
/// lines come ever more rarely.
#[test]
fn a_full_control_group_is_named_and_waited_for() {
    let scene = scene!();
    let Some(limit) = ControlGroup::make(&scene, Controller::Pids) else { return };
    let launch = scene.hello().board().args(["--prefork", "3", "--max-children", "3"]);
    let daemon = launch.after_shell(&limit.entrance()).daemon();
    let before = daemon.living();
    limit.set(limit.current() - 1);
    assert!(kill(before[0], Signal::KILL));
    scene.wait_for_line("cannot fork");
    let line = &scene.lines_with("error.log", "cannot fork")[0];
    assert!(line.contains(&format!("; {} is ", limit.name())), "{line}");
    let cpu = daemon.cpu();
    thread::sleep(Duration::from_secs(6));
    let used = daemon.cpu() - cpu;
    // Far from all of it, on an emulated processor as well.
    assert!(used < Duration::from_secs(2), "the parent used {used:?} of CPU in 6 s");
    let lines = scene.logged("cannot");
    assert!((2..=4).contains(&lines), "{}", scene.read("error.log"));
    assert_eq!(daemon.get("/").expect("others serve").status, 200);
    limit.set(limit.current() + 10);
    daemon.wait_for_children(PATIENCE, 3, &before[..1]);
    scene.wait_for_line("children can be started again");
    daemon.stop_in_order();
}

/// F12, K2: a child that the kernel kills for want of memory is replaced, and the group and its limit are named; no request
/// is lost but those of children that the kernel kills. Of one that another process kills nothing of the kind is logged.
#[test]
fn a_child_that_runs_out_of_memory_is_logged_with_the_limit() {
    let scene = scene!();
    let Some(limit) = ControlGroup::make(&scene, Controller::Memory) else { return };
    let launch = scene.probe().args(["--prefork", "2", "--max-children", "2"]);
    let daemon = launch.after_shell(&limit.entrance()).daemon();
    let most = limit.current().next_multiple_of(1 << 20) + (32 << 20);
    limit.set(most);
    let load = Load::start(1, scene.address(), "/sleep/20");
    let line_of_the_end = |request: InHand| {
        let victim = request.worker().pid;
        request.answer().expect_err("nobody can answer it");
        let text = format!("child {victim} (slot ");
        scene.wait_for_line(&text);
        daemon.wait_for_children(PATIENCE, 2, &[victim]);
        scene.lines_with("error.log", &text).remove(0)
    };
    let assert_no_memory_is_named = || {
        let request = InHand::at(scene.address(), "/hold");
        assert!(kill(request.worker().pid, Signal::KILL));
        let line = line_of_the_end(request);
        assert!(line.contains("was ended by SIGKILL after") && !line.contains("memory"), "{line}");
    };
    assert_no_memory_is_named();
    for _ in 0..2 {
        let line = line_of_the_end(InHand::at(scene.address(), "/eat/64"));
        let reason = format!("; likely out of memory: {} is {} MiB", limit.name(), most >> 20);
        assert!(line.contains("was ended by SIGKILL after") && line.ends_with(&reason), "{line}");
        // What was counted within a second is taken together.
        thread::sleep(Duration::from_millis(1100));
    }
    assert_no_memory_is_named();
    let tally = load.stop();
    assert!(tally.answered > 20, "{tally:?}");
    // Four were meant. On a busy machine the kernel may find that it needs another one before it has the memory of the first.
    let others = scene.logged("was ended by SIGKILL") - 4;
    assert!(tally.failures.len() <= others, "{others} other children were killed: {tally:?}");
    daemon.stop_in_order();
}

/// The kernel wakes the parent of a pool without a scoreboard when memory runs short, in either version.
#[test]
fn a_parent_that_rests_is_woken_when_memory_runs_short() {
    const ROOM: u64 = 128 << 20;
    let scene = scene!();
    let Some(group) = ControlGroup::make(&scene, Controller::Memory) else { return };
    group.set(ROOM);
    let launch = scene.probe().args(["--prefork", "2", "--max-children", "2"]);
    let daemon = launch.after_shell(&group.entrance()).daemon();
    InHand::at(scene.address(), "/seep/110").answer().expect("answered");
    let (mut request, logged) = (None, scene.logged("memory is short, with"));
    let had_to_ask = group.call_short(|| request = Some(InHand::at(scene.address(), "/eat/1")));
    assert_eq!(logged, usize::from(!had_to_ask), "{}", scene.read("error.log"));
    scene.wait_for_line("memory is short, with");
    assert_eq!(request.expect("it is in hand").answer().expect("answered").status, 200);
    daemon.stop_in_order();
}

const LITTLE: [&str; 6] =
    ["--prefork", "3", "--max-children", "3", "--child-memory-limit", "32768"];

/// A child in a control group of its own, of either version, is ended alone when that is full, and no group is left. The
/// launcher, which waits for its daemon, is in the group at first too.
#[test]
fn a_child_that_uses_up_its_own_group_is_ended_alone_in_the_background() {
    let scene = scene!();
    let Some(group) = ControlGroup::make(&scene, Controller::Memory) else { return };
    let daemon = scene.probe().args(LITTLE).after_shell(&group.entrance()).daemon();
    assert_ends_alone(&scene, &group, &daemon);
    daemon.stop_in_order();
    assert_eq!(group.groups(), [""; 0], "they are removed at the end");
}

/// The same without a launcher.
#[test]
fn a_child_that_uses_up_its_own_group_is_ended_alone_in_the_foreground() {
    let scene = scene!();
    let Some(group) = ControlGroup::make(&scene, Controller::Memory) else { return };
    let running = scene.probe().paths().args(LITTLE).after_shell(&group.entrance()).start();
    let daemon = running.ready();
    assert_ends_alone(&scene, &group, &daemon);
    daemon.signal(Signal::TERM);
    assert!(running.finish().end.is_success());
    assert_eq!(group.groups(), [""; 0], "they are removed at the end");
}

#[track_caller]
fn assert_ends_alone(scene: &Scene, group: &ControlGroup, daemon: &Daemon<'_>) {
    let pid = daemon.pid();
    let of_parent = format!("probe[{pid}] parent info: each child is kept below 32 MiB");
    let place = format!("a control group for each in {}", group.place().display());
    let lines = scene.lines_with("error.log", &of_parent);
    assert!(lines.len() == 1 && lines[0].contains(&place), "{lines:?}");
    let before = daemon.living();
    let request = InHand::at(scene.address(), "/seep/100");
    let victim = request.worker().pid;
    request.answer().expect_err("nobody can answer it");
    let text = format!("child {victim} (slot ");
    scene.wait_for_line(&text);
    let line = scene.lines_with("error.log", &text).remove(0);
    assert!(line.contains("; out of memory: child_memory_limit is 32 MiB"), "{line}");
    daemon.wait_for_children(PATIENCE, 3, &[victim]);
    let stay = daemon.living().iter().filter(|pid| before.contains(pid)).count();
    assert_eq!(stay, 2);
}

/// A child that meets its limits of processes and of memory is named with both, and its successor has its own.
#[test]
fn each_child_has_limits_of_its_own() {
    let scene = scene!();
    let Some(group) = ControlGroup::make(&scene, Controller::Pids) else { return };
    let limits = ["--child-process-limit", "8", "--child-memory-limit", "65536"];
    let launch = scene.probe().args(["--prefork", "1", "--max-children", "1"]).args(limits);
    let running = launch.after_shell(&group.entrance()).paths().start();
    let daemon = running.ready();
    let own = format!("(a control group for each in {})", group.place().display());
    for line in [
        &format!("each child may have 8 processes and threads with all that it starts {own}"),
        "each child is kept below 64 MiB of memory (a control group for each in ",
    ] {
        assert_eq!(scene.logged(line), 1, "{}", scene.read("error.log"));
    }
    let mut before = Vec::new();
    for _ in 0..2 {
        // Itself is one of the eight.
        let count = daemon.get("/multiply/60").expect("it is answered").body;
        assert_eq!(count, "7", "{}", scene.read("error.log"));
        let request = InHand::at(scene.address(), "/devour");
        let victim = request.worker().pid;
        request.answer().expect_err("nobody can answer it");
        before.push(victim);
        daemon.wait_for_children(PATIENCE, 1, &before);
        let line = scene.lines_with("error.log", &format!("child {victim} (slot ")).remove(0);
        let met = "; out of memory: child_memory_limit is 64 MiB; out of processes: child_process_limit is 8";
        assert!(line.contains(met), "{line}");
    }
    daemon.signal(Signal::TERM);
    assert!(running.finish().end.is_success());
    assert_eq!(group.groups(), [""; 0], "they are removed at the end");
}

/// A8: a child that has the listening socket keep everybody out, where the kernel allows that, does not succeed for long.
#[test]
fn a_filter_on_the_listener_is_removed() {
    let scene = scene!();
    let daemon = scene.probe().args(["--prefork", "2", "--max-children", "2"]).daemon();
    let request = InHand::at(scene.address(), "/hold");
    let victim = request.worker().pid;
    let outcome = daemon.get("/filter").expect("it is answered").body;
    // Its end has the parent look.
    assert!(kill(victim, Signal::KILL));
    request.answer().expect_err("nobody can answer it");
    if outcome == "attached" {
        scene.wait_for_line(
            "was given a filter (SO_ATTACH_FILTER), by another process; it is as before",
        );
    } else {
        assert!(outcome.starts_with("Operation not permitted"), "{outcome}");
    }
    assert_eq!(daemon.get("/").expect("somebody is let in").status, 200);
    daemon.stop_in_order();
}

/// F11: the tests of this program hold on the oldest kernel too, for daemons of root and of nobody, where control groups are
/// of the second version.
#[test]
fn the_oldest_kernel_carries_a_daemon_through_its_life() {
    let scene = scene!();
    let folder = env!("CARGO_TARGET_TMPDIR");
    let Some(machine) = VirtualMachine::with_kernel_of(SUITE, &scene, folder) else { return };
    let tests = env::current_exe().expect("it is known");
    for program in [env!("CARGO_BIN_EXE_probe"), env!("CARGO_BIN_EXE_hello")] {
        machine.install(Path::new(program));
    }
    machine.install(&tests);
    machine.make_folder(Path::new(folder));
    let run = format!(
        "PREFORK_NO_SKIP=1 PREFORK_TESTS_FOLDER=$folder $as {} --skip the_oldest_kernel --test-threads 1 $only || exit 1",
        tests.display()
    );
    let nobody = "/usr/bin/setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all \
                  --inh-caps=-all --no-new-privs";
    let script = format!(
        "uname -r\nas= folder={folder} only=\n{run}\nas='{nobody}' folder=/nobody only=whole_life\n{run}\n"
    );
    let console = machine.run(&script, LIMIT);
    println!("{console}");
    assert!(console.contains("5.10."), "it is another kernel: {console}");
    assert!(console.contains("script ended with status 0"), "{console}");
    assert!(!console.contains("SKIPPED"), "{console}");
    assert_eq!(console.matches("test result: ok. ").count(), 2, "{console}");
}
