//! Clients that hang up at any moment after their requests, in every way.
//!
//! `PREFORK_HANGUPS=100` does each a hundred times, among ten thousand sockets of others, with looks as often as they can
//! be promised on a quiet machine, and prints how soon it was noticed. With `--test-threads 1`.

use std::{
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use prefork_tests::{
    Daemon, InHand, Lack, Load, PATIENCE, Scene, Sent, Worker, asked, scene, skip, wait_until,
};
use rustix::net::sockopt::set_socket_linger;

use super::Strangers;

/// How often each is to be done, if that is asked for.
fn rounds() -> Option<usize> {
    asked("PREFORK_HANGUPS")
}

/// Within what time it must be noticed. A machine that does other things as well may have its processes wait for a tenth
/// of a second.
fn interval() -> Duration {
    if rounds().is_some() { Duration::from_millis(200) } else { Duration::from_secs(1) }
}

/// How a client goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    Closing,
    Resetting,
}

/// The connections of a request that is in hand.
enum Client {
    Tcp(InHand),
    Unix(InHand<UnixStream>),
}

impl Client {
    fn worker(&self) -> Worker {
        match self {
            Self::Tcp(request) => request.worker(),
            Self::Unix(request) => request.worker(),
        }
    }

    fn leave(self, how: Leaves) {
        match (self, how) {
            (Self::Tcp(request), Leaves::Resetting) => request.reset(),
            (Self::Tcp(request), Leaves::Closing) => drop(request),
            (Self::Unix(request), _) => drop(request),
        }
    }
}

/// The address at which clients of a daemon come.
#[derive(Clone, Debug)]
enum Place {
    Tcp(SocketAddr),
    Unix(std::path::PathBuf),
}

impl Place {
    fn ask(&self, path: &str) -> Client {
        match self {
            Self::Tcp(address) => Client::Tcp(InHand::at(*address, path)),
            Self::Unix(socket) => {
                let client = UnixStream::connect(socket).expect("it listens");
                client.set_read_timeout(Some(PATIENCE)).expect("set");
                Client::Unix(Sent::over(client, path).expect("sent").taken())
            }
        }
    }

    /// Ordinary traffic.
    fn traffic(&self) -> Option<Load> {
        match self {
            Self::Tcp(address) => Some(Load::start(1, *address, "/")),
            Self::Unix(_) => None,
        }
    }

    fn ways(&self) -> &'static [Leaves] {
        match self {
            Self::Tcp(_) => &[Leaves::Closing, Leaves::Resetting],
            Self::Unix(_) => &[Leaves::Closing],
        }
    }
}

/// Makes clients leave at several moments, beside traffic and without, and asserts that each is noticed in time.
#[track_caller]
fn assert_noticed(scene: &Scene, daemon: &Daemon<'_>, place: &Place) {
    let mut late = Vec::new();
    let strangers = rounds().map(|_| Strangers::of(&scene.other_address(), 5_000));
    for after in [0, 1, 10, 100, 1000].map(Duration::from_millis) {
        for how in place.ways() {
            let mut took: Vec<_> = (0..rounds().unwrap_or(2))
                .map(|round| {
                    let traffic = if round % 2 == 0 { None } else { place.traffic() };
                    let took = notice(scene, place, after, *how);
                    if let Some(traffic) = traffic {
                        assert_eq!(traffic.stop().failures, [""; 0]);
                    }
                    took
                })
                .collect();
            took.sort_unstable();
            let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
            let count = took.iter().filter(|took| **took <= interval()).count();
            println!(
                "{place:?}, {how:?} {after:?} after the request: {count} of {} within {:?}, median \
                 {median:.0?}, longest {longest:.0?}",
                took.len(),
                interval()
            );
            late.extend(took.into_iter().skip(count).map(|took| (after, *how, took)));
        }
    }
    drop(strangers);
    assert_eq!(late, [], "within {:?}", interval());
    assert_eq!(scene.logged("error:"), 0);
    daemon.stop_in_order();
}

/// Returns how long after a client has left that is noticed.
#[track_caller]
fn notice(scene: &Scene, place: &Place, after: Duration, how: Leaves) -> Duration {
    // Long enough to notice a late one all the same.
    let lasts = after + interval() + Duration::from_secs(1);
    let client = place.ask(&format!("/sleep/{}", lasts.as_millis()));
    let line = format!("of child {} ", client.worker().pid);
    let before = scene.logged(&line);
    thread::sleep(after);
    let begun = Instant::now();
    client.leave(how);
    while scene.logged(&line) == before {
        assert!(begun.elapsed() < PATIENCE, "{how:?} {after:?} after the request: never noticed");
        thread::sleep(Duration::from_millis(1));
    }
    begun.elapsed()
}

