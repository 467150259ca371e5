//! Prints a board: `dump PATH`.

use prefork_scoreboard::{Board, Class};
use std::error::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: dump PATH");
        return ExitCode::from(2);
    };
    match dump(path.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dump: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  because {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn dump(path: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let board = Board::open(path)?;
    let snapshot = board.snapshot()?;
    let tally = snapshot.tally();
    println!("{snapshot}");
    println!(
        "{} slots: {} idle, {} busy, {} starting, {} draining, {} stalled",
        tally.total(),
        tally.idle,
        tally.busy,
        tally.starting,
        tally.draining,
        tally.stalled
    );
    println!("slot  pid      gen  requests  state  since      client                  label");
    for record in snapshot.records() {
        if record.status().class() == Class::Empty {
            continue;
        }
        println!(
            "{:<5} {:<8} {:<4} {:<9} {:<6} {:<10} {:<23} {}",
            record.slot(),
            record.pid().map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            record.generation(),
            record.requests(),
            record.status().letter(),
            record.since_update().map_or_else(|| "-".to_owned(), |since| format!("{since:.1?}")),
            record.client(),
            record.label(),
        );
    }
    Ok(())
}
