//! Files that change by themselves.

use std::{
    fs::{self, File, Permissions},
    io::Write,
    os::unix::fs::PermissionsExt,
    thread,
    time::{Duration, Instant, SystemTime},
};

use prefork_tests::{Load, PATIENCE, holds_for, require_root, require_tool, scene, wait_until};
use rustix::process::Signal;

use super::{wait_for_lines, wait_for_version};

/// L1, L2: the program is replaced while clients ask: they notice nothing, but for the answers.
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
    // No good: logged once, and not tried again until the file changes.
    program.install_bytes(b"garbage", 0o755);
    wait_for_lines(&scene, "upgrade refused", 1);
    holds_for(Duration::from_secs(1), "tried once", || {
        scene.lines_with("error.log", "upgrade refused").len() == 1
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
    let tried = || scene.lines_with("error.log", "trying the program").len();

    // Deleted, and there again a while later.
    fs::remove_file(program.path()).expect("removed");
    holds_for(Duration::from_millis(800), "left alone", || tried() == 0);
    // Written slowly: half of it would be no program.
    let mut version = 1;
    let mut rounds = repeat_until_steady("written", || {
        version += 1;
        let _ = fs::remove_file(program.path());
        let content = program.content(&format!("--version {version}"));
        let mut file = File::create(program.path()).expect("made");
        file.set_permissions(Permissions::from_mode(0o755)).expect("set");
        let before = tried();
        let mut parts = content.chunks(content.len() / 12);
        let longest = in_steps(12, Duration::from_millis(60), || {
            file.write_all(parts.next().expect("there are twelve")).expect("written");
        });
        let early = tried() - before;
        parts.for_each(|rest| file.write_all(rest).expect("written"));
        drop(file);
        wait_for_version(&daemon, version);
        (early, longest)
    });

    // Touched a thousand times a second.
    let touch = File::options().append(true).open(program.path());
    // The running file cannot be opened for writing; its times can be set all the same.
    assert!(touch.is_err(), "the file is being executed");
    let file = File::open(program.path()).expect("opened");
    rounds += repeat_until_steady("touched", || {
        let before = tried();
        let longest = in_steps(800, Duration::from_millis(1), || {
            file.set_modified(SystemTime::now()).expect("touched");
        });
        let early = tried() - before;
        wait_until(PATIENCE, "it is tried once it is at rest", || tried() > before + early);
        version += 1;
        (early, longest)
    });
    wait_for_lines(&scene, "becoming it", version as usize - 1);
    if rounds == 2 {
        assert_eq!(scene.lines_with("error.log", "error:"), [""; 0]);
    }
    daemon.stop_in_order();
}

/// How long a file has to stand still before it counts as written is 200 ms; what is shorter than this
/// cannot be taken for that.
const UNREST: Duration = Duration::from_millis(150);

/// Does something so many times with a pause after each; returns the longest time between two.
fn in_steps(count: usize, pause: Duration, mut step: impl FnMut()) -> Duration {
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    for _ in 0..count {
        step();
        longest = longest.max(last.elapsed());
        last = Instant::now();
        thread::sleep(pause);
    }
    longest.max(last.elapsed())
}

/// Asserts that a file is not tried while something is done to it. `round` returns how often it was, and
/// for how long the file was at rest in between: on a busy machine it may have been long enough, and then
/// there is another round. Returns how many there were.
#[track_caller]
fn repeat_until_steady(what: &str, mut round: impl FnMut() -> (usize, Duration)) -> usize {
    for number in 1..=10 {
        let (tried, longest) = round();
        if longest < UNREST {
            assert_eq!(tried, 0, "tried while it was {what}");
            return number;
        }
    }
    panic!("it was never {what} without a pause");
}

/// What the kernel reports of a file is read at once, not reported again and again until the file is at rest.
#[test]
fn a_file_that_has_changed_does_not_keep_the_parent_busy_until_it_is_at_rest() {
    let scene = scene!();
    fs::write(scene.path("settings"), "one").expect("written");
    let daemon = scene
        .probe()
        .path("--watch", "settings")
        .args(["--auto-reload-check-every", "3000", "--auto-reload-handler", "reload"])
        .daemon();
    fs::write(scene.path("settings"), "two").expect("written");
    let (begun, before) = (Instant::now(), daemon.cpu());
    wait_for_lines(&scene, "replacing all children", 1);
    let (took, used) = (begun.elapsed(), daemon.cpu() - before);
    assert!(used < took / 2, "{used:?} of {took:?}");
    wait_for_lines(&scene, "generation 2 now", 1);
    daemon.stop_in_order();
}

/// What is not watched although that was asked for is logged at the start, once, with the reason.
#[test]
fn what_cannot_be_watched_is_logged() {
    for (reason, fill) in [("is not there", 0), ("has more than 10000 entries", 10_001)] {
        let scene = scene!();
        let watched = scene.path("watched");
        if fill > 0 {
            fs::create_dir(&watched).expect("made");
        }
        (0..fill).for_each(|n| fs::write(watched.join(n.to_string()), "").expect("written"));
        let every = ["--auto-reload-check-every", "100", "--auto-reload-handler", "reload"];
        let daemon = scene.probe().args(every).path("--watch", "watched").daemon();
        let consequence = "it counts as unchanged until it can be seen";
        let line = format!("warning: watched file {} {reason}; {consequence}", watched.display());
        wait_for_lines(&scene, &line, 1);
        // Once there is less of it, or something at all, it is watched.
        match fill {
            0 => fs::write(&watched, "").expect("written"),
            _ => fs::remove_file(watched.join("0")).expect("removed"),
        }
        wait_for_lines(&scene, "replacing all children", 1);
        assert_eq!(scene.lines_with("error.log", "watched file").len(), 1);
        daemon.stop_in_order();
    }
}

/// A changed file of settings replaces the children, and code is given what has changed.
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

/// A handler that fails is logged, and nothing more happens.
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
    let refused = "upgrade refused: root does not run what others can change";
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
    // A daemon that does not upgrade by itself, and has its files elsewhere, may start.
    let elsewhere = tempfile::tempdir().expect("made");
    let file = |name: &str| elsewhere.path().join(name).into_os_string();
    let flags = [("--pid-path", "pid"), ("--error-log-path", "log"), ("--access-log-path", "log")];
    let flags = flags.map(|(flag, name)| [flag.into(), file(name)]).concat();
    let running = program.launch().args(flags).start();
    let log = || fs::read_to_string(file("log")).unwrap_or_default();
    wait_until(PATIENCE, "it is ready", || log().contains("parent info: ready"));
    running.signal(Signal::USR2);
    wait_until(PATIENCE, "it refuses", || log().contains(refused));
    running.signal(Signal::TERM);
    assert!(running.finish().end.is_success());
}

