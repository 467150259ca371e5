//! A log goes where it should, at once or not at all.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::time::{Duration, Instant};

use prefork_daemonize::{LogError, open_log};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use crate::harness::{Scratch, is_root, skip, tests};

tests![
    appends_and_keeps_the_mode_of_an_old_log,
    creates_a_log_that_the_world_cannot_read,
    allows_dev_null_and_never_blocks_afterwards,
    refuses_what_is_no_log_at_once,
    names_a_missing_log_directory,
    follows_links_of_the_right_users_only,
    follows_standard_output,
    takes_nobody_elses_file_where_everybody_can_make_some,
];

fn appends_and_keeps_the_mode_of_an_old_log(scratch: &Scratch) {
    let path = scratch.path("log");
    fs::write(&path, "old\n").expect("cannot write");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).expect("cannot chmod");
    let mut one = open_log(&path).expect("refused");
    let mut two = open_log(&path).expect("refused");
    writeln!(one, "1").and_then(|()| writeln!(two, "2")).expect("cannot log");
    fs::write(&path, "").expect("cannot truncate");
    writeln!(one, "3").expect("cannot log");
    assert_eq!(scratch.read("log"), "3\n", "a truncated log must not get a hole");
    assert_eq!(fs::metadata(&path).expect("missing").mode() & 0o777, 0o604);
}

fn creates_a_log_that_the_world_cannot_read(scratch: &Scratch) {
    let file = open_log(scratch.path("log")).expect("refused");
    assert_eq!(file.metadata().expect("fstat").mode() & 0o7777, 0o640);
    assert!(rustix::io::fcntl_getfd(&file).expect("fcntl").contains(rustix::io::FdFlags::CLOEXEC));
}

fn allows_dev_null_and_never_blocks_afterwards(scratch: &Scratch) {
    for path in ["/dev/null".into(), scratch.path("new"), scratch.path("new")] {
        let file = open_log(&path).unwrap_or_else(|error| panic!("{error}"));
        let flags = rustix::fs::fcntl_getfl(&file).expect("fcntl");
        assert!(!flags.contains(OFlags::NONBLOCK), "{} would lose lines", path.display());
        assert!(flags.contains(OFlags::APPEND), "{} would be overwritten", path.display());
    }
}

fn refuses_what_is_no_log_at_once(scratch: &Scratch) {
    fs::create_dir(scratch.path("directory")).expect("mkdir");
    let fifo = scratch.path("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o666), 0).expect("mkfifo");
    symlink("fifo", scratch.path("link-to-fifo")).expect("symlink");
    let _socket = std::os::unix::net::UnixListener::bind(scratch.path("socket")).expect("bind");
    let begun = Instant::now();
    for (name, kind) in [
        ("directory", "a directory"),
        ("fifo", "a FIFO"),
        ("link-to-fifo", "a FIFO"),
        ("socket", "a socket"),
    ] {
        let error = open_log(scratch.path(name)).expect_err(name).to_string();
        assert!(error.contains(kind) && error.contains(name), "{error}");
    }
    fs::write(scratch.path("victim"), "precious").expect("write");
    fs::hard_link(scratch.path("victim"), scratch.path("hard")).expect("link");
    let error = open_log(scratch.path("hard")).expect_err("hard link");
    assert!(matches!(error, LogError::HardLinked { links: 2, .. }), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(1), "it waited: {:?}", begun.elapsed());
}

/// D2.
fn names_a_missing_log_directory(_: &Scratch) {
    let error = open_log("/nonexistent/logs/error.log").expect_err("opened");
    assert!(matches!(error, LogError::NoDirectory { .. }), "{error:?}");
    assert!(error.to_string().contains("/nonexistent/logs/error.log"), "{error}");
}

fn follows_links_of_the_right_users_only(scratch: &Scratch) {
    fs::write(scratch.path("target"), "").expect("write");
    symlink("target", scratch.path("one")).expect("symlink");
    symlink(scratch.path("one"), scratch.path("two")).expect("symlink");
    let mut log = open_log(scratch.path("two")).expect("our own links are refused");
    writeln!(log, "x").expect("cannot log");
    assert_eq!(scratch.read("target"), "x\n");

    symlink("nowhere", scratch.path("dangling")).expect("symlink");
    symlink("circle", scratch.path("circle")).expect("symlink");
    for name in ["dangling", "circle"] {
        let error = open_log(scratch.path(name)).expect_err(name);
        assert!(matches!(error, LogError::DanglingLink { .. }), "{name}: {error:?}");
    }
    assert!(!scratch.path("nowhere").exists(), "the target of a dangling link was created");

    if !is_root() {
        return skip("only root can make links of another user");
    }
    symlink("/etc/passwd", scratch.path("evil")).expect("symlink");
    std::os::unix::fs::lchown(scratch.path("evil"), Some(12345), None).expect("lchown");
    symlink("evil", scratch.path("behind")).expect("symlink");
    for name in ["evil", "behind"] {
        let error = open_log(scratch.path(name)).expect_err(name);
        assert!(matches!(error, LogError::ForeignLink { uid: 12345, .. }), "{name}: {error:?}");
    }
    chown(scratch.path("target"), Some(12345), None).expect("chown");
    open_log(scratch.path("target")).expect("rotation gives logs to the children's user");
}

fn takes_nobody_elses_file_where_everybody_can_make_some(scratch: &Scratch) {
    if !is_root() {
        return skip("only root can make files of another user");
    }
    let log = scratch.path("log");
    fs::write(&log, "").expect("write");
    chown(&log, Some(12345), None).expect("chown");
    fs::set_permissions(scratch.path(""), fs::Permissions::from_mode(0o1777)).expect("chmod");
    let error = open_log(&log).expect_err("opened");
    assert!(matches!(error, LogError::ForeignFile { uid: 12345, .. }), "{error:?}");
    symlink("log", scratch.path("link")).expect("symlink");
    let error = open_log(scratch.path("link")).expect_err("opened");
    assert!(matches!(error, LogError::ForeignFile { uid: 12345, .. }), "{error:?}");
    fs::set_permissions(scratch.path(""), fs::Permissions::from_mode(0o755)).expect("chmod");
    open_log(&log).expect("only root and its user can have put it there");
}

/// `/dev/stdout` is a link to a link of procfs that leads to no path.
fn follows_standard_output(scratch: &Scratch) {
    let file = fs::File::create(scratch.path("stdout")).expect("create");
    fs::remove_file(scratch.path("stdout")).expect("remove");
    let link = scratch.path("link");
    let number = std::os::fd::AsRawFd::as_raw_fd(&file);
    symlink(format!("/proc/self/fd/{number}"), &link).expect("symlink");
    let mut log = open_log(&link).expect("refused");
    writeln!(log, "x").expect("cannot log");
    assert_eq!(file.metadata().expect("fstat").len(), 2);
}
