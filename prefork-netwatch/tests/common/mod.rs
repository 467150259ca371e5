//! What tests with real connections share.
#![expect(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

pub mod sys;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, getpid, getppid};
use prefork_netwatch::{Endpoint, Event, Filter, Netstat, ProcNet, Seen, SockDiag, Source, Watch};
use rustix::net::Shutdown;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test fails. Generous: the machine may be loaded.
pub const PATIENCE: Duration = Duration::from_secs(60);

const ALONE: &str = "NETWATCH_TEST_ALONE";

/// Runs `body` in a process that runs nothing else, so that it may fork; where possible in a network
/// of its own, where nobody else's connections slow the sources down.
pub fn alone(name: &str, body: impl FnOnce()) {
    if std::env::var(ALONE).is_ok() {
        return body();
    }
    let own = std::env::current_exe().expect("the path of this program");
    let mut command = if may_have_a_network() {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]).arg(own);
        command
    } else {
        Command::new(own)
    };
    let output = command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ALONE, "1")
        .stdin(Stdio::null())
        .output()
        .expect("this program runs");
    assert!(
        output.status.success(),
        "{name}, run alone, ended with {}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    print!("{}", String::from_utf8_lossy(&output.stdout));
}

/// Returns whether a network namespace can be had: it takes root, unshare(1) and ip(8).
fn may_have_a_network() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--net", "ip", "link", "set", "lo", "up"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A forked child, killed and reaped when dropped.
#[derive(Debug)]
pub struct Forked(Pid);

impl Forked {
    pub fn new(body: impl FnOnce() -> u8) -> Self {
        Self(sys::fork(body))
    }

    pub fn pid(&self) -> u32 {
        self.0.as_raw().unsigned_abs()
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
        let _ = waitpid(self.0, None);
    }
}

/// A child that accepts connections and does with them what it is ordered to.
#[derive(Debug)]
pub struct Server {
    child: Forked,
    channel: BufReader<UnixStream>,
}

impl Server {
    /// Forks a child that has the listening socket.
    pub fn new(listener: &impl AsFd) -> Self {
        let (mine, other) = UnixStream::pair().expect("a channel");
        let listener = listener.as_fd().try_clone_to_owned().expect("a descriptor");
        let parent = getpid();
        let child = Forked::new(|| {
            die_with(parent);
            serve(&listener, other);
            0
        });
        mine.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        Self { child, channel: BufReader::new(mine) }
    }

    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Has an order carried out, and returns the answer.
    pub fn order(&mut self, order: &str) -> String {
        writeln!(self.channel.get_mut(), "{order}").expect("the child reads");
        let mut answer = String::new();
        self.channel.read_line(&mut answer).expect("the child answers");
        assert!(answer.ends_with('\n'), "the child died of {order:?}");
        answer.trim().to_owned()
    }
}

/// Servers are killed, and cannot end their own children then. One may be killed before its child comes this far.
fn die_with(parent: Pid) {
    let signal = Some(rustix::process::Signal::KILL);
    rustix::process::set_parent_process_death_signal(signal).expect("prctl");
    assert_eq!(getppid(), parent, "the parent has gone already");
}

