//! What isolation costs: a request, and a fork.

use std::time::{Duration, Instant};

use prefork::{Isolation, Layer, isolate::Layers};
use prefork_bench::live;

use crate::{
    measure::{REQUESTS, ROUNDS, ask, median},
    process::Started,
};

/// How many lives are measured together.
const LIVES: u32 = 300;

pub(crate) fn measure() {
    let siblings = || Isolation::new().siblings_apart();
    println!("isolation: {}", Layers::probe(&siblings()).report());
    for (role, clients) in [("twin", 1), ("twin", 8), ("hello", 1), ("hello", 8)] {
        cpu_per_request(role, clients);
    }
    for (what, isolation) in [
        ("siblings", siblings()),
        ("no-new-privileges", Isolation::new().no_new_privileges()),
        ("signals", Isolation::new().require(Layer::Signals)),
        ("scheduling", Isolation::new().require(Layer::Scheduling)),
        ("private-tmp", Isolation::new().private_tmp(1 << 20)),
    ] {
        fork(what, &isolation);
    }
}

/// CPU time per request of the whole tree with isolation and without, in turn.
fn cpu_per_request(role: &str, clients: usize) {
    let mut ratios = Vec::new();
    for round in 0..2 * ROUNDS {
        let cost = |is_isolated: bool| {
            let more: &[&str] = match (role, is_isolated) {
                (_, false) => &[],
                ("hello", true) => &["--isolate", "siblings"],
                (_, true) => &["siblings"],
            };
            let server = Started::server_with(role, 4, more);
            ask(&server, clients, 500);
            let before = server.cpu();
            ask(&server, clients, REQUESTS);
            (server.cpu() - before) as f64
        };
        // Each goes first as often as the other.
        let first = cost(round % 2 == 0);
        let second = cost(round % 2 != 0);
        ratios.push(if round % 2 == 0 { first / second } else { second / first });
    }
    let middle = median(&mut ratios);
    let (lower, upper) = (ratios[ratios.len() / 4], ratios[ratios.len() * 3 / 4]);
    println!(
        "CPU per request of {role} with isolation, 4 children, {clients} clients: ratio {middle:.3} (middle half {lower:.3} \
         to {upper:.3})"
    );
}

/// What it adds to a fork and its end.
fn fork(what: &str, isolation: &Isolation) {
    let layers = Layers::probe(isolation);
    let lives = |work: &dyn Fn()| {
        let begun = Instant::now();
        (0..LIVES).for_each(|_| live(work));
        begun.elapsed() / LIVES
    };
    let isolate = || {
        layers.begin().expect("possible");
        layers.finish().expect("possible");
    };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..2 * ROUNDS {
        with.push(micros(lives(&isolate)));
        without.push(micros(lives(&|| ())));
    }
    let mut more: Vec<f64> =
        with.iter().zip(&without).map(|(with, without)| with - without).collect();
    let (middle, bare) = (median(&mut more), median(&mut without));
    let (lower, upper) = (more[more.len() / 4], more[more.len() * 3 / 4]);
    println!(
        "a fork and its end, {bare:.0} us: {what} adds {middle:.0} us (middle half {lower:.0} to {upper:.0})"
    );
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
