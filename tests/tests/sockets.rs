//! UNIX sockets: there while the daemon is, and not longer.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use prefork_tests::{Daemon, Launch, PATIENCE, Program, Scene, require_root, scene, wait_until};
use rustix::process::Signal;

/// A directory with room for the path of a UNIX socket, which that of a test may not have.
fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("prefork-").tempdir_in("/tmp").expect("a directory")
}

/// Adds a UNIX socket to serve at.
fn at<'a>(launch: Launch<'a>, path: &Path) -> Launch<'a> {
    launch.args(["--listen-unix".as_ref(), path.as_os_str()])
}

fn get(path: &Path, what: &str) -> io::Result<String> {
    let mut connection = UnixStream::connect(path)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.write_all(format!("GET {what} HTTP/1.1\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(body.to_owned())
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("the socket is there").permissions().mode() & 0o777
}

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).expect("the socket is there").ino()
}

#[test]
fn a_socket_goes_with_its_daemon() {
    let folder = folder();
    let path = folder.path().join("socket");
    for children in ["3", "0"] {
        for in_background in [true, false] {
            let scene = scene!();
            let launch = at(scene.probe().args(["--prefork", children]), &path);
            let daemon = if in_background { launch.daemon() } else { launch.foreground() };
            get(&path, "/pid").expect("it serves");
            daemon.stop_in_order();
            assert!(!path.exists(), "{children} children, in the background: {in_background}");
        }
    }
}

/// A main loop that cannot be asked is ended by an exit that runs no destructor.
#[test]
fn a_socket_goes_where_nothing_is_dropped() {
    let (scene, folder) = (scene!(), folder());
    let path = folder.path().join("socket");
    let arguments = ["--prefork", "0", "--main-loop", "sleep"];
    let daemon = at(scene.probe().args(arguments), &path).daemon();
    assert!(path.exists());
    daemon.stop_in_order();
    assert!(!path.exists());
}

#[test]
fn a_start_that_fails_leaves_no_socket() {
    let folder = folder();
    let path = folder.path().join("socket");
    for children in ["3", "0"] {
        for (arguments, said) in [
            (["--init", "fail"], "failing as asked"),
            (["--init", "panic"], "panicking as asked"),
            (["--main-loop", "fail"], "failing as asked"),
        ] {
            let scene = scene!();
            let launch = at(scene.probe().args(["--prefork", children]), &path).args(arguments);
            let finished = launch.paths().finish();
            assert!(!finished.end.is_success(), "{finished:?}");
            assert!(scene.read("error.log").contains(said), "{}", scene.read("error.log"));
            assert!(!path.exists(), "{children} children, {arguments:?}");
        }
    }
}

#[test]
fn a_socket_that_a_killed_daemon_has_left_is_replaced() {
    let folder = folder();
    let path = folder.path().join("socket");
    for children in ["3", "0"] {
        let scene = scene!();
        let launch = || at(scene.probe().args(["--prefork", children]), &path);
        launch().daemon().signal(Signal::KILL);
        scene.wait_until_deserted(PATIENCE);
        assert!(path.exists(), "nobody could remove it");
        let daemon = launch().daemon();
        get(&path, "/pid").expect("the next one serves");
        daemon.stop_in_order();
        assert!(!path.exists());
    }
}

#[test]
fn what_is_in_the_way_is_named() {
    let (first, second, folder) = (scene!(), scene!(), folder());
    let path = folder.path().join("socket");
    let daemon = at(first.probe(), &path).daemon();
    at(second.probe(), &path).finish().assert_refused("a process listens there");
    get(&path, "/pid").expect("the first one serves");
    daemon.stop_in_order();
    fs::write(&path, "precious").expect("written");
    at(second.probe(), &path).finish().assert_refused("a file that is no socket stands there");
    assert_eq!(fs::read(&path).expect("read"), b"precious");
}

/// A daemon that works in `/` still knows where it was started.
#[test]
fn a_relative_path_is_taken_from_where_the_daemon_was_started() {
    let (scene, folder) = (scene!(), folder());
    let path = folder.path().join("socket");
    let launch = at(scene.probe(), Path::new("socket"));
    let daemon = launch.after_shell(&format!("cd {}", folder.path().display())).daemon();
    get(&path, "/pid").expect("it serves");
    daemon.stop_in_order();
    assert!(!path.exists());
}

#[test]
fn the_mode_is_what_was_asked_for() {
    let folder = folder();
    let path = folder.path().join("socket");
    for (arguments, expected) in [(&[][..], 0o755), (&["--mode", "660"], 0o660)] {
        let scene = scene!();
        let daemon = at(scene.probe(), &path).args(arguments).daemon();
        assert_eq!(mode(&path), expected);
        daemon.stop_in_order();
    }
}

