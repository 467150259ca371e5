//! The user of the children, and that none runs as anybody else.

mod failing;
mod refused;
mod ways;

use std::{fs, os::unix::fs::MetadataExt, time::Duration};

use prefork_tests::{Launch, PATIENCE, kill, require_root, require_tool, scene, status_of};
use rustix::process::Signal;

/// A user and groups that exist nowhere, given by number.
const NUMBERS: [&str; 6] =
    ["--user", "54321", "--group", "54322", "--supplementary-groups", "54323,7"];

/// X1: what was asked for is what the kernel shows, of every child, and the way back is closed.
#[test]
fn children_are_what_was_asked_for() {
    if !require_root() {
        return;
    }
    let scene = scene!();
    let daemon = scene
        .probe()
        .args(NUMBERS)
        .args(["--umask", "027", "--no-new-privs", "--rlimit-nofile", "99"])
        .daemon();
    for child in daemon.living() {
        assert_eq!(status(child, "Uid"), "54321 54321 54321 54321");
        assert_eq!(status(child, "Gid"), "54322 54322 54322 54322");
        assert_eq!(status(child, "Groups"), "7 54323");
        for set in ["CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(status(child, set), "0000000000000000", "{set}");
        }
        assert_eq!(
            (status(child, "Umask"), status(child, "NoNewPrivs")),
            ("0027".into(), "1".into())
        );
        assert_eq!(descriptors(child), "99 99");
    }
    for user in ["0", "1"] {
        let reply = daemon.get(&format!("/setuid/{user}")).expect("an answer");
        assert!(reply.body.contains("EPERM"), "to user {user}: {reply:?}");
    }
    let parent = daemon.pid();
    assert_eq!(status(parent, "Uid"), "0 0 0 0", "the parent has changed");
    assert_eq!(status(parent, "NoNewPrivs"), "0", "the parent has changed");
    assert_ne!(descriptors(parent), "99 99", "the parent has changed");
    for file in ["pid", "error.log", "access.log"] {
        let found = fs::metadata(scene.path(file)).expect("it is there");
        assert_eq!((found.uid(), found.gid()), (0, 0), "the owner of {file}");
    }
    daemon.stop_in_order();
}

/// X1: each argument alone changes what it says and nothing else.
#[test]
fn what_was_not_asked_for_stays() {
    if !require_root() {
        return;
    }
    for (flags, user, group, groups, mask) in [
        (&[][..], "0", "0", None, "0022"),
        (&["--user", "54321", "--group", "5"], "54321", "5", Some("5"), "0022"),
        (&["--group", "5"], "0", "5", None, "0022"),
        (&["--supplementary-groups", "9,8"], "0", "0", Some("8 9"), "0022"),
        (&["--supplementary-groups", ""], "0", "0", Some(""), "0022"),
        (&["--umask", "077"], "0", "0", None, "0077"),
    ] {
        let scene = scene!();
        let daemon = scene.probe().args(["--prefork", "1"]).args(flags).daemon();
        let child = daemon.living()[0];
        let four = |id| [id; 4].join(" ");
        assert_eq!(status(child, "Uid"), four(user), "with {flags:?}");
        assert_eq!(status(child, "Gid"), four(group), "with {flags:?}");
        let parents = status(daemon.pid(), "Groups");
        assert_eq!(status(child, "Groups"), groups.unwrap_or(&parents), "with {flags:?}");
        assert_eq!(status(child, "Umask"), mask, "with {flags:?}");
        assert_eq!(status(child, "NoNewPrivs"), "0", "with {flags:?}");
        assert_eq!(descriptors(child), descriptors(daemon.pid()), "with {flags:?}");
        daemon.stop_in_order();
    }
}

/// X1: a name brings the groups of the database, as they were when the daemon started.
#[test]
fn a_user_has_the_groups_of_the_database() {
    if !require_root() || !require_tool("unshare") {
        return;
    }
    let scene = scene!();
    fs::write(scene.path("passwd"), "root:x:0:0::/:/bin/sh\nweb:x:700:701::/:/bin/sh\n")
        .expect("written");
    let groups = "root:x:0:\nweb:x:701:\nlogs:x:702:other,web\nadm:x:703:other\ntls:x:704:web\n";
    fs::write(scene.path("group"), groups).expect("written");
    fs::write(scene.path("nsswitch.conf"), "passwd: files\ngroup: files\n").expect("written");
    let daemon =
        with_own_database(scene.probe().args(["--prefork", "1", "--user", "web"])).daemon();
    let before = daemon.living();
    let shown = |child| ["Uid", "Gid", "Groups"].map(|name| status(child, name));
    let expected = ["700 700 700 700", "701 701 701 701", "701 702 704"];
    assert_eq!(shown(before[0]), expected);
    // A child that asked again would find nothing.
    for file in ["passwd", "group"] {
        fs::write(scene.path(file), "").expect("written");
    }
    assert!(kill(before[0], Signal::KILL));
    daemon.wait_for_children(PATIENCE, 1, &before);
    daemon.get("/").expect("it serves");
    assert_eq!(shown(daemon.living()[0]), expected);
    daemon.stop_in_order();
}

