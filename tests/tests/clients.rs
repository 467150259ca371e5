//! Clients that hang up while a child works for them.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    time::Duration,
};

use prefork_tests::{
    Load, PATIENCE, Scene, find_process, holds_for, require_root, scene, ticks, wait_until,
};
use rustix::{net::sockopt::set_socket_linger, process::Signal};

/// How often the log of a scene says something.
fn said(scene: &Scene, text: &str) -> usize {
    scene.lines_with("error.log", text).len()
}

/// Asks for what takes long, and returns the connection.
fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let mut connection = TcpStream::connect(address).expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
    connection.write_all(request.as_bytes()).expect("sent");
    connection
}

/// Waits until so many children say on the board that they work.
fn wait_until_busy(scene: &Scene, count: usize) {
    wait_until(PATIENCE, &format!("{count} children work"), || {
        let board = prefork::scoreboard::Board::open(scene.path("scoreboard")).expect("there");
        board.snapshot().is_ok_and(|snapshot| snapshot.tally().busy == count)
    });
}

/// N1: who closes and who resets is noticed, once; the child that works for nobody is replaced, and the
/// others are left alone.
#[test]
fn a_request_whose_client_has_gone_is_cancelled() {
    for resets in [false, true] {
        let scene = scene!();
        let watching = ["--cancel-on-disconnect", "--netwatch-interval", "0.05"];
        let daemon = scene.hello().board().args(["--prefork", "3"]).args(watching).daemon();
        let before = daemon.living();
        let client = ask(scene.address(), "/sleep?ms=60000");
        let other = Load::bounded(1, 1, scene.address(), "/sleep?ms=2500");
        wait_until_busy(&scene, 2);
        // Long enough to be seen while it is there.
        std::thread::sleep(Duration::from_millis(300));
        if resets {
            set_socket_linger(&client, Some(Duration::ZERO)).expect("set");
        }
        drop(client);
        wait_until(PATIENCE, "one child is replaced", || {
            let now = daemon.living();
            now.len() >= 3 && before.iter().filter(|pid| now.contains(pid)).count() == 2
        });
        let tally = other.finish();
        assert_eq!((tally.answered, tally.failures), (1, vec![]), "resets: {resets}");
        let what = if resets { "is gone" } else { "has closed its side" };
        assert_eq!(said(&scene, &format!("(GET /sleep?ms=60000) {what}: cancelling")), 1);
        assert_eq!(said(&scene, "cancelling"), 1);
        assert_eq!(said(&scene, "error:"), 0);
        daemon.stop_in_order();
    }
}

/// N2: who closes only its own side is reported as that, and still gets its answer.
#[test]
fn a_client_that_only_stops_sending_gets_its_answer() {
    let scene = scene!();
    let watching = ["--on-client-disconnect", "tell", "--netwatch-interval", "50"];
    let daemon = scene.probe().board().args(watching).daemon();
    let mut client = ask(scene.address(), "/sleep/1000");
    client.shutdown(Shutdown::Write).expect("half closed");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let local = client.local_addr().expect("bound");
    assert_eq!(said(&scene, &format!("client: {local} of child")), 1);
    assert_eq!(said(&scene, "has closed its side after"), 1);
    daemon.stop_in_order();
}

/// N3: a thousand clients that behave are none that has gone.
#[test]
fn clients_that_wait_for_their_answers_are_never_reported() {
    let scene = scene!();
    let watching = ["--on-client-disconnect", "tell", "--netwatch-interval", "50"];
    let daemon = scene.probe().board().args(["--prefork", "4"]).args(watching).daemon();
    let tally = Load::bounded(8, 150, scene.address(), "/sleep/3").finish();
    assert_eq!((tally.answered, tally.failures), (1200, vec![]));
    assert_eq!(said(&scene, "client:"), 0);
    daemon.stop_in_order();
}

/// N4: clients in the queue are nobody's yet; once they are accepted, they are told of.
#[test]
fn clients_that_leave_the_queue_are_noticed_when_they_are_accepted() {
    let scene = scene!();
    let watching = ["--on-client-disconnect", "tell", "--netwatch-interval", "50"];
    let size = ["--prefork", "1", "--max-children", "1"];
    let daemon = scene.probe().board().args(size).args(watching).daemon();
    let first = ask(scene.address(), "/sleep/700");
    wait_until_busy(&scene, 1);
    drop(ask(scene.address(), "/sleep/700"));
    holds_for(Duration::from_millis(300), "silence", || said(&scene, "client:") == 0);
    wait_until(PATIENCE, "the second is noticed", || said(&scene, "client:") == 1);
    drop(first);
    daemon.stop_in_order();
}

