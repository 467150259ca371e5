//! Upgrades: the daemon becomes a new program, or stays what it is, and never falls over.

mod auto_reload;
mod broken;
mod privileged;
mod scarce;
mod settings;
mod stop;
mod way_back;
mod ways;

use std::{fs, mem, thread, time::Duration};

use prefork_tests::{
    Daemon, InHand, Load, PATIENCE, Program, Scene, Sent, find_process, require_root, require_tool,
    scene, wait_until,
};
use rustix::process::Signal;

/// Asks until this version answers, and no other does any more.
#[track_caller]
fn wait_for_version(daemon: &Daemon<'_>, version: u32) {
    let what = format!("version {version} answers");
    wait_until(PATIENCE, &what, || {
        let all = (0..4).map(|_| daemon.get("/version"));
        all.into_iter().all(|reply| reply.is_ok_and(|reply| reply.body == version.to_string()))
    });
}

/// Waits until the log of a scene says something so many times.
#[track_caller]
fn wait_for_lines(scene: &Scene, text: &str, count: usize) {
    wait_until(PATIENCE, &format!("the log says {text:?} {count} times"), || {
        scene.lines_with("error.log", text).len() >= count
    });
}

/// Upgrades to this version, and asserts that it is the same process with other children.
#[track_caller]
fn upgrade(daemon: &Daemon<'_>, program: &Program<'_>, version: u32) {
    let before = daemon.living();
    program.install(&format!("--version {version}"));
    daemon.signal(Signal::USR2);
    wait_for_version(daemon, version);
    daemon.wait_for_children(PATIENCE, before.len(), &before);
    let running = fs::metadata(format!("/proc/{}/exe", daemon.pid())).expect("it runs");
    assert_eq!(std::os::unix::fs::MetadataExt::ino(&running), program.inode());
}

/// L3: a daemon becomes the program that was put in its place, and keeps its pid and its files.
#[test]
fn a_daemon_becomes_the_new_program() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().board().daemon();
    let board = fs::metadata(scene.path("scoreboard")).expect("there");
    for version in 2..5 {
        upgrade(&daemon, &program, version);
        assert_eq!(Daemon::of_pid_file(&scene).pid(), daemon.pid());
        assert_eq!(scene.read("pid"), format!("{}\n", daemon.pid()));
    }
    let now = fs::metadata(scene.path("scoreboard")).expect("there");
    assert_eq!(
        std::os::unix::fs::MetadataExt::ino(&board),
        std::os::unix::fs::MetadataExt::ino(&now)
    );
    assert_eq!(find_process(daemon.pid()).map(|parent| parent.terminal), Some(0));
    daemon.stop_in_order();
}

#[test]
fn a_program_in_the_foreground_becomes_the_new_one() {
    let scene = scene!();
    let program = scene.program();
    // By a relative path, with relative paths as arguments: they mean what they meant.
    let running = scene
        .tool("./program")
        .args(["--listen", &scene.address().to_string(), "--pid-path", "pid"])
        .args(["--error-log-path", "error.log", "--access-log-path", "access.log"])
        .start();
    let daemon = running.ready();
    upgrade(&daemon, &program, 2);
    upgrade(&daemon, &program, 3);
    daemon.signal(Signal::TERM);
    assert!(running.finish().end.is_success());
    scene.assert_nothing_is_left();
}

/// D9: as process 1 of a namespace too.
#[test]
fn process_1_becomes_the_new_program() {
    if !require_root() || !require_tool("unshare") {
        return;
    }
    let scene = scene!();
    let program = scene.program();
    let container = ["unshare", "-pfm", "--mount-proc", "--kill-child"];
    let running = program.launch().paths().under(container).start();
    let daemon = running.ready();
    upgrade(&daemon, &program, 2);
    upgrade(&daemon, &program, 3);
    assert_eq!(scene.read("pid"), "1\n");
    daemon.signal(Signal::KILL);
}

/// L1, L5: any number of upgrades loses no request, and leaves nothing behind.
#[test]
fn upgrades_under_load_lose_no_request_and_leave_nothing_behind() {
    let scene = scene!();
    let program = scene.program();
    // The parent has descriptors for each child, so there are always as many.
    let size = ["--prefork", "4", "--max-children", "4"];
    let daemon = program.launch().board().args(size).daemon();
    let load = Load::start(8, scene.address(), "/");
    let mut first = None;
    for version in 2..22 {
        program.install(&format!("--version {version}"));
        daemon.signal(Signal::USR2);
        wait_for_version(&daemon, version);
        wait_for_lines(&scene, &format!("generation {version} now"), 1);
        let alone = "there are four children, and no hook process";
        wait_until(PATIENCE, alone, || prefork_tests::children(daemon.pid()).len() == 4);
        let now = || (descriptors(daemon.pid()), environment(daemon.pid()));
        // The first one may have opened something for good.
        if version > 2 {
            // A hook that is called for an earlier child, which may have left just now, answers by a pipe meanwhile.
            let first = first.get_or_insert_with(|| {
                let mut last = now();
                wait_until(PATIENCE, "no hook is called any more", || {
                    thread::sleep(Duration::from_millis(200));
                    mem::replace(&mut last, now()) == last
                });
                last
            });
            wait_until(PATIENCE, &format!("all is as it was, in version {version}"), || {
                *first == now()
            });
        }
    }
    let tally = load.stop();
    assert_eq!(tally.failures, [""; 0], "of {} requests", tally.answered);
    assert!(tally.answered > 100);
    assert_eq!(scene.lines_with("error.log", "error:"), [""; 0]);
    daemon.stop_in_order();
}

