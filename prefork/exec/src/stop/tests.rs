use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{
        fd::AsFd,
        unix::{
            fs::PermissionsExt,
            process::{CommandExt, ExitStatusExt},
        },
    },
    process::{Command, ExitStatus},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use nix::sys::signal;

use super::*;
use crate::testing::{ECHO, Fixture, ask, is_installed, wait_until};

/// Each serves requests of 5 ms, and has no handler of the signal to stop.
const ACCEPTS: &str = "
import socket, time
listener = socket.socket(fileno=0)
while True:
    connection, _ = listener.accept()
    if connection.recv(100):
        time.sleep(.005)
        connection.sendall(b'ok')
    connection.close()
";

const POLLS: &str = "
import select, socket, time
listener = socket.socket(fileno=0)
listener.setblocking(False)
while True:
    select.select([listener], [], [], 0.5)
    try: connection, _ = listener.accept()
    except BlockingIOError: continue
    connection.setblocking(True)
    if connection.recv(100):
        time.sleep(.005)
        connection.sendall(b'ok')
    connection.close()
";

const MULTIPLEXES: &str = "
import select, socket, time
listener = socket.socket(fileno=0)
listener.setblocking(False)
due = {}
fds = {listener}
while True:
    ready, _, _ = select.select(fds, [], [], .001 if due else None)
    for one in ready:
        if one is listener:
            try: fds.add(listener.accept()[0])
            except BlockingIOError: pass
        elif one not in due:
            if one.recv(100): due[one] = time.monotonic() + .005
            else: fds.discard(one); one.close()
    for one, at in list(due.items()):
        if at <= time.monotonic():
            one.sendall(b'ok'); del due[one]; fds.discard(one); one.close()
";

const EVENT_LOOP: &str = "
import asyncio, socket
async def serve(reader, writer):
    while await reader.read(100):
        await asyncio.sleep(.005)
        writer.write(b'ok')
        if not KEEP: break
    writer.close()
async def main():
    await asyncio.start_server(serve, sock=socket.socket(fileno=0))
    await asyncio.Event().wait()
asyncio.run(main())
";

const THREADS: &str = "
import socket, threading, time
listener = socket.socket(fileno=0)
def serve(connection):
    if connection.recv(100):
        time.sleep(.005)
        connection.sendall(b'ok')
    connection.close()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],)).start()
";

const THREAD_POOL: &str = "
import socket, threading, time
listener = socket.socket(fileno=0)
def serve():
    while True:
        connection, _ = listener.accept()
        if connection.recv(100):
            time.sleep(.005)
            connection.sendall(b'ok')
        connection.close()
for _ in range(3): threading.Thread(target=serve).start()
";

/// As runtimes do in which one thread runs at a time, and which accept without letting others run.
const ACCEPTS_UNDER_A_LOCK: &str = "
import select, socket, threading, time
listener = socket.socket(fileno=0)
listener.setblocking(False)
lock = threading.Lock()
def serve(connection):
    connection.setblocking(True)
    if connection.recv(100):
        for _ in range(5):
            with lock: time.sleep(.001)
        connection.sendall(b'ok')
    connection.close()
while True:
    select.select([listener], [], [])
    with lock:
        try: connection, _ = listener.accept()
        except BlockingIOError: continue
    threading.Thread(target=serve, args=(connection,)).start()
";

const FORKS: &str = "
import os, signal, socket, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listener = socket.socket(fileno=0)
while True:
    connection, _ = listener.accept()
    if os.fork() == 0:
        if connection.recv(100):
            time.sleep(.005)
            connection.sendall(b'ok')
        os._exit(0)
    connection.close()
";

const PERL: &str = "
use IO::Socket::INET;
my $listener = IO::Socket::INET->new_from_fd(0, '+<');
while (my $connection = $listener->accept()) {
    if (sysread($connection, my $request, 100)) {
        select(undef, undef, undef, 0.005);
        syswrite($connection, 'ok');
    }
    close $connection;
}
";

const NODE: &str = "
require('net').createServer(connection =>
    connection.once('data', () => setTimeout(() => connection.end('ok'), 5)).on('error', () => {})
).listen({fd: 0})";

