//! Which users are trusted with what: a table on a real file system, as root.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;

use prefork_reload::{Distrust, WatchList, trusted, trusted_file, trusted_way};

const MINE: u32 = 1234;
const OTHER: u32 = 4321;

/// The files of each case: `a/b/file`, and `link -> a/b`.
fn files(root: &Path) {
    fs::create_dir_all(root.join("a/b")).expect("created");
    fs::write(root.join("a/b/file"), "").expect("written");
    symlink("a/b", root.join("link")).expect("linked");
    for path in ["", "a", "a/b", "a/b/file"] {
        set(root, path, 0, 0, 0o755);
    }
}

fn set(root: &Path, path: &str, uid: u32, gid: u32, mode: u32) {
    let path = root.join(path);
    chown(&path, Some(uid), Some(gid)).expect("root may");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("root may");
}

/// Whether this runs as root, without whom nothing can be given to others.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: giving files to other users takes root");
    }
    root
}

#[test]
fn trust_as_a_table() {
    if !is_root() {
        return;
    }
    type Change = fn(&Path);
    let table: &[(&str, Change, &str, &str)] = &[
        ("all of it root's", |_| {}, "a/b/file", ""),
        ("all of it root's, through a link", |_| {}, "link/file", ""),
        ("a directory", |_| {}, "a/b", ""),
        ("the user's own file", |root| set(root, "a/b/file", MINE, MINE, 0o644), "a/b/file", ""),
        ("the user's own directory", |root| set(root, "a", MINE, MINE, 0o700), "a/b/file", ""),
        ("group 0 may write", |root| set(root, "a/b/file", 0, 0, 0o775), "a/b/file", ""),
        ("readable by all", |root| set(root, "a/b/file", 0, 100, 0o755), "a/b/file", ""),
        (
            "somebody else's file",
            |root| set(root, "a/b/file", OTHER, 0, 0o600),
            "a/b/file",
            "R/a/b/file belongs to user 4321 (mode 0600), who could change it; \
             run `chown 1234 R/a/b/file`",
        ),
        (
            "somebody else's directory in the middle",
            |root| set(root, "a", OTHER, 0, 0o755),
            "a/b/file",
            "R/a belongs to user 4321 (mode 0755), who could change it; run `chown 1234 R/a`",
        ),
        (
            "a file that a group may write",
            |root| set(root, "a/b/file", 0, 100, 0o664),
            "a/b/file",
            "R/a/b/file can be written by group 100 (owner 0, mode 0664); \
             run `chmod g-w R/a/b/file`",
        ),
        (
            "a directory that a group may write",
            |root| set(root, "a", 0, 100, 0o775),
            "a/b/file",
            "R/a can be written by group 100 (owner 0, mode 0775); run `chmod g-w R/a`",
        ),
        (
            "a directory that everybody may write",
            |root| set(root, "a/b", MINE, 100, 0o777),
            "a/b/file",
            "R/a/b can be written by everybody (owner 1234, mode 0777); run `chmod go-w R/a/b`",
        ),
        (
            "others may write, the group may not",
            |root| set(root, "a/b/file", 0, 0, 0o642),
            "a/b/file",
            "R/a/b/file can be written by everybody (owner 0, mode 0642); \
             run `chmod o-w R/a/b/file`",
        ),
        ("sticky, and the entry is root's", |root| set(root, "a", 0, 0, 0o1777), "a/b/file", ""),
        (
            "sticky, and the entry is the user's",
            |root| {
                set(root, "a/b", 0, 100, 0o1777);
                set(root, "a/b/file", MINE, 0, 0o600);
            },
            "a/b/file",
            "",
        ),
        (
            "sticky, and the entry is somebody else's",
            |root| {
                set(root, "a", 0, 0, 0o1777);
                set(root, "a/b", OTHER, 0, 0o700);
            },
            "a/b/file",
            "R/a/b belongs to user 4321 (mode 0700), who could change it; run `chown 1234 R/a/b`",
        ),
        (
            "sticky, but somebody else's",
            |root| set(root, "a", OTHER, 0, 0o1777),
            "a/b/file",
            "R/a belongs to user 4321 (mode 1777), who could change it; run `chown 1234 R/a`",
        ),
        (
            "sticky does not help what stands there itself",
            |root| set(root, "a/b", 0, 0, 0o1777),
            "a/b",
            "R/a/b can be written by everybody (owner 0, mode 1777); run `chmod o-w R/a/b`",
        ),
        (
            "behind a link: a directory there",
            |root| set(root, "a", 0, 100, 0o770),
            "link/file",
            "R/a can be written by group 100 (owner 0, mode 0770); run `chmod g-w R/a`",
        ),
        (
            "behind a link: the way to it",
            |root| set(root, "", 0, 0, 0o757),
            "link/file",
            "R can be written by everybody (owner 0, mode 0757); run `chmod o-w R`",
        ),
        (
            "somebody else's link",
            |root| lchown(root.join("link"), Some(OTHER), None).expect("root may"),
            "link/file",
            "R/link belongs to user 4321 (mode 0777), who could change it; \
             run `chown 1234 R/link`",
        ),
        (
            "down into a directory that anybody may write, and out of it again: it leads nowhere else",
            |root| {
                fs::create_dir(root.join("c")).expect("created");
                set(root, "c", 0, 0, 0o777);
                symlink("../c/../a/b", root.join("a/up")).expect("linked");
            },
            "a/up/file",
            "",
        ),
        ("it is missing", |_| {}, "a/nothing", "cannot examine R/a/nothing"),
        ("a file is no directory", |_| {}, "a/b/file/x", "cannot examine R/a/b/file"),
        (
            "a link to itself",
            |root| symlink("loop", root.join("loop")).expect("linked"),
            "loop",
            "cannot examine R/loop",
        ),
    ];
    let mut failures = Vec::new();
    for (case, change, path, expected) in table {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path();
        files(root);
        change(root);
        let found = trusted(root.join(path), MINE);
        let text = found.err().map_or_else(String::new, |error| error.to_string());
        let text = text.replace(root.to_str().expect("ascii"), "R");
        if text != *expected {
            failures.push(format!("{case}:\n  {text}\n  {expected}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What decides is who could put another file there, not whose the file is.
#[test]
fn ways_as_a_table() {
    if !is_root() {
        return;
    }
    type Change = fn(&Path);
    let table: &[(&str, Change, &str, &str)] = &[
        ("all of it root's", |_| {}, "a/b/file", ""),
        ("nothing there yet", |_| {}, "a/b/new", ""),
        ("no directory there yet", |_| {}, "a/c/new", ""),
        ("somebody else's file", |root| set(root, "a/b/file", OTHER, 0, 0o666), "a/b/file", ""),
        (
            "a directory of the user that children have",
            |root| set(root, "a/b", OTHER, 0, 0o755),
            "a/b/new",
            "R/a/b belongs to user 4321 (mode 0755), who could change it; run `chown 1234 R/a/b`",
        ),
        (
            "a directory that a group may write",
            |root| set(root, "a/b", 0, 50, 0o2775),
            "a/b/new",
            "R/a/b can be written by group 50 (owner 0, mode 2775); run `chmod g-w R/a/b`",
        ),
        (
            "one in the middle that everybody may write",
            |root| set(root, "a", 0, 0, 0o777),
            "a/b/file",
            "R/a can be written by everybody (owner 0, mode 0777); run `chmod o-w R/a`",
        ),
        ("sticky, and nothing there", |root| set(root, "a/b", 0, 0, 0o1777), "a/b/new", ""),
        ("sticky, and root's file", |root| set(root, "a/b", 0, 0, 0o1777), "a/b/file", ""),
        (
            "sticky, and somebody else's file",
            |root| {
                set(root, "a/b", 0, 0, 0o1777);
                set(root, "a/b/file", OTHER, 0, 0o600);
            },
            "a/b/file",
            "R/a/b/file belongs to user 4321 (mode 0600), who could change it; \
             run `chown 1234 R/a/b/file`",
        ),
        (
            "behind a link",
            |root| set(root, "a", 0, 50, 0o770),
            "link/new",
            "R/a can be written by group 50 (owner 0, mode 0770); run `chmod g-w R/a`",
        ),
        (
            "behind a link in the place of the file",
            |root| {
                symlink("a/b/new", root.join("log")).expect("linked");
                set(root, "a/b", OTHER, 0, 0o755);
            },
            "log",
            "R/a/b belongs to user 4321 (mode 0755), who could change it; run `chown 1234 R/a/b`",
        ),
        (
            "a link of procfs, which leads to a pipe",
            |root| symlink("/proc/self/fd/1", root.join("out")).expect("linked"),
            "out",
            "",
        ),
    ];
    for (case, change, path, expected) in table {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path();
        files(root);
        change(root);
        let found = trusted_way(root.join(path), MINE);
        let text = found.err().map_or_else(String::new, |error| error.to_string());
        assert_eq!(text.replace(root.to_str().expect("ascii"), "R"), *expected, "{case}");
    }
}

#[test]
fn a_list_is_distrusted_where_others_can_add_to_it() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let root = directory.path();
    files(root);
    let mut list = WatchList::new();
    list.file(root.join("a/b/file")).expect("absolute");
    list.directory(root.join("a/b")).expect("absolute");
    assert!(list.distrust(MINE).is_empty());
    set(root, "a/b", OTHER, 0, 0o755);
    let distrust = list.distrust(MINE);
    assert!(
        matches!(&distrust[..], [Distrust::Owner { .. }, Distrust::Owner { .. }]),
        "{distrust:?}"
    );
}

#[test]
fn an_open_file_is_judged_itself_whatever_the_path_leads_to_by_now() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let root = directory.path();
    files(root);
    let path = root.join("a/b/file");
    let open = File::open(&path).expect("readable");
    assert!(trusted_file(&open, &path, MINE).is_ok());

    set(root, "a/b/file", OTHER, 0, 0o644);
    fs::rename(&path, root.join("a/b/old")).expect("renamed");
    fs::write(&path, "").expect("written");
    assert!(trusted(&path, MINE).is_ok(), "the new one is root's");
    let error = trusted_file(&open, &path, MINE).expect_err("the open one is not");
    assert!(matches!(error, Distrust::Owner { owner: OTHER, mode: 0o644, .. }), "{error:?}");

    set(root, "a", 0, 0, 0o777);
    let good = File::open(&path).expect("readable");
    let error = trusted_file(&good, &path, MINE).expect_err("the way to it is open to all");
    assert!(matches!(error, Distrust::Writable { .. }), "{error:?}");
}

#[test]
fn a_relative_path_is_taken_from_the_working_directory() {
    // Where that is, is somebody's; that it is found is what counts.
    match trusted("Cargo.toml", rustix::process::geteuid().as_raw()) {
        Ok(()) | Err(Distrust::Owner { .. } | Distrust::Writable { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    assert!(matches!(trusted("", 0), Err(Distrust::Io { .. })));
}
