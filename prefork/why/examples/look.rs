//! Prints what processes wait for: `cargo run -p prefork-why --example look 4711`.

use std::{env, process::ExitCode};

use prefork_why::Inquiry;

fn main() -> ExitCode {
    let mut exit = ExitCode::SUCCESS;
    for pid in env::args().skip(1).filter_map(|it| it.parse().ok()) {
        match Inquiry::of_family(pid) {
            Ok(family) => family.iter().for_each(|inquiry| println!("{inquiry}")),
            Err(error) => {
                eprintln!("{error}");
                exit = ExitCode::FAILURE;
            }
        }
    }
    exit
}