/// A parent that is root no more may not remove it; root, who starts the next one, replaces it.
#[test]
fn a_socket_that_may_not_be_removed_any_more_is_replaced_by_the_next_start() {
    if !require_root() {
        return;
    }
    let (scene, folder) = (scene!(), folder());
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("set");
    let path = folder.path().join("socket");
    for _ in 0..2 {
        let launch = at(scene.probe(), &path).args(["--user", "nobody", "--drop-parent"]);
        let daemon = launch.daemon();
        get(&path, "/pid").expect("it serves");
        daemon.signal(Signal::TERM);
        assert!(daemon.wait_for_end(PATIENCE).is_success());
        assert!(path.exists());
    }
}

/// A daemon at a UNIX socket, to be made another program.
struct Upgrading<'a> {
    scene: &'a Scene,
    program: Program<'a>,
    daemon: Daemon<'a>,
    path: PathBuf,
}

impl<'a> Upgrading<'a> {
    fn new(scene: &'a Scene, folder: &Path) -> Self {
        let (program, path) = (scene.program(), folder.join("socket"));
        let daemon = at(program.launch(), &path).daemon();
        Self { scene, program, daemon, path }
    }

    #[track_caller]
    fn upgrade(&self, arguments: &str, said: &str) {
        let before = self.scene.lines_with("error.log", said).len();
        self.program.install(arguments);
        self.daemon.signal(Signal::USR2);
        wait_until(PATIENCE, said, || self.scene.lines_with("error.log", said).len() > before);
    }

    #[track_caller]
    fn wait_for_version(&self, path: &Path, version: &str) {
        wait_until(PATIENCE, &format!("version {version} answers"), || {
            (0..4).all(|_| get(path, "/version").is_ok_and(|body| body == version))
        });
    }
}

#[test]
fn a_socket_goes_with_the_last_of_several_programs() {
    let (scene, folder) = (scene!(), folder());
    let it = Upgrading::new(&scene, folder.path());
    let made = inode(&it.path);
    for version in ["2", "3", "4"] {
        it.upgrade(&format!("--version {version}"), &format!("generation {version} now"));
        it.wait_for_version(&it.path, version);
        assert_eq!(inode(&it.path), made, "it is the same socket");
    }
    it.daemon.stop_in_order();
    assert!(!it.path.exists());
}

#[test]
fn a_socket_goes_when_a_new_program_does_not_want_it() {
    let (scene, folder) = (scene!(), folder());
    let it = Upgrading::new(&scene, folder.path());
    let other = folder.path().join("other");
    it.upgrade(
        &format!("--version 2 --listen-unix {}", other.display()),
        "this program goes on with 3 children",
    );
    it.wait_for_version(&other, "2");
    assert!(!it.path.exists());
    // And back, where nothing is in the way.
    it.upgrade("--version 3", "generation 3 now");
    it.wait_for_version(&it.path, "3");
    assert!(!other.exists());
    it.daemon.stop_in_order();
    assert!(!it.path.exists());
}

/// Neither a probe nor a program that fails after all takes the socket of the daemon with it, whether it
/// wants that one or another; what it has made itself goes.
#[test]
fn a_socket_stays_with_the_program_of_before() {
    let (scene, folder) = (scene!(), folder());
    let it = Upgrading::new(&scene, folder.path());
    let (made, other) = (inode(&it.path), folder.path().join("other"));
    for arguments in [String::new(), format!("--listen-unix {}", other.display())] {
        for (manner, said) in
            [("refuses", "upgrade refused"), ("betrays", "this program goes on with 3 children")]
        {
            it.upgrade(&format!("--version 2 --manner {manner} {arguments}"), said);
            it.wait_for_version(&it.path, "1");
            assert_eq!(inode(&it.path), made, "it is the same socket");
            assert!(!other.exists(), "{manner}");
        }
    }
    it.upgrade("--version 3", "generation 2 now");
    it.wait_for_version(&it.path, "3");
    it.daemon.stop_in_order();
    assert!(!it.path.exists());
}

/// What somebody else has put in its place is not the daemon's.
#[test]
fn the_socket_of_another_is_left_alone() {
    let (scene, folder) = (scene!(), folder());
    let it = Upgrading::new(&scene, folder.path());
    fs::remove_file(&it.path).expect("removed");
    let _other = UnixListener::bind(&it.path).expect("bound");
    let theirs = inode(&it.path);
    it.upgrade("--version 2", "generation 2 now");
    it.daemon.stop_in_order();
    assert_eq!(inode(&it.path), theirs);
    UnixStream::connect(&it.path).expect("it listens");
}
