//! V2: the shipped image in a container, where the daemon is process 1.

use std::{
    fs,
    io::ErrorKind,
    net::SocketAddr,
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use prefork_tests::{Container, End, PATIENCE, Podman, Scene, get, scene, wait_until};
use rustix::process::Signal;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../prefork/deploy");

/// The image that the shipped `Dockerfile` makes.
const IMAGE: &str = "localhost/hello";

/// A user who has nothing, in a container that allows nothing.
const CONFINED: [&str; 7] = [
    "--read-only",
    "--user=65534:65534",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--memory=256m",
    "--pids-limit=48",
    "--tmpfs=/tmp:size=1m",
];

/// Builds the image once; `None`, said, where there are no containers.
fn podman() -> Option<&'static Podman> {
    static PODMAN: OnceLock<Option<Podman>> = OnceLock::new();
    let podman = PODMAN.get_or_init(|| {
        let podman = Podman::new(env!("CARGO_TARGET_TMPDIR"))?;
        let context = tempfile::tempdir().expect("a folder");
        fs::write(context.path().join("Dockerfile"), dockerfile()).expect("written");
        fs::copy(env!("CARGO_BIN_EXE_hello"), context.path().join("hello")).expect("copied");
        podman.build(context.path(), IMAGE);
        Some(podman)
    });
    // Each test says for itself why it is left out.
    podman.as_ref().or_else(|| {
        let _ = Podman::new(env!("CARGO_TARGET_TMPDIR"));
        None
    })
}

/// The shipped one, whose first stage takes the program that is there instead of building another.
fn dockerfile() -> String {
    let shipped = fs::read_to_string(Path::new(FOLDER).join("Dockerfile")).expect("it is there");
    let (_, second) = shipped.split_once("\nFROM debian:").expect("it has a second stage");
    format!(
        "FROM scratch AS build\nCOPY hello /source/target/release/examples/hello\nFROM debian:{second}"
    )
}

/// The arguments of the image, at the address of the scene.
fn shipped_args(scene: &Scene) -> Vec<String> {
    let text = dockerfile();
    let command = text.lines().find_map(|line| line.strip_prefix("CMD ")).expect("it has one");
    let words = command.trim_start_matches('[').trim_end_matches(']').split(", ");
    let here = |word: &str| word.replace("0.0.0.0:8080", &scene.address().to_string());
    words.map(|word| here(word.trim_matches('"'))).collect()
}

fn wait_until_served(container: &Container<'_>, address: SocketAddr) {
    wait_until(PATIENCE, "the container serves", || {
        assert_eq!(container.running().end(), None, "{:?}", container.running().finish());
        get(address, "/").is_ok()
    });
}

/// Clients that ask until they are refused; returns how many requests were lost.
fn ask_until_refused(
    clients: usize,
    address: SocketAddr,
    path: &str,
    served: &AtomicUsize,
) -> usize {
    let client = || {
        let mut lost = 0;
        loop {
            match get(address, path) {
                Ok(reply) => {
                    assert_eq!(reply.status, 200);
                    served.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return lost,
                Err(error) => {
                    eprintln!("lost: {error}");
                    lost += 1;
                }
            }
        }
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        clients.into_iter().map(|client| client.join().expect("it does not panic")).sum()
    })
}

/// V2: as the image has it, and as confined as can be.
#[test]
fn the_image_serves_and_stops_without_loss() {
    let Some(podman) = podman() else { return };
    for options in [&[][..], &CONFINED] {
        let scene = scene!();
        let args = shipped_args(&scene);
        let container = podman.start(&scene, (IMAGE, "serves"), options, &args);
        wait_until_served(&container, scene.address());
        let first = container.execute(&["cat", "/proc/1/comm"]);
        assert_eq!(first.trim(), "hello");
        let served = AtomicUsize::new(0);
        let lost = thread::scope(|scope| {
            let clients =
                scope.spawn(|| ask_until_refused(16, scene.address(), "/sleep?ms=300", &served));
            wait_until(PATIENCE, "all are served", || served.load(Ordering::Relaxed) >= 16);
            let begun = Instant::now();
            container.stop(20);
            println!("the stop took {:?}", begun.elapsed());
            clients.join().expect("no client panics")
        });
        assert_eq!(lost, 0, "of {}", served.load(Ordering::Relaxed));
        let finished = container.running().finish();
        assert_eq!(finished.end, End::Exited(0), "{options:?}");
        assert!(finished.stderr.contains("SIGTERM from outside"), "{}", finished.stderr);
    }
}

/// The image of a program that knows nothing of prefork, which is run by it.
const OTHER_IMAGE: &str = "localhost/plain";

