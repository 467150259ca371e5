//! A check beside `netstat -anp` and `ss -tnp`, on 10,000 connections through loopback.
//!
//! Twice: a server whose 50 busy processes have one client each, among 9,950 connections of other
//! programs; and a server that has all 10,000, 200 in each process. The commands and the checks
//! take turns, so that whatever else goes on meets them all. `cargo bench --bench whole`.

use prefork_netwatch::{Endpoint, Filter, Watch};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ALL: usize = 10_000;
const BUSY: usize = 50;
const ROUNDS: usize = 15;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("hold") => hold(arguments[1].parse().expect("a number")),
        Some("check") => check_once(&arguments[1], &arguments[2..]),
        // Run by `cargo test`, which wants to know only that it builds.
        Some("--test") => {}
        Some(_) | None => {
            raise_limit(ALL as u64 + 500);
            compare("50 busy processes with one client each, 9,950 connections of others", 1);
            compare("50 busy processes with 200 clients each", ALL / BUSY);
        }
    }
}

/// Accepts connections from the listener that is standard input, and holds them to its end.
fn hold(count: usize) {
    raise_limit(count as u64 + 100);
    let listener = io::stdin().as_fd().try_clone_to_owned().expect("a descriptor");
    let listener = TcpListener::from(listener);
    let held: Vec<_> = (0..count).map(|_| listener.accept().expect("a connection")).collect();
    io::stdout().write_all(b"!").and_then(|()| io::stdout().flush()).expect("somebody waits");
    loop {
        std::thread::park();
        assert_eq!(held.len(), count);
    }
}

/// A whole process that checks once, for comparison with whole commands.
fn check_once(address: &str, pids: &[String]) {
    let address: SocketAddr = address.parse().expect("an address");
    let pids: Vec<u32> = pids.iter().map(|pid| pid.parse().expect("a pid")).collect();
    let report = Watch::new(Filter::listening([address])).check(pids).expect("connections");
    assert!(report.unreadable.is_empty());
}

fn raise_limit(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    let current = Some(wanted.max(limit.current.unwrap_or(wanted)));
    let maximum = Some(wanted.max(limit.maximum.unwrap_or(wanted)));
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).expect("room for the descriptors");
}

/// Processes that hold connections, ended and reaped with this one, and the other ends.
struct Held {
    listener: TcpListener,
    processes: Vec<Child>,
    clients: Vec<TcpStream>,
}

impl Held {
    fn new(processes: usize, each: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let start = |_| {
            let listener = OwnedFd::from(listener.try_clone().expect("a descriptor"));
            let mut command = Command::new(own_path());
            command.arg("hold").arg(each.to_string()).stdin(listener).stdout(Stdio::piped());
            command.spawn().expect("this program runs")
        };
        let mut processes: Vec<_> = (0..processes).map(start).collect();
        let connect = |_| TcpStream::connect(address).expect("a connection");
        let clients = (0..processes.len() * each).map(connect).collect();
        for process in &mut processes {
            let ready = process.stdout.as_mut().expect("a pipe");
            ready.read_exact(&mut [0]).expect("it has its connections");
        }
        Self { listener, processes, clients }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn own_path() -> std::path::PathBuf {
    std::env::current_exe().expect("the path of this program")
}

fn compare(what: &str, each: usize) {
    let mut server = Held::new(BUSY, each);
    let _others = Held::new(5, (ALL - BUSY * each) / 5);
    let pids: Vec<u32> = server.processes.iter().map(Child::id).collect();
    let listening = Endpoint::of_socket(&server.listener).expect("an address");
    let mut watch = Watch::new(Filter::listening([listening]));
    let check = |watch: &mut Watch, events: usize| {
        let report = watch.check(pids.iter().copied()).expect("connections");
        assert_eq!(report.events.len(), events, "{:?}", report.events);
        Some(())
    };
    check(&mut watch, 0);

    let mut own = Command::new(own_path());
    own.arg("check").arg(server.listener.local_addr().expect("an address").to_string());
    own.args(pids.iter().map(ToString::to_string));
    let names = ["check", "check, a client gone", "process that checks", "ss -tnp", "netstat -anp"];
    let mut times = names.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        times[0].push(timed(|| check(&mut watch, 0)));
        server.clients.pop();
        times[1].push(timed(|| check(&mut watch, 1)));
        times[2].push(timed(|| run(&mut own)));
        times[3].push(timed(|| run(Command::new("ss").arg("-tnp"))));
        times[4].push(timed(|| run(Command::new("netstat").arg("-anp"))));
    }
    let [.., ss, netstat] = times.clone().map(median);
    println!("{what}; medians of {ROUNDS}");
    for (name, median) in names.iter().zip(times.map(median)) {
        match median {
            Some(time) => println!(
                "  {name:<22}{:>8.2} ms  {} the time of ss, {} of netstat",
                time.as_secs_f64() * 1e3,
                part(time, ss),
                part(time, netstat)
            ),
            None => println!("  {name:<22} is not here"),
        }
    }
}

fn part(time: Duration, whole: Option<Duration>) -> String {
    whole.map_or_else(
        || "-".to_owned(),
        |whole| format!("1/{:.1}", whole.as_secs_f64() / time.as_secs_f64()),
    )
}

/// Runs a command with its output thrown away; `None` if there is none.
fn run(command: &mut Command) -> Option<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.ok().filter(std::process::ExitStatus::success).map(|_| ())
}

/// How long `work` took; `None` if it could not be done.
fn timed(work: impl FnOnce() -> Option<()>) -> Option<Duration> {
    let begun = Instant::now();
    work().map(|()| begun.elapsed())
}

fn median(times: Vec<Option<Duration>>) -> Option<Duration> {
    let mut times = times.into_iter().collect::<Option<Vec<_>>>()?;
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}
