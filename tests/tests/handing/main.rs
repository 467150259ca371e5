//! Connections that children of one pool hand to children of another.
//!
//! Each pool is a daemon of its own here; the test makes the way between them, and keeps both ends, as what starts pools
//! does.

mod hostile;
mod life;
mod pools;

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::fd::OwnedFd,
    time::Duration,
};

use prefork_tests::{
    Daemon, InHand, Launch, Load, PATIENCE, Scene, Sent, get, kill, scene, wait_until,
};
use rustix::{
    net::{AddressFamily, SocketFlags, SocketType, socketpair},
    process::Signal,
};

/// The way from one pool to another.
pub(crate) struct Way {
    pub(crate) sends: OwnedFd,
    pub(crate) takes: OwnedFd,
}

impl Way {
    pub(crate) fn new() -> Self {
        let (domain, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let ends = socketpair(domain, kind, SocketFlags::CLOEXEC, None).expect("a pair");
        Self { sends: ends.0, takes: ends.1 }
    }
}

/// Prepares to start a pool with one end under this name.
pub(crate) fn pool<'a>(scene: &'a Scene, end: &OwnedFd, name: &str) -> Launch<'a> {
    let pass = format!(
        "exec 3>&1 >/dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES='{name}'; exec \"$@\""
    );
    scene
        .tool(env!("CARGO_BIN_EXE_handing"))
        .stdout(end.try_clone().expect("a descriptor"))
        .under(["/bin/sh", "-c", &pass, "sh"])
}

/// Prepares to start the pool to which clients connect.
pub(crate) fn light<'a>(scene: &'a Scene, way: &Way) -> Launch<'a> {
    let listen = scene.address().to_string();
    let args = ["--listen", &listen, "--hands-to", "heavy"];
    pool(scene, &way.sends, "hand-over-to=heavy").args(args)
}

/// Prepares to start the pool to which connections are handed.
pub(crate) fn heavy<'a>(scene: &'a Scene, way: &Way) -> Launch<'a> {
    pool(scene, &way.takes, "hand-over").args(["--takes"])
}

/// Who answers a request that is handed to the other pool, once it has been answered.
pub(crate) fn answered_by(scene: &Scene) -> u32 {
    get(scene.address(), "/to-heavy/").expect("an answer").number()
}

#[test]
fn a_request_is_answered_by_a_child_of_the_other_pool() {
    let (scenes, way) = ((scene!(), scene!()), Way::new());
    let (front, back) = (light(&scenes.0, &way).daemon(), heavy(&scenes.1, &way).daemon());
    for _ in 0..20 {
        assert!(back.living().contains(&answered_by(&scenes.0)));
        let own = get(scenes.0.address(), "/").expect("an answer").number();
        assert!(front.living().contains(&own), "what is not handed on is answered here");
    }
    for scene in [&scenes.0, &scenes.1] {
        assert_eq!(scene.lines_with("error.log", "warning"), [""; 0]);
        assert_eq!(scene.lines_with("error.log", "error:"), [""; 0]);
    }
    assert_eq!(scenes.0.logged("handing connections to heavy"), 1);
    front.stop_in_order();
    back.stop_in_order();
}

/// Also where the first pool has read more than the line by which it decides, and less than the request.
#[test]
fn what_was_read_goes_with_the_connection() {
    let (scenes, way) = ((scene!(), scene!()), Way::new());
    let (front, back) = (light(&scenes.0, &way).daemon(), heavy(&scenes.1, &way).daemon());
    for padding in [0, 1, 5000, 60_000] {
        let field = format!("X-Padding: {}\r\n", "x".repeat(padding));
        let begin = format!("GET /to-heavy/length HTTP/1.1\r\n{field}");
        let mut client = TcpStream::connect(scenes.0.address()).expect("it listens");
        client.set_read_timeout(Some(PATIENCE)).expect("set");
        client.write_all(begin.as_bytes()).expect("sent");
        // The rest comes when the child of the other pool waits for it.
        wait_until(PATIENCE, "it is read", || back.living().iter().any(|pid| reads_socket(*pid)));
        client.write_all(b"\r\n").expect("sent");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("answered");
        let length = begin.len() + 2;
        assert!(answer.ends_with(&format!("\r\n\r\n{length}")), "{padding}: {answer}");
    }
    front.stop_in_order();
    back.stop_in_order();
}

