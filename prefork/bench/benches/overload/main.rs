//! More clients than can be served, by several servers.
//!
//! ```text
//! cargo bench -p prefork-bench --bench overload
//! cargo bench -p prefork-bench --bench overload -- 60 limited gunicorn
//! ```
//!
//! Four workers take 100 ms for each request, and twice as many clients come as they can serve, at times that do not depend on
//! the answers. Each gives up a second after it has come, and closes. What counts is how many were answered before that, of
//! those that could be, and how long these have waited. First without overload, at four fifths of the capacity, where
//! everybody is to be answered.
//!
//! A number is the time in seconds for which they come (30 if none is given), names leave the other servers out. Servers that are
//! not installed are left out too. Loopback only; everything that is started is ended.

mod clients;
mod servers;

use std::{env, process::ExitCode, time::Duration};

use clients::Crowd;
use servers::Server;

const WORKERS: u32 = 4;
const WORK: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let seconds = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(30);
    let names: Vec<&str> =
        args.iter().filter(|arg| arg.parse::<u64>().is_err()).map(String::as_str).collect();
    let capacity = f64::from(WORKERS) / WORK.as_secs_f64();
    println!(
        "| server | clients for its capacity | asked | answered in time | of its capacity | refused | 50 % of answers | 99 % |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for server in Server::ALL {
        if !names.is_empty() && !names.contains(&server.name()) {
            continue;
        }
        for (factor, seconds) in [(0.8, seconds.min(10)), (2.0, seconds)] {
            let Some(running) = server.start() else {
                println!("| {} | not installed, or it does not start |", server.name());
                break;
            };
            let time = Duration::from_secs(seconds);
            let crowd = Crowd { rate: factor * capacity, time, patience: PATIENCE };
            let seen = crowd.ask(running.address());
            let could = (capacity * time.as_secs_f64()).min(seen.asked as f64);
            println!(
                "| {} | {factor} | {} | {} | {:.1} % | {} | {} ms | {} ms |",
                server.name(),
                seen.asked,
                seen.waits.len(),
                100.0 * seen.waits.len() as f64 / could,
                seen.refused,
                seen.within(50).as_millis(),
                seen.within(99).as_millis(),
            );
        }
    }
    ExitCode::SUCCESS
}
