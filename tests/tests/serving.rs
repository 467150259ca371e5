//! A daemon that simply serves, or rests.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use prefork_tests::{Load, PATIENCE, get, scene, wait_until, waiting_at};
use rustix::process::Signal;

/// Nothing wakes up while nothing happens: neither the parent nor a child has a timer.
#[test]
fn a_daemon_at_rest_sleeps() {
    for children in ["3", "0"] {
        let scene = scene!();
        let daemon = scene.hello().args(["--prefork", children]).daemon();
        let family: Vec<u32> = [daemon.pid()].into_iter().chain(daemon.living()).collect();
        let count = || family.iter().copied().map(switches).collect::<Vec<_>>();
        let (mut seen, mut since) = (count(), Instant::now());
        wait_until(PATIENCE, "all processes sleep for 2 s without a single wake-up", || {
            let now = count();
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
            since.elapsed() > Duration::from_secs(2)
        });
        daemon.stop_in_order();
    }
}

/// A connection wakes one child, not all that wait for one.
#[test]
fn a_connection_wakes_one_child() {
    const CHILDREN: u64 = 20;
    const REQUESTS: u64 = 50;
    let scene = scene!();
    let daemon = scene.hello().args(["--prefork", &CHILDREN.to_string()]).daemon();
    daemon.get("/").expect("it serves");
    let woken = || daemon.living().into_iter().map(sleeps).sum::<u64>();
    let before = woken();
    for _ in 0..REQUESTS {
        daemon.get("/").expect("it serves");
    }
    let woken = woken() - before;
    // One or two waits a request; were all woken, it would be a thousand at the least.
    assert!(woken < REQUESTS * CHILDREN / 3, "{REQUESTS} requests made {woken} wake-ups");
    daemon.stop_in_order();
}

/// A child that ends by itself after work is replaced, however often, at no cost that adds up.
#[test]
fn replacing_children_leaks_no_descriptor() {
    let scene = scene!();
    let daemon = scene.probe().args(["--prefork", "2"]).daemon();
    // Once, so that what is opened at first need is open.
    daemon.get("/exit/0").expect_err("a child that exits does not answer");
    daemon.wait_for_children(PATIENCE, 2, &[]);
    // The newest child is there before the parent has closed what it has made for it.
    daemon.wait_for_rest();
    let before = descriptors(daemon.pid());
    let of_child = descriptors(daemon.get("/pid").expect("an answer").number());
    for round in 0..100 {
        let living = daemon.living();
        get(scene.address(), "/exit/0").expect_err("a child that exits does not answer");
        wait_until(PATIENCE, &format!("child {round} is replaced"), || {
            let now = daemon.living();
            now.len() == 2 && now != living
        });
    }
    daemon.wait_for_rest();
    assert_eq!(descriptors(daemon.pid()), before, "descriptors of the parent");
    wait_until(PATIENCE, "both children have as many descriptors as the first ones had", || {
        daemon.living().into_iter().all(|child| descriptors(child) == of_child)
    });
    assert!(!scene.read("error.log").contains("before they have worked"), "it was throttled");
    daemon.stop_in_order();
}

/// Several listeners are served by the same children.
#[test]
fn every_listener_is_served() {
    let (scene, other) = (scene!(), scene!());
    let daemon = scene.hello().args(["--listen", &other.address().to_string()]).daemon();
    for address in [scene.address(), other.address()] {
        let tally = Load::bounded(4, 25, address, "/").finish();
        assert_eq!((tally.answered, tally.failures), (100, vec![]), "at {address}");
    }
    daemon.stop_in_order();
}

/// While the only child is busy, many come to one listener, and then one to another: that one does not wait until all of
/// the many are served.
#[test]
fn a_listener_that_is_busy_does_not_keep_others_waiting() {
    const MANY: usize = 20;
    let (scene, quiet) = (scene!(), scene!());
    let listen = ["--prefork", "1", "--listen", &quiet.address().to_string()].map(str::to_owned);
    let daemon = scene.hello().args(listen).daemon();
    let ask = |address, text: &str| {
        let mut client = TcpStream::connect(address).expect("it listens");
        client.write_all(text.as_bytes()).expect("there is room");
        client
    };
    // The child waits for the rest of this one.
    let mut first = ask(scene.address(), "GET / HTTP/1.1\r\n");
    wait_until(PATIENCE, "the child has it in hand", || waiting_at(scene.address()) == 0);
    let whole = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
    let mut clients: Vec<_> = (0..MANY).map(|_| ask(scene.address(), whole)).collect();
    clients.push(ask(quiet.address(), "GET /pid HTTP/1.1\r\nConnection: close\r\n\r\n"));
    let waiting = [scene.address(), quiet.address()].map(waiting_at);
    assert_eq!(waiting, [MANY, 1], "all of them wait");
    first.write_all(b"Connection: close\r\n\r\n").expect("sent");
    for mut client in clients {
        client.set_read_timeout(Some(PATIENCE)).expect("set");
        client.read_to_string(&mut String::new()).expect("answered");
    }
    wait_until(PATIENCE, "all are logged", || {
        scene.lines_with("access.log", "GET").len() > MANY + 1
    });
    let log = scene.lines_with("access.log", "GET");
    let place = log.iter().position(|line| line.contains("GET /pid ")).expect("it was served");
    assert!(place < 3, "{place} were served before the one at the other listener");
    daemon.stop_in_order();
}

/// Clients that vanish, say nothing or talk nonsense cost nobody else anything.
#[test]
fn rude_clients_do_no_harm() {
    let scene = scene!();
    let daemon = scene.hello().daemon();
    let before = daemon.living();
    for round in 0..60 {
        let mut client = TcpStream::connect(scene.address()).expect("it listens");
        let rude: &[u8] = match round % 4 {
            0 => b"",
            1 => b"GET / HT",
            2 => b"\0\xff\x1b[2J nonsense\r\n\r\n",
            _ => b"POST / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\nhalf",
        };
        client.write_all(rude).expect("there is room");
    }
    for _ in 0..20 {
        assert_eq!(daemon.get("/").expect("it serves").body, "hello");
    }
    assert_eq!(daemon.living(), before, "children were lost");
    assert!(!scene.read("access.log").contains('\u{1b}'), "the log takes what clients say");
    daemon.signal(Signal::TERM);
    daemon.assert_ends_in_order(PATIENCE);
}

/// How often a process has gone to sleep or been put to sleep.
fn switches(pid: u32) -> u64 {
    sleeps(pid) + count(pid, "nonvoluntary_ctxt_switches:")
}

/// How often a process has gone to sleep.
fn sleeps(pid: u32) -> u64 {
    count(pid, "voluntary_ctxt_switches:")
}

fn count(pid: u32, field: &str) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
    let of_task = |task: fs::DirEntry| -> u64 {
        let status = fs::read_to_string(task.path().join("status")).expect("the task lives");
        let counts = status.lines().filter_map(|line| line.strip_prefix(field));
        counts.map(|count| count.trim().parse::<u64>().expect("a number")).sum()
    };
    tasks.flatten().map(of_task).sum()
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("the process lives").count()
}
