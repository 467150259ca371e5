//! The measurements, and the table.

use std::{
    env,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use prefork_bench::proc::{children, private_kb, schedstat};
use rustix::process::{Pid, Signal, kill_process};

use crate::{clients, isolation, process::Started, upgrade};

pub(crate) const ROUNDS: usize = 9;
pub(crate) const REQUESTS: usize = 10_000;

/// The pause between two looks at the children: spinning instead would keep a processor from them.
pub(crate) const GLANCE: Duration = Duration::from_micros(50);

pub(crate) fn main() -> ExitCode {
    let all: [(&str, fn()); 10] = [
        ("cpu", cpu),
        ("scaling", cost_of_scaling),
        ("burst", burst),
        ("reload", reload),
        ("upgrade", upgrade::measure),
        ("clients", clients::measure),
        ("respawn", respawn),
        ("stop", stops),
        ("rest", at_rest),
        ("isolation", isolation::measure),
    ];
    let wanted: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    for (name, measure) in all {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            measure();
        }
    }
    ExitCode::SUCCESS
}

fn cpu() {
    for (children, clients) in [(4, 1), (4, 8), (100, 1), (100, 8)] {
        cpu_per_request(children, clients);
    }
}

fn stops() {
    for children in [4, 150] {
        stop(children);
    }
}

/// CPU time per request of the whole tree, all servers in turn, forth and back.
fn cpu_per_request(children: usize, clients: usize) {
    let roles = ["bare", "twin", "hello"];
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let mut costs = [0.0; 3];
        for turn in 0..roles.len() {
            let turn = if round % 2 == 0 { turn } else { roles.len() - 1 - turn };
            let server = Started::server(roles[turn], children);
            ask(&server, clients, 500);
            let before = server.cpu();
            ask(&server, clients, REQUESTS);
            let spent = server.cpu() - before;
            costs[turn] = spent as f64 / 1000.0 / REQUESTS as f64;
        }
        rounds.push(costs);
    }
    let mut bare: Vec<f64> = rounds.iter().map(|costs| costs[0]).collect();
    println!(
        "CPU per request, {children:>3} children, {clients} clients: bare loop {:.1} us",
        median(&mut bare)
    );
    for (turn, what) in [(1, "its work in our children"), (2, "hello")] {
        let mut ratios: Vec<f64> = rounds.iter().map(|costs| costs[turn] / costs[0]).collect();
        let middle = median(&mut ratios);
        let (lower, upper) = (ratios[ratios.len() / 4], ratios[ratios.len() * 3 / 4]);
        println!("  {what}: ratio {middle:.3} (middle half {lower:.3} to {upper:.3})");
    }
}

/// CPU time per request with a pool that follows its load and with one that does not, in turn.
fn cost_of_scaling() {
    let mut ratios = Vec::new();
    for round in 0..4 * ROUNDS {
        let cost = |more: &[&str]| {
            let server = Started::server_with("hello", 10, more);
            ask(&server, 4, 500);
            let before = server.cpu();
            ask(&server, 4, REQUESTS);
            (server.cpu() - before) as f64
        };
        let board = scratch("board");
        let with = ["--scoreboard-path", board.as_str()];
        // Each goes first as often as the other.
        let (on, off) = if round % 2 == 0 {
            let on = cost(&with);
            (on, cost(&[]))
        } else {
            let off = cost(&[]);
            (cost(&with), off)
        };
        ratios.push(on / off);
    }
    println!(
        "CPU per request with scoreboard and scaling: ratio {:.3} ({:.3} to {:.3})",
        median(&mut ratios),
        ratios[0],
        ratios[ratios.len() - 1]
    );
}

/// A hundred clients at once, a second of work each, on a pool of 3; then back to 3.
fn burst() {
    let board = scratch("board");
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let server = Started::server_with("hello", 3, &["--scoreboard-path", &board]);
        let began = Instant::now();
        let mut load = Started::new("load", &[&server.address, "100", "1", "/sleep"]);
        assert!(load.process.wait().expect("waited").success(), "requests failed");
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        if times.len() == ROUNDS {
            let calm = Instant::now();
            server.until("at rest", |server| server.children().len() == 3);
            println!("from {} back to 3 children: {:.1} s", 101, calm.elapsed().as_secs_f64());
        }
    }
    report("100 clients at once ask /sleep (1 s) of 3 children", &mut times);
}

