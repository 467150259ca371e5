//! Children that run tokio: what `prefork-tokio` promises.

mod farewell;
mod kept;
mod load;

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use farewell::{Frames, GOAWAY, PING};
use kept::{Answer, Kept};
use load::Stayers;
use prefork_tests::{
    Launch, PATIENCE, Running, Scene, holds_for, kill, scene, wait_until, waiting_at,
};
use rustix::process::Signal;

/// Starts the program under test, and waits until it is ready.
fn start<'a>(scene: &'a Scene, arguments: &[&str]) -> Running<'a> {
    launch(scene).args(arguments).start_ready(scene)
}

fn launch(scene: &Scene) -> Launch<'_> {
    let address = scene.address().to_string();
    scene.tool(env!("CARGO_BIN_EXE_runtime")).args(["--listen", &address])
}

trait StartReady<'a> {
    fn start_ready(self, scene: &Scene) -> Running<'a>;
}

impl<'a> StartReady<'a> for Launch<'a> {
    #[track_caller]
    fn start_ready(self, scene: &Scene) -> Running<'a> {
        let running = self.start();
        wait_until(PATIENCE, "it is ready", || {
            scene.lines_with("1.stderr", " parent info: ready, with ").len() == 1
        });
        running
    }
}

/// Sends the parent a signal after which all children are others, and waits until they are.
#[track_caller]
fn replace_all(running: &Running<'_>, signal: Signal) {
    let before = running.living();
    running.signal(signal);
    wait_until(PATIENCE, "all children are new", || {
        let now = running.living();
        now.len() == before.len() && now.iter().all(|pid| !before.contains(pid))
    });
}

fn kept(address: SocketAddr) -> Kept {
    Kept::to(address).expect("it listens")
}

/// A whole answer that does not end the connection.
fn hello() -> Answer {
    Answer { status: 200, body: "hello".into(), is_last: false }
}

/// The same where it does.
fn last_hello() -> Answer {
    Answer { is_last: true, ..hello() }
}

/// A client's connection may stay for a while and ask for more, of a child that has no other and is gone after it.
#[test]
fn with_one_shot_every_client_has_a_child_of_its_own() {
    let scene = scene!();
    let daemon = start(&scene, &["--one-shot", "--children", "4"]);
    let mut children = BTreeSet::new();
    for round in 0..40 {
        let mut client = kept(scene.address());
        let Answer { body: child, is_last, .. } = client.ask("/pid").expect("it is answered");
        if round % 4 == 0 && !is_last {
            assert_eq!(client.ask("/pid").expect("it is answered").body, child);
        }
        assert!(children.insert(child.parse::<u32>().expect("a pid")), "{child} serves again");
    }
    // One that stays and says nothing more is not waited for.
    let mut silent = kept(scene.address());
    let child = silent.ask("/pid").expect("it is answered").body;
    children.insert(child.parse().expect("a pid"));
    wait_until(PATIENCE, "those who have served are gone", || {
        daemon.living().iter().all(|pid| !children.contains(pid))
    });
    assert_eq!(silent.rest().expect("it ends in order"), b"");
    daemon.stop_in_order();
}

/// L1, R1: whatever replaces children, connections that stay lose no request but those in hand of a child that is killed.
#[test]
fn reloads_and_upgrades_lose_no_request_of_connections_that_stay() {
    lose_nothing(&[]);
}

/// The same where each child has several threads.
#[test]
fn children_of_several_threads_lose_no_request_either() {
    lose_nothing(&["--threads", "2"]);
}

fn lose_nothing(arguments: &[&str]) {
    let scene = scene!();
    let daemon = start(&scene, arguments);
    let clients = Stayers::start(40, 5, scene.address());
    for signal in [Signal::HUP, Signal::USR2, Signal::HUP] {
        replace_all(&daemon, signal);
    }
    let victim = kept(scene.address()).ask("/pid").expect("it answers").body;
    let victim: u32 = victim.parse().expect("a pid");
    assert!(kill(victim, Signal::KILL));
    wait_until(PATIENCE, "it is replaced", || {
        let now = daemon.living();
        now.len() == 2 && !now.contains(&victim)
    });
    for signal in [Signal::HUP, Signal::USR2] {
        replace_all(&daemon, signal);
    }
    let seen = clients.stop();
    daemon.stop_in_order();
    assert!(seen.answered > 1000, "{} were answered", seen.answered);
    // Over a connection that was just accepted nobody has answered yet.
    let others: Vec<_> =
        seen.lost.iter().filter(|lost| lost.worker.is_some_and(|pid| pid != victim)).collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(seen.refused, 0, "requests over HTTP/2 came after the server's farewell");
    let in_hand_at_most = 40 + 5 * 4;
    assert!(seen.lost.len() <= in_hand_at_most, "{:?}", seen.lost);
}

