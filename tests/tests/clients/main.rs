//! Clients that hang up while a child works for them.

mod moments;

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    thread,
    time::Duration,
};

use prefork_tests::{
    Daemon, InHand, Lack, Load, PATIENCE, Scene, Sent, holds_for, require_root, scene, skip, ticks,
    turns, wait_until,
};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

/// Waits until all children say on the board that they have nothing to do.
fn wait_until_idle(scene: &Scene) {
    wait_until(PATIENCE, "nobody works", || {
        let board = prefork::scoreboard::Board::open(scene.path("scoreboard")).expect("there");
        board.snapshot().is_ok_and(|snapshot| snapshot.tally().busy == 0)
    });
}

/// Waits until one child of those before is gone and replaced, and the others are there.
#[track_caller]
fn wait_until_replaced(daemon: &Daemon<'_>, before: &[u32], gone: u32) {
    wait_until(PATIENCE, &format!("child {gone} alone is replaced"), || {
        let now = daemon.living();
        now.len() >= before.len() && before.iter().all(|pid| now.contains(pid) != (*pid == gone))
    });
}

/// N1: a client that closes is noticed, once; the child that works for nobody is replaced, and the others are left
/// alone.
#[test]
fn a_request_whose_client_has_closed_is_cancelled() {
    assert_cancelled(Leaves::Closing);
}

/// N1: so is a client that resets, whenever that is: a reset leaves nothing that could be seen, and the parent may never have
/// looked before.
#[test]
fn a_request_whose_client_has_reset_is_cancelled() {
    for after in [0, 1, 10, 100, 1000] {
        assert_cancelled(Leaves::Resetting { after: Duration::from_millis(after) });
    }
}

/// How a client goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    Closing,
    Resetting { after: Duration },
}

/// Makes a client leave, and asserts that its request is cancelled, and nothing else, beside ordinary traffic.
#[track_caller]
fn assert_cancelled(how: Leaves) {
    let scene = scene!();
    let watching = ["--cancel-on-disconnect", "--netwatch-interval", "0.05"];
    let daemon = scene.hello().board().args(["--prefork", "4"]).args(watching).daemon();
    let before = daemon.living();
    let traffic = Load::start(1, scene.address(), "/");
    let other = InHand::at(scene.address(), "/sleep?ms=2000");
    let client = InHand::at(scene.address(), "/sleep?ms=60000");
    let victim = client.worker().pid;
    let what = match how {
        Leaves::Closing => {
            drop(client);
            "has closed its side"
        }
        Leaves::Resetting { after } => {
            thread::sleep(after);
            client.reset();
            "is gone"
        }
    };
    let same = other.worker();
    assert!(other.answer().is_ok_and(|reply| reply.worker() == same), "{how:?}");
    // Looks are rarer where they take long, as beside the thousands of another test.
    wait_until(3 * PATIENCE, &format!("it is noticed: {how:?}"), || scene.logged("cancelling") > 0);
    wait_until_replaced(&daemon, &before, victim);
    assert_eq!(scene.logged(&format!("(GET /sleep?ms=60000) {what}: cancelling")), 1);
    assert_eq!(scene.logged("cancelling"), 1);
    assert_eq!(scene.logged("error:"), 0);
    assert_eq!(traffic.stop().failures, [""; 0]);
    daemon.stop_in_order();
}

/// N2: a client that closes only its own side is reported as that, and still gets its answer.
#[test]
fn a_client_that_only_stops_sending_gets_its_answer() {
    let scene = scene!();
    let watching = ["--on-client-disconnect", "log", "--netwatch-interval", "50"];
    let daemon = scene.probe().board().args(watching).daemon();
    let request = InHand::at(scene.address(), "/sleep/2000");
    request.connection().shutdown(Shutdown::Write).expect("half closed");
    let (client, worker) = (request.client(), request.worker().pid);
    assert_eq!(request.answer().expect("it is answered").status, 200);
    // A process of its own logs it.
    let logged = || scene.logged(&format!("client: {client} of child {worker}"));
    wait_until(PATIENCE, "it is logged", || logged() == 1);
    holds_for(Duration::from_millis(300), "logged once", || logged() == 1);
    assert_eq!(scene.logged("has closed its side after"), 1);
    daemon.stop_in_order();
}

/// N3: eight clients that behave, more than a thousand times, are none that has gone.
#[test]
fn clients_that_wait_for_their_answers_are_never_reported() {
    let scene = scene!();
    let watching = ["--on-client-disconnect", "log", "--netwatch-interval", "50"];
    let daemon = scene.probe().board().args(["--prefork", "4"]).args(watching).daemon();
    let tally = Load::bounded(8, 150, scene.address(), "/sleep/3").finish();
    assert_eq!((tally.answered, tally.failures), (1200, vec![]));
    assert_eq!(scene.logged("client:"), 0);
    daemon.stop_in_order();
}