/// R6: children that have changed their user die with their parent too.
#[test]
fn children_of_another_user_do_not_outlive_their_parent() {
    if !require_root() {
        return;
    }
    for main_loop in ["serve", "sleep", "deaf", "freeze"] {
        let scene = scene!();
        let daemon = scene.probe().args(NUMBERS).args(["--main-loop", main_loop]).foreground();
        assert_eq!(daemon.living().len(), 3);
        daemon.signal(Signal::KILL);
        scene.wait_until_deserted(Duration::from_secs(5));
    }
}

/// X1: without children it is the one process that changes; only its pid file it cannot remove.
#[test]
fn a_daemon_without_children_changes_itself() {
    if !require_root() {
        return;
    }
    let scene = scene!();
    let daemon = scene.probe().args(NUMBERS).args(["--prefork", "0"]).daemon();
    assert_eq!(status(daemon.pid(), "Uid"), "54321 54321 54321 54321");
    assert_eq!(status(daemon.pid(), "Groups"), "7 54323");
    let reply = daemon.get("/setuid/0").expect("an answer");
    assert!(reply.body.contains("EPERM"), "{reply:?}");
    daemon.signal(Signal::TERM);
    let end = daemon.wait_for_end(PATIENCE);
    assert!(end.is_success(), "it {end}");
    // A stale pid file does not hinder the next.
    let next = scene.probe().args(["--prefork", "0"]).daemon();
    next.stop_in_order();
}

/// X1: a parent that drops too goes on replacing and stopping its children, and takes them with it.
#[test]
fn a_parent_can_become_what_its_children_are() {
    if !require_root() {
        return;
    }
    let scene = scene!();
    let flags = ["--drop-parent", "--no-new-privs", "--rlimit-nofile", "99"];
    for orderly in [true, false] {
        let daemon = scene.probe().args(NUMBERS).args(flags).daemon();
        let before = daemon.living();
        assert!(kill(before[0], Signal::KILL));
        daemon.wait_for_children(PATIENCE, 3, &before[..1]);
        daemon.get("/").expect("it serves");
        for pid in daemon.living().into_iter().chain([daemon.pid()]) {
            assert_eq!(status(pid, "Uid"), "54321 54321 54321 54321", "of process {pid}");
            assert_eq!(status(pid, "Gid"), "54322 54322 54322 54322", "of process {pid}");
            assert_eq!(status(pid, "Groups"), "7 54323", "of process {pid}");
            assert_eq!(status(pid, "NoNewPrivs"), "1", "of process {pid}");
            assert_eq!(descriptors(pid), "99 99", "of process {pid}");
        }
        if orderly {
            daemon.signal(Signal::TERM);
            assert!(daemon.wait_for_end(PATIENCE).is_success());
            // It may not remove it from a directory of root's, and the next start takes it over.
            assert!(scene.path("pid").exists());
            scene.wait_until_deserted(PATIENCE);
        } else {
            daemon.signal(Signal::KILL);
            scene.wait_until_deserted(Duration::from_secs(5));
        }
    }
}

/// Starts it where the databases of users and groups are the files of the scene.
fn with_own_database(launch: Launch<'_>) -> Launch<'_> {
    let files = ["passwd", "group", "nsswitch.conf"];
    let mounts = files.map(|file| format!("mount --bind {file} /etc/{file}")).join(" && ");
    launch.after_shell(&format!("{mounts} || exit 9")).under(["unshare", "-m"])
}

/// What `/proc/PID/status` shows under a name.
fn status(pid: u32, name: &str) -> String {
    status_of(pid, name).unwrap_or_else(|| panic!("no {name} of process {pid}"))
}

/// The soft and the hard limit of descriptors.
fn descriptors(pid: u32) -> String {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("the process lives");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let words: Vec<&str> = line.expect("it is listed").split_ascii_whitespace().take(2).collect();
    words.join(" ")
}
