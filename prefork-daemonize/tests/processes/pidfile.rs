//! The pid file excludes and identifies, whatever stands at its path.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use prefork_daemonize::{Holder, PidFile, PidFileError, StopOptions, Stopped, running, stop};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{
    Scratch, fixture, is_root, lives, reap, run, skip, start, start_command_until, start_until,
    tests, text, until,
};

tests![
    says_who_runs_already,
    takes_over_any_stale_file,
    leaves_what_is_certainly_no_pid_file,
    never_signals_because_of_the_content,
    refuses_what_is_no_pid_file_and_leaves_it_alone,
    names_what_keeps_it_from_creating,
    leaves_nothing_half_written_on_a_full_disk,
    stays_locked_while_children_of_a_killed_daemon_live,
    stays_when_children_die,
    is_not_lost_by_looking_at_it_from_inside,
    is_not_kept_away_by_a_reader_with_a_record_lock,
    is_nobodys_to_take_or_release,
    is_taken_over_where_its_user_can_make_no_file,
    is_no_secret_while_it_is_made,
    is_removed_only_where_it_still_stands,
    is_made_by_an_ordinary_user,
];

fn says_who_runs_already(scratch: &Scratch) {
    let path = scratch.path("pid");
    let setting = format!("pidfile={}", text(&path));
    let pid = run(&mut fixture(&["daemon", &setting])).daemon();
    assert_eq!(scratch.read("pid"), format!("{}\n", pid.as_raw_nonzero()));
    let before = fs::metadata(&path).expect("missing");
    let done = run(&mut fixture(&["daemon", &setting]));
    done.assert_failed(&format!("already running (pid {})", pid.as_raw_nonzero()));
    done.assert_failed(text(&path));
    let after = fs::metadata(&path).expect("missing");
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
    assert_eq!(
        running(&path).expect("refused").pid().map(prefork_daemonize::Pid::as_raw),
        Some(pid.as_raw_nonzero().get())
    );
}

/// Everything that may have been left in a pid file, and a victim that may be hit by it.
fn contents(victim: Pid) -> Vec<Vec<u8>> {
    let mut contents: Vec<Vec<u8>> =
        ["", "0", "-1", "12abc", "1", "0x10", " 7", "\0\0\0\0", "+5\n"]
            .map(|content| content.as_bytes().to_vec())
            .to_vec();
    contents.push("9".repeat(30).into_bytes());
    contents.push(vec![b'1'; 1 << 20]);
    contents.push(format!("{}\n", std::process::id()).into_bytes());
    contents.push(format!("{}\n", victim.as_raw_nonzero()).into_bytes());
    contents.push(format!("-{}\n", victim.as_raw_nonzero()).into_bytes());
    contents
}