/// A client that is thinking when the child is to leave has its next request answered; one that stays silent is not reset.
#[test]
fn connections_are_closed_in_order_and_not_under_a_request() {
    let scene = scene!();
    let daemon = start(&scene, &["--children", "1", "--grace", "1500"]);
    let (mut asks, mut silent, mut new) =
        (kept(scene.address()), kept(scene.address()), kept(scene.address()));
    for connection in [&mut asks, &mut silent] {
        assert_eq!(connection.ask("/").expect("it is answered"), hello());
    }
    // Nothing was ever sent over this one, but somebody has it: it came before the others were answered again.
    assert_eq!(asks.ask("/").expect("it is answered"), hello());
    let begun = Instant::now();
    daemon.signal(Signal::HUP);
    wait_until(PATIENCE, "the child is to leave", || daemon.living().len() == 2);
    wait_until(PATIENCE, "its client reads that it is the last", || {
        let answer = asks.ask("/").expect("it is answered");
        assert_eq!((answer.status, &*answer.body), (200, "hello"));
        answer.is_last
    });
    assert_eq!(asks.rest().expect("it is closed in order"), b"");
    assert_eq!(new.ask("/").expect("it is answered"), last_hello());
    assert_eq!(silent.rest().expect("it is closed in order"), b"");
    assert!(begun.elapsed() >= Duration::from_millis(1500), "{:?}", begun.elapsed());
    wait_until(PATIENCE, "the child has left", || daemon.living().len() == 1);
    daemon.stop_in_order();
}

/// A client over HTTP/2 may have begun a request when it answers the server's farewell, and send it behind that.
#[test]
fn a_request_that_crosses_with_a_farewell_is_answered() {
    let scene = scene!();
    let daemon = start(&scene, &["--children", "1"]);
    let mut connection = Frames::to(scene.address()).expect("it listens");
    connection.send(1).expect("sent");
    connection.until(|frame| frame.ends(1)).expect("it is answered");
    daemon.signal(Signal::HUP);
    let farewell = connection.until(|frame| frame.kind == PING).expect("it comes");
    let ping = farewell.last().expect("it is there");
    connection.send_behind_pong(ping, 3).expect("sent");
    let answer = connection.until(|frame| frame.ends(3)).expect("it is answered");
    assert!(answer.iter().all(|frame| frame.kind != GOAWAY), "{answer:?}");
    let last = connection.until(|frame| frame.kind == GOAWAY).expect("all is settled");
    assert_eq!(last.last().expect("it is there").last_stream(), 3);
    assert!(connection.next().expect("it is closed in order").is_none());
    daemon.stop_in_order();
}