/// Whether a process waits for bytes of a connection: it has one open, and sleeps.
fn reads_socket(pid: u32) -> bool {
    let system_call = std::fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
    system_call.contains("sk_wait_data") || system_call.contains("inet") || {
        // Where the kernel does not say: three sockets are the child's own, and one is the way.
        prefork_tests::sockets(pid) > 2
    }
}

/// A thousand hand-overs under load, none lost: whoever finds no room answers by itself.
#[test]
fn none_of_a_thousand_is_lost() {
    let (scenes, way) = ((scene!(), scene!()), Way::new());
    let front = light(&scenes.0, &way).args(["--prefork", "4", "--max-children", "4"]).daemon();
    let back = heavy(&scenes.1, &way).daemon();
    let others = Load::start(2, scenes.0.address(), "/");
    let tally = Load::bounded(20, 50, scenes.0.address(), "/to-heavy/").finish();
    assert_eq!((tally.answered, tally.failures), (1000, vec![]));
    assert_eq!(others.stop().failures, [""; 0]);
    front.stop_in_order();
    back.stop_in_order();
}

/// The child that has handed it over takes the next client meanwhile.
#[test]
fn who_has_handed_on_is_free() {
    let (scenes, way) = ((scene!(), scene!()), Way::new());
    let args = ["--prefork", "1", "--max-children", "1"];
    let front = light(&scenes.0, &way).args(args).daemon();
    let back = heavy(&scenes.1, &way).args(args).daemon();
    let held = InHand::at(scenes.0.address(), "/to-heavy/hold");
    let waiting = Sent::to(scenes.0.address(), "/to-heavy/").expect("sent");
    for _ in 0..10 {
        assert!(front.living().contains(&front.get("/").expect("it serves").number()));
    }
    let worker = held.worker();
    assert_eq!(back.living(), [worker.pid]);
    held.release().expect("it is answered");
    assert_eq!(waiting.answer().expect("it is answered").number(), worker.pid);
    front.stop_in_order();
    back.stop_in_order();
}

/// Nobody else knows how many wait there: the pool doubles while all are busy.
#[test]
fn the_other_pool_grows_with_what_waits_there() {
    let (scenes, way) = ((scene!(), scene!()), Way::new());
    let front = light(&scenes.0, &way).daemon();
    let size = ["--prefork", "1", "--max-children", "8"];
    let back = heavy(&scenes.1, &way).args(size).daemon();
    let held: Vec<_> = (0..8).map(|_| InHand::at(scenes.0.address(), "/to-heavy/hold")).collect();
    let mut pids: Vec<u32> = held.iter().map(|request| request.worker().pid).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids, back.living(), "eight at work");
    for request in held {
        request.release().expect("it is answered");
    }
    front.stop_in_order();
    back.stop_in_order();
}

/// A pool may both listen and take what others hand over.
#[test]
fn a_pool_listens_and_takes_hand_overs() {
    let (scenes, way) = ((scene!(), scene!()), Way::new());
    let front = light(&scenes.0, &way).daemon();
    let listen = scenes.1.address().to_string();
    let back = heavy(&scenes.1, &way).args(["--listen", &listen]).daemon();
    let direct = Load::start(2, scenes.1.address(), "/");
    let handed = Load::bounded(4, 50, scenes.0.address(), "/to-heavy/").finish();
    assert_eq!((handed.answered, handed.failures), (200, vec![]));
    let direct = direct.stop();
    assert!(direct.answered > 10 && direct.failures.is_empty(), "{direct:?}");
    front.stop_in_order();
    back.stop_in_order();
}

