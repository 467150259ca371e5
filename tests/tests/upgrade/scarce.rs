//! Upgrades where something is scarce or damaged.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
};

use prefork_tests::{PATIENCE, require_tool, scene, wait_until};
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
            log.contains("generation 2 now") || log.contains("; this one goes on")
        });
        assert_eq!(scene.lines_with("error.log", "failed to take over"), [""; 0], "{limit}");
        assert!(daemon.get("/version").is_ok(), "{limit}");
        daemon.stop_in_order();
    }
}

/// A damaged board is made anew, and is not in the way of anything afterwards.
#[test]
fn a_damaged_board_is_made_anew() {
    let scene = scene!();
    let program = scene.program();
    let daemon = program.launch().board().daemon();
    for version in 2..4 {
        // Only its head: old children that have lost their slots would end by SIGBUS.
        let board = File::options().write(true).open(scene.path("scoreboard")).expect("there");
        board.write_all_at(b"no scoreboard", 0).expect("damaged");
        upgrade(&daemon, &program, version);
        let log = scene.read("error.log");
        assert_eq!(log.matches("making a new scoreboard").count(), version as usize - 1, "{log}");
        assert!(!log.contains("no scoreboard:"), "{log}");
        let head = fs::read(scene.path("scoreboard")).expect("there");
        assert!(!head.starts_with(b"no scoreboard"), "it stands there still");
    }
    daemon.stop_in_order();
}
