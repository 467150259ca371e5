//! The ways to the files of a daemon of root's.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
};

use prefork_tests::{
    PATIENCE, require_open_to_others, require_root, require_tool, scene, wait_until,
};
use rustix::process::Signal;
use tempfile::TempDir;

/// The user of the children.
const CHILDREN: u32 = 54321;

const AS_CHILDREN: [&str; 4] = ["--user", "54321", "--group", "54321"];

/// A directory in which everything of a daemon is to be, with a path that is short enough for a socket.
fn directory() -> (TempDir, String) {
    let directory = tempfile::tempdir().expect("made");
    let path = directory.path().to_str().expect("text").to_owned();
    (directory, path)
}

fn set(path: &str, user: u32, group: u32, mode: u32) {
    chown(path, Some(user), Some(group)).expect("root may");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("root may");
}

/// Everything that a daemon has in the file system, in one directory.
fn flags(directory: &str) -> Vec<String> {
    let flags = [
        ("--pid-path", "pid"),
        ("--scoreboard-path", "scoreboard"),
        ("--error-log-path", "error.log"),
        ("--access-log-path", "access.log"),
        ("--status-listen", "status"),
        ("--watch", "watched"),
    ];
    let flags =
        flags.iter().flat_map(|(flag, file)| [(*flag).to_owned(), format!("{directory}/{file}")]);
    flags.chain(["--auto-reload-check-every".to_owned(), "1000".to_owned()]).collect()
}

/// X3: what is wrong, and what to do about it, is reported of each file before anything is made.
#[test]
fn a_directory_in_which_others_can_make_files_is_refused() {
    if !require_root() {
        return;
    }
    let scene = scene!();
    let (_directory, files) = directory();
    let below = format!("{files}/below");
    fs::create_dir(&below).expect("made");
    for (case, user, group, mode, advice) in [
        ("the children's", CHILDREN, 0, 0o755, format!("run `chown 0 {files}`")),
        ("a group's", 0, 50, 0o2775, format!("run `chmod g-w {files}`")),
        ("everybody's", 0, 0, 0o777, format!("run `chmod o-w {files}`")),
    ] {
        set(&files, user, group, mode);
        for place in [&files, &below] {
            for mode in [&["--daemonize"][..], &[]] {
                let start = scene.probe().args(AS_CHILDREN).args(flags(place)).args(mode).finish();
                for argument in [
                    "pid_path",
                    "scoreboard_path",
                    "error_log_path",
                    "access_log_path",
                    "status_listen",
                    "auto_reload_watch",
                ] {
                    start.assert_refused(&format!("{argument}: others could put a file of theirs"));
                }
                start.assert_refused(&advice);
                let made: Vec<_> = fs::read_dir(place).expect("there").flatten().collect();
                let made = made.iter().filter(|entry| !entry.path().is_dir()).count();
                assert_eq!(made, 0, "{case}: something was made in {place}");
            }
        }
        let socket = format!("{below}/socket");
        let start = scene.probe().args(AS_CHILDREN).args(["--unix", &socket]).paths().finish();
        let said = start.stderr.clone() + &scene.read("error.log");
        assert!(said.contains("others could put a socket of theirs there"), "{case}: {start:?}");
        assert!(!start.end.is_success() && !Path::new(&socket).exists(), "{case}: {start:?}");
        fs::remove_file(scene.path("error.log")).expect("there");
    }
    scene.assert_nothing_is_left();
}

/// X3: under the sticky bit nobody else can replace a file, and what is there must be root's.
#[test]
fn a_directory_like_tmp_will_do() {
    if !require_root() {
        return;
    }
    let scene = scene!();
    let (_directory, files) = directory();
    set(&files, 0, 0, 0o1777);
    for name in ["pid", "error.log"] {
        let path = format!("{files}/{name}");
        fs::write(&path, "").expect("written");
        set(&path, CHILDREN, 0, 0o666);
        let start = scene.probe().args(AS_CHILDREN).args(flags(&files)).finish();
        start.assert_refused(&format!("{path} belongs to user {CHILDREN}"));
        fs::remove_file(&path).expect("removed");
    }
    let daemon = scene.probe().args(AS_CHILDREN).args(flags(&files)).start();
    wait_until(PATIENCE, "it serves", || {
        let log = fs::read_to_string(format!("{files}/error.log")).unwrap_or_default();
        log.contains("parent info: ready")
    });
    daemon.signal(Signal::TERM);
    assert!(daemon.finish().end.is_success());
}

/// Where everything is somebody's own there is nothing to gain.
#[test]
fn an_ordinary_user_decides_about_directories() {
    if !require_root() || !require_tool("setpriv") {
        return;
    }
    let scene = scene!();
    if !require_open_to_others(env!("CARGO_BIN_EXE_probe").as_ref()) {
        return;
    }
    let (_directory, files) = directory();
    set(&files, CHILDREN, CHILDREN, 0o777);
    let flags = flags(&files);
    let daemon = scene.probe().args(["--daemonize"]).args(flags);
    let user = CHILDREN.to_string();
    let daemon = daemon.under(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"]);
    let start = daemon.finish();
    assert!(start.end.is_success(), "{start:?}");
    let stopped = prefork::daemonize::stop(format!("{files}/pid"), &Default::default());
    stopped.map(drop).expect("stopped");
    scene.wait_until_deserted(PATIENCE);
}
