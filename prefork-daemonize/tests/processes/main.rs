//! Tests with real processes: daemons are started, raced, killed and stopped.
//!
//! This program is both sides. Started by cargo it runs the tests one after the other; started
//! by a test, with [`fixture::MARK`] in its environment, it is the small daemon that is tested.
//! Arguments that do not begin with a dash select tests by a part of their name.

mod daemonize;
mod failing;
mod fixture;
mod harness;
mod logs;
mod pidfile;
mod races;
mod stop;

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::var_os(fixture::MARK).is_some() {
        return fixture::run();
    }
    harness::run_all(
        &[daemonize::TESTS, failing::TESTS, logs::TESTS, pidfile::TESTS, stop::TESTS, races::TESTS]
            .concat(),
    )
}