/// `SIGHUP` to 150 idle children, until all are new; and how many there were at most.
fn reload() {
    let mut times = Vec::new();
    let mut most = 0;
    for _ in 0..ROUNDS {
        let server = Started::server("hello", 150);
        let before = server.children();
        let began = Instant::now();
        signal(server.pid(), Signal::HUP);
        loop {
            let now = server.children();
            most = most.max(now.len());
            thread::sleep(GLANCE);
            if now.len() == 150 && !now.iter().any(|pid| before.contains(pid)) {
                break;
            }
        }
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    report(&format!("reload of 150 children (at most {most} at a time)"), &mut times);
}

pub(crate) fn scratch(name: &str) -> String {
    let path = std::env::temp_dir().join(format!("prefork-bench-{}-{name}", std::process::id()));
    path.to_string_lossy().into_owned()
}

pub(crate) fn ask(server: &Started, clients: usize, requests: usize) {
    let each = (requests / clients).to_string();
    let mut load = Started::new("load", &[&server.address, &clients.to_string(), &each, "/"]);
    assert!(load.process.wait().expect("waited").success(), "requests failed");
}

/// Which child is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Oldest,
    Newest,
}

/// From `kill -9` of a child to its replacement, seen from outside: of the oldest one, and of the one that has just taken
/// another's place.
fn respawn() {
    for (children, victim) in
        [(4, Victim::Oldest), (4, Victim::Newest), (150, Victim::Oldest), (150, Victim::Newest)]
    {
        respawn_of(children, victim);
    }
}

fn respawn_of(count: usize, victim: Victim) {
    let server = Started::server("hello", count);
    thread::sleep(Duration::from_millis(1200));
    let mut times = Vec::new();
    let mut newest = *server.children().last().expect("a child");
    for _ in 0..10 {
        let before = server.children();
        let pid = match victim {
            Victim::Oldest => before[0],
            Victim::Newest => newest,
        };
        let began = Instant::now();
        signal(pid, Signal::KILL);
        newest = loop {
            let after = children(server.pid());
            if let Some(pid) = after.into_iter().find(|pid| !before.contains(pid)) {
                break pid;
            }
            thread::sleep(GLANCE);
        };
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        thread::sleep(Duration::from_millis(700));
    }
    report(&format!("kill -9 of a child ({victim:?}, of {count}) to its replacement"), &mut times);
}

/// From `SIGTERM` to the parent, the children being idle, until all are gone.
fn stop(children: usize) {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let mut server = Started::server("hello", children);
        thread::sleep(Duration::from_millis(200));
        let began = Instant::now();
        signal(server.pid(), Signal::TERM);
        assert!(server.process.wait().expect("waited").success(), "did not stop in order");
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    report(&format!("stop of {children} children"), &mut times);
}

/// A pool that nobody asks anything.
fn at_rest() {
    let server = Started::server("hello", 100);
    ask(&server, 1, 500);
    thread::sleep(Duration::from_millis(1500));
    let before = schedstat(server.pid()).1;
    thread::sleep(Duration::from_secs(5));
    let woken = schedstat(server.pid()).1 - before;
    println!("parent at rest: {woken} wake-ups in 5 s");
    // What serving touches counts.
    ask(&server, 8, 2000);
    let mut memory: Vec<f64> =
        server.children().into_iter().map(|child| private_kb(child) as f64).collect();
    println!(
        "private memory of a child: {:.0} kB ({:.0} to {:.0})",
        median(&mut memory),
        memory[0],
        memory[memory.len() - 1]
    );
}

pub(crate) fn report(what: &str, times: &mut [f64]) {
    let median = median(times);
    println!("{what}: {median:.2} ms ({:.2} to {:.2})", times[0], times[times.len() - 1]);
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, signal).expect("a process of ours");
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
