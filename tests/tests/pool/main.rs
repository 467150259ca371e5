//! A pool that follows its load.

mod processors;
mod trouble;

use std::{
    ffi::OsStr,
    fs,
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use prefork::scoreboard::Board;
use prefork_tests::{
    Census, Daemon, Launch, Load, PATIENCE, Scene, Sent, require_tool, scene, wait_until,
};
use rustix::process::Signal;

/// How long a pool may take to be back at `prefork`, as the documentation says.
const CALM: Duration = Duration::from_secs(20);

/// F4: back to few clients: so few that they need no more children than there are at rest. No request
/// fails, also of those that come in the moment in which their child is asked to leave.
#[test]
fn a_pool_grows_with_its_clients_and_shrinks_when_few_are_left() {
    assert_grows_and_shrinks(3);
}

/// F4: back to no clients at all.
#[test]
fn a_pool_grows_with_its_clients_and_shrinks_without_them() {
    assert_grows_and_shrinks(0);
}

/// From rest to a hundred clients and back to so many: within bounds, back at `prefork` in time, without
/// a failed request; and then the parent sleeps.
#[track_caller]
fn assert_grows_and_shrinks(left: usize) {
    let scene = scene!();
    let daemon = scene.pool(8, 120).daemon();
    let census = Census::begin(daemon.pid());
    let crowd = Load::start(100, scene.address(), "/sleep?ms=200");
    wait_until(PATIENCE, "each client has a child", || daemon.living().len() > 100);
    let tally = crowd.stop();
    assert!(tally.answered >= 100 && tally.failures.is_empty(), "{tally:?}");

    let (begun, few) = (Instant::now(), Load::start(left, scene.address(), "/sleep?ms=2"));
    wait_until(CALM, "8 children are left", || daemon.living().len() == 8);
    println!("back at 8 children for {left} clients after {:?}", begun.elapsed());
    let tally = few.stop();
    assert_eq!(tally.failures, [""; 0], "while it shrank");
    assert!(tally.answered >= 30 * left, "{tally:?}");
    let population = census.end();
    assert!(population.fewest >= 8 && population.most <= 120, "{population:?}");
    let board = Board::open(scene.path("scoreboard")).expect("a board");
    wait_until(PATIENCE, "the slots of those that have left are empty", || {
        board.snapshot().expect("whole").tally().taken() == 8
    });
    assert_sleeps(&daemon);
    daemon.stop_in_order();
}

/// F4: a burst finds its children at once.
#[test]
fn a_burst_is_met_at_once() {
    let scene = scene!();
    let daemon = scene.pool(3, 150).daemon();
    let begun = Instant::now();
    let tally = Load::bounded(100, 1, scene.address(), "/sleep").finish();
    let took = begun.elapsed();
    println!("100 requests of 1 s on 3 children took {took:?}");
    assert_eq!((tally.answered, tally.failures), (100, vec![]));
    assert!(took < Duration::from_secs(10), "it took {took:?}");
    daemon.stop_in_order();
}

/// The kernel says how many wait at a UNIX socket too, so all children come that are missing, and not one, two, four.
#[test]
fn a_burst_at_a_unix_socket_is_met_at_once() {
    if !require_tool("strace") {
        return;
    }
    let scene = scene!();
    let args = ["--prefork", "2", "--max-children", "40"];
    let launch = scene.probe().args(args).socket("--listen-unix", "socket");
    let running = traced(launch).start();
    let daemon = running.ready();
    let ask = || {
        let connection = UnixStream::connect(scene.socket("socket")).expect("connected");
        connection.set_read_timeout(Some(PATIENCE)).expect("it is a socket");
        Sent::over(connection, "/hold").expect("sent")
    };
    let (taken, waiting) = while_it_is_stopped(&daemon, || {
        let taken: Vec<_> = (0..2).map(|_| ask().taken()).collect();
        (taken, (0..28).map(|_| ask()).collect::<Vec<_>>())
    });
    let in_hand: Vec<_> = taken.into_iter().chain(waiting.into_iter().map(Sent::taken)).collect();
    for request in in_hand {
        request.release().expect("answered");
    }
    daemon.signal(Signal::TERM);
    // The tracer, whose status is the daemon's.
    running.assert_ends_in_order();
    let waves = waves(&scene);
    println!("children by looks: {waves:?}");
    assert!(waves[0] == 2 && waves[1] >= 28, "not all at once: {waves:?}");
}

/// Where nobody knows how many connections wait, the pool doubles while all children are busy.
#[test]
fn a_pool_that_cannot_see_its_queue_grows_by_doubling() {
    if !require_tool("strace") {
        return;
    }
    // On a busy machine a new child may not have taken a request by the time of the next look, which ends the doubling.
    assert!((0..5).any(|_| grows_by_doubling()), "never 4 children at once, after 2 and 1");
}

/// Lets a pool grow from 2 to 32 children, and returns whether some came by twos, and then by fours.
fn grows_by_doubling() -> bool {
    let scene = scene!();
    let args = ["--by-hand", "--prefork", "2", "--max-children", "32"];
    // The probe binds its socket by itself, so the parent does not know it.
    let running = traced(scene.probe().args(args)).start();
    let daemon = running.ready();
    let census = Census::begin(daemon.pid());
    let ask = || Sent::to(scene.address(), "/hold").expect("sent");
    let clients = while_it_is_stopped(&daemon, || (0..60).map(|_| ask()).collect::<Vec<_>>());
    wait_until(PATIENCE, "the pool has grown to 32", || daemon.living().len() == 32);
    // In the order in which they have come, which is that in which they are taken.
    for client in clients {
        client.taken().release().expect("answered");
    }
    assert!(census.end().most <= 32);
    daemon.signal(Signal::TERM);
    // The tracer, whose status is the daemon's.
    running.assert_ends_in_order();
    let waves = waves(&scene);
    println!("children by looks: {waves:?}");
    assert_eq!(
        waves[..2],
        [2, 1],
        "with two busy children nobody knows of more than one that is missing"
    );
    waves.windows(2).any(|two| two == [2, 4])
}

/// Has strace write down when the parent forks and when it sleeps; with a board.
fn traced(launch: Launch<'_>) -> Launch<'_> {
    let log = launch.scene().path("strace");
    let strace = ["strace", "-qq", "-e", "trace=clone,clone3,ppoll", "-o"].map(OsStr::new);
    launch.paths().board().under(strace.into_iter().chain([log.as_os_str()]))
}

/// Returns how many children were forked without a sleep between them, for each such wave.
fn waves(scene: &Scene) -> Vec<usize> {
    let mut waves = vec![0];
    for line in scene.read("strace").lines() {
        match line.split_once('(') {
            Some(("clone" | "clone3", _)) => *waves.last_mut().expect("never empty") += 1,
            Some(("ppoll", _)) => waves.push(0),
            _ => {}
        }
    }
    waves.retain(|wave| *wave > 0);
    waves
}

/// Does something while the parent is stopped, which sees all of it at once then.
fn while_it_is_stopped<T>(daemon: &Daemon<'_>, act: impl FnOnce() -> T) -> T {
    // Not in the middle of a look.
    daemon.wait_for_rest();
    daemon.signal(Signal::STOP);
    daemon.wait_until_stopped();
    let done = act();
    daemon.signal(Signal::CONT);
    done
}

/// TTIN and TTOU move a pool of fixed size by one child, down to 1 and up to the maximum.
#[test]
fn a_pool_of_fixed_size_is_moved_by_signals() {
    let scene = scene!();
    let daemon = scene.hello().args(["--max-children", "5"]).daemon();
    for (signal, sizes) in
        [(Signal::TTIN, &[4, 5, 5][..]), (Signal::TTOU, &[4, 3, 2, 1, 1]), (Signal::TTIN, &[2, 3])]
    {
        for size in sizes {
            resize(&scene, &daemon, signal, *size);
            daemon.wait_for_children(PATIENCE, *size, &[]);
            daemon.get("/").expect("it serves");
        }
    }
    daemon.stop_in_order();
}

/// TTIN and TTOU move the size at rest of a pool that follows its load.
#[test]
fn a_pool_that_follows_its_load_is_moved_by_signals() {
    let scene = scene!();
    let daemon = scene.pool(2, 4).daemon();
    let census = Census::begin(daemon.pid());
    for size in [3, 4, 4] {
        resize(&scene, &daemon, Signal::TTIN, size);
        daemon.wait_for_children(PATIENCE, size, &[]);
    }
    for size in [3, 2, 1, 1] {
        resize(&scene, &daemon, Signal::TTOU, size);
    }
    // Retiring waits until what was needed has not been for a while.
    daemon.wait_for_children(CALM, 1, &[]);
    let population = census.end();
    assert!(population.fewest >= 1 && population.most <= 4, "{population:?}");
    let tally = Load::bounded(3, 3, scene.address(), "/sleep?ms=50").finish();
    assert_eq!((tally.answered, tally.failures), (9, vec![]));
    daemon.stop_in_order();
}

/// However many requests there are, the parent is woken at most 20 times a second.
#[test]
fn constant_load_wakes_the_parent_rarely() {
    const TIME: Duration = Duration::from_secs(5);
    let scene = scene!();
    let daemon = scene.pool(3, 8).daemon();
    let load = Load::start(2, scene.address(), "/");
    // What follows growth is over.
    thread::sleep(Duration::from_millis(1500));
    let (begun, before, cpu) = (Instant::now(), wakes(daemon.pid()), daemon.cpu());
    thread::sleep(TIME);
    let (woken, time, used) = (wakes(daemon.pid()) - before, begun.elapsed(), daemon.cpu() - cpu);
    let tally = load.stop();
    println!("{woken} wake-ups and {used:?} of CPU in {time:?}, {} answers", tally.answered);
    assert!(tally.answered > 100 && tally.failures.is_empty(), "{tally:?}");
    assert!(woken <= 25 * time.as_secs(), "{woken} wake-ups in {time:?}");
    assert!(woken > 5, "the load was not noticed at all");
    daemon.stop_in_order();
}

/// A pool that is as large as it may be and not large enough says so, once each time that happens,
/// also if a child has nothing to do for a moment now and then.
#[test]
fn reaching_the_maximum_is_logged_once_each_time() {
    let scene = scene!();
    let daemon = scene.pool(2, 4).daemon();
    let said = || scene.lines_with("error.log", "max_children (4) reached").len();
    for episode in [1, 2] {
        if episode > 1 {
            // Until the one before is over by any standard, also that of the calm time.
            let few = Load::start(1, scene.address(), "/sleep?ms=5");
            thread::sleep(Duration::from_secs(11));
            assert_eq!(few.stop().failures, [""; 0]);
        }
        let crowd = ["/sleep?ms=200", "/sleep?ms=3", "/"];
        let crowd = crowd.map(|path| Load::start(4, scene.address(), path));
        wait_until(PATIENCE, &format!("episode {episode} is logged"), || said() >= episode);
        thread::sleep(Duration::from_millis(2500));
        for load in crowd {
            assert_eq!(load.stop().failures, [""; 0]);
        }
        let lines = scene.lines_with("error.log", "max_children");
        assert_eq!(said(), episode, "in {episode} episodes: {lines:#?}");
    }
    daemon.stop_in_order();
}

/// Pools with a board.
trait Pools {
    /// Prepares to start the example with a board, from `prefork` up to `max_children`.
    fn pool(&self, prefork: u32, max_children: u32) -> Launch<'_>;
}

impl Pools for Scene {
    fn pool(&self, prefork: u32, max_children: u32) -> Launch<'_> {
        let (prefork, max_children) = (prefork.to_string(), max_children.to_string());
        self.hello().args(["--prefork", &prefork, "--max-children", &max_children]).board()
    }
}

/// Sends TTIN or TTOU and waits until the parent says what the size is now.
///
/// Two signals that wait at once are one (see `signal(7)`).
#[track_caller]
fn resize(scene: &Scene, daemon: &Daemon<'_>, signal: Signal, size: usize) {
    let lines = || scene.lines_with("error.log", "prefork is now");
    let before = lines().len();
    daemon.signal(signal);
    wait_until(PATIENCE, "the parent says its size", || lines().len() > before);
    let said = lines().pop().expect("a line");
    assert!(said.contains(&format!("prefork is now {size},")), "not {size}: {said}");
}

/// Waits until the parent has slept for three seconds without a single wake-up.
#[track_caller]
fn assert_sleeps(daemon: &Daemon<'_>) {
    let mut before = switches(daemon.pid());
    let mut calm = 0;
    wait_until(PATIENCE, "the parent sleeps for 3 s", || {
        thread::sleep(Duration::from_millis(100));
        let now = switches(daemon.pid());
        calm = if now == before { calm + 1 } else { 0 };
        before = now;
        calm == 30
    });
}

/// How often a process was woken: it has gone to sleep as often.
fn wakes(pid: u32) -> u64 {
    count(pid, "voluntary_ctxt_switches:")
}

/// How often a process was woken or interrupted.
fn switches(pid: u32) -> u64 {
    wakes(pid) + count(pid, "nonvoluntary_ctxt_switches:")
}

fn count(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let mut counts = status.lines().filter_map(|line| line.strip_prefix(field));
    let count = counts.next().expect("the kernel counts");
    count.trim().parse().expect("a number")
}
