use std::{
    io::Write,
    net::TcpListener,
    os::{
        fd::AsFd,
        unix::net::{UnixListener, UnixStream},
    },
    time::Duration,
};

use nix::sys::signal::Signal;
use prefork_core::program::{Facts, Judgement, Treatment};
use rustix::fs::fstat;

use super::{waits::Waiting, *};
use crate::testing::{ECHO, Fixture, ask, wait_until};

/// Python that handles many connections in one thread, as `ECHO` does each.
const EVENT_LOOP: &str = "
import asyncio, socket
async def serve(reader, writer):
    while byte := await reader.read(1):
        if byte == b's': await asyncio.sleep(1)
        if byte != b'q': writer.write(byte)
    writer.close()
async def main():
    await asyncio.start_server(serve, sock=socket.socket(fileno=0))
    await asyncio.Event().wait()
asyncio.run(main())
";

fn how(fixture: &Fixture) -> How {
    let waiting = fixture.tree().waits_at(&fixture.listeners).expect("allowed");
    let [Waiting { pid, how }] = waiting[..] else { panic!("{waiting:?}") };
    assert_eq!(pid, fixture.pid());
    how
}

fn facts_by(mut held: Held, fixture: &Fixture) -> Vec<Facts> {
    let connections = held.look(&fixture.tree(), &fixture.listeners).expect("allowed");
    connections.iter().map(|connection| connection.facts).collect()
}

fn facts(fixture: &Fixture) -> Vec<Facts> {
    facts_by(Held::default(), fixture)
}

#[test]
fn a_program_that_accepts_is_seen_to_wait() {
    let fixture = Fixture::python(ECHO).serving();
    assert_eq!(how(&fixture), How::Accept { thread: fixture.pid() });
    // While it has a client, it does not.
    let mut client = fixture.connect();
    ask(&mut client, b"a", b"a");
    assert_eq!(fixture.tree().waits_at(&fixture.listeners).expect("allowed"), []);
    drop(client);
    let _serves = fixture.serving();
}

#[test]
fn a_program_that_selects_or_polls_is_seen_to_wait() {
    for wait in ["select.select([0], [], [])", "p = select.poll(); p.register(0); p.poll()"] {
        let fixture = Fixture::python(&format!("import select; {wait}")).serving();
        assert_eq!(how(&fixture), How::Poll { thread: fixture.pid() }, "{wait}");
    }
}

#[test]
fn a_program_that_has_registered_its_socket_is_seen_to_wait() {
    let fixture = Fixture::python(EVENT_LOOP).serving();
    assert!(matches!(how(&fixture), How::Epoll { socket: 0, listener: 0, .. }));
}

#[test]
fn a_program_that_waits_for_something_else_is_not_waiting_at_its_socket() {
    let fixture = Fixture::python(
        "import os, select; (r, w) = os.pipe(); e = select.epoll(); e.register(r); os.write(1, b''); e.poll()",
    );
    let tree = fixture.tree();
    wait_until("it waits", || {
        matches!(tree.first().call(fixture.pid()).expect("allowed"), Call::Epoll(_))
    });
    assert_eq!(tree.waits_at(&fixture.listeners).expect("allowed"), []);
}

#[test]
fn what_a_program_does_with_a_signal_is_seen() {
    for (setting, expected) in [
        ("", Treatment::Default),
        ("signal.signal(15, lambda *_: None);", Treatment::Handled),
        ("signal.signal(15, signal.SIG_IGN);", Treatment::Ignored),
        ("signal.pthread_sigmask(signal.SIG_BLOCK, {15});", Treatment::Handled),
    ] {
        let script = format!("import select, signal; {setting} select.select([0], [], [])");
        let fixture = Fixture::python(&script).serving();
        let treatment = fixture.tree().first().treats(Signal::SIGTERM).expect("it runs");
        assert_eq!(treatment, expected, "{setting}");
    }
}

#[test]
fn what_a_program_has_started_is_part_of_it() {
    let fixture = Fixture::python(
        "import os, socket, time
socket = socket.socket(fileno=0)
if os.fork() == 0:
    if os.fork() == 0: socket.accept()
    time.sleep(60)
time.sleep(60)",
    );
    let mut tree = fixture.tree();
    wait_until("its grandchild serves", || {
        tree.refresh();
        !tree.waits_at(&fixture.listeners).expect("allowed").is_empty()
    });
    assert_eq!(tree.processes().len(), 3);
    assert_eq!(tree.first().pid(), fixture.pid());
    let waiting = tree.waits_at(&fixture.listeners).expect("allowed");
    assert_eq!(waiting[0].pid, tree.processes()[2].pid());
    assert!(tree.memory() > 3 << 20, "{}", tree.memory());
    // What is known already is kept, and what has ended is not.
    let grandchild = tree.processes()[2].pidfd();
    rustix::process::pidfd_send_signal(grandchild, rustix::process::Signal::KILL).expect("sent");
    wait_until("its grandchild serves no more", || {
        tree.refresh();
        tree.waits_at(&fixture.listeners).expect("allowed").is_empty()
    });
}