/// What the descriptors of a process lead to, the numbers of pipes and sockets left out.
fn descriptors(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives");
    let targets = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    let mut kinds: Vec<String> = targets
        .map(|target| target.to_string_lossy().split(":[").next().unwrap_or_default().to_owned())
        .collect();
    kinds.sort();
    kinds
}

/// The names in the environment that a process was started with.
fn environment(pid: u32) -> Vec<String> {
    let block = fs::read_to_string(format!("/proc/{pid}/environ")).expect("it lives");
    block.split('\0').map(|entry| entry.split('=').next().unwrap_or_default().to_owned()).collect()
}

/// L1: a request in hand is finished by the old child; the new program sees to it.
#[test]
fn the_request_in_hand_is_finished_by_the_old_program() {
    let scene = scene!();
    let program = scene.program();
    // Two at a time, as the one at work may be asked first, and takes its time.
    let size = ["--prefork", "2", "--max-surge", "2"];
    let daemon = program.launch().board().args(size).daemon();
    let request = InHand::at(scene.address(), "/hold");
    let old = request.worker();
    upgrade_while_busy(&daemon, &program);
    assert_eq!(request.release().expect("it is answered").worker(), old);
    daemon.wait_for_children(PATIENCE, 2, &[old.pid]);
    daemon.stop_in_order();
}

#[track_caller]
fn upgrade_while_busy(daemon: &Daemon<'_>, program: &Program<'_>) {
    program.install("--version 2");
    daemon.signal(Signal::USR2);
    wait_for_version(daemon, 2);
}

/// L4: while the file is open for writing it cannot be executed; it is tried again until it can.
#[test]
fn a_program_that_is_being_written_is_waited_for() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().daemon();
    program.install("--version 2");
    let writer = fs::File::options().append(true).open(program.path()).expect("opened");
    daemon.signal(Signal::USR2);
    wait_for_lines(&scene, "trying the program", 1);
    thread::sleep(Duration::from_millis(700));
    assert_eq!(daemon.get("/version").expect("the old one serves").body, "1");
    drop(writer);
    wait_for_version(&daemon, 2);
    assert_eq!(scene.lines_with("error.log", "error:"), [""; 0]);
    daemon.stop_in_order();
}

/// L3: a deployment that switches a symbolic link is followed by it.
#[test]
fn a_symbolic_link_to_the_program_is_followed_anew() {
    let scene = scene!();
    let program = scene.program();
    let link = scene.path("current");
    std::os::unix::fs::symlink(program.path(), &link).expect("linked");
    let second = scene.path("second");
    fs::write(&second, program.content("--version 2")).expect("written");
    fs::set_permissions(&second, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set");
    let listen = scene.address().to_string();
    let link_name = link.to_str().expect("a plain name").to_owned();
    let daemon = scene.tool(&link_name).args(["--listen", &listen]).daemon();
    std::os::unix::fs::symlink(&second, scene.path("next")).expect("linked");
    fs::rename(scene.path("next"), &link).expect("switched");
    daemon.signal(Signal::USR2);
    wait_for_version(&daemon, 2);
    daemon.stop_in_order();
}

/// Reports, the board, and asking go on between old children and the new program.
#[test]
fn old_children_are_still_understood() {
    let scene = scene!();
    let program = scene.program();
    let size = ["--prefork", "1", "--max-children", "4", "--max-surge", "2"];
    let daemon = program.launch().board().args(size).daemon();
    let old = InHand::at(scene.address(), "/hold");
    upgrade_while_busy(&daemon, &program);
    // Two: the old one at work, and a new one. The pool grows by what both say.
    let ask = |_| Sent::to(scene.address(), "/hold").expect("it listens");
    let more: Vec<Sent> = (0..3).map(ask).collect();
    wait_until(PATIENCE, "the pool has grown", || daemon.living().len() >= 4);
    for request in more.into_iter().map(Sent::taken).chain([old]) {
        request.release().expect("it is answered");
    }
    daemon.stop_in_order();
}