/// L4: a program that was replaced while another one took over is not overlooked.
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

/// L1: a launcher may have the name of the program that it executes, and is no change to that.
#[test]
fn a_launcher_of_the_same_name_is_no_change() {
    if !require_tool("cc") {
        return;
    }
    let scene = scene!();
    let program = scene.program();
    let real = scene.path("real");
    fs::create_dir(&real).expect("made");
    let install = |version: u32| {
        program.install(&format!("--version {version}"));
        let fresh = real.join("fresh");
        fs::copy(program.path(), &fresh).expect("copied");
        fs::rename(&fresh, real.join("program")).expect("renamed");
    };
    let code = format!(
        "#include <unistd.h>\nint main(int c, char **v) {{ return execv(\"{}/program\", v); }}\n",
        real.display()
    );
    fs::write(scene.path("launcher.c"), code).expect("written");
    let compiled = scene.tool("cc").args(["-o", "launcher", "launcher.c"]).finish();
    assert!(compiled.end.is_success(), "{compiled:?}");
    install(1);
    let launcher = scene.path("bin");
    fs::create_dir(&launcher).expect("made");
    fs::rename(scene.path("launcher"), launcher.join("program")).expect("renamed");
    let listen = scene.address().to_string();
    let arguments = ["--listen", &listen, "--auto-reload-check-every", "100"];
    let running = scene.tool("bin/program").args(arguments).paths().start();
    let daemon = running.ready();
    for version in 2..4 {
        install(version);
        wait_for_version(&daemon, version);
    }
    let tried = || scene.lines_with("error.log", "trying the program").len();
    holds_for(Duration::from_secs(1), "nothing more is tried", || tried() == 2);
    daemon.signal(Signal::TERM);
    assert!(running.finish().end.is_success());
}
