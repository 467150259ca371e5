//! The measurements.

use std::{
    env, fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use prefork_bench::{
    load,
    proc::{children, schedstat},
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::php;

const HOST: &str = "127.0.20.1";

/// A server with its files, asked to end when dropped.
struct Server {
    process: Child,
    folder: TempDir,
}

impl Server {
    fn start(pools: &str) -> Self {
        let folder = folder();
        let mut command = Command::new(env::current_exe().expect("the path of this program"));
        command.arg(HOST).arg(folder.path()).env("PREFORK_BENCH_ROLE", pools);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self::of(command, folder)
    }

    fn of(mut command: Command, folder: TempDir) -> Self {
        let process = command.process_group(0).spawn().expect("it starts");
        Self { process, folder }
    }

    /// Waits until it has a pid file, and then for its rest.
    fn settle(&self, name: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.folder.path().join(name).exists() {
            assert!(Instant::now() < deadline, "it does not come up");
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_secs(1));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(20);
        while matches!(self.process.try_wait(), Ok(None)) {
            if Instant::now() >= deadline {
                let _ = self.process.kill();
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// In memory, where pid files are on a machine in service.
fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("prefork-").tempdir_in("/dev/shm").expect("made");
    // Those who serve are another user.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    folder
}

pub(crate) fn main() -> ExitCode {
    // `cargo bench` says that it is one; `cargo test` does not, and is to see that it runs.
    let is_bench = env::args().any(|word| word == "--bench");
    let asked: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|word| word == name);
    if wanted("rest") {
        rest(if is_bench { 100 } else { 3 }, Duration::from_secs(if is_bench { 10 } else { 1 }));
    }
    if wanted("wake") {
        wake(if is_bench { 40 } else { 2 });
    }
    if wanted("fair") {
        fair(if is_bench { 3 } else { 1 }, Duration::from_secs(if is_bench { 10 } else { 1 }));
    }
    if wanted("bursts") {
        bursts(if is_bench { 5 } else { 1 }, Duration::from_secs(1));
    }
    if wanted("role") {
        role(if is_bench { 300 } else { 3 });
    }
    ExitCode::SUCCESS
}

fn sleeping(count: usize) -> String {
    let pools: Vec<_> = (0..count).map(|number| format!("p{number}=0=4=0")).collect();
    pools.join(" ")
}

fn php_fpm(pools: usize) -> Option<Server> {
    let program = php::program()?;
    let folder = folder();
    let command = php::command(&program, pools, folder.path());
    Some(Server::of(command, folder))
}

/// What pools take that nobody wants anything of.
fn rest(pools: usize, time: Duration) {
    println!("rest of {pools} pools | processes | RSS kB | private kB | wake-ups/s");
    let show = |name: &str, server: &Server| {
        let pid = server.process.id();
        let before = schedstat(pid).1;
        thread::sleep(time);
        let wakes = (schedstat(pid).1 - before) as f64 / time.as_secs_f64();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("counted");
        let processes = 1 + children(pid).len();
        let private = prefork_bench::proc::private_kb(pid);
        println!("{name} | {processes} | {} | {private} | {wakes:.1}", rss.trim());
    };
    let server = Server::start(&sleeping(pools));
    server.settle("bench.pid");
    show("prefork", &server);
    drop(server);
    match php_fpm(pools) {
        Some(server) => {
            server.settle("pid");
            show("php-fpm", &server);
        }
        None => println!("php-fpm is not installed"),
    }
}

/// How long the first client of each pool waits, and the second one; median and the longest.
fn wake(pools: usize) {
    println!("answer of a pool | first: median ms | most ms | second: median ms");
    let show = |name: &str, ask: &dyn Fn(usize) -> bool| {
        let mut times = [Vec::new(), Vec::new()];
        for pool in 0..pools {
            for times in &mut times {
                let begun = Instant::now();
                assert!(ask(pool), "{name}: pool {pool} does not answer");
                times.push(begun.elapsed().as_secs_f64() * 1000.0);
            }
        }
        times.iter_mut().for_each(|times| times.sort_unstable_by(f64::total_cmp));
        let [first, second] = &times;
        let median = pools / 2;
        println!("{name} | {:.2} | {:.2} | {:.2}", first[median], first[pools - 1], second[median]);
    };
    let server = Server::start(&sleeping(pools));
    server.settle("bench.pid");
    show("prefork", &|pool| {
        let answer = load::ask(&format!("{HOST}:{}", 18100 + pool), "/");
        answer.is_ok_and(|answer| answer.ends_with(b"hello\n"))
    });
    drop(server);
    let Some(server) = php_fpm(pools) else {
        println!("php-fpm is not installed");
        return;
    };
    server.settle("pid");
    show("php-fpm", &|pool| {
        let answer = php::ask(server.folder.path(), pool);
        answer.is_ok_and(|answer| answer.windows(5).any(|part| part == b"hello"))
    });
}

/// How long one in a hundred clients of a fast pool waits, without and with 200 clients of a slow one, in turn.
fn fair(rounds: usize, time: Duration) {
    let server = Server::start("fast=4=8=0 slow=4=32=50");
    server.settle("bench.pid");
    let fast = format!("{HOST}:18100");
    let slow = format!("{HOST}:18101");
    let percentile = || {
        let (waits, failed) = load::at_times(&fast, 500.0, time);
        assert_eq!(failed, 0, "a client of the fast pool failed");
        waits[waits.len() * 99 / 100].as_secs_f64() * 1000.0
    };
    println!("fast pool, 500 clients/s: p99 ms alone | beside 200 clients of the slow pool");
    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let alone = percentile();
        let beside = thread::scope(|scope| {
            let slow = &slow;
            let crowd = scope
                .spawn(move || load::as_fast_as_can_be(slow, 200, time + Duration::from_secs(2)));
            thread::sleep(Duration::from_secs(1));
            let beside = percentile();
            let (_, failed) = crowd.join().expect("the crowd");
            assert_eq!(failed, 0, "a client of the slow pool failed");
            beside
        });
        println!("{alone:.2} | {beside:.2}");
        ratios.push(beside / alone);
    }
    ratios.sort_unstable_by(f64::total_cmp);
    println!("ratio, median of {rounds}: {:.2}", ratios[rounds / 2]);
}

/// How many requests a second two pools with alternating bursts answer under one ceiling of 32, and one pool of 32 with the
/// same bursts.
fn bursts(rounds: usize, burst: Duration) {
    const CLIENTS: usize = 64;
    println!("bursts of {burst:?}, {CLIENTS} clients, 20 ms a request | requests/s");
    let measure = |name: &str, pools: &str, ports: [u16; 2]| {
        let server = Server::start(pools);
        server.settle("bench.pid");
        let (mut sum, mut bursts) = (0.0, 0.0);
        for _ in 0..rounds {
            for port in ports {
                let address = format!("{HOST}:{port}");
                let (rate, failed) = load::as_fast_as_can_be(&address, CLIENTS, burst);
                assert_eq!(failed, 0, "a client failed");
                (sum, bursts) = (sum + rate, bursts + 1.0);
            }
        }
        println!("{name} | {:.0}", sum / bursts);
        sum / bursts
    };
    let one = measure("one pool", "a=32=32=20", [18100, 18100]);
    let two = measure("two pools", "ceiling=32 a=1=32=20 b=1=32=20", [18100, 18101]);
    println!("ratio: {:.3}", two / one);
}

/// How long nobody has a role when its process is reloaded or killed, and when its parent is killed.
fn role(times: usize) {
    let server = Server::start("role");
    server.settle("bench.pid");
    let path = server.folder.path().join("witness");
    let read = || -> Vec<(u32, i64)> {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.filter_map(|(pid, time)| Some((pid.parse().ok()?, time.parse().ok()?))).collect()
    };
    let parent = || children(server.process.id()).first().copied().expect("it has a parent");
    println!("without a role | median ms | most ms");
    for (name, pause) in [("reload", 2), ("child killed", 1_100), ("parent killed", 1_100)] {
        // What ends again sooner than in a second is started after a pause.
        let times = if pause > 100 { times.min(20) } else { times };
        let mut gaps = Vec::new();
        for _ in 0..times {
            thread::sleep(Duration::from_millis(pause));
            let before = read();
            let (pid, signal) = match name {
                "child killed" => (before.last().expect("somebody has it").0, Signal::KILL),
                "reload" => (parent(), Signal::HUP),
                _ => (parent(), Signal::KILL),
            };
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            let now = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
            let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("not 0");
            kill_process(pid, signal).expect("it is there");
            let deadline = Instant::now() + Duration::from_secs(20);
            let after = loop {
                let after = read();
                if after.len() > before.len() {
                    break after;
                }
                assert!(Instant::now() < deadline, "nobody has the role any more");
                thread::sleep(Duration::from_micros(200));
            };
            gaps.push((after[before.len()].1 - now) as f64 / 1000.0);
        }
        gaps.sort_unstable_by(f64::total_cmp);
        println!("{name} | {:.2} | {:.2}", gaps[times / 2], gaps[times - 1]);
    }
}
