//! A process for each client, by several servers.
//!
//! ```text
//! cargo bench -p prefork-bench --bench one_shot
//! cargo bench -p prefork-bench --bench one_shot -- rate latency secrets leftovers
//! ```
//!
//! - *rate*: how many clients a second are served, of 16 that each come again as soon as they are answered; then how long one in
//!   a hundred waits where half as many come, at times that do not depend on the answers. All servers in turn, forth and back:
//!   children that wait ([`Args::one_shot`](prefork::Args::one_shot)), without state and with 200 MB of it; a pool whose
//!   children serve on; a bare loop that forks at each connection; the way of `inetd`, which executes a program at each
//!   (`systemd-socket-activate --accept`); and Apache's prefork with `MaxConnectionsPerChild 1`, where these are installed.
//! - *secrets*: how many clients find what one before them has left in memory.
//! - *leftovers*: how many processes are there a second after 10,000 clients have left two each behind.
//!
//! Loopback only. Clients and servers share the processors, so what is measured is all that they do together. The program starts
//! itself again for each role.

mod measure;
mod server;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    match env::var("PREFORK_BENCH_ROLE").as_deref() {
        Ok("forking") => server::forking(),
        Ok("answer") => server::answer_once(),
        Ok(role) => server::prefork(role),
        Err(_) => measure::main(),
    }
}
