//! Upgrades where something is scarce or damaged.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::PathBuf,
};

use prefork_tests::{PATIENCE, require_root, require_tool, scene, wait_until};
use rustix::process::Signal;

use super::upgrade;

/// However few descriptors there may be: the daemon becomes the new program, or stays what it is.
#[test]
fn no_limit_of_descriptors_ends_the_daemon() {
    if !require_tool("prlimit") {
        return;
    }
    for limit in (26..=46).step_by(2) {
        let scene = scene!();
        let program = scene.program();
        let limit = format!("--nofile={limit}:{limit}");
        let daemon = program.launch().board().under(["prlimit", &limit]).daemon();
        program.install("--version 2");
        daemon.signal(Signal::USR2);
        wait_until(PATIENCE, "it has become the new program, or refused it", || {
            let log = scene.read("error.log");
            log.contains("generation 2 now") || log.contains("; the running program goes on")
        });
        assert_eq!(scene.lines_with("error.log", "failed to take over"), [""; 0], "{limit}");
        assert!(daemon.get("/version").is_ok(), "{limit}");
        daemon.stop_in_order();
    }
}

/// S2: a board that was damaged is there again before the next program comes, and after it.
#[test]
fn a_damaged_board_is_made_again() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().board().daemon();
    let board = || fs::read(scene.path("scoreboard")).unwrap_or_default();
    for version in 2..4 {
        let file = File::options().write(true).open(scene.path("scoreboard")).expect("there");
        file.write_all_at(b"no scoreboard", 0).expect("damaged");
        upgrade(&daemon, &program, version);
        wait_until(PATIENCE, "there is a board", || board().starts_with(b"PFSBOARD"));
        // By the program that runs ("making the scoreboard again") or, if it has had no time to, by the next
        // ("making a new scoreboard").
        let complaints = scene.lines_with("error.log", "; making ");
        assert_eq!(complaints.len(), version as usize - 1, "{complaints:?}");
    }
    daemon.stop_in_order();
}

/// S2: a board that was lost while the disk is full is made by the next program, once there is room.
#[test]
fn a_board_that_is_lost_on_a_full_disk_comes_back_after_an_upgrade() {
    if !require_root() || !require_tool("unshare") {
        return;
    }
    let scene = scene!();
    let small = scene.path("small");
    fs::create_dir(&small).expect("made");
    let board = small.join("board").display().to_string();
    let mounted = format!("mount -t tmpfs -o size=128k none {} || exit 9", small.display());
    let program = scene.program();
    let args = ["--prefork", "2", "--max-children", "3", "--scoreboard-path", &board];
    let launch = program.launch().args(args).after_shell(&mounted).under(["unshare", "-m"]);
    let daemon = launch.daemon();
    let inside = |path: &str| PathBuf::from(format!("/proc/{}/root{path}", daemon.pid()));
    let filler = inside(&small.join("filler").display().to_string());
    let _ = fs::write(&filler, vec![1; 1 << 20]);
    fs::remove_file(inside(&board)).expect("removed");
    wait_until(PATIENCE, "it says why there is none", || {
        !scene.lines_with("error.log", "tried again every second").is_empty()
    });
    upgrade(&daemon, &program, 2);
    assert!(!inside(&board).exists(), "the disk is full");
    fs::remove_file(&filler).expect("removed");
    wait_until(PATIENCE, "there is a board", || inside(&board).exists());
    daemon.stop_in_order();
}