/// Stops a program as the main loop does, and returns what is known of that and how it has ended.
fn stop(fixture: &mut Fixture, treatment: Treatment, patience: Duration) -> (Stopped, ExitStatus) {
    let begun = Instant::now();
    let now = || Time::after_origin(begun.elapsed());
    let listeners = Listeners::of([fixture.listener.as_fd()]).expect("a socket");
    let mut stopping = Stopping::begin(now(), fixture.tree(), listeners, treatment, patience);
    loop {
        if let Some(status) = fixture.try_wait() {
            return (stopping.finish(), status);
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not end: {stopping:?}");
        if stopping.due().is_none_or(|due| due > now()) {
            thread::sleep(Duration::from_micros(200));
        } else if stopping.step(now(), &[fixture.listener.as_fd()]) == Wanted::Signal {
            let tree = fixture.tree();
            rustix::process::pidfd_send_signal(tree.first().pidfd(), Signal::TERM).expect("sent");
        }
    }
}

/// Clients that ask one question after another, each by a connection of its own.
struct Clients {
    stop: AtomicBool,
    answered: AtomicU64,
    /// What has become of those that were not.
    lost: Mutex<Vec<String>>,
}

impl Clients {
    fn run(&self, address: SocketAddr) {
        while !self.stop.load(Ordering::Relaxed) {
            let (mut answer, begun) = (Vec::new(), Instant::now());
            let asked = TcpStream::connect(address).and_then(|mut connection| {
                connection.set_read_timeout(Some(Duration::from_secs(20)))?;
                connection.write_all(b"?")?;
                connection.read_to_end(&mut answer)
            });
            if asked.is_ok() && answer == b"ok" {
                self.answered.fetch_add(1, Ordering::Relaxed);
            } else {
                let lost = format!("{asked:?} with {answer:?} after {:?}", begun.elapsed());
                self.lost.lock().expect("no panic").push(lost);
            }
        }
    }
}

struct StopAsking<'a>(&'a AtomicBool);

impl Drop for StopAsking<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Replaces a program again and again while eight clients ask, and returns how many requests were answered.
fn replace_under_load(command: &[&str], rounds: u32) -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    let start = || Fixture::at(listener.try_clone().expect("a descriptor"), command);
    let (stop_asking, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let clients = Clients { stop: stop_asking, answered, lost: Mutex::default() };
    let mut outgoing = start();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| clients.run(address));
        }
        // Whatever fails, they end, and the last program answers those that still ask.
        let _stop_asking = StopAsking(&clients.stop);
        for _ in 0..rounds {
            let next = start();
            // Each of them serves.
            let before = clients.answered.load(Ordering::Relaxed);
            wait_until("it serves", || clients.answered.load(Ordering::Relaxed) > before + 10);
            let patience = Duration::from_secs(3);
            let (stopped, status) = stop(&mut outgoing, Treatment::Default, patience);
            assert_eq!(stopped.cut_off, [], "{status}");
            assert!(stopped.unseen.is_none(), "{stopped:?}");
            outgoing = next;
        }
    });
    let lost = clients.lost.into_inner().expect("no panic");
    assert_eq!(lost, [""; 0], "of {:?}", clients.answered);
    clients.answered.load(Ordering::Relaxed)
}

/// How often a program is replaced: more often to measure.
fn rounds() -> u32 {
    std::env::var("ROUNDS").map_or(8, |rounds| rounds.parse().expect("a number"))
}

fn loses_nothing(command: &[&str]) {
    let begun = Instant::now();
    let answered = replace_under_load(command, rounds());
    println!("{} stops, 0 of {answered} requests lost, {:?}", rounds(), begun.elapsed());
}

fn python_loses_nothing(script: &str) {
    loses_nothing(&["python3", "-SEc", script]);
}

#[test]
fn a_program_that_accepts_loses_no_request() {
    python_loses_nothing(ACCEPTS);
}

#[test]
fn a_program_that_polls_loses_no_request() {
    python_loses_nothing(POLLS);
}

#[test]
fn a_program_that_polls_its_connections_loses_no_request() {
    python_loses_nothing(MULTIPLEXES);
}

#[test]
fn an_event_loop_loses_no_request() {
    python_loses_nothing(&EVENT_LOOP.replace("KEEP", "False"));
}

