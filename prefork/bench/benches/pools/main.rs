//! A daemon of several pools, and php-fpm beside it.
//!
//! ```text
//! cargo bench -p prefork-bench --bench pools
//! cargo bench -p prefork-bench --bench pools -- rest wake fair
//! ```
//!
//! - *rest*: what 100 pools take of which nobody wants anything: processes, memory, wake-ups a second. Beside it php-fpm with 100 pools
//!   of `pm = ondemand`, where that is installed.
//! - *wake*: how long the first client of a pool that sleeps waits for its answer, and the next one. Beside it the same of php-fpm.
//! - *fair*: how long one in a hundred clients of a fast pool waits, alone, and while 200 clients keep a slow pool busy.
//!
//! - *bursts*: how much two pools with alternating bursts answer under one ceiling of 32, to one pool of 32.
//! - *role*: how long nobody has a role when its process is reloaded or killed, and when its parent is.
//!
//! Loopback only. The pid file is in `/dev/shm`, as one in `/run` would be: on a disk each start of a pool waits for it. The program
//! starts itself again as the daemon.

mod measure;
mod php;
mod server;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    match env::var("PREFORK_BENCH_ROLE") {
        Ok(role) => server::pools(&role),
        Err(_) => measure::main(),
    }
}