/// N3: among ten thousand sockets of others that come and go, no client is taken for one that has gone, and
/// one that has gone is found.
#[test]
fn thousands_of_strangers_are_never_reported() {
    let scene = scene!();
    let Some(mut strangers) = Strangers::of(&scene.address(), 10_000) else { return };
    let watching = ["--on-client-disconnect", "log", "--netwatch-interval", "50"];
    let daemon = scene.probe().board().args(["--prefork", "4"]).args(watching).daemon();
    let load = Load::start(8, scene.address(), "/sleep/3");
    let looks = turns(daemon.pid());
    for number in 0..4000 {
        strangers.replace(number);
        thread::sleep(Duration::from_millis(1));
    }
    let looks = turns(daemon.pid()) - looks;
    assert!(looks > 40, "the parent was awake {looks} times");
    let tally = load.stop();
    assert!(tally.answered > 100 && tally.failures.is_empty(), "{tally:?}");
    assert_eq!(scene.logged("client: "), 0);

    let request = InHand::at(scene.address(), "/sleep/5000");
    let line = format!("client: {} of child {}", request.client(), request.worker().pid);
    drop(request);
    wait_until(PATIENCE, &line, || scene.logged(&line) == 1);
    assert_eq!(scene.logged("client: "), 1);
    drop(strangers);
    daemon.stop_in_order();
}

/// Sockets that are nobody's business.
struct Strangers {
    // First, so that their ends reset, and no address is kept waiting.
    elsewhere: Vec<TcpListener>,
    places: Vec<SocketAddr>,
    clients: Vec<TcpStream>,
}

impl Strangers {
    /// Makes so many connections, two sockets each for the kernel: they wait in queues at the same address as `beside`
    /// and other ports.
    fn of(beside: &SocketAddr, count: usize) -> Option<Self> {
        let limit = getrlimit(Resource::Nofile);
        let enough = count as u64 + 1000;
        if limit.maximum.is_some_and(|maximum| maximum < enough) {
            skip(Lack::Platform("it may not open so many descriptors"));
            return None;
        }
        let current = limit.current.map(|current| current.max(enough));
        setrlimit(Resource::Nofile, Rlimit { current, ..limit }).expect("raised");
        let elsewhere = (0..4).map(|_| {
            let listener = TcpListener::bind((beside.ip(), 0)).expect("bound");
            rustix::net::listen(&listener, 4000).expect("its queue is long");
            listener
        });
        let elsewhere: Vec<_> = elsewhere.collect();
        let places = elsewhere.iter().map(|place| place.local_addr().expect("bound")).collect();
        let mut strangers = Self { elsewhere, places, clients: Vec::new() };
        strangers.clients = (0..count).map(|number| strangers.connect(number)).collect();
        Some(strangers)
    }

    fn connect(&self, number: usize) -> TcpStream {
        let place = &self.places[number % self.places.len()];
        TcpStream::connect_timeout(place, PATIENCE).expect("there is room in the queue")
    }

    /// One leaves and another comes. The other end stays in the queue, as if somebody had closed and nobody had noticed.
    fn replace(&mut self, number: usize) {
        self.clients[number] = self.connect(number + 1);
        self.elsewhere[(number + 1) % self.places.len()].accept().expect("somebody waits");
    }
}

/// N4: clients in the queue are nobody's yet; once they are accepted, they are reported.
#[test]
fn clients_that_leave_the_queue_are_noticed_when_they_are_accepted() {
    let scene = scene!();
    let watching = ["--on-client-disconnect", "log", "--netwatch-interval", "50"];
    let size = ["--prefork", "1", "--max-children", "1"];
    let daemon = scene.probe().board().args(size).args(watching).daemon();
    let first = InHand::at(scene.address(), "/sleep/5000");
    // It does not say which it is, so nothing is sent to it before it is noticed.
    let mut second = TcpStream::connect(scene.address()).expect("it listens");
    second.write_all(b"GET /sleep/5000 HTTP/1.1\r\n\r\n").expect("sent");
    drop(second);
    holds_for(Duration::from_secs(1), "silence", || scene.logged("client:") == 0);
    wait_until(PATIENCE, "the second is noticed", || scene.logged("client:") == 1);
    drop(first);
    daemon.stop_in_order();
}

/// N4: clients that come by IPv4 to a socket of IPv6 are noticed, under the address that they have.
#[test]
fn clients_with_mapped_addresses_are_noticed() {
    if TcpListener::bind("[::]:0").is_err() {
        skip(Lack::Platform("there is no IPv6"));
        return;
    }
    let scene = scene!();
    let watching = ["--on-client-disconnect", "log", "--netwatch-interval", "50"];
    // At a port of the kernel's choice: on the usual one, other tests listen at addresses that this
    // socket would have too.
    let daemon = scene.probe().board().args(["--listen", "[::]:0"]).args(watching).daemon();
    let [port] = daemon.listening_ports()[..] else { panic!("it listens at one port") };
    for client in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let request = InHand::at(SocketAddr::new(client, port), "/sleep/3000");
        let line = format!("client: {} of child {}", request.client(), request.worker().pid);
        drop(request);
        wait_until(PATIENCE, &line, || scene.logged(&line) == 1);
        wait_until_idle(&scene);
    }
    assert_eq!(scene.logged("client: "), 2);
    daemon.stop_in_order();
}

