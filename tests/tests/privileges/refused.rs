//! Changes that cannot be, refused before anything is started.

use std::os::unix::fs::chown;

use prefork_tests::{Lack, PATIENCE, require_root, require_tool, scene, skip};

use crate::{NUMBERS, status};

/// D2: a user that does not exist is reported by the launcher, with all else that is wrong.
#[test]
fn what_cannot_be_is_refused_before_anything_is_started() {
    let scene = scene!();
    let refused = scene
        .probe()
        .args(["--daemonize", "--user", "no-such-user", "--group", "no-such-group"])
        .args(["--supplementary-groups", "4294967295", "--umask", "1000", "--rlimit-nofile", "3"])
        .paths()
        .finish();
    for words in [
        "user: there is no user \"no-such-user\"",
        "group: there is no group \"no-such-group\"",
        "supplementary_groups: 4294967295 is no group id",
        "umask: must be 0 to 0o777, but is 0o1000",
        "rlimit_nofile: must be at least 16, but is 3",
    ] {
        refused.assert_refused(words);
    }
    assert!(!scene.path("pid").exists() && !scene.path("error.log").exists());
    scene.wait_until_deserted(PATIENCE);
}

/// X2: what a container has taken from root is missed at once. Without `CAP_KILL` the children
/// would outlive their parent and every attempt to stop them.
#[test]
fn a_root_without_a_capability_is_refused() {
    if !require_root() || !require_tool("setpriv") {
        return;
    }
    let scene = scene!();
    for (lacking, words) in [
        ("-kill", "user: needs CAP_KILL to stop children"),
        ("-setuid", "user: needs CAP_SETUID to change to user id 54321"),
        ("-setgid", "group: needs CAP_SETGID to change to group id 54322"),
    ] {
        let wrapper = ["setpriv", &format!("--bounding-set={lacking}")];
        let refused = scene.probe().args(NUMBERS).paths().under(wrapper).finish();
        refused.assert_refused(words);
    }
    assert!(!scene.path("pid").exists() && !scene.path("error.log").exists());
}

/// A process that is not root may ask for what it is already, and for nothing else.
#[test]
fn a_process_that_is_not_root_can_stay_what_it_is() {
    if !require_root() || !require_tool("setpriv") {
        return;
    }
    let scene = scene!();
    let wrapper = ["setpriv", "--reuid=54321", "--regid=54322", "--clear-groups"];
    let program = env!("CARGO_BIN_EXE_probe");
    let reached = scene.tool("test").args(["-x", program]).under(wrapper).finish();
    if !reached.end.is_success() {
        skip(Lack::Platform(&format!("other users cannot reach {program}")));
        return;
    }
    chown(scene.path(""), Some(54321), Some(54322)).expect("root can");
    let launch = |flags: &[&str]| scene.probe().args(flags).under(wrapper);
    let words = "user: needs root to change to user id 54320, but the user id is 54321";
    launch(&["--user", "54320", "--group", "54322"]).paths().finish().assert_refused(words);
    let words = "supplementary_groups: needs root to change the supplementary groups";
    launch(&NUMBERS).paths().finish().assert_refused(words);
    let daemon = launch(&["--user", "54321", "--group", "54322", "--no-new-privs"]).daemon();
    for child in daemon.living() {
        assert_eq!(status(child, "Uid"), "54321 54321 54321 54321");
        assert_eq!(status(child, "Groups"), "");
    }
    daemon.stop_in_order();
}