/// Carries out orders: `accept`, `close N`, `shutdown N` (the sending side), `write N`, `connect
/// ADDRESS`, and `share` with a child of its own, whose pid is the answer.
fn serve(listener: &OwnedFd, channel: UnixStream) {
    let mut connections: Vec<Option<OwnedFd>> = Vec::new();
    let mut sharers = Vec::new();
    let mut answers = channel.try_clone().expect("a descriptor");
    for line in BufReader::new(channel).lines() {
        let line = line.expect("an order");
        let (order, what) = line.split_once(' ').unwrap_or((&line, ""));
        let mut answer = String::from("done");
        let mut connection = || {
            let index: usize = what.parse().expect("a number");
            connections[index].take().expect("an open connection")
        };
        match order {
            "accept" => connections.push(Some(rustix::net::accept(listener).expect("accept"))),
            "close" => drop(connection()),
            "shutdown" => {
                let open = connection();
                rustix::net::shutdown(&open, Shutdown::Write).expect("an open connection");
                connections[what.parse::<usize>().expect("a number")] = Some(open);
            }
            "write" => {
                let open = connection();
                rustix::io::write(&open, b"answer").expect("an open connection");
                connections[what.parse::<usize>().expect("a number")] = Some(open);
            }
            "connect" => {
                let address: SocketAddr = what.parse().expect("an address");
                let stream = TcpStream::connect(address).expect("somebody listens");
                connections.push(Some(stream.into()));
            }
            "share" => {
                let parent = getpid();
                let sharer = Forked::new(|| {
                    die_with(parent);
                    loop {
                        std::thread::park();
                    }
                });
                answer.clear();
                write!(answer, "{}", sharer.pid()).expect("a string");
                sharers.push(sharer);
            }
            _ => panic!("no such order: {order}"),
        }
        writeln!(answers, "{answer}").expect("somebody waits for it");
    }
}

/// Resets the connection instead of closing it in order.
pub fn reset(client: impl AsFd) {
    rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).expect("a socket");
    drop(client);
}

pub fn tcp(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(address).expect("a free port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

pub fn filter_for(listener: impl AsFd) -> Filter {
    Filter::listening([Endpoint::of_socket(listener).expect("an address")])
}

/// Every source that there is here, by name.
pub fn sources() -> Vec<(&'static str, Box<dyn Source>)> {
    let mut sources: Vec<(&'static str, Box<dyn Source>)> =
        vec![("sock_diag", Box::new(SockDiag::new())), ("/proc/net/tcp", Box::new(ProcNet::new()))];
    if has_netstat() {
        sources.push(("netstat", Box::new(Netstat::new())));
    }
    sources
}

pub fn has_netstat() -> bool {
    let found = Command::new("netstat").arg("--version").output().is_ok();
    if !found {
        println!("skipped in part: there is no netstat(8) here");
    }
    found
}

/// Checks until there are `count` events.
pub fn events<S: Source>(watch: &mut Watch<S>, pids: &[u32], count: usize) -> Vec<Event> {
    let deadline = Instant::now() + PATIENCE;
    let mut events = Vec::new();
    while events.len() < count {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {count} events: {events:?}");
        events.extend(check(watch, pids));
        std::thread::sleep(Duration::from_millis(1));
    }
    events
}

/// Checks once.
pub fn check<S: Source>(watch: &mut Watch<S>, pids: &[u32]) -> Vec<Event> {
    let report = watch.check(pids.iter().copied()).expect("connections can be read");
    assert!(report.unreadable.is_empty(), "own children can be read: {:?}", report.unreadable);
    report.events
}

/// Checks a few times, more than missing connections are remembered for; there must be no event.
#[track_caller]
pub fn no_event<S: Source>(watch: &mut Watch<S>, pids: &[u32]) {
    for _ in 0..6 {
        assert_eq!(check(watch, pids), [], "something was reported that did not happen");
    }
}

/// Checks until exactly one event comes, of the client at `foreign`, and no more after it.
#[track_caller]
pub fn one_event<S: Source>(
    watch: &mut Watch<S>,
    pids: &[u32],
    holder: u32,
    foreign: SocketAddr,
    seen: Seen,
) {
    let events = events(watch, pids, 1);
    assert_eq!(events.len(), 1, "one hang-up, more events: {events:?}");
    assert_eq!((events[0].pid, events[0].seen), (holder, seen), "{}", events[0]);
    assert_eq!(events[0].foreign, Endpoint::Ip(foreign), "{}", events[0]);
    no_event(watch, pids);
}

/// Waits until `condition` holds.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// How long tests that look for rare events go on: 1 s, or what the environment says.
pub fn endurance() -> Duration {
    let seconds = std::env::var("NETWATCH_TEST_SECONDS").ok();
    Duration::from_secs(seconds.and_then(|seconds| seconds.parse().ok()).unwrap_or(1))
}
