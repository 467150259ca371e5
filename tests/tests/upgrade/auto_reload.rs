//! L4, L7: files that change by themselves.

use std::{
    fs::{self, File, Permissions},
    io::Write,
    os::unix::fs::PermissionsExt,
    thread,
    time::{Duration, Instant},
};

use prefork_tests::{Load, PATIENCE, holds_for, require_root, scene, wait_until};
use rustix::process::Signal;

use super::{wait_for_lines, wait_for_version};

/// The program is replaced while clients ask: they notice nothing, but for the answers.
#[test]
fn the_daemon_follows_its_program_file() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().args(["--auto-reload-check-every", "100"]).daemon();
    let load = Load::start(4, scene.address(), "/");
    for version in 2..5 {
        program.install(&format!("--version {version}"));
        wait_for_version(&daemon, version);
    }
    // No good: said once, and not tried again until the file changes.
    program.install_bytes(b"garbage", 0o755);
    wait_for_lines(&scene, "the new program is no good", 1);
    holds_for(Duration::from_secs(1), "tried once", || {
        scene.lines_with("error.log", "the new program is no good").len() == 1
    });
    program.install("--version 5");
    wait_for_version(&daemon, 5);
    // A program that betrays is not tried again either, though the daemon has come back to another.
    program.install("--version 6 --manner betrays");
    wait_for_lines(&scene, "has failed to take over", 1);
    holds_for(Duration::from_secs(1), "tried once", || {
        scene.lines_with("error.log", "has failed to take over").len() == 1
    });
    program.install("--version 7");
    wait_for_version(&daemon, 7);
    let tally = load.stop();
    assert_eq!(tally.failures, [""; 0], "of {} requests", tally.answered);
    daemon.stop_in_order();
}

/// L4: what is written slowly, touched all the time or deleted is left alone until it is whole.
#[test]
fn a_file_that_moves_is_left_alone() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().args(["--auto-reload-check-every", "100"]).daemon();
    let tried = || scene.lines_with("error.log", "trying the new program").len();

    // Deleted, and there again a while later.
    fs::remove_file(program.path()).expect("removed");
    holds_for(Duration::from_millis(800), "left alone", || tried() == 0);
    // Written slowly: half of it would be no program.
    let content = program.content("--version 2");
    let mut file = File::create(program.path()).expect("made");
    file.set_permissions(Permissions::from_mode(0o755)).expect("set");
    for part in content.chunks(content.len() / 12) {
        file.write_all(part).expect("written");
        thread::sleep(Duration::from_millis(60));
        assert_eq!(tried(), 0, "tried while it was written");
    }
    drop(file);
    wait_for_version(&daemon, 2);
    assert_eq!(tried(), 1);

    // Touched a thousand times a second.
    let touch = File::options().append(true).open(program.path());
    // The running file cannot be opened for writing; its times can be set all the same.
    assert!(touch.is_err(), "the file is being executed");
    let file = File::open(program.path()).expect("opened");
    let (mut touched, mut longest) = (Instant::now(), Duration::ZERO);
    for _ in 0..800 {
        file.set_modified(std::time::SystemTime::now()).expect("touched");
        longest = longest.max(touched.elapsed());
        touched = Instant::now();
        thread::sleep(Duration::from_millis(1));
    }
    // On a busy machine the file may have been at rest.
    assert!(tried() == 1 || longest > Duration::from_millis(50), "tried while it was touched");
    wait_until(PATIENCE, "it is tried once it is at rest", || tried() >= 2);
    wait_for_lines(&scene, "generation 3 now", 1);
    assert_eq!(scene.lines_with("error.log", "error:"), [""; 0]);
    daemon.stop_in_order();
}

/// A file of settings has the children replaced, and code is told what has changed.
#[test]
fn other_files_can_be_watched_and_code_be_asked() {
    for (handler, said) in [("reload", "settings changed"), ("code", "handler: ")] {
        let scene = scene!();
        let settings = scene.path("settings");
        fs::write(&settings, "one").expect("written");
        let daemon = scene
            .probe()
            .path("--watch", "settings")
            .args(["--auto-reload-check-every", "100", "--auto-reload-handler", handler])
            .daemon();
        let before = daemon.living();
        fs::write(&settings, "two").expect("written");
        wait_for_lines(&scene, "generation 2 now", 1);
        wait_for_lines(&scene, said, 1);
        daemon.wait_for_children(PATIENCE, 3, &before);
        daemon.stop_in_order();
    }
}

/// A handler that fails is told of, and nothing more happens.
#[test]
fn a_handler_that_fails_is_survived() {
    let scene = scene!();
    fs::write(scene.path("settings"), "one").expect("written");
    let daemon = scene
        .probe()
        .path("--watch", "settings")
        .args(["--auto-reload-check-every", "100", "--auto-reload-handler", "fail"])
        .daemon();
    let before = daemon.living();
    for round in 1..3 {
        fs::write(scene.path("settings"), format!("{round}{round}")).expect("written");
        wait_for_lines(&scene, "auto_reload_handler failed: the handler fails as asked", round);
    }
    assert_eq!(daemon.living(), before);
    daemon.stop_in_order();
}

/// L7: what others can change, root does not run.
#[test]
fn a_daemon_of_root_does_not_run_what_others_can_change() {
    if !require_root() {
        return;
    }
    let scene = scene!();
    let program = scene.program();
    let every = ["--auto-reload-check-every", "100"];
    let daemon = program.launch().args(every).daemon();
    let refused = "the new program is no good: root does not run what others can change";
    program.install_bytes(&program.content("--version 2"), 0o777);
    wait_for_lines(&scene, refused, 1);
    daemon.signal(Signal::USR2);
    wait_for_lines(&scene, refused, 2);
    assert_eq!(daemon.get("/version").expect("it serves").body, "1");
    let line = &scene.lines_with("error.log", refused)[0];
    assert!(line.contains("chmod o-w"), "{line}");
    program.install("--version 3");
    wait_for_version(&daemon, 3);
    daemon.stop_in_order();

    // The directory counts as well, and at the start already.
    fs::set_permissions(scene.path("."), Permissions::from_mode(0o777)).expect("set");
    let start = program.launch().args(every).paths().finish();
    start.assert_refused("auto_reload_handler: root would run what others can change");
    start.assert_refused("chmod");
    // Who does not upgrade by itself may start.
    let daemon = program.launch().daemon();
    daemon.signal(Signal::USR2);
    wait_for_lines(&scene, refused, 1);
    daemon.stop_in_order();
}

/// A program that was replaced while another one took over is not overlooked.
#[test]
fn a_file_replaced_during_an_upgrade_is_not_overlooked() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().args(["--auto-reload-check-every", "50"]).daemon();
    for round in 0..6 {
        let version = 2 + 2 * round;
        program.install(&format!("--version {version}"));
        let tries = 1 + scene.lines_with("error.log", "becoming it").len();
        wait_for_lines(&scene, "becoming it", tries);
        // At about the moment of the exec.
        thread::sleep(Duration::from_millis(u64::from(round)));
        program.install(&format!("--version {}", version + 1));
        wait_for_version(&daemon, version + 1);
    }
    daemon.stop_in_order();
}