#[test]
fn a_program_that_has_not_run_is_known_by_one_call() {
    let fixture = Fixture::python(ECHO).serving();
    let mut tree = fixture.tree();
    assert!(tree.ran(), "the first time");
    // It may still be on its way into the call when it is seen there.
    wait_until("it rests", || !tree.ran());
    assert!(!tree.ran());
    let mut client = fixture.connect();
    ask(&mut client, b"a", b"a");
    assert!(tree.ran());
}

#[test]
fn connections_of_the_program_to_others_are_not_held() {
    let database = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = database.local_addr().expect("bound").port();
    let own = "import socket; own = socket.create_connection(('127.0.0.1', PORT))\n";
    let fixture = Fixture::python(&(own.replace("PORT", &port.to_string()) + ECHO)).serving();
    assert_eq!(facts(&fixture), []);
    let mut client = fixture.connect();
    ask(&mut client, b"a", b"a");
    let mut held = Held::default();
    // The second look knows what the first one has found.
    for _ in 0..2 {
        let tree = fixture.tree();
        let [found] = held.look(&tree, &fixture.listeners).expect("allowed") else {
            panic!("{held:?}")
        };
        assert_eq!(found.pid, fixture.pid());
        assert_eq!(found.client, Client::Ip(client.local_addr().expect("connected")));
    }
    let inode = held.connections()[0].inode;
    drop(client);
    wait_until("it is closed", || facts(&fixture).is_empty());
    let mut other = fixture.connect();
    ask(&mut other, b"a", b"a");
    held.look(&fixture.tree(), &fixture.listeners).expect("allowed");
    assert_ne!(held.connections()[0].inode, inode);
}

#[test]
fn a_request_in_hand_is_told_from_one_that_was_answered() {
    for (script, held) in [
        (ECHO, Held::default as fn() -> Held),
        (EVENT_LOOP, Held::default),
        (EVENT_LOOP, Held::by_sock_diag),
    ] {
        let judgements = |fixture: &Fixture| {
            let facts = facts_by(held(), fixture);
            facts.iter().map(|facts| facts.judge(Duration::ZERO)).collect::<Vec<_>>()
        };
        let fixture = Fixture::python(script).serving();
        let mut client = fixture.connect();
        wait_until("it is silent", || judgements(&fixture) == [Judgement::Silent]);
        ask(&mut client, b"a", b"a");
        wait_until("it is kept alive", || judgements(&fixture) == [Judgement::KeptAlive]);
        // Quick answers, and after the last of them a request that has none: within one tick, mostly.
        for _ in 0..5 {
            ask(&mut client, b"a", b"a");
            ask(&mut client, b"b", b"b");
            client.write_all(b"q").expect("sent");
            let begun = std::time::Instant::now();
            while begun.elapsed() < Duration::from_millis(150) {
                assert_eq!(judgements(&fixture), [Judgement::AtWork], "{:?}", facts(&fixture));
            }
            ask(&mut client, b"c", b"c");
            wait_until("it is kept alive", || judgements(&fixture) == [Judgement::KeptAlive]);
        }
        // A slow one.
        client.write_all(b"s").expect("sent");
        wait_until("it is at work", || judgements(&fixture) == [Judgement::AtWork]);
        wait_until("it is kept alive", || judgements(&fixture) == [Judgement::KeptAlive]);
    }
}

#[test]
fn a_connection_of_a_unix_socket_is_held() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).expect("bound");
    let fixture = Fixture::at(listener, &["python3", "-Sc", ECHO]).serving();
    let mut client = UnixStream::connect(&path).expect("connected");
    let mut held = Held::default();
    let mut look = || held.look(&fixture.tree(), &fixture.listeners).expect("allowed").to_vec();
    client.write_all(b"s").expect("sent");
    wait_until("it is held", || !look().is_empty());
    let found = look();
    assert_eq!((found.len(), &found[0].client), (1, &Client::Local));
    assert_eq!(found[0].facts.exchange, None);
    // What it has not read while it sleeps.
    client.write_all(b"abc").expect("sent");
    assert_eq!(look()[0].facts.unread, 3);
    drop(client);
    wait_until("it is closed", || look().is_empty());
}

