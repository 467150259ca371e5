//! What children have started, when they end.

use std::{
    fs::File,
    io::{ErrorKind, Read},
    os::unix::fs::OpenOptionsExt,
    thread,
    time::{Duration, Instant},
};

use prefork_tests::{
    Daemon, Launch, PATIENCE, Scene, asked, find_process, get, holds_for, kill, require_root,
    require_tool, scene, wait_until,
};
use rustix::{fs::OFlags, process::Signal};

/// How long after its child's end a process may live. The documentation says a second; one that is missed lives for ever,
/// so more costs nothing on a machine that is busy.
const LIMIT: Duration = PATIENCE;

/// How a process can be related to the child that has started it (see the fixture).
const KINDS: [&str; 5] = ["child", "session", "orphan", "daemon", "grandchild"];

fn family(scene: &Scene) -> Launch<'_> {
    let program = env!("CARGO_BIN_EXE_family");
    scene.tool(program).args(["--listen", &scene.address().to_string()])
}

/// Asks for `path`; returns the pid of the child that has answered, and the number that it has added.
#[track_caller]
fn ask(scene: &Scene, path: &str) -> (u32, u32) {
    let body = get(scene.address(), path).expect("an answer").body;
    let mut numbers = body.split(' ').map(|word| word.parse().expect("a number"));
    (numbers.next().expect("the child"), numbers.next().unwrap_or(0))
}

fn is_alive(pid: u32) -> bool {
    find_process(pid).is_some_and(|process| !process.is_zombie())
}

/// Makes one child start a process of each kind; returns its pid and theirs.
#[track_caller]
fn start_all(scene: &Scene) -> (u32, Vec<u32>) {
    let started: Vec<_> = KINDS.iter().map(|kind| ask(scene, &format!("/start/{kind}"))).collect();
    let (child, _) = started[0];
    assert!(started.iter().all(|(other, _)| *other == child), "it is the only child");
    (child, started.into_iter().map(|(_, pid)| pid).collect())
}

#[track_caller]
fn assert_gone_in_time(pids: &[u32], what: &str) {
    wait_until(LIMIT, &format!("{what}: {pids:?} are gone"), || {
        !pids.iter().any(|pid| is_alive(*pid))
    });
}

/// K1: however a child ends, what it has started is gone a second later, whatever it has done to get away.
#[test]
fn what_a_child_has_started_ends_with_it() {
    for way in ["is killed", "is retired", "is replaced", "panics", "hangs", "is stopped"] {
        let scene = scene!();
        let daemon = family(&scene).args(["--prefork", "1", "--request-timeout", "300"]).daemon();
        let (child, started) = start_all(&scene);
        assert!(started.iter().all(|pid| is_alive(*pid)), "{way}: {started:?}");
        let address = scene.address();
        match way {
            "is killed" => assert!(kill(child, Signal::KILL)),
            "is retired" => assert!(kill(child, Signal::TERM)),
            "is replaced" => daemon.signal(Signal::HUP),
            "panics" => drop(get(address, "/panic")),
            "hangs" => drop(thread::spawn(move || get(address, "/hang"))),
            _ => drop(thread::spawn(move || get(address, "/freeze"))),
        }
        wait_until(PATIENCE, &format!("the child {way}"), || !is_alive(child));
        assert_gone_in_time(&started, way);
        assert_ne!(ask(&scene, "/").0, child, "another one serves");
        daemon.stop_in_order();
    }
}

/// K1: what a living child has started lives, even if it is an orphan and others around it end.
#[test]
fn what_a_living_child_has_started_is_left_alone() {
    let scene = scene!();
    let daemon = family(&scene).args(["--prefork", "2"]).daemon();
    let (first, of_first) = ask(&scene, "/start/daemon");
    // The other one has to answer while this one cannot.
    assert!(kill(first, Signal::STOP));
    let is_stopped = || find_process(first).is_some_and(|process| process.state == 'T');
    wait_until(PATIENCE, "it is stopped", is_stopped);
    let (second, of_second) = ask(&scene, "/start/daemon");
    assert!(kill(first, Signal::CONT));
    assert_ne!(first, second);
    assert!(kill(first, Signal::KILL));
    assert_gone_in_time(&[first, of_first], "the first");
    holds_for(Duration::from_millis(300), "the second's lives", || is_alive(of_second));
    assert!(kill(second, Signal::KILL));
    assert_gone_in_time(&[of_second], "the second");
    daemon.stop_in_order();
}

