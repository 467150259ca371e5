//! What a request costs to be begun and put down again, in a child of many requests that its parent watches.
//!
//! ```text
//! cargo bench -p prefork-bench --bench in_flight
//! ```
//!
//! Each row is the least of several rounds, in nanoseconds for one request, as rounds that something else interrupts take
//! longer. With several threads it is the time that passes while each begins and drops as many. The parent
//! follows the load, so that it is woken as with any other child.

use std::{
    hint::black_box,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use prefork::{Args, InFlight, Prefork};
use rustix::process::{Signal, getppid, kill_process};

const ROUNDS: usize = 20;
const REQUESTS: u32 = 100_000;

fn main() -> ExitCode {
    // `cargo bench` says that it is one; `cargo test` does not, and is to see that it runs.
    let requests = if std::env::args().any(|word| word == "--bench") { REQUESTS } else { 100 };
    let args = Args::new()
        .daemonize(false)
        .prefork(1)
        .max_children(1)
        .scoreboard_in_memory(true)
        .concurrency(65_536)
        .request_timeout(Duration::from_secs(60))
        .main_loop(move |child, ()| {
            measure(&child.in_flight(), requests);
            let parent = getppid().ok_or("there is no parent")?;
            kill_process(parent, Signal::TERM)?;
            while !child.should_stop() {
                thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        });
    match Prefork::new(args).map_err(prefork::BoxError::from).and_then(|it| Ok(it.run()?)) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("in_flight: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(in_flight: &InFlight, requests: u32) {
    row("alone", requests, || drop(black_box(in_flight.begin("GET /index.html"))));
    let other = in_flight.begin("GET /other");
    row("beside an older one", requests, || drop(black_box(in_flight.begin("GET /index.html"))));
    let crowd: Vec<_> = (0..10_000).map(|_| in_flight.begin("GET /waits")).collect();
    row("beside 10,000 others", requests, || drop(black_box(in_flight.begin("GET /index.html"))));
    drop((other, crowd));
    row("with client and label changed", requests, || {
        let in_hand = in_flight.begin("a connection");
        in_hand.set_client("192.0.2.1:4711");
        in_hand.set_label("GET /index.html");
    });
    for threads in [2, 4] {
        let each = requests / threads;
        let least = least(|| {
            thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        for _ in 0..each {
                            drop(black_box(in_flight.begin("GET /index.html")));
                        }
                    });
                }
            });
        });
        show(&format!("from {threads} threads"), least, each * threads);
    }
}

fn row(name: &str, requests: u32, once: impl Fn()) {
    let least = least(|| (0..requests).for_each(|_| once()));
    show(name, least, requests);
}

fn least(mut round: impl FnMut()) -> Duration {
    let times = (0..ROUNDS).map(|_| {
        let begun = Instant::now();
        round();
        begun.elapsed()
    });
    times.min().unwrap_or_default()
}

fn show(name: &str, least: Duration, requests: u32) {
    let nanos = least.as_nanos() / u128::from(requests.max(1));
    println!("{name:<32} {nanos:>6} ns");
}