#[test]
fn where_nothing_can_be_duplicated_the_kernel_reports_the_same() {
    let database = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = database.local_addr().expect("bound").port();
    let own = "import socket; own = socket.create_connection(('127.0.0.1', PORT))\n";
    let script = own.replace("PORT", &port.to_string()) + EVENT_LOOP;
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("s");
    let unix = UnixListener::bind(&path).expect("bound");
    let unix = Fixture::at(unix, &["python3", "-Sc", EVENT_LOOP]).serving();
    let mut unix_client = UnixStream::connect(&path).expect("connected");
    let fixture = Fixture::python(&script).serving();
    let (mut asking, mut answered) = (fixture.connect(), fixture.connect());
    ask(&mut answered, b"a", b"a");
    asking.write_all(b"q").expect("sent");
    unix_client.write_all(b"q").expect("sent");
    for fixture in [&fixture, &unix] {
        let look = |mut held: Held| {
            let connections = held.look(&fixture.tree(), &fixture.listeners).expect("allowed");
            let mut all: Vec<_> = connections
                .iter()
                .map(|it| (it.inode, it.pid, it.client.clone(), it.facts.judge(Duration::ZERO)))
                .collect();
            all.sort_by_key(|it| it.0);
            all
        };
        wait_until("both ways agree", || {
            let found = look(Held::by_sock_diag());
            let are_all = found.len() == if fixture.pid() == unix.pid() { 1 } else { 2 };
            are_all && found == look(Held::default())
        });
        assert!(look(Held::by_sock_diag()).iter().any(|it| it.3 == Judgement::AtWork));
    }
}

#[test]
fn a_client_by_ipv4_of_a_socket_of_ipv6_is_looked_up() {
    let listener = TcpListener::bind("[::]:0").expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let fixture = Fixture::at(listener, &["python3", "-Sc", EVENT_LOOP]).serving();
    let mut clients = ["127.0.0.1", "::1"]
        .map(|host| std::net::TcpStream::connect((host, port)).expect("connected"));
    for client in &mut clients {
        ask(client, b"a", b"a");
    }
    let mut held = Held::by_sock_diag();
    let mut look = || {
        let connections = held.look(&fixture.tree(), &fixture.listeners).expect("allowed");
        let mut ports: Vec<_> = connections
            .iter()
            .map(|it| match &it.client {
                Client::Ip(address) => (address.port(), it.facts.unread),
                Client::Local => panic!("{it:?}"),
            })
            .collect();
        ports.sort_unstable();
        ports
    };
    let mut expected =
        clients.each_ref().map(|client| (client.local_addr().expect("connected").port(), 0));
    expected.sort_unstable();
    // All are read first, and then each by its addresses.
    for _ in 0..2 {
        assert_eq!(look(), expected);
    }
    let [gone, stays] = clients;
    drop(gone);
    wait_until("one is closed", || look().len() == 1);
    assert_eq!(look()[0].0, stays.local_addr().expect("connected").port());
}

#[test]
fn a_duplicate_is_of_the_same_socket() {
    let fixture = Fixture::python(ECHO).serving();
    let tree = fixture.tree();
    let duplicate = tree.first().duplicate(0).expect("allowed");
    let inode = |socket| fstat(socket).expect("open").st_ino;
    assert_eq!(inode(duplicate.as_fd()), inode(fixture.listener.as_fd()));
    let closed = tree.first().duplicate(200).expect_err("not open");
    assert_eq!(closed.raw_os_error(), Some(nix::libc::EBADF));
}

#[test]
#[ignore = "it measures"]
fn what_a_look_costs() {
    for count in [1, 100, 1000_u32] {
        let fixture = Fixture::python(EVENT_LOOP).serving();
        let mut clients: Vec<_> = (0..count).map(|_| fixture.connect()).collect();
        for client in &mut clients {
            ask(client, b"a", b"a");
        }
        let mut tree = fixture.tree();
        for (way, mut held) in
            [("duplicates", Held::default()), ("sock_diag", Held::by_sock_diag())]
        {
            assert_eq!(held.look(&tree, &fixture.listeners).expect("allowed").len(), clients.len());
            let begun = std::time::Instant::now();
            for _ in 0..20 {
                tree.refresh();
                held.look(&tree, &fixture.listeners).expect("allowed");
            }
            println!("{count} connections, by {way}: {:?}", begun.elapsed() / 20);
        }
        let begun = std::time::Instant::now();
        for _ in 0..1000 {
            tree.ran();
        }
        println!("whether it has run: {:?}", begun.elapsed() / 1000);
    }
}