fn watching() -> Vec<String> {
    let interval = interval().as_millis().to_string();
    let size = ["--prefork", "4", "--max-children", "16"];
    let watching = ["--on-client-disconnect", "note", "--netwatch-interval", &interval];
    size.into_iter().chain(watching).map(str::to_owned).collect()
}

/// N1: over IPv4, whenever the client goes.
#[test]
fn a_client_by_ipv4_is_noticed_within_one_interval() {
    let scene = scene!();
    let daemon = scene.probe().board().args(watching()).daemon();
    assert_noticed(&scene, &daemon, &Place::Tcp(scene.address()));
}

/// N1: over IPv6.
#[test]
fn a_client_by_ipv6_is_noticed_within_one_interval() {
    if TcpListener::bind("[::1]:0").is_err() {
        skip(Lack::Platform("there is no IPv6"));
        return;
    }
    let scene = scene!();
    let daemon = scene.probe().board().args(["--listen", "[::1]:0"]).args(watching()).daemon();
    let [port] = daemon.listening_ports()[..] else { panic!("it listens at one port") };
    assert_noticed(&scene, &daemon, &Place::Tcp(([0, 0, 0, 0, 0, 0, 0, 1], port).into()));
}

/// N1: by a UNIX socket.
#[test]
fn a_client_by_a_unix_socket_is_noticed_within_one_interval() {
    let scene = scene!();
    let launch = scene.probe().board().socket("--listen-unix", "socket");
    let daemon = launch.args(watching()).daemon();
    assert_noticed(&scene, &daemon, &Place::Unix(scene.socket("socket")));
}

/// N1: of a child that accepts without the library, and says that it is at work.
#[test]
fn a_client_that_was_accepted_without_the_library_is_noticed_within_one_interval() {
    let scene = scene!();
    let launch = scene.probe().board().args(["--main-loop", "accept"]);
    let daemon = launch.args(watching()).daemon();
    assert_noticed(&scene, &daemon, &Place::Tcp(scene.address()));
}

/// N1: nor does it matter that the client has gone before the child has said anything.
#[test]
fn a_client_that_resets_in_the_queue_of_a_child_that_accepts_by_itself_is_noticed() {
    let scene = scene!();
    let launch = scene.probe().board().args(["--main-loop", "accept"]);
    let size = ["--prefork", "1", "--max-children", "1"];
    let daemon = launch.args(watching()).args(size).daemon();
    // It reads the request before it knows that nobody waits.
    let request = InHand::at(scene.address(), "/sleep/500");
    let mut waits = TcpStream::connect(scene.address()).expect("there is room in the queue");
    waits.write_all(b"GET /sleep/3000 HTTP/1.1\r\n\r\n").expect("sent");
    request.answer().expect("it is answered");
    wait_until(PATIENCE, "it is in hand", || {
        let board = prefork::scoreboard::Board::open(scene.path("scoreboard")).expect("there");
        board.snapshot().is_ok_and(|snapshot| snapshot.tally().busy == 1)
    });
    set_socket_linger(&waits, Some(Duration::ZERO)).expect("set");
    drop(waits);
    wait_until(PATIENCE, "it is noticed", || scene.logged("is gone") == 1);
    daemon.stop_in_order();
}

/// N3: quick requests that this side closes, a thousand, or with `PREFORK_HANGUPS` a thousand times as many as that says.
#[test]
fn quick_requests_are_never_reported() {
    for main_loop in ["serve", "accept"] {
        let scene = scene!();
        let watching = ["--on-client-disconnect", "note", "--netwatch-interval", "50"];
        let launch = scene.probe().board().args(["--main-loop", main_loop]);
        let daemon = launch.args(["--prefork", "4"]).args(watching).daemon();
        let requests = 125 * rounds().unwrap_or(1);
        let tally = Load::bounded(8, requests, scene.address(), "/").finish();
        assert_eq!((tally.answered, tally.failures), (8 * requests, vec![]));
        assert_eq!(scene.logged("client "), 0);
        // It is watched all the same.
        let client = Place::Tcp(scene.address()).ask("/sleep/3000");
        client.leave(Leaves::Resetting);
        wait_until(PATIENCE, "who goes is noticed", || scene.logged("is gone") == 1);
        daemon.stop_in_order();
    }
}
