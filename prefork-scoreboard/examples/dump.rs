//! Prints a board: `dump PATH`.

use prefork_scoreboard::{Board, Class};
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: dump PATH");
        return ExitCode::from(2);
    };
    match dump(path.as_ref()) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
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

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn dump(path: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let board = Board::open(path)?;
    let snapshot = board.snapshot()?;
    let tally = snapshot.tally();
    let mut out = io::stdout().lock();
    writeln!(out, "{snapshot}")?;
    writeln!(
        out,
        "{} slots: {} idle, {} busy, {} starting, {} draining, {} stalled, {} gone",
        tally.total(),
        tally.idle,
        tally.busy,
        tally.starting,
        tally.draining,
        tally.stalled,
        tally.gone
    )?;
    writeln!(
        out,
        "slot  pid      gen  requests  in hand     state  since      client                  label"
    )?;
    for record in snapshot.records() {
        if record.status().class() == Class::Empty {
            continue;
        }
        writeln!(
            out,
            "{:<5} {:<8} {:<4} {:<9} {:<11} {:<6} {:<10} {:<23} {}",
            record.slot(),
            record.pid().map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
            record.generation(),
            record.requests(),
            format!("{} of {}", record.in_hand(), record.concurrency()),
            record.status().letter(),
            record.since_update().map_or_else(|| "-".to_owned(), |since| format!("{since:.1?}")),
            record.client(),
            record.label(),
        )?;
    }
    Ok(())
}
