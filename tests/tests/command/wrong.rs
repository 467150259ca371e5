//! Wrong files, and outputs that take nothing.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use prefork::scoreboard::Board;
use prefork_tests::{End, require_root, scene};

use crate::{command, run};

/// Errors say what to do, and a missing file is not the same as a wrong one.
#[test]
fn errors_say_what_to_do() {
    let scene = scene!();
    fs::write(scene.path("text"), "some text that is long enough to be no pid\n").expect("written");
    fs::write(scene.path("stale"), "4194304\n").expect("written");
    fs::create_dir(scene.path("directory")).expect("made");
    assert!(scene.tool("mkfifo").args([scene.path("fifo")]).finish().end.is_success());
    symlink(scene.path("stale"), scene.path("link")).expect("made");
    fs::write(scene.path("foreign"), [0x5a; 100_000]).expect("written");
    let board = Board::open_or_create(scene.path("shared"), 2).expect("made");
    let _short = Board::open_or_create(scene.path("short"), 2).expect("made");
    let file = fs::File::options().write(true).open(scene.path("short")).expect("it is there");
    file.set_len(5000).expect("it can be cut");
    for name in ["status", "status --json", "metrics"] {
        for (file, text) in [
            ("text", "is no scoreboard that can be read"),
            ("foreign", "it does not begin like one"),
            ("directory", "is not a regular file"),
            ("link", "is a symbolic link"),
            ("short", "it is 5000 bytes long, but must be at least"),
        ] {
            run(&scene, &format!("{name} @{file}"), 1).assert_refused(text);
        }
    }
    let missing = scene.path("nothing").display().to_string();
    for name in ["status", "status --json", "metrics", "top"] {
        let refused = run(&scene, &format!("{name} @nothing"), 3).stderr;
        assert_eq!(
            refused,
            format!("prefork: not running: there is no board or pid file {missing}\n")
        );
    }
    for name in ["status", "metrics"] {
        for (file, status, text) in [
            ("stale", 3, "prefork: not running: no daemon holds pid file"),
            ("fifo", 1, "fifo cannot be a scoreboard: it is not a regular file"),
        ] {
            run(&scene, &format!("{name} @{file}"), status).assert_refused(text);
        }
    }
    for name in ["running", "stop", "reload", "upgrade", "reopen", "signal HUP"] {
        for (file, status, text) in [
            ("nothing", 3, "not running: no daemon holds pid file"),
            ("stale", 3, "not running: no daemon holds pid file"),
            ("directory", 1, "is a directory"),
            ("link", 1, "is a symbolic link"),
            ("shared", 1, "is a scoreboard, not a pid file"),
            ("short", 1, "is a scoreboard, not a pid file"),
            ("text", 3, "not running: no daemon holds pid file"),
        ] {
            run(&scene, &format!("{name} @{file}"), status).assert_refused(text);
        }
    }
    for (file, status, text) in [
        ("nothing", 3, "there is no such file"),
        ("stale", 3, "a pid file that nobody holds"),
        ("text", 1, "neither a pid file nor a scoreboard"),
        ("foreign", 1, "neither a pid file nor a scoreboard"),
        ("directory", 1, "is not a regular file"),
        ("link", 1, "is a symbolic link"),
        ("shared", 0, "all is well: shared by processes that claim slots, up"),
        ("short", 1, "it is 5000 bytes long, but must be at least"),
    ] {
        let found = run(&scene, &format!("check @{file}"), status);
        assert!(found.stdout.contains(text), "{file}: {found:?}");
    }
    let all = run(&scene, "check @shared @stale @text", 3).stdout;
    assert_eq!(all.lines().count(), 3, "{all}");
    drop(board);
}

/// A FIFO is no reason to wait.
#[test]
fn nothing_waits_for_the_other_end_of_a_fifo() {
    let scene = scene!();
    assert!(scene.tool("mkfifo").args([scene.path("fifo")]).finish().end.is_success());
    for words in ["status @fifo", "check @fifo", "stop @fifo", "running @fifo"] {
        let _ = run(&scene, words, 1);
    }
}

/// Names of files are data, not orders to the terminal.
#[test]
fn a_name_cannot_move_the_terminal() {
    let scene = scene!();
    let name = "\x1b[2J\u{202e}x";
    fs::write(scene.path(name), "x").expect("written");
    let checked = command(&scene, "check").args([scene.path(name)]).finish();
    assert!(checked.stdout.contains("\\u{1b}[2J\\u{202e}x: neither"), "{checked:?}");
    let shown = command(&scene, "status").args([scene.path(name)]).finish();
    assert!(shown.stderr.contains("\\u{1b}[2J"), "{shown:?}");
    for text in [checked.stdout, checked.stderr, shown.stdout, shown.stderr] {
        assert!(!text.contains(['\x1b', '\u{202e}']), "{text:?}");
    }
}

/// Other users get an error that names the owner.
#[test]
fn a_board_is_not_for_everybody() {
    if !require_root() || !prefork_tests::require_tool("setpriv") {
        return;
    }
    let scene = scene!();
    // The directory of a scene need not be open to everybody.
    let directory = tempfile::tempdir().expect("a directory");
    let directory = directory.path();
    fs::set_permissions(directory, Permissions::from_mode(0o755)).expect("it is ours");
    let path = directory.join("board");
    let _board = Board::open_or_create(&path, 2).expect("made");
    let program = directory.join("prefork");
    fs::copy(env!("CARGO_BIN_EXE_prefork-command"), &program).expect("copied");
    let refused = scene
        .tool("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args([&program, Path::new("status"), &path])
        .finish();
    refused.assert_refused("no right to read board");
}

/// A reader that has read enough is no failure, a full disk is one.
#[test]
fn an_output_that_takes_nothing_more() {
    let scene = scene!();
    let _board = Board::open_or_create(scene.path("board"), 2).expect("made");
    for words in ["status --all @board", "metrics @board", "completions zsh", "--help"] {
        // The reader has gone for certain when the colon says so.
        let script = "{ until [ -e gone ]; do sleep 0.01; done; \"$@\"; echo \"status $?\" >&2; } \
                      | { exec <&-; : > gone; }";
        let _ = fs::remove_file(scene.path("gone"));
        let piped = command(&scene, words).under(["/bin/sh", "-c", script, "sh"]).finish();
        assert_eq!(piped.stderr, "status 0\n", "{words}: {piped:?}");
    }
    let full = command(&scene, "metrics @board").after_shell("exec >/dev/full").finish();
    assert_eq!(full.end, End::Exited(1));
    full.assert_refused("cannot write to standard output: No space left on device");
    let closed = command(&scene, "stop @nothing").after_shell("exec 2>&- >&-").finish();
    assert_eq!(closed.end, End::Exited(3));
}