#[test]
fn a_program_with_a_thread_a_connection_loses_no_request() {
    python_loses_nothing(THREADS);
}

#[test]
fn a_program_with_threads_that_accept_loses_no_request() {
    python_loses_nothing(THREAD_POOL);
}

#[test]
fn a_program_that_accepts_under_a_lock_leaves_soon_and_loses_no_request() {
    python_loses_nothing(ACCEPTS_UNDER_A_LOCK);
}

#[test]
fn a_program_that_forks_loses_no_request() {
    python_loses_nothing(FORKS);
}

#[test]
fn a_program_behind_a_shell_loses_no_request() {
    loses_nothing(&["sh", "-c", "python3 -SEc \"$0\"; true", ACCEPTS]);
}

#[test]
fn a_perl_program_loses_no_request() {
    loses_nothing(&["perl", "-e", PERL]);
}

#[test]
fn a_node_program_loses_no_request() {
    if is_installed("node") {
        loses_nothing(&["node", "-e", NODE]);
    }
}

/// Children run as another user than root, which is not allowed to read of processes that end.
#[test]
fn a_program_of_another_user_loses_no_request() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: only root can become another user");
        return;
    }
    let folder = tempfile::tempdir().expect("a directory");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("set");
    let program = folder.path().join("tests");
    fs::copy(std::env::current_exe().expect("this one"), &program).expect("copied");
    let tests = [
        "a_program_that_forks_loses_no_request",
        "an_event_loop_loses_no_request",
        "a_program_behind_a_shell_loses_no_request",
    ];
    let output = Command::new(program)
        .args(["--exact", "--test-threads=1", "--nocapture"])
        .args(tests.map(|test| format!("stop::tests::{test}")))
        .current_dir("/")
        .uid(65534)
        .gid(65534)
        .output()
        .expect("started");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("3 passed"), "{printed}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_idle_program_ends_at_once() {
    for script in [ACCEPTS, POLLS, MULTIPLEXES, THREADS, FORKS, EVENT_LOOP] {
        let mut fixture = Fixture::python(&script.replace("KEEP", "True")).serving();
        let begun = Instant::now();
        let (stopped, status) = stop(&mut fixture, Treatment::Default, Duration::from_secs(3));
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}: {script}", begun.elapsed());
        let expected = if stopped.was_killed { signal::SIGKILL } else { signal::SIGTERM };
        assert_eq!(status.signal(), Some(expected as i32), "{script}");
    }
}