/// K1: a stop leaves nothing of it, and what held the listening socket does not keep the next start from it.
#[test]
fn a_stop_ends_what_children_have_started() {
    let scene = scene!();
    for _ in 0..3 {
        let daemon = family(&scene).args(["--prefork", "1"]).daemon();
        let (_, started) = start_all(&scene);
        daemon.signal(Signal::TERM);
        daemon.assert_ends_in_order(PATIENCE);
        assert!(!started.iter().any(|pid| is_alive(*pid)), "{started:?} are left");
    }
}

/// K1: it is asked for to let them live.
#[test]
fn descendants_are_kept_where_that_is_asked_for() {
    let scene = scene!();
    let daemon = family(&scene).args(["--prefork", "1", "--keep-descendants"]).daemon();
    let (child, started) = start_all(&scene);
    assert!(kill(child, Signal::KILL));
    wait_until(PATIENCE, "another child serves", || {
        get(scene.address(), "/").is_ok_and(|reply| reply.number() != child)
    });
    daemon.signal(Signal::TERM);
    assert!(daemon.wait_for_end(PATIENCE).is_success());
    assert!(started.iter().all(|pid| is_alive(*pid)), "{started:?}");
}

/// K1: a program that takes over knows whose they are: they live as long as the old child does.
#[test]
fn descendants_survive_an_upgrade_as_long_as_their_child() {
    let scene = scene!();
    let daemon = family(&scene).args(["--prefork", "1"]).daemon();
    let (old, started) = start_all(&scene);
    let address = scene.address();
    let hung = thread::spawn(move || get(address, "/hang"));
    daemon.signal(Signal::USR2);
    wait_until(PATIENCE, "the new program serves", || {
        !scene.lines_with("error.log", "all children are of generation 2").is_empty()
    });
    // A look comes with each death.
    let (new, of_new) = ask(&scene, "/start/daemon");
    assert!(kill(new, Signal::KILL));
    assert_gone_in_time(&[of_new], "the new child's");
    assert!(is_alive(old), "it has a request in hand");
    assert!(started.iter().all(|pid| is_alive(*pid)), "{started:?}");
    assert!(kill(old, Signal::KILL));
    assert_gone_in_time(&started, "the old child's");
    hung.join().expect("no panic").expect_err("it was killed");
    daemon.stop_in_order();
}

/// K1: as another user than the parent, which has to be able to see and to end them all the same.
#[test]
fn descendants_of_another_user_end_too() {
    if !require_root() {
        return;
    }
    let scene = scene!();
    let daemon = family(&scene).args(["--prefork", "1", "--user", "nobody"]).daemon();
    let (child, started) = start_all(&scene);
    assert!(kill(child, Signal::KILL));
    assert_gone_in_time(&started, "nobody's");
    daemon.stop_in_order();
}

/// K1: a root without further rights, as in a container.
#[test]
fn descendants_end_without_the_right_to_change_limits() {
    if !require_root() || !require_tool("setpriv") {
        return;
    }
    let scene = scene!();
    let launch = family(&scene).args(["--prefork", "1", "--user", "nobody"]);
    let without = ["setpriv", "--bounding-set=-sys_resource,-sys_ptrace,-sys_admin"];
    let daemon = launch.under(without).daemon();
    let (child, started) = start_all(&scene);
    assert!(kill(child, Signal::KILL));
    assert_gone_in_time(&started, "nobody's");
    daemon.stop_in_order();
}

