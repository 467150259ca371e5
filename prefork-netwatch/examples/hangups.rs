//! Prints when connections of processes end: `hangups PID...`.
//!
//! All their connections are watched, outgoing ones too; a server would pass the addresses that it
//! listens at.

use prefork_netwatch::{Filter, Report, Watch};
use std::collections::HashSet;
use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let pids: Result<Vec<u32>, _> = std::env::args().skip(1).map(|pid| pid.parse()).collect();
    match pids {
        Ok(pids) if !pids.is_empty() => watch(&pids),
        Ok(_) | Err(_) => {
            eprintln!("usage: hangups PID...");
            ExitCode::from(2)
        }
    }
}

/// Watches for as long as any of the processes lives.
fn watch(pids: &[u32]) -> ExitCode {
    let mut watch = Watch::new(Filter::all());
    let mut said = HashSet::new();
    while pids.iter().any(|pid| std::path::Path::new("/proc").join(pid.to_string()).exists()) {
        match watch.check(pids.iter().copied()) {
            Ok(Report { events, unreadable, .. }) => {
                for event in events {
                    println!("{event}");
                }
                for error in unreadable {
                    if said.insert(error.pid) {
                        complain(&error);
                    }
                }
            }
            Err(error) => {
                complain(&error);
                return ExitCode::FAILURE;
            }
        }
        thread::sleep(INTERVAL);
    }
    ExitCode::SUCCESS
}

fn complain(error: &dyn Error) {
    eprintln!("hangups: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("  because {cause}");
        source = cause.source();
    }
}
