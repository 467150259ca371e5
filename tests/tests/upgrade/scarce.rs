//! Upgrades where something is scarce or damaged.

use prefork_tests::{PATIENCE, require_tool, scene, wait_until};
use rustix::process::Signal;

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