/// Builds that once, upon the other; `None`, said, where there are no containers.
fn podman_for_any_program() -> Option<&'static Podman> {
    static BUILT: OnceLock<()> = OnceLock::new();
    let podman = podman()?;
    BUILT.get_or_init(|| {
        let context = tempfile::tempdir().expect("a folder");
        let file = format!("FROM {IMAGE}\nCOPY prefork plain /usr/local/bin/\nENTRYPOINT [\"prefork\", \"run\"]\nCMD []\n");
        fs::write(context.path().join("Dockerfile"), file).expect("written");
        for (from, to) in [
            (env!("CARGO_BIN_EXE_prefork-command"), "prefork"),
            (env!("CARGO_BIN_EXE_plain"), "plain"),
        ] {
            fs::copy(from, context.path().join(to)).expect("copied");
        }
        podman.build(context.path(), OTHER_IMAGE);
    });
    Some(podman)
}

/// V2: a program that knows nothing of prefork, as root of the container and as confined as can be; however it waits, it is
/// stopped without loss.
#[test]
fn any_program_in_a_container_stops_without_loss() {
    let Some(podman) = podman_for_any_program() else { return };
    for (options, waits) in [(&[][..], "epoll"), (&CONFINED, "epoll"), (&CONFINED, "accept")] {
        let scene = scene!();
        let address = scene.address().to_string();
        let args = ["--listen", &address, "--prefork", "4", "--max-children", "8", "--"];
        let args = args.into_iter().chain(["plain", "--fd", "{fd}", "--waits", waits]);
        let args: Vec<String> = args.map(str::to_owned).collect();
        let container = podman.start(&scene, (OTHER_IMAGE, "any"), options, &args);
        wait_until_served(&container, scene.address());
        assert_eq!(container.execute(&["cat", "/proc/1/comm"]).trim(), "prefork");
        let served = AtomicUsize::new(0);
        let lost = thread::scope(|scope| {
            let clients =
                scope.spawn(|| ask_until_refused(8, scene.address(), "/late?ms=300", &served));
            wait_until(PATIENCE, "all are served", || served.load(Ordering::Relaxed) >= 16);
            container.stop(20);
            clients.join().expect("no client panics")
        });
        assert_eq!(lost, 0, "of {}, {options:?}, {waits}", served.load(Ordering::Relaxed));
        let finished = container.running().finish();
        assert_eq!(finished.end, End::Exited(0), "{options:?}: {finished:?}");
        assert!(finished.stderr.contains("run by /usr/local/bin/prefork"), "{}", finished.stderr);
    }
}

/// The image of a program of several pools.
const POOLS_IMAGE: &str = "localhost/pools";

/// Builds that once, upon the other; `None`, said, where there are no containers.
fn podman_for_pools() -> Option<&'static Podman> {
    static BUILT: OnceLock<()> = OnceLock::new();
    let podman = podman()?;
    BUILT.get_or_init(|| {
        let context = tempfile::tempdir().expect("a folder");
        let file =
            format!("FROM {IMAGE}\nCOPY pools /usr/local/bin/\nENTRYPOINT [\"pools\"]\nCMD []\n");
        fs::write(context.path().join("Dockerfile"), file).expect("written");
        fs::copy(env!("CARGO_BIN_EXE_pools"), context.path().join("pools")).expect("copied");
        podman.build(context.path(), POOLS_IMAGE);
    });
    Some(podman)
}

/// The arguments of one with a pool that is always there, one that sleeps, and a role.
fn args_of_pools(scene: &Scene) -> Vec<String> {
    let pool = |name: &str, at: SocketAddr, sizes: &str| format!("--pool={name}={at}={sizes}");
    let mut args =
        vec![pool("web", scene.address(), "4=8"), pool("asleep", scene.other_address(), "0=4")];
    let further = "--role cron --witness /tmp/witness --pid-path /tmp/pid --error-log-path /tmp/log \
                   --access-log-path /dev/null";
    args.extend(further.split_ascii_whitespace().map(str::to_owned));
    args
}

/// V2: several pools, whose arbiter is process 1, as root of the container and as confined as can be: a stop loses no request of
/// any, and each pool finds the container's limit of memory.
#[test]
fn several_pools_in_a_container_stop_without_loss() {
    let Some(podman) = podman_for_pools() else { return };
    for options in [&["--memory=256m"][..], &CONFINED] {
        let scene = scene!();
        let container =
            podman.start(&scene, (POOLS_IMAGE, "pools"), options, &args_of_pools(&scene));
        wait_until_served(&container, scene.address());
        assert_eq!(container.execute(&["cat", "/proc/1/comm"]).trim(), "pools");
        let served = [AtomicUsize::new(0), AtomicUsize::new(0)];
        let lost: usize = thread::scope(|scope| {
            let clients = [scene.address(), scene.other_address()].into_iter().zip(&served);
            let clients: Vec<_> = clients
                .map(|(at, served)| {
                    scope.spawn(move || ask_until_refused(8, at, "/sleep/300", served))
                })
                .collect();
            wait_until(PATIENCE, "both pools serve", || {
                served.iter().all(|served| served.load(Ordering::Relaxed) >= 16)
            });
            let log = container.execute(&["cat", "/tmp/log"]);
            for pool in ["web", "asleep", "cron"] {
                let line = format!("pools/{pool}[");
                let limit = "the pool is kept below 256 MiB of memory";
                let found = log.lines().any(|it| it.contains(&line) && it.contains(limit));
                assert!(found, "{pool}: {log}");
            }
            container.stop(20);
            clients.into_iter().map(|client| client.join().expect("it does not panic")).sum()
        });
        assert_eq!(lost, 0, "of {served:?}, {options:?}");
        let finished = container.running().finish();
        assert_eq!(finished.end, End::Exited(0), "{options:?}: {finished:?}");
    }
}

