//! Whole processes, measured from outside: `hello` beside a bare loop that forks as many children
//! and does nothing but blocking accept, read, write and close. Between the two there is the twin,
//! which does that and no more, but in children of this library.
//!
//! ```text
//! cargo bench -p prefork-bench --bench whole
//! cargo bench -p prefork-bench --bench whole -- cpu upgrade
//! ```
//!
//! In one run and in turn, so that ratios hold while the machine's speed drifts. CPU time
//! is that of the whole process tree in nanoseconds, from `/proc/PID/schedstat`. Loopback only, and
//! bounded. The program starts itself again for each role but that of `hello`.

mod clients;
mod isolation;
mod load;
mod measure;
mod process;
mod twin;
mod upgrade;

use std::{env, process::ExitCode};

use prefork_bench::bare;

fn main() -> ExitCode {
    match env::var("PREFORK_BENCH_ROLE").as_deref() {
        Ok("bare") => bare::main(),
        Ok("twin") => twin::main(),
        Ok("load") => load::main(),
        _ => measure::main(),
    }
}