/// The child's only client may be one that was handed over, and it takes no other.
#[test]
fn a_child_of_one_client_takes_one_connection() {
    let (scenes, way) = ((scene!(), scene!()), Way::new());
    let (front, back) =
        (light(&scenes.0, &way).daemon(), heavy(&scenes.1, &way).args(["--one-shot"]).daemon());
    let mut pids: Vec<u32> = (0..10).map(|_| answered_by(&scenes.0)).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 10, "a child each");
    front.stop_in_order();
    back.stop_in_order();
}

/// A client that hangs up is noticed in the pool that works for it.
#[test]
fn a_client_that_has_gone_is_noticed_there() {
    let (scenes, way) = ((scene!(), scene!()), Way::new());
    let listen = scenes.1.address().to_string();
    let front = light(&scenes.0, &way).daemon();
    let back = heavy(&scenes.1, &way).args(["--cancel", "--listen", &listen]).daemon();
    let request = InHand::at(scenes.0.address(), "/to-heavy/sleep/60000");
    let worker = request.worker().pid;
    request.reset();
    wait_until(PATIENCE, "its request is cancelled", || !back.living().contains(&worker));
    assert!(scenes.1.logged("cancelling its request") > 0);
    front.stop_in_order();
    back.stop_in_order();
}

/// With the reason, and the connection is answered by who has it.
#[test]
fn a_connection_that_cannot_be_handed_over_comes_back() {
    let (scenes, way) = ((scene!(), scene!()), Way::new());
    let front = light(&scenes.0, &way).daemon();
    let ask =
        |path: &str| get(scenes.0.address(), path).map(|reply| (reply.status, reply.number()));
    // Not in `hands_to`.
    let (status, pid) = ask("/to-other/").expect("an answer");
    assert!(status == 503 && front.living().contains(&pid));
    // Nobody takes any: the kernel's limit is reached.
    let mut waiting = Vec::new();
    let refused = (0..5000).find_map(|_| {
        let mut sent = Sent::to(scenes.0.address(), "/to-heavy/").expect("sent");
        match refusal(&mut sent) {
            Some(refused) => Some(refused),
            None => {
                waiting.push(sent);
                None
            }
        }
    });
    assert!(refused.expect("there is a limit").contains("too many wait there"));
    println!("{} connections wait", waiting.len());
    // None is lost.
    let back = heavy(&scenes.1, &way).daemon();
    for sent in waiting {
        assert!(back.living().contains(&sent.answer().expect("an answer").number()));
    }
    front.stop_in_order();
    back.stop_in_order();
}

/// The answer of the first pool, if it has not handed the request on.
fn refusal(sent: &mut Sent) -> Option<String> {
    sent.answered_within(Duration::from_millis(3))
}

#[test]
fn a_way_that_is_not_there_fails_the_start() {
    let (scene, way) = (scene!(), Way::new());
    let listen = scene.address().to_string();
    let launch = pool(&scene, &way.sends, "hand-over-to=other");
    let launch = launch.args(["--listen", &listen, "--hands-to", "heavy"]).paths();
    launch.finish().assert_refused(
        "cannot hand connections to pool heavy: no SOCK_SEQPACKET socket named hand-over-to=heavy was passed",
    );
    let launch = pool(&scene, &way.takes, "other").args(["--takes"]).paths();
    launch.finish().assert_refused("no pool hands connections to this one");
    // The name alone does not make it one.
    let listener: OwnedFd = std::net::TcpListener::bind("127.0.0.1:0").expect("bound").into();
    let launch = pool(&scene, &listener, "hand-over").args(["--takes"]).paths();
    launch.finish().assert_refused("no pool hands connections to this one");
    let launch = light(&scene, &way).args(["--hands-to", "heavy", "--hands-to", "a:b"]).paths();
    let finished = launch.finish();
    finished.assert_refused("hands_to: names pool heavy twice");
    finished.assert_refused("hands_to: \"a:b\" is no name of a pool");
}

/// Kills children as fast as they come.
pub(crate) fn kill_each(daemon: &Daemon<'_>, times: usize) -> usize {
    let mut kills = 0;
    for round in 0..times {
        let living = daemon.living();
        if let Some(victim) = living.get(round % 2)
            && kill(*victim, Signal::KILL)
        {
            kills += 1;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    kills
}
