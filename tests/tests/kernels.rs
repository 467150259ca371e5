//! The oldest kernel that is promised, and what holds on the host as in a virtual machine with that.

use std::{env, path::Path, time::Duration};

use prefork_tests::{
    Daemon, InHand, Launch, Load, PATIENCE, Program, Scene, VirtualMachine, kill, scene, wait_until,
};
use rustix::process::Signal;

/// The Debian that has the kernel, which is 5.10.
const SUITE: &str = "bullseye";

/// For all tests but that one, as root and as nobody, and to boot: three quarters of a minute on a machine that has nothing else to do.
const LIMIT: Duration = Duration::from_secs(300);

#[track_caller]
fn wait_for_line(scene: &Scene, text: &str) {
    wait_until(PATIENCE, text, || !scene.lines_with("error.log", text).is_empty());
}

/// Has a daemon serve clients while a child of it dies, it reloads, becomes another program, and stops.
#[track_caller]
fn assert_lives_a_whole_life(scene: &Scene, program: &Program<'_>, daemon: &Daemon<'_>) {
    let load = Load::start(2, scene.address(), "/");
    // Without a request in hand that would be lost with it.
    let before = daemon.living();
    let request = InHand::at(scene.address(), "/hold");
    let victim = request.worker().pid;
    assert!(kill(victim, Signal::KILL));
    request.answer().expect_err("nobody can answer it");
    daemon.wait_for_children(PATIENCE, before.len(), &[victim]);
    daemon.signal(Signal::HUP);
    wait_for_line(scene, "all children are of generation 2 now");
    program.install("--version 2");
    daemon.signal(Signal::USR2);
    wait_for_line(scene, "all children are of generation 3 now");
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