/// UNIX sockets have clients too.
#[test]
fn clients_of_unix_sockets_are_noticed() {
    let scene = scene!();
    let watching = ["--on-client-disconnect", "cancel", "--netwatch-interval", "50"];
    let daemon = scene.probe().board().path("--listen-unix", "socket").args(watching).daemon();
    let before = daemon.living();
    let mut client = UnixStream::connect(scene.path("socket")).expect("it listens");
    client.write_all(b"GET /sleep/60000 HTTP/1.1\r\n\r\n").expect("sent");
    wait_until_busy(&scene, 1);
    drop(client);
    wait_until(PATIENCE, "one child is replaced", || {
        before.iter().filter(|pid| daemon.living().contains(pid)).count() == 2
    });
    assert_eq!(said(&scene, "cancelling"), 1);
    daemon.stop_in_order();
}

/// A hook that takes for ever, or panics, does not keep the parent from anything.
#[test]
fn a_hook_that_is_slow_or_panics_does_not_stop_the_parent() {
    for (hook, sign) in [
        ("slow", "client: "),
        ("panic", "on_client_disconnect failed: panicked: panicking as asked"),
    ] {
        let scene = scene!();
        let watching = ["--on-client-disconnect", hook, "--netwatch-interval", "50"];
        let daemon = scene.probe().board().args(["--prefork", "2"]).args(watching).daemon();
        for _ in 0..2 {
            let client = ask(scene.address(), "/sleep/400");
            wait_until_busy(&scene, 1);
            drop(client);
            wait_until(PATIENCE, sign, || said(&scene, sign) >= 1);
        }
        // It reaps and replaces as ever, with the hook still at it.
        let victim = daemon.living()[0];
        assert!(prefork_tests::kill(victim, Signal::KILL));
        wait_until(Duration::from_secs(5), "it is replaced", || {
            let now = daemon.living();
            !now.contains(&victim) && now.len() >= 2
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
    let client = ask(scene.address(), "/sleep/200");
    wait_until_busy(&scene, 1);
    drop(client);
    // Accepted by the same child before the verdict comes.
    let next = Load::bounded(1, 1, scene.address(), "/sleep/1500");
    wait_until(PATIENCE, "the verdict comes", || said(&scene, "client: ") == 1);
    let tally = next.finish();
    assert_eq!((tally.answered, tally.failures), (1, vec![]));
    assert_eq!((said(&scene, "cancelling"), daemon.living()), (0, before));
    daemon.stop_in_order();
}

/// Children of another user are watched as well, by a parent that may.
#[test]
fn children_of_another_user_are_watched() {
    if !require_root() {
        return;
    }
    let scene = scene!();
    let watching = ["--on-client-disconnect", "tell", "--netwatch-interval", "50"];
    let daemon = scene.probe().board().args(watching).args(["--user", "nobody"]).daemon();
    let client = ask(scene.address(), "/sleep/1000");
    wait_until_busy(&scene, 1);
    drop(client);
    wait_until(PATIENCE, "it is noticed, or said why not", || {
        said(&scene, "client: ") + said(&scene, "the parent needs CAP_SYS_PTRACE") == 1
    });
    if said(&scene, "client: ") == 0 {
        println!("SKIPPED: this root may not trace other users");
    }
    daemon.stop_in_order();
}

/// A pool at rest costs nothing, however short the interval is.
#[test]
fn a_pool_at_rest_is_not_watched() {
    let scene = scene!();
    let watching = ["--on-client-disconnect", "tell", "--netwatch-interval", "50"];
    let daemon = scene.probe().board().args(watching).daemon();
    assert_eq!(Load::bounded(2, 20, scene.address(), "/").finish().answered, 40);
    // Until the pool has forgotten that there was work.
    std::thread::sleep(Duration::from_millis(500));
    let wakeups = || {
        let stat = fs::read_to_string(format!("/proc/{}/schedstat", daemon.pid())).expect("lives");
        stat.split_whitespace().nth(2).and_then(|count| count.parse::<u64>().ok()).expect("a count")
    };
    let (before, cpu) = (wakeups(), find_process(daemon.pid()).expect("lives").cpu);
    std::thread::sleep(Duration::from_secs(2));
    assert!(wakeups() - before <= 2, "{} wake-ups", wakeups() - before);
    assert!(find_process(daemon.pid()).expect("lives").cpu - cpu <= ticks(1));
    daemon.stop_in_order();
}