/// P3, P4.
/// A path that was mistyped must not cost a file.
fn leaves_what_is_certainly_no_pid_file(scratch: &Scratch) {
    let path = scratch.path("fstab");
    let precious = "/dev/sda1 / ext4 errors=remount-ro 0 1\n".repeat(3);
    std::fs::write(&path, &precious).expect("cannot write");
    let error = PidFile::create(&path).expect_err("taken over");
    assert!(matches!(error, PidFileError::Contents { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&path).expect("it is gone"), precious);
}

fn takes_over_any_stale_file(scratch: &Scratch) {
    let path = scratch.path("pid");
    for content in contents(rustix::process::getpid()) {
        fs::write(&path, &content).expect("cannot write");
        let pid_file = PidFile::create(&path).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(scratch.read("pid"), format!("{}\n", std::process::id()));
        assert_eq!(fs::metadata(&path).expect("missing").mode() & 0o7777, 0o644);
        pid_file.remove().expect("cannot remove");
        assert!(!path.exists());
    }
}

/// P3, P4: the process whose number is in the file is not the daemon.
fn never_signals_because_of_the_content(scratch: &Scratch) {
    let path = scratch.path("pid");
    let victim = start(&mut fixture(&["sleep"]));
    for content in contents(victim.pid()) {
        fs::write(&path, &content).expect("cannot write");
        assert_eq!(running(&path).expect("refused"), Holder::Nobody);
        let stopped = stop(&path, &StopOptions::new()).expect("refused");
        assert_eq!(stopped, Stopped::NotRunning, "{:?}", String::from_utf8_lossy(&content));
        assert!(lives(victim.pid()), "{:?} killed it", String::from_utf8_lossy(&content));
        assert_eq!(fs::read(&path).expect("missing"), content, "looking changed the file");
    }
    // A live daemon whose file names somebody else.
    let owner = scratch.path("owned");
    let setting = format!("pidfile={}", text(&owner));
    let daemon = run(&mut fixture(&["daemon", &setting])).daemon();
    fs::write(&owner, format!("{}\n", victim.pid().as_raw_nonzero())).expect("cannot write");
    let done = run(&mut fixture(&["stop", text(&owner), "10000"]));
    assert_eq!(done.stdout, format!("Terminated {{ pid: {} }}", debug(daemon)));
    assert!(lives(victim.pid()), "the process named by the file was killed");
    victim.kill();
}

/// How a pid of the crate prints itself.
fn debug(pid: Pid) -> String {
    let pid = prefork_daemonize::Pid::from_raw(pid.as_raw_nonzero().get());
    format!("{:?}", pid.expect("positive"))
}

/// P5.
fn refuses_what_is_no_pid_file_and_leaves_it_alone(scratch: &Scratch) {
    fs::write(scratch.path("victim"), "precious").expect("write");
    symlink("victim", scratch.path("symlink")).expect("symlink");
    symlink("nowhere", scratch.path("dangling")).expect("symlink");
    fs::write(scratch.path("victim2"), "precious").expect("write");
    fs::hard_link(scratch.path("victim2"), scratch.path("hard")).expect("link");
    let fifo = scratch.path("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o666), 0).expect("mkfifo");
    fs::create_dir(scratch.path("directory")).expect("mkdir");
    let begun = Instant::now();
    for (name, kind) in [
        ("symlink", "a symbolic link"),
        ("dangling", "a symbolic link"),
        ("hard", "2 hard links"),
        ("fifo", "a FIFO"),
        ("directory", "a directory"),
    ] {
        let error = PidFile::create(scratch.path(name)).expect_err(name).to_string();
        assert!(error.contains(kind) && error.contains(name), "{error}");
        let error = running(scratch.path(name)).expect_err(name).to_string();
        assert!(error.contains(kind) && error.contains(name), "{error}");
        let error = stop(scratch.path(name), &StopOptions::new()).expect_err(name).to_string();
        assert!(error.contains(kind) && error.contains(name), "{error}");
    }
    let error = PidFile::create("/dev/null").expect_err("device").to_string();
    assert!(error.contains("a character device"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(1), "it waited: {:?}", begun.elapsed());
    assert_eq!(
        (scratch.read("victim"), scratch.read("victim2")),
        ("precious".into(), "precious".into())
    );
    assert!(!scratch.path("nowhere").exists(), "a dangling link was followed");

    if !is_root() {
        return skip("only root can make files of another user");
    }
    fs::write(scratch.path("foreign"), "precious").expect("write");
    chown(scratch.path("foreign"), Some(12345), None).expect("chown");
    let error = PidFile::create(scratch.path("foreign")).expect_err("foreign");
    assert!(matches!(error, PidFileError::ForeignOwner { uid: 12345, .. }), "{error:?}");
    assert_eq!(scratch.read("foreign"), "precious");
}

fn names_what_keeps_it_from_creating(scratch: &Scratch) {
    let error = PidFile::create("/nonexistent/tinyd.pid").expect_err("created");
    assert!(matches!(error, PidFileError::NoDirectory { .. }), "{error:?}");
    assert!(error.to_string().contains("/nonexistent/tinyd.pid"), "{error}");
    let error = PidFile::create("").expect_err("created");
    assert!(matches!(error, PidFileError::Path { .. }), "{error:?}");
    fs::write(scratch.path("file"), "").expect("write");
    let error = PidFile::create(scratch.path("file/pid")).expect_err("created");
    assert!(matches!(error, PidFileError::Open { .. }), "{error:?}");
    assert!(matches!(
        PidFile::create("/proc/tinyd.pid"),
        Err(PidFileError::NoDirectory { .. } | PidFileError::Open { .. })
    ));
}

fn leaves_nothing_half_written_on_a_full_disk(scratch: &Scratch) {
    if !is_root() {
        return skip("only root can mount a small file system");
    }
    let disk = scratch.path("disk");
    fs::create_dir(&disk).expect("mkdir");
    let mount = |args: &[&str]| Command::new(args[0]).args(&args[1..]).status();
    let options = ["mount", "-t", "tmpfs", "-o", "size=4k", "none", text(&disk)];
    if !mount(&options).is_ok_and(|status| status.success()) {
        return skip("mount does not work here");
    }
    fs::write(disk.join("filler"), [0; 4096]).expect("cannot fill the disk");
    let path = disk.join("pid");
    let fresh = PidFile::create(&path);
    let left = path.exists();
    fs::write(&path, "").expect("cannot create an empty file");
    let stale = PidFile::create(&path);
    let left_stale = fs::read(&path).ok();
    let draft_left = disk.join(".pid.new").exists();
    fs::remove_file(disk.join("filler")).expect("cannot remove");
    let with_space = PidFile::create(&path).map(PidFile::remove);
    let unmounted = mount(&["umount", text(&disk)]);
    assert!(unmounted.is_ok_and(|status| status.success()), "cannot unmount {}", disk.display());
    for result in [fresh, stale] {
        let error = result.expect_err("written to a full disk");
        assert!(matches!(error, PidFileError::Write { .. }), "{error:?}");
    }
    assert!(!left, "an empty pid file stays behind");
    assert_eq!(left_stale, Some(Vec::new()), "what was there is left as it was");
    assert!(!draft_left, "a draft stays behind");
    with_space.expect("cannot create").expect("cannot remove");
}

/// The children hold the lock, so no second daemon starts beside them; and nobody is signalled
/// for the dead one.
fn stays_locked_while_children_of_a_killed_daemon_live(scratch: &Scratch) {
    let path = scratch.path("pid");
    let events = format!("events={}", text(&scratch.path("events")));
    let setting = format!("pidfile={}", text(&path));
    let daemon = run(&mut fixture(&["daemon", &setting, &events, "child=yes"])).daemon();
    let child = scratch.read("events");
    let child = child.lines().find_map(|line| line.strip_prefix("child ")?.parse().ok());
    let child = child.and_then(Pid::from_raw).expect("no child");
    kill_process(daemon, Signal::KILL).expect("cannot kill");
    reap(daemon);
    assert_eq!(running(&path).expect("refused"), Holder::Unproven);
    let done = run(&mut fixture(&["daemon", &setting]));
    done.assert_failed("still held by children of a daemon that has died");
    run(&mut fixture(&["stop", text(&path), "100"])).assert_failed("no process was signalled");
    assert!(lives(child), "the orphan was signalled");
    kill_process(child, Signal::KILL).expect("cannot kill");
    reap(child);
    run(&mut fixture(&["daemon", &setting])).daemon();
}

/// P8.
fn stays_when_children_die(scratch: &Scratch) {
    let path = scratch.path("pid");
    let events = format!("events={}", text(&scratch.path("events")));
    let setting = format!("pidfile={}", text(&path));
    let daemon = run(&mut fixture(&["daemon", &setting, &events, "child=yes"])).daemon();
    let child = scratch.read("events");
    let child: i32 =
        child.lines().find_map(|l| l.strip_prefix("child ")?.parse().ok()).expect("no child");
    kill_process(Pid::from_raw(child).expect("positive"), Signal::KILL).expect("cannot kill");
    until("the child is dead", || !lives(Pid::from_raw(child).expect("positive")));
    let holder = running(&path).expect("refused").pid().map(prefork_daemonize::Pid::as_raw);
    assert_eq!(holder, Some(daemon.as_raw_nonzero().get()));
    assert_eq!(scratch.read("pid"), format!("{}\n", daemon.as_raw_nonzero()));
}

fn is_not_lost_by_looking_at_it_from_inside(scratch: &Scratch) {
    let path = scratch.path("pid");
    let done = run(&mut fixture(&["own", text(&path)]));
    assert!(done.status.success(), "{done:?}");
    for line in [
        "second create: already running (pid ",
        "inside: true",
        "it does not signal itself",
        "outside: true",
        "after a careless read: Unproven",
        "second daemon then: pid file ",
        "restored: true",
    ] {
        assert!(done.stdout.contains(line), "{line:?} is missing: {done:?}");
    }
    assert!(!path.exists(), "dropping it should have removed it");
}

/// Anybody who can read a stale file can take a read lock on it.
fn is_not_kept_away_by_a_reader_with_a_record_lock(scratch: &Scratch) {
    let path = scratch.path("pid");
    fs::write(&path, "123\n").expect("write");
    let reader = start_until("locked", &["read-lock", text(&path)]);
    assert_eq!(running(&path).expect("refused"), Holder::Nobody, "a reader passes for an owner");
    let pid_file = PidFile::create(&path).unwrap_or_else(|error| panic!("{error}"));
    let outside = run(&mut fixture(&["running", text(&path)])).stdout;
    assert!(outside.starts_with("Owner"), "{outside}");
    pid_file.remove().expect("cannot remove");
    assert!(reader.finish().status.success());
}

/// An administrator removed the file, and another daemon made a new one.
fn is_removed_only_where_it_still_stands(scratch: &Scratch) {
    let path = scratch.path("pid");
    let first = PidFile::create(&path).expect("refused");
    fs::remove_file(&path).expect("cannot remove");
    let second = start_until("held", &["hold", text(&path)]);
    let content = scratch.read("pid");
    first.remove().expect("nothing to remove is no error");
    assert_eq!(scratch.read("pid"), content, "the newcomer's file was removed");
    assert!(second.finish().status.success());
    assert!(!path.exists());
}

/// A7. A stranger who can read the file takes what locks he can before a start and while a daemon runs.
fn is_nobodys_to_take_or_release(scratch: &Scratch) {
    let path = scratch.path("pid");
    let grab = |stage: &str, granted: &str| {
        let grabber = start_until("grabbed", &["grab", text(&path)]);
        assert_eq!(grabber.printed(), granted, "{stage}");
        grabber
    };
    fs::write(&path, "123\n").expect("write");
    let before = grab("stale", "grabbed flock true read true write false");
    assert_eq!(running(&path).expect("refused"), Holder::Nobody);
    let daemon = start_until("held", &["hold", text(&path)]);
    let during = grab("running", "grabbed flock true read false write false");
    let assert_it_runs = || {
        let pid = daemon.pid().as_raw_nonzero();
        run(&mut fixture(&["hold", text(&path)]))
            .assert_failed(&format!("already running (pid {pid})"));
        let holder = running(&path).expect("refused").pid().map(prefork_daemonize::Pid::as_raw);
        assert_eq!(holder, Some(pid.get()));
    };
    assert_it_runs();
    assert!(before.finish().status.success());
    assert!(during.finish().status.success());
    assert_it_runs();
    assert!(daemon.finish().status.success());
    assert!(!path.exists());
}

/// As where root has made the file for a user in /run.
fn is_taken_over_where_its_user_can_make_no_file(scratch: &Scratch) {
    if !is_root() {
        return skip("only root can make files for another user");
    }
    open_to_all(scratch);
    let Some(program) = program_for_all(scratch) else {
        return skip("the test program cannot be copied to where everybody may run it");
    };
    let path = scratch.path("pid");
    fs::write(&path, "").expect("write");
    chown(&path, Some(12345), Some(12345)).expect("chown");
    let hold = || as_user(&program, &["hold", text(&path)]);
    let daemon = start_command_until("held", &mut hold());
    let pid = daemon.pid().as_raw_nonzero();
    assert_eq!(scratch.read("pid"), format!("{pid}\n"));
    let refused = format!("already running (pid {pid})");
    run(&mut hold()).assert_failed(&refused);
    // Root could put another in its place, and does not.
    run(&mut fixture(&["hold", text(&path)])).assert_failed("belongs to user 12345");
    // Only that the file cannot be removed is an error at the end.
    assert!(daemon.finish().stderr.contains("cannot remove pid file"));
    let reader = start_until("grabbed", &["grab", text(&path)]);
    run(&mut hold()).assert_failed("cannot lock pid file");
    assert!(reader.finish().status.success());
    // Somebody makes a file there.
    fs::write(scratch.path(".pid.new"), "").expect("write");
    run(&mut hold()).assert_failed("is being made by another process");
}

/// While a start is stopped in the middle nobody has a lock, and the path is as it was.
fn is_no_secret_while_it_is_made(scratch: &Scratch) {
    let (path, draft) = (scratch.path("pid"), scratch.path(".pid.new"));
    fs::write(&draft, "").expect("write");
    let maker = start_until("locked", &["lock", text(&draft)]);
    let done = run(&mut fixture(&["hold", text(&path)]));
    done.assert_failed(&format!("is being made by process {}", maker.pid().as_raw_nonzero()));
    done.assert_failed(text(&draft));
    assert!(!path.exists());
    assert!(maker.finish().status.success());
    // What a start has left that was killed is in nobody's way.
    assert!(start_until("held", &["hold", text(&path)]).finish().status.success());
    assert!(!path.exists() && !draft.exists());
    symlink("pid", scratch.path("link")).expect("symlink");
    fs::rename(scratch.path("link"), &draft).expect("rename");
    run(&mut fixture(&["hold", text(&path)])).assert_failed("is a symbolic link");
    assert!(!path.exists());
}

fn is_made_by_an_ordinary_user(scratch: &Scratch) {
    if !is_root() {
        return skip("the other tests have shown it: they do not run as root");
    }
    let path = scratch.path("pid");
    open_to_all(scratch);
    let Some(program) = program_for_all(scratch) else {
        return skip("the test program cannot be copied to where everybody may run it");
    };
    let as_user = |args: &[&str]| as_user(&program, args);
    if as_user(&["nothing"]).stderr(std::process::Stdio::null()).status().is_err() {
        return skip("the directory for temporary files is closed to other users");
    }
    run(&mut as_user(&["hold", text(&path)])).assert_failed("Permission denied");
    fs::create_dir(scratch.path("own")).expect("mkdir");
    chown(scratch.path("own"), Some(12345), Some(12345)).expect("chown");
    let path = scratch.path("own/pid");
    let setting = format!("pidfile={}", text(&path));
    let daemon = run(&mut as_user(&["daemon", &setting])).daemon();
    // Root may stop it, an ordinary user may not stop root's.
    let done = run(&mut fixture(&["stop", text(&path), "10000"]));
    assert_eq!(done.stdout, format!("Terminated {{ pid: {} }}", debug(daemon)), "{done:?}");
    let roots = scratch.path("roots.pid");
    let daemon = run(&mut fixture(&["daemon", &format!("pidfile={}", text(&roots))])).daemon();
    run(&mut as_user(&["stop", text(&roots), "100"])).assert_failed("cannot signal process");
    assert!(lives(daemon));
    // A file of the user that leads to a process of root is not believed.
    let bait = scratch.path("own/bait");
    fs::write(&bait, "").expect("write");
    chown(&bait, Some(12345), None).expect("chown");
    let victim = start_until("locked", &["lock", text(&bait)]);
    run(&mut fixture(&["stop", text(&bait), "100"])).assert_failed("who has no right to signal");
    assert!(lives(victim.pid()), "root killed a process of root for a user");
    assert!(victim.finish().status.success());
}

fn open_to_all(scratch: &Scratch) {
    fs::set_permissions(scratch.path(""), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("chmod");
}

fn as_user(program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).env(crate::fixture::MARK, "1").uid(12345).gid(12345);
    command
}

/// A copy of this program that any user can run; the build directory may be closed to others.
fn program_for_all(scratch: &Scratch) -> Option<std::path::PathBuf> {
    let copy = scratch.path("program");
    fs::copy(crate::harness::program(), &copy).ok()?;
    fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o755)).ok()?;
    Some(copy)
}