/// K1: many at once, each with three. `PREFORK_DESCENDANTS=1000` has as many children, instead of 60.
#[test]
fn a_pool_that_dies_at_once_leaves_nothing_behind() {
    let count = asked("PREFORK_DESCENDANTS").unwrap_or(60_usize);
    let scene = scene!();
    let fifo = scene.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("made");
    // At its end as soon as nobody that was started holds it open.
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).expect("a flag");
    let mut held = File::options().read(true).custom_flags(nonblocking).open(&fifo).expect("open");
    let mut is_held = || match held.read(&mut [0]) {
        Ok(0) => false,
        Err(error) if error.kind() == ErrorKind::WouldBlock => true,
        other => panic!("the FIFO: {other:?}"),
    };
    let daemon = family(&scene)
        .args(["--prefork", &count.to_string()])
        .path("--start-unless", "enough")
        .path("--fifo", "fifo")
        .daemon();
    let victims = started_children(&scene, &daemon, count);
    assert!(is_held(), "they were started");
    File::create(scene.path("enough")).expect("made");
    for victim in &victims {
        assert!(kill(*victim, Signal::KILL), "{victim} was there");
    }
    let (begun, cpu) = (Instant::now(), daemon.cpu());
    wait_until(LIMIT, "all are gone", || !is_held());
    let (took, cpu) = (begun.elapsed(), daemon.cpu() - cpu);
    println!("{} descendants of {count} children ended in {took:?}, {cpu:?} of CPU", 3 * count);
    wait_until(PATIENCE, "all children are back", || daemon.living().len() == count);
    daemon.stop_in_order();
}

/// Waits until all descendants are there; returns the children, which lead sessions, as do some of the others.
fn started_children(scene: &Scene, daemon: &Daemon<'_>, count: usize) -> Vec<u32> {
    wait_until(PATIENCE, "all are there", || scene.processes().len() == 1 + 4 * count);
    let parents: Vec<u32> = scene.processes().iter().map(|process| process.parent).collect();
    let children = daemon.living().into_iter().filter(|pid| parents.contains(pid));
    let children: Vec<u32> = children.collect();
    assert_eq!(children.len(), count);
    children
}

/// A copy of a child, made by fork without exec, leaves as soon as it uses `Child`, whatever it uses; nothing is
/// reported in the child's name, and nothing hangs.
#[test]
fn a_copy_of_a_child_takes_no_work_and_leaves() {
    for (uses, expected) in [
        ("accept", &["accept: Err("][..]),
        ("should_stop", &["should_stop: true"]),
        ("requests", &["requests: 0"]),
        ("stop_fd", &["stop_fd: 1"]),
        ("reports", &["extend_deadline: Err(", "scoreboard: false"]),
        ("in_flight", &["in hand: 0", "still in hand: 0"]),
        ("wait_readable", &["wait_readable: Err("]),
    ] {
        let scene = scene!();
        let copied = family(&scene).args(["--prefork", "1", "--copy-uses", uses]);
        let daemon = copied.path("--witness", "witness").daemon();
        let (child, copy) = ask(&scene, "/copy");
        wait_until(PATIENCE, &format!("the copy that uses {uses} leaves"), || !is_alive(copy));
        for text in expected {
            let line = format!("{copy} {text}");
            assert_eq!(scene.lines_with("witness", &line).len(), 1, "{}", scene.read("witness"));
        }
        let logged = format!("process {copy} is a copy of child {child}");
        assert!(!scene.lines_with("error.log", &logged).is_empty(), "{uses}: it was not logged");
        assert_eq!(ask(&scene, "/").0, child, "{uses}: the child serves on");
        daemon.stop_in_order();
        let ended = scene.lines_with("witness", "child_exit");
        assert_eq!(ended, [format!("{child} child_exit of {child}")], "{uses}");
    }
}

/// Nor does one in a daemon without children, where a thread waits for signals that a copy does not have.
#[test]
fn a_copy_of_a_daemon_without_children_leaves() {
    let scene = scene!();
    let daemon = family(&scene).args(["--prefork", "0"]).path("--witness", "witness").daemon();
    let (child, copy) = ask(&scene, "/copy");
    assert_eq!(child, daemon.pid());
    wait_until(PATIENCE, "the copy leaves", || !is_alive(copy));
    assert_eq!(ask(&scene, "/").0, child);
    daemon.stop_in_order();
}
