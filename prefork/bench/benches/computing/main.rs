//! A burst of requests that compute, and may be given more children than there are processors.
//!
//! ```text
//! cargo bench -p prefork-bench --bench computing
//! cargo bench -p prefork-bench --bench computing -- 11
//! ```
//!
//! 64 clients come at once and ask for the same amount of computing each, of about 20 ms. How long until all are answered, and how
//! many children there were at the most: of a pool that has as many children as there are processors and no more; of one that
//! may have 64; and of one that may have 64 and looks at what those at work do
//! ([`Args::watch_processors`](prefork::Args::watch_processors)). Then the same with requests that sleep, for which children are to
//! be there at once. All in turn, 5 rounds, or as many as are given, of which the median counts. Loopback only; the program starts itself again for
//! each pool.

use std::{
    env,
    hint::black_box,
    io::{Read, Write},
    net::TcpStream,
    num::NonZero,
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use prefork::{Args, BoxError, Prefork};
use prefork_bench::{load, proc::children};
use rustix::process::{Pid, Signal, kill_process};

const CLIENTS: usize = 64;
const ROUNDS: usize = 5;

/// About 20 ms of a processor.
const STEPS: u64 = 10_000_000;
const SLEEP: Duration = Duration::from_millis(500);

const POOLS: [(&str, usize, bool); 3] =
    [("as many as processors", 0, false), ("up to 64", 64, false), ("up to 64, looking", 64, true)];

fn main() -> ExitCode {
    match env::var("PREFORK_BENCH_ROLE") {
        Ok(role) => serve(&role),
        Err(_) => measure(),
    }
}

fn measure() -> ExitCode {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let rounds = env::args().find_map(|arg| arg.parse().ok()).unwrap_or(ROUNDS);
    println!("| requests | pool | until all 64 are answered | most children |");
    println!("| --- | --- | ---: | ---: |");
    for (what, path) in [("compute", "/compute"), ("sleep 500 ms", "/sleep")] {
        let mut times = vec![Vec::new(); POOLS.len()];
        for _ in 0..rounds {
            for (pool, times) in POOLS.iter().zip(&mut times) {
                times.push(burst(processors, *pool, path));
            }
        }
        for ((name, ..), mut times) in POOLS.iter().zip(times) {
            times.sort_unstable();
            let (time, largest) = times[times.len() / 2];
            println!("| {what} | {name} | {} ms | {largest} |", time.as_millis());
        }
    }
    ExitCode::SUCCESS
}

/// A pool that runs, and is ended when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

/// Returns how long it took, and how many children there were at the most.
fn burst(
    processors: usize,
    (_, most, looks): (&str, usize, bool),
    path: &str,
) -> (Duration, usize) {
    let address = "127.0.24.2:18082";
    let program = env::current_exe().expect("the path of this program");
    let mut command = Command::new(program);
    let most = if most == 0 { processors } else { most };
    command.env("PREFORK_BENCH_ROLE", format!("{processors} {most} {looks} {address}"));
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let running = Running(command.spawn().expect("started"));
    while TcpStream::connect(address).is_err() {
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    let mut largest = 0;
    thread::scope(|scope| {
        let clients = scope.spawn(|| load::in_turn(address, CLIENTS, 1, path));
        while !clients.is_finished() {
            largest = largest.max(children(running.0.id()).len());
            thread::sleep(Duration::from_millis(50));
        }
        let answers = clients.join().expect("they end");
        assert!(answers.iter().all(|answer| answer.ends_with(b"hello\n")), "all are answered");
    });
    (begun.elapsed(), largest)
}

/// Serves as it is told: `PREFORK MOST LOOKS ADDRESS`.
fn serve(role: &str) -> ExitCode {
    let words: Vec<&str> = role.split(' ').collect();
    let [prefork, most, looks, address] = words[..] else { return ExitCode::FAILURE };
    let (prefork, most) = (prefork.parse().expect("a number"), most.parse().expect("a number"));
    let address = address.to_owned();
    let args = Args::new()
        .name("bench")
        .daemonize(false)
        .prefork(prefork)
        .max_children(most)
        .scoreboard_in_memory(true)
        .watch_processors(looks == "true")
        .after_init(move |init| Ok(init.listen(address.as_str())?))
        .main_loop(|child, listener| {
            while let Some((connection, _)) = child.accept(listener)? {
                answer(connection);
            }
            Ok(())
        });
    match Prefork::new(args).map_err(BoxError::from).and_then(|it| Ok(it.run()?)) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{role}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn answer(mut connection: TcpStream) {
    let mut request = [0; 1024];
    let Ok(length) = connection.read(&mut request) else { return };
    if request[..length].starts_with(b"GET /sleep") {
        thread::sleep(SLEEP);
    } else {
        let mut number: u64 = 1;
        for step in 0..STEPS {
            number = black_box(number.wrapping_mul(6_364_136_223_846_793_005) ^ step);
        }
    }
    let _ = connection
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n");
}