/// It never waits at its socket, so it is never held.
#[test]
fn a_program_that_asks_for_connections_now_and_then_is_ended() {
    let script = "
import socket, threading, time
listener = socket.socket(fileno=0)
listener.setblocking(False)
def sleeps():
    while True: time.sleep(.003)
threading.Thread(target=sleeps).start()
while True:
    try: listener.accept()
    except BlockingIOError: time.sleep(.003)
";
    let mut fixture = Fixture::python(script);
    wait_until("it has begun", || {
        fixture.tree().first().threads().is_ok_and(|threads| threads.len() == 2)
    });
    let begun = Instant::now();
    let (stopped, _) = stop(&mut fixture, Treatment::Default, Duration::from_secs(10));
    assert!(stopped.was_killed && stopped.cut_off.is_empty(), "{stopped:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn a_request_in_hand_is_waited_for() {
    let mut fixture = Fixture::python(ECHO).serving();
    let mut client = fixture.connect();
    client.write_all(b"s").expect("sent");
    wait_until("it is at work", || {
        fixture.tree().waits_at(&fixture.listeners).expect("allowed").is_empty()
    });
    let client = thread::spawn(move || {
        let mut answer = [0];
        client.read_exact(&mut answer).expect("answered");
        (answer, client.read(&mut answer))
    });
    // It waits for more by the same connection, which is closed by its end.
    let (stopped, _) = stop(&mut fixture, Treatment::Default, Duration::from_secs(10));
    assert_eq!(stopped.cut_off, []);
    let (answer, after) = client.join().expect("asked");
    assert_eq!((answer, after.expect("closed")), (*b"s", 0));
}

/// A thread or process that is started while its program is on its way to where it is held.
#[test]
fn a_request_that_was_just_handed_on_is_waited_for() {
    let thread = "_thread.start_new_thread(serve, (connection,))";
    let process = "serve(connection) or os._exit(0) if os.fork() == 0 else connection.close()";
    // Whether the new one is traced in time is chance.
    for hands_on in [thread, process, thread, thread] {
        let script = "
import _thread, os, signal, socket, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listener = socket.socket(fileno=0)
def serve(connection):
    request = connection.recv(1)
    time.sleep(.1)
    connection.sendall(request)
    connection.close()
while True:
    connection, _ = listener.accept()
    # It is traced from one of these to the next.
    until = time.monotonic() + .1
    while time.monotonic() < until: os.getppid()
    HANDS_ON
"
        .replace("HANDS_ON", hands_on);
        let mut fixture = Fixture::python(&script).serving();
        let mut client = fixture.connect();
        client.write_all(b"a").expect("sent");
        wait_until("it has accepted", || {
            fixture.tree().waits_at(&fixture.listeners).expect("allowed").is_empty()
        });
        let (stopped, _) = stop(&mut fixture, Treatment::Default, Duration::from_secs(10));
        assert_eq!(stopped.cut_off, []);
        let mut answer = [0];
        assert!(client.read_exact(&mut answer).is_ok(), "no answer: {hands_on}");
    }
}

#[test]
fn who_was_cut_off_is_known() {
    let script = ["import signal, os; signal.signal(15, lambda *_: os._exit(3))\n", ECHO].concat();
    let mut fixture = Fixture::python(&script).serving();
    let mut client = fixture.connect();
    ask(&mut client, b"a", b"a");
    client.write_all(b"q").expect("sent");
    let (stopped, status) = stop(&mut fixture, Treatment::Handled, Duration::from_secs(3));
    assert_eq!(status.code(), Some(3));
    assert!(!stopped.was_killed);
    let address = client.local_addr().expect("connected");
    assert_eq!(stopped.cut_off, [Client::Ip(address)]);
}

fn is_traced(pid: rustix::process::Pid) -> bool {
    let mut buffer = [0; 4096];
    let tree = Tree::of(pid).expect("it runs");
    let status = tree.first().read("status", &mut buffer).expect("it runs");
    !status.windows(13).any(|text| text == b"TracerPid:\t0\n")
}

/// Of these, too, there are handlers that others wait for: those of libraries, for all threads at once.
#[test]
fn a_traced_program_is_delivered_its_real_time_signals() {
    let handler = "import signal; signal.signal(signal.SIGRTMIN, lambda *_: None)\n";
    let mut fixture = Fixture::python(&[handler, ECHO].concat()).serving();
    let mut client = fixture.connect();
    client.write_all(b"s").expect("sent");
    let pid = fixture.pid();
    let sender = thread::spawn(move || {
        wait_until("it is traced", || is_traced(pid));
        let kill = format!("kill -{} {}", nix::libc::SIGRTMIN(), pid.as_raw_nonzero());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("started").success());
        let mut answer = [0];
        client.read_exact(&mut answer).map(|()| answer)
    });
    let (stopped, _) = stop(&mut fixture, Treatment::Default, Duration::from_secs(10));
    assert_eq!(stopped.cut_off, []);
    assert_eq!(sender.join().expect("sent").expect("answered"), *b"s");
}

#[test]
fn a_program_is_left_neither_standing_nor_traced() {
    let fixture = Fixture::python(ECHO).serving();
    let mut client = fixture.connect();
    ask(&mut client, b"q", b"");
    let begun = Instant::now();
    let now = || Time::after_origin(begun.elapsed());
    let listeners = Listeners::of([fixture.listener.as_fd()]).expect("a socket");
    let (tree, patience) = (fixture.tree(), Duration::from_secs(3));
    let mut stopping = Stopping::begin(now(), tree, listeners, Treatment::Default, patience);
    wait_until("it is traced", || {
        stopping.step(now(), &[fixture.listener.as_fd()]);
        is_traced(fixture.pid())
    });
    drop(stopping);
    assert!(!is_traced(fixture.pid()));
    ask(&mut client, b"a", b"a");
}