/// UNIX sockets have clients too.
#[test]
fn clients_of_unix_sockets_are_noticed() {
    let scene = scene!();
    let watching = ["--on-client-disconnect", "cancel", "--netwatch-interval", "50"];
    let daemon = scene.probe().board().socket("--listen-unix", "socket").args(watching).daemon();
    let before = daemon.living();
    let client = UnixStream::connect(scene.socket("socket")).expect("it listens");
    let request = Sent::over(client, "/sleep/60000").expect("sent").taken();
    let victim = request.worker().pid;
    drop(request);
    wait_until_replaced(&daemon, &before, victim);
    assert_eq!(scene.logged("cancelling"), 1);
    daemon.stop_in_order();
}

/// A hook that takes for ever, or panics, does not keep the parent from anything.
#[test]
fn a_hook_that_is_slow_or_panics_does_not_stop_the_parent() {
    // While one hook is at it, no other is run.
    for (hook, rounds, sign) in [
        ("slow", 1, "client: "),
        ("panic", 2, "on_client_disconnect failed: panicked: panicking as asked"),
    ] {
        let scene = scene!();
        let watching = ["--on-client-disconnect", hook, "--netwatch-interval", "50"];
        let launch = scene.probe().board().args(["--prefork", "2"]).args(watching);
        let daemon = launch.path("--witness", "witness").daemon();
        for round in 1..=rounds {
            drop(InHand::at(scene.address(), "/sleep/3000"));
            wait_until(PATIENCE, sign, || scene.logged(sign) == round);
            wait_until_idle(&scene);
        }
        // It reaps and replaces as ever, with the hook still at it, which is a child of the parent too.
        let victim = daemon.get("/").expect("it serves").worker().pid;
        assert!(prefork_tests::kill(victim, Signal::KILL));
        let started = || scene.lines_with("witness", "main_loop").len();
        wait_until(PATIENCE, "it is replaced", || {
            !daemon.living().contains(&victim) && started() == 3
        });
        assert_eq!(daemon.get("/").expect("it serves").status, 200);
        daemon.stop_in_order();
    }
}

/// A verdict that comes late concerns the request that was meant, and no other.
#[test]
fn a_late_verdict_does_not_hit_the_next_request() {
    let scene = scene!();
    let watching = ["--on-client-disconnect", "late", "--netwatch-interval", "50"];
    let size = ["--prefork", "1", "--max-children", "1"];
    let daemon = scene.probe().board().args(size).args(watching).daemon();
    let before = daemon.living();
    drop(InHand::at(scene.address(), "/sleep/1000"));
    // Accepted by the same child before the verdict comes, which takes three seconds.
    let next = Load::bounded(1, 1, scene.address(), "/sleep/6000");
    wait_until(PATIENCE, "the verdict comes", || scene.logged("client: ") == 1);
    let tally = next.finish();
    assert_eq!((tally.answered, tally.failures), (1, vec![]));
    assert_eq!((scene.logged("cancelling"), daemon.living()), (0, before));
    daemon.stop_in_order();
}

/// Children of another user are watched as well, by a parent that may.
#[test]
fn children_of_another_user_are_watched() {
    if !require_root() {
        return;
    }
    let scene = scene!();
    let watching = ["--on-client-disconnect", "log", "--netwatch-interval", "50"];
    let daemon = scene.probe().board().args(watching).args(["--user", "nobody"]).daemon();
    drop(InHand::at(scene.address(), "/sleep/3000"));
    wait_until(PATIENCE, "it is noticed, or said why not", || {
        scene.logged("client: ") + scene.logged("the parent needs CAP_SYS_PTRACE") == 1
    });
    if scene.logged("client: ") == 0 {
        skip(Lack::Platform("this root may not trace other users"));
    }
    daemon.stop_in_order();
}

/// A pool at rest costs nothing, however short the interval is.
#[test]
fn a_pool_at_rest_is_not_watched() {
    let scene = scene!();
    let watching = ["--on-client-disconnect", "log", "--netwatch-interval", "50"];
    let daemon = scene.probe().board().args(watching).daemon();
    assert_eq!(Load::bounded(2, 20, scene.address(), "/").finish().answered, 40);
    // Until the pool has forgotten that there was work.
    daemon.wait_for_rest();
    let (before, cpu) = (turns(daemon.pid()), daemon.cpu());
    thread::sleep(Duration::from_secs(2));
    let woken = turns(daemon.pid()) - before;
    assert!(woken <= 2, "{woken} wake-ups");
    assert!(daemon.cpu() - cpu <= ticks(1));
    daemon.stop_in_order();
}