/// D9: an arbiter that is process 1 reaps what others leave to it.
#[test]
fn orphans_of_a_container_of_several_pools_are_reaped() {
    let Some(podman) = podman_for_pools() else { return };
    let scene = scene!();
    let container =
        podman.start(&scene, (POOLS_IMAGE, "pools-orphans"), &CONFINED, &args_of_pools(&scene));
    wait_until_served(&container, scene.address());
    assert_orphans_are_reaped(&container);
    container.stop(20);
    assert_eq!(container.running().finish().end, End::Exited(0));
}

/// D9: process 1 reaps what others leave to it.
#[test]
fn orphans_of_the_container_are_reaped() {
    let Some(podman) = podman() else { return };
    let scene = scene!();
    let args = shipped_args(&scene);
    let container = podman.start(&scene, (IMAGE, "orphans"), &CONFINED, &args);
    wait_until_served(&container, scene.address());
    assert_orphans_are_reaped(&container);
    container.stop(20);
    assert_eq!(container.running().finish().end, End::Exited(0));
}

#[track_caller]
fn assert_orphans_are_reaped(container: &Container<'_>) {
    let _ = container.execute(&["sh", "-c", "for i in 1 2 3 4 5; do (sleep 0.1 &) ; done"]);
    let zombies =
        || container.execute(&["sh", "-c", "grep -l '^State:.Z' /proc/[0-9]*/status || :"]);
    let sleeping =
        || container.execute(&["sh", "-c", "grep -l '^Name:.sleep' /proc/[0-9]*/status || :"]);
    wait_until(PATIENCE, "the orphans have ended", || sleeping().is_empty());
    wait_until(PATIENCE, "they are reaped", || zombies().is_empty());
}

/// V2: two containers share a volume with the pid file, in each of which the daemon is process 1.
#[test]
fn one_daemon_a_volume() {
    let Some(podman) = podman() else { return };
    let scene = scene!();
    let volume = scene.path("volume");
    fs::create_dir(&volume).expect("made");
    let mount = format!("--volume={}:/run/hello", volume.display());
    let args = |port: u16| {
        let address = SocketAddr::new(scene.address().ip(), port).to_string();
        let args = ["--listen", &address, "--prefork", "2", "--pid-path", "/run/hello/pid"];
        args.map(str::to_owned).to_vec()
    };
    let port = scene.address().port();
    let options = [mount.as_str(), "--user=0:0"];
    let first = podman.start(&scene, (IMAGE, "first"), &options, &args(port));
    wait_until_served(&first, scene.address());
    let second = podman.start(&scene, (IMAGE, "second"), &options, &args(port + 1));
    let refused = second.running().finish();
    assert_ne!(refused.end, End::Exited(0));
    assert!(refused.stderr.contains("a process that cannot be seen from here"), "{refused:?}");
    get(scene.address(), "/").expect("the first one serves");
    // Killed, it leaves a pid file that names the pid of every process 1.
    first.signal(Signal::KILL);
    wait_until(PATIENCE, "the first one has ended", || first.running().end().is_some());
    assert!(volume.join("pid").exists());
    let third = podman.start(&scene, (IMAGE, "third"), &options, &args(port));
    wait_until_served(&third, scene.address());
    third.stop(20);
    assert_eq!(third.running().finish().end, End::Exited(0));
    assert!(!volume.join("pid").exists());
}

/// V2: a pool that is larger than its container serves with what it can have, and grows no further.
#[test]
fn a_limit_of_processes_below_the_pool_is_lived_with() {
    let Some(podman) = podman() else { return };
    let scene = scene!();
    let args = shipped_args(&scene);
    let options = ["--read-only", "--cap-drop=ALL", "--user=65534:65534", "--pids-limit=8"];
    let container = podman.start(&scene, (IMAGE, "limit"), &options, &args);
    wait_until_served(&container, scene.address());
    let served = AtomicUsize::new(0);
    let lost = thread::scope(|scope| {
        let clients =
            scope.spawn(|| ask_until_refused(16, scene.address(), "/sleep?ms=300", &served));
        wait_until(PATIENCE, "the clients are served", || served.load(Ordering::Relaxed) >= 48);
        container.stop(20);
        clients.join().expect("no client panics")
    });
    assert_eq!(lost, 0);
    let finished = container.running().finish();
    assert_eq!(finished.end, End::Exited(0));
    assert!(finished.stderr.contains("cannot fork"), "{}", finished.stderr);
}
