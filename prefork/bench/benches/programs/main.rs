//! Programs of other languages under `prefork run`, under other managers of processes, and alone.
//!
//! ```text
//! cargo bench -p prefork-bench --bench programs
//! cargo bench -p prefork-bench --bench programs -- reload burst retire cpu rest
//! cargo bench -p prefork-bench --bench programs -- reload uvicorn
//! ```
//!
//! Names of measurements and of runtimes leave the others out. The programs are those of `tests/fixtures/programs`. What is not
//! installed is listed as that; `README.md` beside this file says how to install it, and how each is set up. Loopback only, and
//! bounded; everything that is started is ended, unless the measuring itself is interrupted: then what runs just now is left.

mod case;
mod clients;
mod measure;
mod server;

use std::env;

fn main() {
    let words: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    measure::all(&words);
}
