//! `hello` beside other preforking servers that do the same: answer `hello` and close.
//!
//! ```text
//! cargo bench -p prefork-bench --bench peers
//! cargo bench -p prefork-bench --bench peers -- --plot
//! cargo bench -p prefork-bench --bench peers -- four burst stop reload
//! ```
//!
//! Names of measurements leave the others out. The table goes to standard output; `--plot` also draws `prefork/docs/peers.svg`. What is not
//! installed is listed as that. `README.md` beside this file says how to install the others, and
//! how each is set up. Loopback only, and bounded; everything that is started is ended.

mod clients;
mod launch;
mod measure;
mod peer;
mod plot;
mod server;
mod table;

use std::{env, path::Path, process::ExitCode};

use prefork_bench::bare;

use measure::Row;
use peer::Peer;

fn main() -> ExitCode {
    match env::var("PREFORK_BENCH_ROLE").as_deref() {
        Ok("bare") => bare::main(),
        _ => compare(),
    }
}

fn compare() -> ExitCode {
    let (mut rows, mut absent) = (Vec::new(), Vec::new());
    for peer in Peer::ALL {
        match peer.version() {
            Some(version) => rows.push(Row::new(peer, version)),
            None => absent.push(peer),
        }
    }
    let wanted: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    measure::all(&mut rows, &wanted);
    println!("{}", table::render(&rows, &absent));
    if env::args().any(|arg| arg == "--plot") {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/peers.svg");
        if let Err(error) = plot::draw(&rows, &path) {
            eprintln!("cannot draw {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