/// What a client has sent behind its last request must not cost it the end of the answer, which a reset would.
#[test]
fn a_request_behind_the_last_answer_does_not_reset_the_connection() {
    let scene = scene!();
    let daemon = start(&scene, &["--children", "1"]);
    let mut connection = kept(scene.address());
    let request = "GET /large HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    connection.stream().write_all(request.as_bytes()).expect("sent");
    connection.head().expect("it begins");
    for _ in 0..50 {
        connection.send("/").expect("sent");
        // Else they may all be read at once.
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(connection.rest().expect("it is closed in order").len(), 16 << 20);
    daemon.stop_in_order();
}

/// H1: answers that are being sent, and all who wait already, are part of what a stop finishes.
#[test]
fn a_stop_answers_what_is_in_hand_and_who_waits() {
    let scene = scene!();
    let daemon = start(&scene, &["--children", "1", "--concurrency", "2"]);
    let mut streams: Vec<_> = (0..2).map(|_| kept(scene.address())).collect();
    for stream in &mut streams {
        stream.send("/stream?ms=1000").expect("sent");
        let head = stream.head().expect("it begins at once");
        assert_eq!(head[0], "HTTP/1.1 200 OK");
    }
    let mut waiting: Vec<_> = (0..5).map(|_| kept(scene.address())).collect();
    for connection in &mut waiting {
        connection.send("/").expect("sent");
    }
    assert_eq!(waiting_at(scene.address()), 5, "a full child takes none");
    daemon.signal(Signal::TERM);
    for mut stream in streams {
        let rest = stream.rest().expect("it is closed in order");
        assert!(rest.ends_with(b"goodbye\n\r\n0\r\n\r\n"), "{}", String::from_utf8_lossy(&rest));
    }
    for mut connection in waiting {
        assert_eq!(connection.answer().expect("it is answered"), last_hello());
    }
    daemon.assert_ends_in_order();
}

/// A full child leaves connections to others, and takes up again with the first answer.
#[test]
fn a_child_takes_no_more_than_it_can() {
    let scene = scene!();
    let daemon = start(&scene, &["--children", "1", "--concurrency", "2"]);
    let mut asks = kept(scene.address());
    assert_eq!(asks.ask("/").expect("it is answered"), hello());
    let mut holding: Vec<_> = (0..2).map(|_| kept(scene.address())).collect();
    for connection in &mut holding {
        connection.send("/hold").expect("sent");
    }
    // Over a connection that it has, a full child answers: both, and this one.
    wait_until(PATIENCE, "both are in hand", || {
        asks.ask("/in-hand").expect("it answers").body == "3"
    });
    let mut waits = kept(scene.address());
    waits.send("/").expect("sent");
    holds_for(Duration::from_millis(300), "it waits", || waiting_at(scene.address()) == 1);
    // It hangs up.
    drop(holding);
    assert_eq!(waits.answer().expect("it is answered"), hello());
    daemon.stop_in_order();
}

/// Whatever becomes of a request, it is in hand no longer.
#[test]
fn what_is_in_hand_comes_down_again() {
    for arguments in [&["--children", "1"][..], &["--children", "1", "--threads", "2"]] {
        let scene = scene!();
        let daemon = start(&scene, arguments);
        let in_hand = || -> u32 {
            let answer = kept(scene.address()).ask("/in-hand").expect("it is answered");
            answer.body.parse().expect("a number")
        };
        let mut requests: Vec<_> = (0..10).map(|_| kept(scene.address())).collect();
        for (request, path) in requests.iter_mut().zip(
            ["/hold", "/panic", "/stream?ms=60000", "/sleep?ms=60000", "/block?ms=10"]
                .iter()
                .cycle(),
        ) {
            request.send(path).expect("sent");
        }
        // Those that end by themselves have, and this one is in hand itself.
        wait_until(PATIENCE, "six wait for their end", || in_hand() == 6 + 1);
        drop(requests);
        wait_until(PATIENCE, "nothing is in hand", || in_hand() == 1);
        daemon.stop_in_order();
    }
}

/// Requests are counted one by one, however many are in hand at once.
#[test]
fn a_child_that_has_served_enough_is_replaced_under_load() {
    let scene = scene!();
    let daemon = start(&scene, &["--max-requests", "500"]);
    let mut before = daemon.living();
    let clients = Stayers::start(10, 2, scene.address());
    for round in 1..=2 {
        wait_until(PATIENCE, &format!("all are replaced, round {round}"), || {
            let now = daemon.living();
            now.len() >= 2 && now.iter().all(|pid| !before.contains(pid))
        });
        before = daemon.living();
    }
    let seen = clients.stop();
    assert!(seen.answered > 1000 && seen.lost.is_empty(), "{seen:?}");
    daemon.stop_in_order();
}

/// What goes on after its request, as a WebSocket does, is asked to end, and waited for.
#[test]
fn upgraded_connections_are_asked_to_end_and_waited_for() {
    let scene = scene!();
    let daemon = start(&scene, &["--children", "1", "--grace", "100"]);
    let mut talk = kept(scene.address());
    let request =
        "GET /talk HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: talk\r\n\r\n";
    talk.stream().write_all(request.as_bytes()).expect("sent");
    assert_eq!(talk.head().expect("it is answered")[0], "HTTP/1.1 101 Switching Protocols");
    let child = daemon.living();
    daemon.signal(Signal::HUP);
    let mut word = [0; 8];
    talk.stream().read_exact(&mut word).expect("it is asked");
    assert_eq!(&word, b"leaving\n");
    // For longer than silence is waited for.
    holds_for(Duration::from_millis(500), "the child waits", || {
        daemon.living().contains(&child[0])
    });
    drop(talk);
    wait_until(PATIENCE, "the child has left", || !daemon.living().contains(&child[0]));
    daemon.stop_in_order();
}

#[test]
fn a_connection_without_requests_is_closed_after_a_while() {
    let scene = scene!();
    let daemon = start(&scene, &["--idle-timeout", "200"]);
    let mut connection = kept(scene.address());
    assert_eq!(connection.ask("/").expect("it is answered"), hello());
    assert_eq!(connection.rest().expect("it is closed in order"), b"");
    // Neither is a request that never comes to its end waited for.
    let mut slow = kept(scene.address());
    slow.stream().write_all(b"GET / HT").expect("sent");
    slow.rest().expect("it is closed in order");
    // But one that takes its time is answered.
    let answer = kept(scene.address()).ask("/sleep?ms=1000");
    assert_eq!(answer.expect("it is answered"), hello());
    daemon.stop_in_order();
}

/// The loop for any protocol, over TCP and a UNIX socket at once.
#[test]
fn connections_of_any_protocol_are_served() {
    let scene = scene!();
    let path = scene.socket("socket");
    let daemon = launch(&scene)
        .args(["--listen".as_ref(), path.as_os_str()])
        .args(["--lines", "--children", "1", "--concurrency", "2"])
        .start_ready(&scene);
    let mut tcp = TcpStream::connect(scene.address()).expect("it listens");
    let mut unix = UnixStream::connect(&path).expect("it listens");
    for _ in 0..3 {
        for stream in [&mut tcp as &mut dyn ReadWrite, &mut unix] {
            stream.write_all(b"hello\n").expect("sent");
            let mut back = [0; 6];
            stream.read_exact(&mut back).expect("it comes back");
            assert_eq!(&back, b"hello\n");
        }
    }
    // Each connection is one that the child has in hand.
    let mut third = TcpStream::connect(scene.address()).expect("it listens");
    third.write_all(b"third\n").expect("sent");
    holds_for(Duration::from_millis(300), "it waits", || waiting_at(scene.address()) == 1);
    drop(unix);
    let mut back = [0; 6];
    third.read_exact(&mut back).expect("it comes back");
    assert_eq!(&back, b"third\n");
    daemon.signal(Signal::TERM);
    for stream in [&mut tcp, &mut third] {
        let mut rest = String::new();
        stream.read_to_string(&mut rest).expect("it is closed in order");
        assert_eq!(rest, "leaving\n");
    }
    daemon.assert_ends_in_order();
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

/// The example does what it says.
#[test]
fn the_example_serves_reloads_and_stops() {
    let scene = scene!();
    let address = scene.address();
    let daemon = scene
        .tool(env!("CARGO_BIN_EXE_axum_example"))
        .args([address.to_string()])
        .start_ready(&scene);
    let clients = Stayers::start(4, 1, address);
    replace_all(&daemon, Signal::HUP);
    let seen = clients.stop();
    assert!(seen.answered > 0 && seen.lost.is_empty(), "{seen:?}");
    // One process answers many at once: twenty seconds of sleep are over long before that.
    let begun = Instant::now();
    let sleepers: Vec<_> =
        (0..10).map(|_| thread::spawn(move || kept(address).ask("/sleep?ms=2000"))).collect();
    for sleeper in sleepers {
        let answer = sleeper.join().expect("no panic").expect("it is answered");
        assert_eq!(answer, hello());
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    daemon.stop_in_order();
}

/// What it counts with the crate `metrics` is one figure for all children, those that were killed too.
#[test]
fn the_example_counts_in_all_children() {
    let scene = scene!();
    let address = scene.address();
    let daemon = scene
        .tool(env!("CARGO_BIN_EXE_axum_example"))
        .args([address.to_string(), scene.page().to_string()])
        .start_ready(&scene);
    let mut greetings = 0;
    for _ in 0..3 {
        for _ in 0..10 {
            assert_eq!(kept(address).ask("/").expect("answered"), hello());
            greetings += 1;
        }
        assert_eq!(kept(address).ask("/sleep?ms=1").expect("answered"), hello());
        let child: u32 = kept(address).ask("/pid").expect("answered").body.parse().expect("a pid");
        assert!(kill(child, Signal::KILL));
        wait_until(PATIENCE, "another child serves", || {
            !daemon.living().contains(&child) && kept(address).ask("/pid").is_ok()
        });
    }
    let text = metrics(&scene).expect("the page answers");
    for line in [
        "# HELP example_greetings_total Greetings, by who was greeted".to_owned(),
        format!("example_greetings_total{{name=\"axum\",whom=\"world\"}} {greetings}"),
        "example_sleep_seconds_count{name=\"axum\"} 3".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    daemon.stop_in_order();
}

/// What the page says for Prometheus.
fn metrics(scene: &Scene) -> io::Result<String> {
    let mut connection = TcpStream::connect(scene.page())?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    connection.read_to_string(&mut text)?;
    Ok(text)
}
